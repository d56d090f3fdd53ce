"""The corpus's way of writing, given up for training and given back after decoding."""

from __future__ import annotations

import pytest

from smallvoice.corpus.text_style import (
    TextFacts,
    numbers_as_words,
    to_corpus_style,
    to_training_text,
    training_style,
    without_punctuation,
)

UPPER = TextFacts(case="upper", punctuation=False, digits=False)
WRITTEN = TextFacts(case="mixed", punctuation=True, digits=True)


def test_plain_text_is_learned_in_lower_case() -> None:
    assert training_style("auto", UPPER, "en") == "whisper"
    assert training_style("auto", UPPER, "de") == training_style("auto", UPPER, None) == "lower"
    assert training_style("auto", WRITTEN, "en") == "corpus"
    assert training_style("auto", TextFacts(case="upper", punctuation=True, digits=False), "en") == "corpus"
    assert training_style("whisper", UPPER, "de") == "whisper"


@pytest.mark.parametrize(
    ("style", "expected"),
    [("corpus", "I SEE 3 CATS"), ("lower", "i see three cats"), ("whisper", "I see 3 cats.")],
)
def test_training_text(style: str, expected: str) -> None:
    assert to_training_text("I SEE 3 CATS", style, "en") == expected


@pytest.mark.parametrize(
    ("decoded", "expected"),
    [
        ("We call it 3 bears.", "WE CALL IT THREE BEARS"),
        ("It's Mary's well-known — cat!", "IT'S MARY'S WELL-KNOWN CAT"),
        ("", ""),
        ("...", ""),
    ],
)
def test_corpus_style_is_given_back(decoded: str, expected: str) -> None:
    assert to_corpus_style(decoded, UPPER, "en") == expected


def test_written_text_stays_as_decoded() -> None:
    assert to_corpus_style("We call it 3 bears.", WRITTEN, "en") == "We call it 3 bears."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0351", "zero three five one"),
        ("the 2nd of 1,000", "the second of one thousand"),
        ("3.5", "three point five"),
        ("room2b", "room two b"),
        ("no digits", "no digits"),
        (
            "12345678901234567890",
            " ".join(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "zero"] * 2),
        ),
    ],
)
def test_numbers_as_words(text: str, expected: str) -> None:
    assert numbers_as_words(text, "en") == expected


def test_digits_stay_in_a_language_without_number_words() -> None:
    assert numbers_as_words("3 katte", "xx") == "3 katte"
    assert numbers_as_words("3", "de") == "drei"


def test_punctuation_inside_words_stays() -> None:
    assert without_punctuation("don’t (stop) re-do - now") == "don't stop re-do now"


@pytest.mark.parametrize("language", ["tr", "az"])
def test_the_two_i_of_turkish(language: str) -> None:
    assert to_training_text("IŞIK İYİ KIZ", "lower", language) == "ışık iyi kız"
    assert to_training_text("I\u0307YI\u0307", "lower", language) == "iyi"
    assert to_training_text("İYİ KIZ", "whisper", language) == "İyi kız."
    assert to_corpus_style("ışık iyi kız", UPPER, language) == "IŞIK İYİ KIZ"
    lower = TextFacts(case="lower", punctuation=False, digits=False)
    assert to_corpus_style("Işık İyi", lower, language) == "ışık iyi"
    assert to_corpus_style("iyi kız", UPPER, "en") == "IYI KIZ"


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("1.000", "de", "1.000"),
        ("3,125 meter", "de", "3,125 meter"),
        ("3,50 am 3. um 5:30", "de", "3,50 am drei. um fünf:dreißig"),
        ("3, 4 und 5m", "de", "drei, vier und fünf m"),
        ("1,000.5", "en", "one thousand point five"),
    ],
)
def test_numbers_as_the_language_writes_them(text: str, language: str, expected: str) -> None:
    assert numbers_as_words(text, language) == expected


def test_marks_that_are_spelling() -> None:
    assert without_punctuation("col·lecció, צ׳יפס צה״ל!") == "col·lecció צ׳יפס צה״ל"
    assert without_punctuation("约翰·史密斯 ·a· ׳") == "约翰 史密斯 a"
    assert without_punctuation("की-बात की’बात") == "की-बात की'बात"
