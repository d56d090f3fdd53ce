"""Named normalisers: what is done to a reference and a hypothesis before their words are compared.

Each one has a name, a version that rises when its output changes, and its steps in words. A score that does
not say which normaliser made it says nothing: 124 % and 40 % can be the same hypotheses.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

_ENGLISH = frozenset({"en", "eng", "english"})
_APOSTROPHES = "'’ʼ＇"
_SPOKEN_SIGNS = "%&@"
"""Punctuation to Unicode, but read aloud as a word: removing them would hide an error of recognition."""


@dataclass(frozen=True)
class Normaliser:
    """A function from text to text; what is left of the text are its words, split at white space."""

    name: str
    version: int
    steps: tuple[str, ...]
    apply: Callable[[str], str]

    @property
    def label(self) -> str:
        """Name and version, as every file of scores gives them: `whisper-english/1`."""
        return f"{self.name}/{self.version}"

    def words(self, text: str) -> list[str]:
        """The words to be compared."""
        return self.apply(text).split()


def for_language(language: str | None) -> Normaliser:
    """Whisper's own normaliser for a language; null, the language unknown, is taken for English."""
    if language is None or re.split(r"[-_]", language.strip().lower())[0] in _ENGLISH:
        return WHISPER_ENGLISH
    return WHISPER_BASIC


def _verbatim(text: str) -> str:
    return text


def _lower(text: str) -> str:
    return text.casefold()


def _caseless(text: str) -> str:
    folded = unicodedata.normalize("NFC", text.casefold())
    kept = []
    for position, character in enumerate(folded):
        if character in _APOSTROPHES:
            inside = folded[position - 1 : position].isalnum() and folded[position + 1 : position + 2].isalnum()
            kept.append("'" if inside else " ")
        elif unicodedata.category(character).startswith("P") and character not in _SPOKEN_SIGNS:
            kept.append(" ")
        else:
            kept.append(character)
    return "".join(kept)


@cache
def _english() -> Callable[[str], str]:
    # Imported late: it loads a spelling table and `regex`, 80 ms that `smallvoice --help` should not pay.
    from whisper_normalizer.english import EnglishTextNormalizer

    normalizer: Callable[[str], str] = EnglishTextNormalizer()
    return normalizer


@cache
def _basic() -> Callable[[str], str]:
    from whisper_normalizer.basic import BasicTextNormalizer

    normalizer: Callable[[str], str] = BasicTextNormalizer()
    return normalizer


def _whisper_english(text: str) -> str:
    try:
        return _english()(text)
    except (AssertionError, ValueError):
        # Python's int() takes no more than 4,300 digits; a model in a loop can write them.
        return _basic()(text)


def _whisper_basic(text: str) -> str:
    return _basic()(text)


VERBATIM = Normaliser("verbatim", 1, ("words as they stand, split at white space",), _verbatim)

LOWER = Normaliser("lower", 1, ("case folded as Unicode defines it (also ß = ss)",), _lower)

CASELESS = Normaliser(
    "caseless",
    1,
    (
        "case folded as Unicode defines it (also ß = ss), composed (NFC)",
        "punctuation (Unicode P) becomes a space, so well-known is two words",
        "an apostrophe inside a word stays, in its straight form",
        "% & @ stay: they are read aloud",
    ),
    _caseless,
)

WHISPER_ENGLISH = Normaliser(
    "whisper-english",
    1,
    (
        "OpenAI's EnglishTextNormalizer (Whisper paper, appendix C), from the package whisper-normalizer",
        "lower case; text in brackets and parentheses removed; hmm, mm, mhm, mmm, uh, um removed",
        "contractions written out; diacritics and punctuation removed",
        "numbers in digits; British spelling made American",
        "text that it cannot read (a number over 4,300 digits) goes through whisper-basic",
    ),
    _whisper_english,
)

WHISPER_BASIC = Normaliser(
    "whisper-basic",
    1,
    (
        "OpenAI's BasicTextNormalizer (Whisper paper, appendix C), from the package whisper-normalizer",
        "lower case; text in brackets and parentheses removed",
        "NFKC; marks, symbols and punctuation become a space",
    ),
    _whisper_basic,
)

FORMS = ("raw", "lower_cased", "caseless", "normalised")
"""The ways every pair of files is scored, from the strictest to the one that papers report."""


def normaliser(form: str, language: str | None) -> Normaliser:
    """The normaliser of one of `FORMS` for text of `language`."""
    fixed = {"raw": VERBATIM, "lower_cased": LOWER, "caseless": CASELESS}
    return fixed[form] if form in fixed else for_language(language)


def description(languages: Iterable[str | None]) -> dict[str, dict[str, list[str]]]:
    """Which normalisers made the scores of text in `languages`: form → label → steps."""
    tongues = list(languages)
    return {
        form: {used.label: list(used.steps) for used in (normaliser(form, language) for language in tongues)}
        for form in FORMS
    }
