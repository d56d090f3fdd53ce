"""YAML as people mean it, and the line of every key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from smallvoice.errors import RecipeError
from smallvoice.storage import read_text


class Loader(yaml.SafeLoader):
    """YAML 1.1, but as in YAML 1.2 `1e-3` is a number, `no` (Norwegian) a word and `2024-31-12` a text.

    A key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$", re.IGNORECASE), list("tTfF"))
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load(path: Path) -> tuple[Any, dict[tuple[str, ...], int]]:
    """Read a file: what it says, and the line of every key.

    Raises:
        InputError: it is missing or not UTF-8.
        RecipeError: it is not YAML, with the line.
    """
    text = read_text(path)
    with _mistakes(path):
        return yaml.load(text, Loader=Loader), _lines_of(yaml.compose(text, Loader=Loader))


def compose(path: Path) -> yaml.Node | None:
    """Read a file as nodes, each with its place; None for an empty one.

    Raises:
        InputError, RecipeError: as `load`.
    """
    text = read_text(path)
    with _mistakes(path):
        return yaml.compose(text, Loader=yaml.SafeLoader)


def has_comments(path: Path) -> bool:
    """Whether somebody wrote notes into a file.

    Raises:
        InputError, RecipeError: as `load`.
    """
    text = read_text(path)
    with _mistakes(path):
        scalars = [token for token in yaml.scan(text) if isinstance(token, yaml.ScalarToken)]
    inside = [range(token.start_mark.index, token.end_mark.index) for token in scalars]
    marks = (found.start() for found in re.finditer(r"(?m)(?:^|(?<=\s))#", text))
    return any(not any(mark in scalar for scalar in inside) for mark in marks)


@contextmanager
def _mistakes(path: Path) -> Iterator[None]:
    try:
        yield
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "a character that YAML does not allow"
        raise RecipeError(f"{path}{line}: not valid YAML: {problem}. {_advice(problem)}".rstrip()) from None
    except ValueError as error:  # a number of 5,000 digits
        raise RecipeError(f"{path}: a value that cannot be read: {error}.") from None
    except RecursionError:
        raise RecipeError(f"{path}: not valid YAML: brackets in brackets without end.") from None


def _advice(problem: str) -> str:
    """What mends it, where the parser's own words do not say so."""
    if "\\t" in problem:
        return "Indent with spaces, not with tabs."
    return "" if "twice" in problem or "a key must be" in problem else "Put marks in quotes: '*'."


def _lines_of(node: yaml.Node | None, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    """The line of every key of a YAML document."""
    found: dict[tuple[str, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            found[(*path, key.value)] = key.start_mark.line + 1
            found |= _lines_of(value, (*path, key.value))
    return found
