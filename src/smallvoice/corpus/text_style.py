"""The corpus's way of writing, and Whisper's.

Corpora of children are often written in capitals, without punctuation, numbers as words; Whisper writes
"We call it 3 bears." A model learns fastest from text near to what it already writes, so training can take
another style than the corpus has, and the corpus's own is given back after decoding.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Case = Literal["upper", "lower", "mixed"]

JOINERS = "\u200c\u200d"
"""Part of the spelling of Persian and of Indian languages."""
_DOTTED_I = frozenset({"tr", "az"})
"""Languages whose capital of `i` is `İ`, and whose `I` is the capital of `ı`."""
_POINT_TABLE = "en cy he hi bn gu kn ml mr ne pa si ta te ur ja ko th my zh yue ms mt sw tl"
_DECIMAL_POINT = frozenset(_POINT_TABLE.split())
"""Languages that write 1,000.5 as English does; elsewhere `1.000` may be a thousand and `3,5` three and a half."""


@dataclass(frozen=True)
class TextFacts:
    """How a corpus is written."""

    case: Case
    punctuation: bool
    digits: bool

    @property
    def is_plain(self) -> bool:
        """One case and no punctuation: case and punctuation say nothing, so a model need not learn them."""
        return self.case != "mixed" and not self.punctuation


def training_style(wish: str, facts: TextFacts, language: str | None) -> str:
    """`corpus`, `lower` or `whisper`; `auto` is for plain text `whisper` in English and `lower` else, for other text
    `corpus`.

    The nearer the text is to what the model writes by itself, the less it has to forget: `docs/experiments.md`, where
    it was measured in English alone.
    """
    if wish != "auto":
        return wish
    if not facts.is_plain:
        return "corpus"
    return "whisper" if language == "en" else "lower"


def to_training_text(text: str, style: str, language: str | None) -> str:
    """The text that the model learns to write.

    `corpus`: as transcribed. `lower`: lower case, numbers as words, the punctuation left as it is.
    `whisper`: a sentence with a capital and a full stop, made from text in one case.
    """
    if style == "corpus":
        return text
    lowered = _lower(text, language)
    if style == "lower":
        return numbers_as_words(lowered, language)
    if language == "en":
        lowered = re.sub(r"\bi\b", "I", lowered)
    sentence = _upper(lowered[:1], language) + lowered[1:]
    return sentence if sentence.endswith((".", "?", "!", "…")) else f"{sentence}."


def to_corpus_style(text: str, facts: TextFacts, language: str | None) -> str:
    """Decoded text, written as the corpus is: its case, no punctuation and no digits where it has none."""
    if not facts.digits:
        text = numbers_as_words(text, language)
    if not facts.punctuation:
        text = without_punctuation(text)
    if facts.case == "upper":
        text = _upper(text, language)
    elif facts.case == "lower":
        text = _lower(text, language)
    return " ".join(text.split())


def _lower(text: str, language: str | None) -> str:
    if language in _DOTTED_I:
        text = text.replace("I\u0307", "i").replace("İ", "i").replace("I", "ı")
    return text.lower()


def _upper(text: str, language: str | None) -> str:
    return (text.replace("i", "İ") if language in _DOTTED_I else text).upper()


def without_punctuation(text: str) -> str:
    """Punctuation and symbols become spaces, except apostrophes, hyphens and their like inside a word."""
    return " ".join("".join(_without_mark(text, index) for index in range(len(text))).split())


def _without_mark(text: str, index: int) -> str:
    character = text[index]
    if not _is_mark(character):
        return character
    if not _joins(text, index):
        return " "
    return "'" if character == "’" else character


def numbers_as_words(text: str, language: str | None) -> str:
    """`3 bears, the 2nd` as `three bears, the second`; digits that start with 0 are read one by one.

    `1.000` and `3,50` stay as they are in languages that do not write numbers as English does.
    """
    if not any(character.isdigit() for character in text):
        return text
    language = language or "en"
    with_ordinals = re.sub(
        r"\b(\d+)(?:st|nd|rd|th)\b",
        lambda found: _words(found[1], language, "ordinal"),
        text,
        flags=re.IGNORECASE,
    )
    has_point = language in _DECIMAL_POINT
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", with_ordinals) if has_point else with_ordinals
    spaced = re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", " ", plain)
    number = r"\d+(?:\.\d+)?" if has_point else r"(?<!\d)(?<!\d[.,])\d+(?!\d|[.,]\d)"
    return re.sub(number, lambda found: _words(found[0], language, "cardinal"), spaced)


@lru_cache(maxsize=4096)
def _words(number: str, language: str, kind: str) -> str:
    from num2words import num2words

    try:
        if (len(number) > 1 and number.startswith("0") and "." not in number) or len(number) > 12:
            return " ".join(_words(digit, language, kind) for digit in number)
        value = float(number) if "." in number else int(number)
        words = str(num2words(value, lang=language, to=kind))
    except (NotImplementedError, OverflowError, ValueError, TypeError):
        return number  # a language that num2words does not have: the digits stay
    return words.replace("-", " ").replace(",", "")


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


def _joins(text: str, index: int) -> bool:
    """Whether a mark is part of the spelling: an apostrophe or hyphen, Hebrew's geresh, the dot of Catalan's `l·l`."""
    if not 0 < index < len(text) - 1:
        return False
    before, after = text[index - 1], text[index + 1]
    if text[index] == "·":  # between Chinese names it parts words
        return before.isascii() and after.isascii() and before.isalpha() and after.isalpha()
    return text[index] in "'’-‐׳״" and is_of_word(before) and is_of_word(after)


def is_of_word(character: str) -> bool:
    """Whether words are made of it, in any script: letters, their marks, digits, and joiners."""
    return unicodedata.category(character)[0] in "LMN" or character in JOINERS
