"""What a page that leaves the machine may show: no path of it, and no character that breaks a page."""

from __future__ import annotations

import ast
import re
import unicodedata
from pathlib import Path
from typing import Any

from smallvoice.corpus.sources import HUB, NAMES
from smallvoice.run_folder import LOCAL_BASE

_START = r"""(?<![\w/\\.~:-])(?:file:|~|\.{1,2}(?=[/\\])|[A-Za-z]:(?=[/\\]))?[/\\]"""
_PATH = re.compile(rf"""(?<=')(?:{_START})[^']*(?=')|(?<=")(?:{_START})[^"]*(?=")|{_START}[^\s'",;()]*""")
"""To the closing quotation mark, where there is one: names may have spaces."""
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
LOCAL = "(local)"


def shareable(value: Any) -> Any:
    """The same nested value with every path of a machine replaced by `(local)`, in keys and in text."""
    if isinstance(value, dict):
        return {shareable(key): shareable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shareable(inner) for inner in value]
    return _PATH.sub(LOCAL, value) if isinstance(value, str) else value


def model_name(base: str) -> str:
    """A hub name (`openai/whisper-base`) as it is; a folder only as a folder."""
    named = _HUB_NAME.fullmatch(base) and not base.startswith(".") and not Path(base).exists()
    return base if named and base != LOCAL_BASE else "a local model"


def source_name(source: str) -> str:
    """A corpus by name as it is; a folder, which may bear the name of a school or a child, as a folder."""
    return source if source in NAMES or source.startswith(HUB) else "a local folder"


_NAMING = {"source", "speaker", "session", "recording", "id"}
"""Columns whose values may be names of people or places."""


def selection(expression: str) -> str:
    """A `select` expression without the names of people and folders that it asks for."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError):  # of a folder that no run made
        return LOCAL
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            parts = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
            if not any(isinstance(part, ast.Name) and part.id in _NAMING for part in parts):
                continue
            for part in parts:
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value not in NAMES:
                    part.value = LOCAL
    return ast.unparse(tree) if LOCAL in ast.unparse(tree) else expression


def printable(text: str) -> str:
    """Text that an HTML page can hold: control characters and lone surrogates become U+FFFD."""
    return "".join(
        "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") and not character.isspace() else character
        for character in text
    )
