"""What the texts of a corpus are made of, and which of them are (nearly) the same.

Characters are told apart by Unicode category and by the first word of their name, which for letters is the
script: LATIN, CYRILLIC, HANGUL.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from smallvoice.corpus.text_style import JOINERS, without_punctuation

_PLAIN = frozenset(".,;:!?…¿¡\"“”„‟‘’‚‛«»‹›'＇-‐‑–—―·・。、，．？！：；「」『』،؛؟۔।॥")
_MARKUP = frozenset("<>[]{}()|\\/*_#@^~+=&")
"""Signs that transcribers' conventions are made of."""
_SAME_SCRIPT = {"IDEOGRAPHIC": "CJK", "KATAKANA-HIRAGANA": "KATAKANA"}
_NO_SCRIPT = frozenset({"MODIFIER", "COMBINING"})
_WITHOUT_SPACES = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"})
"""Scripts that do not write spaces between words: each of their characters is compared as a word."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a text is made of; characters in their order, each once."""

    digits: str
    markup: str
    other: str
    """Neither letters nor plain punctuation, digits or markup."""
    letters: dict[str, str]
    """Script -> its letters."""


def content(text: str) -> Content:
    """Sort the characters of a text."""
    found: dict[str, list[str]] = defaultdict(list)
    letters: dict[str, str] = {}
    for character in dict.fromkeys(text):
        kind = _kind(character)
        if kind.isupper():
            letters[kind] = letters.get(kind, "") + character
        elif kind:
            found[kind].append(character)
    digits, markup, other = ("".join(found[kind]) for kind in ("digit", "markup", "other"))
    return Content(digits, markup, other, letters)


def num_letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def named(characters: str) -> str:
    """Characters as a person can look them up: `а (U+0430)`; those that do not show, by number alone."""
    shown = (
        f"{character} (U+{ord(character):04X})" if character.isprintable() else f"U+{ord(character):04X}"
        for character in characters
    )
    return ", ".join(shown)


def compared(text: str) -> str:
    """A text as its words alone, equal for texts that say the same: no case, no punctuation, no hyphens.

    In scripts that write no spaces, each character is a word.
    """
    plain = without_punctuation(unicodedata.normalize("NFC", text.casefold())).replace("-", " ")
    spaced = (f" {character} " if _kind(character) in _WITHOUT_SPACES else character for character in plain)
    return " ".join("".join(spaced).split())


@cache
def _kind(character: str) -> str:
    """The script of a letter, in capitals; `digit`, `markup`, `other`; nothing for what belongs to any text."""
    category = unicodedata.category(character)
    if character.isspace() or character in _PLAIN or character in JOINERS or category.startswith("M"):
        return ""
    if category.startswith("N"):
        return "digit"
    if character in _MARKUP:
        return "markup"
    if not category.startswith("L"):
        return "other"
    script = unicodedata.name(character, "UNKNOWN").split()[0]
    return "" if script in _NO_SCRIPT else _SAME_SCRIPT.get(script, script)


_WHOLE, _LONGER = -1, -2
"""Beside positions: texts under their own hash, and texts under the hash of what is left without one word."""


class NearTexts:
    """Texts, found again by texts that differ from them in one word: put for another, left out or added.

    Exact, and linear in the number of words: two texts of equal length differ in their word i if they are equal
    without it, and a text is one word shorter than another if it equals the other without one. So each text is kept
    under the hashes of itself with each word left out (computed from those of its beginnings and ends), and a
    match is compared word by word.
    """

    _BASE, _PRIME = 1_000_003, (1 << 61) - 1

    def __init__(self, texts: Iterable[str]) -> None:
        self._index: dict[tuple[int, int, int], list[tuple[str, ...]]] = defaultdict(list)
        for text in texts:
            words = tuple(text.split())
            whole, shortened = self._hashes(words)
            self._index[_WHOLE, len(words), whole].append(words)
            for position, value in enumerate(shortened):
                self._index[position, len(words), value].append(words)
                self._index[_LONGER, len(words) - 1, value].append(words)

    def take(self, text: str) -> Iterator[str]:
        """The texts one word away from `text`; each is found once, and then no more under that likeness."""
        words = tuple(text.split())
        whole, shortened = self._hashes(words)
        keys = [(_LONGER, len(words), whole)]
        for position, value in enumerate(shortened):
            keys += [(position, len(words), value), (_WHOLE, len(words) - 1, value)]
        for key in keys:
            found = self._index.get(key, [])
            near = [other for other in found if other != words and _one_word_apart(other, words)]
            if near:
                # What `take` has given is found: a family of a thousand likenesses is walked through once.
                self._index[key] = [other for other in found if other == words]
                yield from (" ".join(other) for other in near)

    def _hashes(self, words: tuple[str, ...]) -> tuple[int, list[int]]:
        """The hash of the words, and those with each one left out."""
        values = [hash(word) % self._PRIME for word in words]
        heads, powers = [0], [1]
        for value in values:
            heads.append((heads[-1] * self._BASE + value) % self._PRIME)
            powers.append(powers[-1] * self._BASE % self._PRIME)
        tail, shortened = 0, [0] * len(words)
        for position in range(len(words) - 1, -1, -1):
            rest = len(words) - 1 - position
            shortened[position] = (heads[position] * powers[rest] + tail) % self._PRIME
            tail = (values[position] * powers[rest] + tail) % self._PRIME
        return heads[-1], shortened


def _one_word_apart(one: tuple[str, ...], two: tuple[str, ...]) -> bool:
    if abs(len(one) - len(two)) > 1:
        return False
    shorter = min(len(one), len(two))
    head = next((index for index in range(shorter) if one[index] != two[index]), shorter)
    rest = shorter - head
    tail = next((index for index in range(rest) if one[-1 - index] != two[-1 - index]), rest)
    return max(len(one), len(two)) - head - tail <= 1
