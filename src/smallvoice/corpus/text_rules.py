"""Rules that a user writes to turn the transcribers' markup into words (`--text-rules rules.yaml`).

A rule file is a list of rules, applied from top to bottom, and what may be left when they are done; whatever
else is left flags the row. Every kind of rule becomes a search and what takes its place (`_Step`), so a text is
cleaned by one loop. docs/text-rules.md describes the kinds.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex
import yaml

from smallvoice import yaml_file
from smallvoice.corpus import text_patterns as patterns
from smallvoice.corpus.text_patterns import WrongPattern
from smallvoice.corpus.text_style import JOINERS, is_of_word
from smallvoice.errors import RecipeError
from smallvoice.storage import digest

NOTHING_LEFT = "no words"
TOO_LONG = "too long for text rules"
UNEXPECTED = "unexpected characters"

_MAX_CHARACTERS = 100_000
"""Two hours of talk: no transcript of one segment."""
_TIMEOUT_S = 0.5
"""A search of a sane expression takes microseconds; one that backtracks without end is stopped."""
_MAX_MADE = 1_000_000


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A text after the rules."""

    text: str
    flags: tuple[str, ...]
    """Why a person should look at it; none: it is plain words."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One search, and what takes the place of what it finds."""

    pattern: Any
    becomes: str | None
    """A template (`\\1`); None: only looked for."""
    flag: str | None
    where: str
    """`file:line` of its rule."""

    def apply(self, text: str) -> tuple[str, bool]:
        """The text after this step, and whether it found anything."""
        try:
            if self.becomes is None:
                return text, self.pattern.search(text, timeout=_TIMEOUT_S) is not None
            changed, count = self.pattern.subn(self.becomes, text, timeout=_TIMEOUT_S)
        except TimeoutError:
            raise RecipeError(
                f"{self.where}: this rule takes over {_TIMEOUT_S} s on a text of {len(text)} characters. "
                "An expression such as (a+)+ or (.*)*: repeat one thing once."
            ) from None
        except (regex.error, IndexError) as error:
            raise RecipeError(f"{self.where}: `with` cannot be used: {error}.") from None
        if len(changed) > _MAX_MADE:
            raise RecipeError(f"{self.where}: this rule makes {len(changed)} characters of {len(text)}.")
        return changed, count > 0


@dataclass(frozen=True, slots=True)
class TextRules:
    """A rule file, read and checked."""

    steps: tuple[_Step, ...]
    letters: bool
    digits: bool
    characters: frozenset[str]
    """Other characters that may be left; a hyphen only inside a word."""
    fingerprint: str
    """Equal for files that do the same: comments and layout do not count."""

    def apply(self, text: str) -> Cleaned:
        """Clean one text.

        Raises:
            RecipeError: a regular expression of the file takes too long, or makes a text many times longer.
        """
        if len(text) > _MAX_CHARACTERS:
            return Cleaned(text, (TOO_LONG,))
        text = " ".join(text.split())
        flags: dict[str, None] = {}  # a set that keeps its order
        for step in self.steps:
            text, found = step.apply(text)
            if found and step.flag:
                flags[step.flag] = None
        text = " ".join(text.split())
        if unexpected := self._unexpected(text):
            flags[f"{UNEXPECTED}: {' '.join(unexpected)}"] = None
        if not any(character.isalnum() for character in text):
            flags[NOTHING_LEFT] = None
        return Cleaned(text, tuple(flags))

    def _unexpected(self, text: str) -> list[str]:
        found = set()
        for index, character in enumerate(text):
            category = unicodedata.category(character)
            if category[0] in "LM":
                good = self.letters or character in self.characters
            elif category == "Nd":
                good = self.digits or character in self.characters
            elif character in JOINERS:
                good = self.letters and index > 0 and is_of_word(text[index - 1])  # at a word's end in Malayalam
            elif character == "-":
                good = _is_inside(text, index) and "-" in self.characters
            elif character == "’" and _is_inside(text, index):
                good = "'" in self.characters or "’" in self.characters
            else:
                good = character == " " or character in self.characters
            if not good:
                found.add(character)
        return sorted(found)


def _is_inside(text: str, index: int) -> bool:
    """Whether a character has a letter or digit on either side."""
    return 0 < index < len(text) - 1 and is_of_word(text[index - 1]) and is_of_word(text[index + 1])


def load(path: Path) -> TextRules:
    """Read a rule file.

    Raises:
        InputError: it is missing or not UTF-8.
        RecipeError: every mistake in it, each with its line.
    """
    return _File(str(path)).read(yaml_file.compose(path))


class _Mistake(Exception):
    """What is wrong with one node of the file."""

    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1


