from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallvoice.scoring import normalize
from smallvoice.scoring.normalize import (
    CASELESS,
    CHILD,
    LOWER,
    VERBATIM,
    WHISPER_BASIC,
    WHISPER_BASIC_CHARACTERS,
    WHISPER_ENGLISH,
)

EVERY = (VERBATIM, LOWER, CASELESS, WHISPER_ENGLISH, WHISPER_BASIC, WHISPER_BASIC_CHARACTERS, CHILD)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DON'T  stop.", ["don't", "stop"]),
        ("Don’t stop!", ["don't", "stop"]),
        ("well-known — it's 'quoted'", ["well", "known", "it's", "quoted"]),
        ("50% of A&B", ["50%", "of", "a&b"]),
        ("¿Qué? «Sí»", ["qué", "sí"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("cafe\u0301", ["café"]),
        ("...?!", []),
        ("a\u2028b\u00a0c", ["a", "b", "c"]),
        ("שָׁלוֹם!", ["שָׁלוֹם"]),
        ("👧🏽 hi", ["👧🏽", "hi"]),
    ],
)
def test_caseless(text: str, words: list[str]) -> None:
    # NFC orders the Hebrew points its own way; what counts is that nothing but punctuation is lost.
    assert [CASELESS.apply(word).strip() for word in words] == CASELESS.words(text)


def test_verbatim_and_lower_change_nothing_else() -> None:
    assert VERBATIM.words(" Hello,  World. ") == ["Hello,", "World."]
    assert LOWER.words("Hello, World.") == ["hello,", "world."]


def test_whisper_english_reads_numbers_fillers_and_spelling() -> None:
    assert WHISPER_ENGLISH.apply("Um, the COLOUR isn't twenty-one [noise]") == "the color is not 21"


def test_whisper_english_is_left_as_it_is_odd_or_not() -> None:
    """It keeps a lone ellipsis as a word. Papers' numbers contain that, so ours do."""
    assert WHISPER_ENGLISH.words("...") == ["."]


@pytest.mark.parametrize("apostrophe", "’ʼ＇‘")
def test_how_an_apostrophe_is_printed_is_no_error(apostrophe: str) -> None:
    straight = "I don't know, it's John's 'big' kids' toy"
    printed = straight.replace("'", apostrophe)
    words = ["i", "do", "not", "know", "it", "is", "john", "is", "big", "kids", "toy"]
    assert WHISPER_ENGLISH.words(straight) == WHISPER_ENGLISH.words(printed) == words


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("hi", "मैं घर जा रहा हूँ।", ["मैं", "घर", "जा", "रहा", "हूँ"]),
        ("ta", "வா, வீ!", ["வா", "வீ"]),
        ("he", "שָׁלוֹם", ["שלום"]),
        ("ar", "السَّلامُ آمَن", ["السلام", "آمن"]),
        ("fr", "l’été, l'hiver", ["l", "été", "l", "hiver"]),
        ("th", "ที่", ["ท", "ี", "่"]),
    ],
)
def test_marks_are_vowels_but_for_points(language: str, text: str, words: list[str]) -> None:
    assert normalize.for_language(language).words(text) == words


def test_whisper_english_survives_a_number_that_python_refuses() -> None:
    assert WHISPER_ENGLISH.words("1" * 5000) == ["1" * 5000]


@pytest.mark.parametrize(
    ("language", "expected"),
    [(None, WHISPER_ENGLISH), ("en", WHISPER_ENGLISH), ("EN-us", WHISPER_ENGLISH), ("eng", WHISPER_ENGLISH)]
    + [(tongue, WHISPER_BASIC) for tongue in ("fr", "de", "enm", "")]
    + [(tongue, WHISPER_BASIC_CHARACTERS) for tongue in ("zh", "ja", "th", "zh-Hant")],
)
def test_the_language_chooses_whispers_normaliser(language: str | None, expected: object) -> None:
    assert normalize.for_language(language) is expected


def test_description_names_what_was_used() -> None:
    used = normalize.description(["en", "fr", None])
    assert list(used) == list(normalize.FORMS)
    assert list(used["normalised"]) == ["whisper-english/3", "whisper-basic/2"]
    assert all(steps for labels in used.values() for steps in labels.values())


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_no_text_breaks_a_normaliser(text: str) -> None:
    for normaliser in EVERY:
        assert all(normaliser.words(text))


@given(st.text())
def test_caseless_is_done_in_one_go(text: str) -> None:
    once = CASELESS.words(text)
    assert CASELESS.words(" ".join(once)) == once
