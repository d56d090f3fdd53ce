"""Words of which several spellings are right: `{industry's / industry}`, `{@ / an}`, 123.

NIST's scoring tools write alternatives in references as `{a b / c / @}`, `@` for nothing (sclite, "alternation");
the `child` normaliser makes more of its own. Here a text is a list of words and `Alternatives`, and two such texts are
aligned so that the errors are fewest over all choices. The number of reference words is that of the chosen ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Sequences of words of which any one is right; an empty one may be left out."""

    options: tuple[tuple[str, ...], ...]


Token = str | Alternatives

_ALTERNATION = re.compile(r"\{((?:[^{}]*\s)?/(?:\s[^{}]*)?)\}")
_NOTHING = "@"


def parse(text: str, words: Callable[[str], Sequence[Token]]) -> list[Token]:
    """Words of a reference with its alternatives; braces without a slash between spaces are text like any other.

    Args:
        words: a normaliser; what is outside of braces and each alternative goes through it by itself.
    """
    if "{" not in text:
        return list(words(text))
    tokens: list[Token] = []
    for place, piece in enumerate(_ALTERNATION.split(text)):
        if place % 2 == 0:
            tokens += words(piece)
        else:
            tokens += one_of(_option(option, words) for option in re.split(r"(?<!\S)/(?!\S)", piece))
    return tokens


def _option(text: str, words: Callable[[str], Sequence[Token]]) -> tuple[str, ...]:
    """An alternative's words; alternatives inside of alternatives are settled by their first."""
    if text.strip() == _NOTHING:
        return ()
    return tuple(first_choice(words(text)))


def one_of(options: Iterable[tuple[str, ...]]) -> list[Token]:
    """The tokens of a choice: plain words where there is none."""
    distinct = tuple(dict.fromkeys(options))
    return list(distinct[0]) if len(distinct) == 1 else [Alternatives(distinct)]


def first_choice(tokens: Sequence[Token]) -> list[str]:
    """The words when every choice falls on the first alternative."""
    words: list[str] = []
    for token in tokens:
        words += (token,) if isinstance(token, str) else token.options[0]
    return words


def has_choice(tokens: Sequence[Token]) -> bool:
    return not all(isinstance(token, str) for token in tokens)