class _File:
    """Reads the nodes of a rule file and keeps every mistake."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[str] = []

    def read(self, root: yaml.Node | None) -> TextRules:
        if not isinstance(root, yaml.MappingNode):
            raise RecipeError(f"{self.path}:1: a rule file has `rules:` and a list of them.")
        steps: list[_Step] = []
        content: dict[str, Any] = {}
        allowed, keeps = ["letters", "digits", "'", "-"], True
        try:
            parts = _mapping(root)
            for name, node in parts.items():
                if name not in ("rules", "allowed", "punctuation"):
                    raise _Mistake(node, f"unknown key {name!r}. Known here: rules, allowed, punctuation")
            if "allowed" in parts:
                allowed = _allowed(parts["allowed"])
            if "punctuation" in parts:
                keeps = _one_of(parts["punctuation"], ("keep", "remove")) == "keep"
            if "rules" in parts:
                content["rules"] = self._rules(parts["rules"], steps)
        except _Mistake as mistake:
            self.problems.append(f"{self.path}:{mistake.line}: {mistake}.")
        if self.problems:
            raise RecipeError(*self.problems)
        if not keeps:
            steps.append(_Step(patterns.QUOTED, r" \1\2 ", None, self.path))
            steps.append(_Step(patterns.SENTENCE_MARKS, " ", None, self.path))
        return TextRules(
            steps=tuple(steps),
            letters="letters" in allowed,
            digits="digits" in allowed,
            characters=frozenset(item for item in allowed if len(item) == 1)
            | frozenset(patterns.PUNCTUATION if keeps else ""),
            fingerprint=digest("text rules", content, sorted(allowed), keeps),
        )

    def _rules(self, node: yaml.Node, steps: list[_Step]) -> list[Any]:
        """Append the steps of every rule; the rules as plain values, for the fingerprint."""
        if not isinstance(node, yaml.SequenceNode):
            raise _Mistake(node, "`rules` is a list: one line with a dash for each rule")
        content = []
        for item in node.value:
            line = item.start_mark.line + 1
            try:
                rule = _mapping(item)
                found = _steps(item, rule)
            except _Mistake as mistake:
                self.problems.append(f"{self.path}:{mistake.line}: {mistake}.")
                continue
            flag = _text(rule["flag"]) if "flag" in rule else None
            steps += [_Step(pattern, becomes, flag, f"{self.path}:{line}") for pattern, becomes in found]
            content.append({name: _plain(value) for name, value in rule.items()})
        return content


_OPTIONS = {
    "remove": {"max_words", "flag"},
    "unwrap": {"flag"},
    "strip": {"side", "flag"},
    "fragment": {"keep", "flag"},
    "replace": {"flag"},
    "regex": {"with", "flag"},
    "find": {"flag"},
}
"""Kind of rule -> what else it takes."""


def _steps(item: yaml.Node, rule: dict[str, yaml.Node]) -> patterns.Found:
    """The searches of one rule."""
    kinds = [name for name in rule if name in _OPTIONS]
    if len(kinds) != 1:
        raise _Mistake(item, f"a rule has one of {', '.join(_OPTIONS)}; found {', '.join(rule) or 'nothing'}")
    kind = kinds[0]
    for name, node in rule.items():
        if name != kind and name not in _OPTIONS[kind]:
            raise _Mistake(node, f"{kind!r} does not take {name!r}, only {', '.join(sorted(_OPTIONS[kind]))}")
    if "flag" in rule:
        _text(rule["flag"])
    try:
        return _searches(kind, rule[kind], rule)
    except WrongPattern as error:
        raise _Mistake(rule[kind], str(error)) from None


def _searches(kind: str, node: yaml.Node, rule: dict[str, yaml.Node]) -> patterns.Found:
    if kind == "replace":
        pairs = _mapping(node).items()
        return [(patterns.literal(old), patterns.template(_text(new, may_be_empty=True))) for old, new in pairs]
    if kind == "regex":
        expression = _text(node)
        if "with" not in rule and "flag" not in rule:
            raise _Mistake(node, "'regex' needs `with:`, what to write instead, or `flag:`")
        return [patterns.expression(expression, _text(rule["with"], may_be_empty=True) if "with" in rule else None)]
    texts = [_text(part) for part in _texts(node)]
    if kind == "remove":
        limit = _count(rule["max_words"]) if "max_words" in rule else None
        return [(patterns.search(text, max_words=limit), "") for text in texts]
    if kind == "unwrap":
        return [(patterns.search(text, needs_inside=True), r"\1") for text in texts]
    if kind == "strip":
        return patterns.strip(texts, _one_of(rule["side"], ("before", "after", "both")) if "side" in rule else "both")
    if kind == "fragment":
        keep = _one_of(rule["keep"], ("true", "false")) == "true" if "keep" in rule else True
        return [found for text in texts for found in patterns.fragment(text, keep)]
    if "flag" not in rule:
        raise _Mistake(node, "'find' only looks: say with `flag:` what a row is called where it finds something")
    return [(patterns.search(text), None) for text in texts]


def _allowed(node: yaml.Node) -> list[str]:
    found = []
    for part in _texts(node):
        text = _text(part)
        if len(text) > 1 and text not in ("letters", "digits"):
            raise _Mistake(part, f"{text!r} is neither one character nor `letters` nor `digits`")
        found.append(text)
    return found


def _mapping(node: yaml.Node) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise _Mistake(node, "expected `name: value`, put in quotes where it has marks")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = _text(key)
        if name in found:
            raise _Mistake(key, f"{name!r} is given twice")
        found[name] = value
    return found


def _texts(node: yaml.Node) -> list[yaml.Node]:
    """One text, or a list of them."""
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not nodes:
        raise _Mistake(node, "an empty list")
    for part in nodes:
        _text(part)
    return list(nodes)


def _text(node: yaml.Node, *, may_be_empty: bool = False) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _Mistake(node, 'brackets mean something else in YAML: write the marks in quotes, "{...}"')
    if not node.value.strip() and not (may_be_empty and (node.style or node.value)):
        raise _Mistake(node, 'nothing here; in YAML # starts a comment: write marks in quotes, "#"')
    return str(node.value)


def _one_of(node: yaml.Node, choices: tuple[str, ...]) -> str:
    text = _text(node)
    if text not in choices:
        raise _Mistake(node, f"{text!r} is not one of {', '.join(choices)}")
    return text


def _count(node: yaml.Node) -> int:
    text = _text(node)
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) <= 1000:
        raise _Mistake(node, f"{text!r} is not a number of words from 1 to 1000")
    return int(text)


def _plain(node: yaml.Node) -> Any:
    """A node as plain values, the order of its parts kept."""
    if isinstance(node, yaml.MappingNode):
        return [[_plain(key), _plain(value)] for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [_plain(part) for part in node.value]
    return node.value
