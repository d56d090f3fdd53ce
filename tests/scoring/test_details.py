from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallvoice.scoring.details import details
from smallvoice.scoring.groups import Row
from smallvoice.scoring.hallucination import signs
from smallvoice.scoring.scored import Scored


def details_of(rows: list[Row]) -> dict[str, Any]:
    return details(Scored(rows))


def signs_of(rows: list[Row]) -> dict[str, dict[str, Any]]:
    return signs(Scored(rows))


def row(number: int, reference: str, hypothesis: str, **facts: object) -> Row:
    return {"id": f"u{number}", "reference": reference, "hypothesis": hypothesis, "language": "en", **facts}


def test_characters_utterances_and_words() -> None:
    found = details_of(
        [
            row(0, "THE BEAR", "The beer."),
            row(1, "A BEAR", "a beer"),
            row(2, "YES", "yes"),
            row(3, "NO", "so no no no"),
            row(4, "GO HOME", "go"),
        ]
    )
    assert found["cer"] == {"characters": 26, "errors": 1 + 1 + 9 + 5, "cer": 16 / 26}
    assert (found["perfect"], found["over_100"]) == (1, 1)
    assert found["confused"] == [{"reference": "bear", "hypothesis": "beer", "count": 2}]
    assert found["inserted"] == [{"word": "no", "count": 2}, {"word": "so", "count": 1}]
    assert found["deleted"] == [{"word": "home", "count": 1}]


def test_nothing_is_no_rate() -> None:
    assert details_of([row(0, "", "")])["cer"]["cer"] is None


THAI = "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิต่างมีเหตุผลและมโนธรรมและควรปฏิบัติต่อกัน"


@pytest.mark.parametrize(
    ("sign", "reference", "hypothesis", "facts"),
    [
        ("loop", "go home", "go home go home go home go home", {}),
        ("loop", "a story", "and then he said " * 30, {}),
        ("loop", "はい", "ありがとうございます" * 5, {"language": "ja"}),
        ("loop", "კარგი", "ყველა ადამიანი " * 8, {"language": "ka"}),
        ("burst of insertions", "yes", "yes that is what I always wanted to say", {}),
        ("faster than speech", "one two", "one two three four five six seven eight nine ten", {"duration_s": 1.0}),
        ("words on silence", "", "Thank you.", {}),
        ("another script", "hello", "привет", {}),
        ("another script", "こんにちは", "hello there", {"language": "ja"}),
        ("another script", "hello", "привет", {"language": "en_US"}),
        ("another script", "hello", "привет", {"language": "English"}),
        ("another language", "the dog is in the garden", "le chien est dans les fleurs", {}),
        (
            "another language",
            "der Hund ist nicht auf der Wiese",
            "the dog is not with them on the grass",
            {"language": "de"},
        ),
        ("nothing written", "hello", "...", {"language": "fr"}),
    ],
)
def test_signs_of_text_that_nobody_said(sign: str, reference: str, hypothesis: str, facts: dict[str, object]) -> None:
    assert signs_of([row(0, reference, hypothesis, **facts)])[sign]["ids"] == ["u0"]


def test_real_speech_shows_none() -> None:
    rows = [
        row(0, "no no no no no", "no no no no no", duration_s=2.0),
        row(1, "the bear went home", "a bear went", duration_s=3.0),
        row(2, "", ""),
        row(3, "приветствую", "привет", language="ru"),
        row(4, "北京", "北京", language="zh"),
        row(5, "カメラを見る", "カメラをみる", language="ja"),
        row(6, "le chat est dans les bras", "le chat est dans les draps", language="fr"),
        row(7, "the song is called que es lo que hay por mi amor", "it is que es lo que hay por mi amor"),
        row(8, "was die Mutter sagt", "the cat is here and was", language="xx"),
        row(9, "I like ice cream", "I I I like ice cream"),
        row(10, "OK", "OK", language="ja"),
        row(11, "おはよう", "おはようありがとう", language="ja"),
        row(12, THAI[:90], THAI, language="th", duration_s=9.0),
    ]
    assert [sign for sign, found in signs_of(rows).items() if found["utterances"]] == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=4))
def test_any_text_gives_numbers(pairs: list[tuple[str, str]]) -> None:
    rows = [row(number, *pair) for number, pair in enumerate(pairs)]
    assert details_of(rows)["perfect"] <= len(rows)
    assert all(found["utterances"] <= len(rows) for found in signs_of(rows).values())


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("pa ta ka " * 10, "pa ta ka " * 10),
        ("no no no no", "no no no no"),
        ("おはようございます", "おはようございます"),
    ],
)
def test_what_was_said_again_and_again_is_no_loop(reference: str, hypothesis: str) -> None:
    language = "ja" if reference[0] == "お" else "en"
    found = signs_of([row(0, reference, hypothesis, duration_s=1.5 if language == "ja" else 20.0, language=language)])
    assert [sign for sign, one in found.items() if one["utterances"]] == []


def test_another_loop_than_the_one_that_was_said_is_one() -> None:
    heard = "no no no no " + "thank you for watching " * 4
    assert signs_of([row(0, "no no no no", heard)])["loop"]["ids"] == ["u0"]
    assert signs_of([row(0, "I know", "I don't know " * 4)])["loop"]["ids"] == ["u0"]


def test_characters_of_languages_without_spaces() -> None:
    found = details_of([row(0, "你好吗", "你吗", language="zh")])
    assert found["cer"] == {"characters": 3, "errors": 1, "cer": 1 / 3}
