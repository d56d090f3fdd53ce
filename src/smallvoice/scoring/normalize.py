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

from smallvoice.languages import language_code
from smallvoice.scoring import spoken_english
from smallvoice.scoring.alternatives import Token, first_choice, parse

_APOSTROPHES = "'’ʼ＇"
_SPOKEN_SIGNS = "%&@"
"""Punctuation to Unicode, but read aloud as a word: removing them would hide an error of recognition."""


@dataclass(frozen=True)
class Normaliser:
    """A function from text to words, some of which may leave a choice."""

    name: str
    version: int
    steps: tuple[str, ...]
    apply: Callable[[str], str]
    """From text to text; what is left are its words, split at white space."""
    choices: Callable[[str], list[Token]] | None = None
    """From text to words, where a normaliser leaves a choice between several."""
    by_character: bool = False
    """Its words are characters."""

    @property
    def label(self) -> str:
        """Name and version, as every file of scores gives them: `whisper-english/2`."""
        return f"{self.name}/{self.version}"

    def words(self, text: str) -> list[str]:
        """The words as they stand, every choice on its first."""
        return first_choice(self.tokens(text))

    def tokens(self, text: str) -> list[Token]:
        """The words of a hypothesis to be compared."""
        return self.choices(text) if self.choices else [*self.apply(text).split()]

    def reference(self, text: str) -> list[Token]:
        """The words of a reference to be compared; `{a / b}` in it is a choice, `@` nothing."""
        return parse(text, self.tokens)


def for_language(language: str | None) -> Normaliser:
    """Whisper's own normaliser for a language; null, the language unknown, is taken for English."""
    if is_english(language):
        return WHISPER_ENGLISH
    return WHISPER_BASIC if is_spaced(language) else WHISPER_BASIC_CHARACTERS


def is_english(language: str | None) -> bool:
    """Null, the language unknown, is taken for English."""
    return language is None or language_code(language) == "en"


def is_spaced(language: str | None) -> bool:
    """Whether a language is written with spaces between its words."""
    return language_code(language or "") not in WITHOUT_SPACES


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
    for pattern in _NOT_OPENAIS:
        normalizer.replacers.pop(pattern, None)  # type: ignore[attr-defined]
    return normalizer


_NOT_OPENAIS = (r"\bkinda\b", r"\bsorta\b", r"\bdunno\b", r"\bcause\b")
"""Replacements that whisper-normalizer has added to OpenAI's; with them no figure is that of a paper."""


@cache
def _basic() -> Callable[[str], str]:
    from whisper_normalizer.basic import BasicTextNormalizer

    normalizer: Callable[[str], str] = BasicTextNormalizer(preserve_marks=True)
    return normalizer


_CURLY = re.compile(r"(?<=\w)[’＇‘](?=\w)|ʼ")
"""Apostrophes inside a word as they are printed, and the one that is a letter to Unicode. OpenAI's rules write out
*don't* and leave *don’t*: a model that learned to write the one would win over one that writes the other."""


def _whisper_english(text: str) -> str:
    straight = _CURLY.sub("'", text)
    try:
        return _english()(straight)
    except (AssertionError, ValueError):
        # Python's int() takes no more than 4,300 digits; a model in a loop can write them.
        return _whisper_basic(straight)


_POINTS = re.compile(
    r"[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7"
    r"\u06e8\u06ea-\u06ed]"
)
"""The vowel points of Hebrew and Arabic, which readers do without."""


def _whisper_basic(text: str) -> str:
    return _basic()(_POINTS.sub("", unicodedata.normalize("NFKC", text)))


def by_character(normaliser: Normaliser) -> Normaliser:
    """The same, with every character of an Asian script a word of its own; what is Latin stays whole."""
    return Normaliser(
        f"{normaliser.name}-characters",
        normaliser.version,
        (*normaliser.steps, "each character of an Asian script is a word (the rate is then a CER)"),
        lambda text: _OF_ITS_OWN.sub(r" \g<0> ", normaliser.apply(text)),
        by_character=True,
    )


_OF_ITS_OWN = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer; kana; Han; Hangul."""


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
    3,
    (
        "OpenAI's EnglishTextNormalizer (Whisper paper, appendix C), from the package whisper-normalizer",
        "but a curly apostrophe inside a word is a straight one",
        "lower case; text in brackets and parentheses removed; hmm, mm, mhm, mmm, uh, um removed",
        "contractions written out; diacritics and punctuation removed",
        "numbers in digits; British spelling made American",
        "text that it cannot read (a number over 4,300 digits) goes through whisper-basic",
    ),
    _whisper_english,
)

WHISPER_BASIC = Normaliser(
    "whisper-basic",
    2,
    (
        "OpenAI's BasicTextNormalizer (Whisper paper, appendix C), from the package whisper-normalizer",
        "lower case; text in brackets and parentheses removed",
        "NFKC; symbols and punctuation become a space",
        "but marks stay, which are vowels in Hindi or Tamil, and the points of Hebrew and Arabic go without a space",
    ),
    _whisper_basic,
)

WHISPER_BASIC_CHARACTERS = by_character(WHISPER_BASIC)

CHILD = Normaliser(
    "child",
    1,
    (
        "lower case; text in brackets and parentheses removed; diacritics and punctuation removed",
        "um, hmm, repetitions and fragments stay: they were said",
        "digits are a choice between the ways to say them ({one two three / one hundred and twenty three / ...})",
        "contractions are a choice between short and long, British words between both spellings",
        "of all choices, in reference and hypothesis, those with the fewest errors count, in the reference's words",
    ),
    lambda text: " ".join(first_choice(spoken_english.tokens(text))),
    spoken_english.tokens,
)

FLUENT = Normaliser(
    "child-without-fillers",
    1,
    (*CHILD.steps, "hmm, mm, mhm, mmm, uh, um removed"),
    lambda text: " ".join(first_choice(_without_fillers(text))),
    lambda text: _without_fillers(text),
)
"""What stands between `child` and `whisper-english` in the decomposition."""

_FILLERS = frozenset({"hmm", "mm", "mhm", "mmm", "uh", "um"})


def _without_fillers(text: str) -> list[Token]:
    return [token for token in spoken_english.tokens(text) if not _FILLERS.issuperset(first_choice([token]))]


WITHOUT_SPACES = frozenset({"zh", "yue", "ja", "ko", "th", "lo", "my", "km"})
"""Languages that are scored by character: those written without spaces between words, and Korean, whose spaces writers
set as they like."""

FORMS = ("raw", "lower_cased", "caseless", "child", "normalised")
"""The ways every pair of files is scored, from the strictest to the one that papers report."""


def normaliser(form: str, language: str | None) -> Normaliser:
    """The normaliser of one of `FORMS`, or of `fluent`, for text of `language`; `child` and `fluent` are English, other
    languages have their `normalised`."""
    if form in _STRICT:
        return _STRICT[form] if is_spaced(language) else _BY_CHARACTER[form]
    return _SPOKEN[form] if form in _SPOKEN and is_english(language) else for_language(language)


_STRICT = {"raw": VERBATIM, "lower_cased": LOWER, "caseless": CASELESS}
_SPOKEN = {"child": CHILD, "fluent": FLUENT}
_BY_CHARACTER = {form: by_character(strict) for form, strict in _STRICT.items()}


def description(languages: Iterable[str | None]) -> dict[str, dict[str, list[str]]]:
    """Which normalisers made the scores of text in `languages`: form → label → steps."""
    tongues = list(languages)
    return {
        form: {used.label: list(used.steps) for used in (normaliser(form, language) for language in tongues)}
        for form in FORMS
    }
