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
    lowered = text.lower()
    if style == "lower":
        return numbers_as_words(lowered, language)
    if language == "en":
        lowered = re.sub(r"\bi\b", "I", lowered)
    sentence = lowered[:1].upper() + lowered[1:]
    return sentence if sentence.endswith((".", "?", "!", "…")) else f"{sentence}."


def to_corpus_style(text: str, facts: TextFacts, language: str | None) -> str:
    """Decoded text, written as the corpus is: its case, no punctuation and no digits where it has none."""
    if not facts.digits:
        text = numbers_as_words(text, language)
    if not facts.punctuation:
        text = without_punctuation(text)
    if facts.case == "upper":
        text = text.upper()
    elif facts.case == "lower":
        text = text.lower()
    return " ".join(text.split())


def without_punctuation(text: str) -> str:
    """Punctuation and symbols become spaces, except apostrophes and hyphens inside a word."""
    inside = re.sub(r"(?<=\w)[’'](?=\w)", "'", text)
    kept = [
        character if not _is_mark(character) or _joins(inside, index) else " " for index, character in enumerate(inside)
    ]
    return " ".join("".join(kept).split())


def numbers_as_words(text: str, language: str | None) -> str:
    """`3 bears, the 2nd` as `three bears, the second`; digits that start with 0 are read one by one."""
    if not any(character.isdigit() for character in text):
        return text
    language = language or "en"
    with_ordinals = re.sub(
        r"\b(\d+)(?:st|nd|rd|th)\b",
        lambda found: _words(found[1], language, "ordinal"),
        text,
        flags=re.IGNORECASE,
    )
    without_commas = re.sub(r"(?<=\d),(?=\d{3}\b)", "", with_ordinals)
    spaced = re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", " ", without_commas)
    return re.sub(r"\d+(?:\.\d+)?", lambda found: _words(found[0], language, "cardinal"), spaced)


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
    inner = 0 < index < len(text) - 1 and text[index - 1].isalnum() and text[index + 1].isalnum()
    return text[index] in "'’-‐" and inner
