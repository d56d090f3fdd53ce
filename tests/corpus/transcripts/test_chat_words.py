"""The table of codes in docs/chat.md, row by row, and what holds for any line."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallvoice.corpus.transcripts.chat_words import NOT_UNDERSTOOD, translate

TABLE = Path(__file__).parents[3] / "docs" / "chat.md"


def _rows() -> list[tuple[bool, str, str, str, str]]:
    """In CA notation or not, the line, its two texts and its flag."""
    rows = []
    conversation = False
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        conversation |= "@Options: CA" in line
        if line.startswith("| `"):
            written, _, spoken, target, flag = (cell.strip() for cell in line.strip("|").split("|"))
            rows.append((conversation, written.strip("`"), spoken, target, flag))
    return rows


@pytest.mark.parametrize(("conversation", "written", "spoken", "target", "flag"), _rows())
def test_the_table_for_users(conversation: bool, written: str, spoken: str, target: str, flag: str) -> None:
    said = translate(written, conversation=conversation)
    meant = translate(written, target=True, conversation=conversation)
    assert (said.text, meant.text) == (spoken, target)
    flag, spoken_only = flag.removesuffix(", spoken only"), flag.endswith("spoken only")
    if flag == "not transcribed":
        assert said.not_transcribed and meant.not_transcribed
    else:
        assert said.flags == ((flag,) if flag else ())
        assert meant.flags == (() if spoken_only else said.flags)
    assert bool(said.not_understood) == (NOT_UNDERSTOOD in said.flags)


def test_the_table_is_found() -> None:
    assert len(_rows()) > 60
    assert sum(conversation for conversation, *_ in _rows()) == 3


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("ja , ik heb het gezegd.", "ja ik heb het gezegd"),
        ("nee,ja?!", "nee ja"),
        ("hello&=laughs there(.) you", "hello there you"),
        ("foo &=smack°uh° bar", "foo uh bar"),
        ("wouldn't+//.", "wouldn't"),
        ("what is <“that”> [//] “this” ?", "what is that this"),
        ("<the big>[/]the small [ / ] one", "the big the small one"),
        ("10 007 hao3 0 0. 00will 0*ing", "10 007 hao3"),
        ("b-b-ball wor- -ing -- - 'tis 'yes' dogs'", "b-b-ball wor ing 'tis yes dogs'"),
        ("नमस्ते दुनिया ।", "नमस्ते दुनिया"),
        ("これ。何？ ありがとう", "これ 何 ありがとう"),
        ("Ϋλη ΫyesΫ", "Ϋλη yes"),
        ("u\u0323 col·lega צה\u05f4ל", "u\u0323 col·lega צה\u05f4ל"),
        ("ne\x02\x01ed to\x02\x02 \u200fhe", "need to he"),
        ("yes -? no -.", "yes no"),
    ],
)
def test_as_people_write_it(line: str, text: str) -> None:
    words = translate(line)
    assert (words.text, words.flags) == (text, ())


@pytest.mark.parametrize(
    ("line", "text", "left"),
    [
        ("so [laughs] what", "so what", ("[laughs]",)),
        ("word [= comment .", "word comment", ("[", "=")),
        ("a> b", "a b", (">",)),
        ("hello@c@d", "hello", ("hello@c@d",)),
        ("go(t) wo(rd", "go word", ("wo(rd",)),
        ("x & y $5 50%", "x y 50", ("&", "$5", "50%")),
        ("no [x 0] way [x 999]", "no way", ("[x 0]", "[x 999]")),
    ],
)
def test_what_is_not_understood_is_kept_and_said(line: str, text: str, left: tuple[str, ...]) -> None:
    words = translate(line)
    assert (words.text, words.flags, words.not_understood) == (text, (NOT_UNDERSTOOD,), left)


def test_repetitions_inside_repetitions_do_not_grow_without_end() -> None:
    line = "<" * 50 + "a" + "> [x 9]" * 50
    assert len(translate(line).text.split()) < 300


def test_what_the_codes_of_an_utterance_say() -> None:
    words = translate("[- spa] dame la leche . [+ imit] [+bch]")
    assert (words.language, words.postcodes) == ("spa", ("imit", "bch"))


def test_a_replaced_word_is_no_longer_unintelligible() -> None:
    assert translate("xxx [: dog] here").flags == ("unintelligible",)
    assert translate("xxx [: dog] here", target=True).flags == ()


CODES = "[]<>()+-&~=*:;.,?!/\\\"'@$%^#_0|{}\x00\x02\x15 \t\u200f°↫⌈⌉⌊↑≠ΫἩ„‡“”…ˈʔaéßДמ中नि9x"


@given(
    st.lists(st.one_of(st.text(CODES, max_size=8), st.sampled_from(["[/]", "[: ", "[x 3]", "&=", "xxx"])), max_size=20)
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_only_words_are_left_of_any_line(parts: list[str]) -> None:
    line = " ".join(parts)
    for target in (False, True):
        text = translate(line, target=target, conversation=len(line) % 2 == 0).text
        assert text == " ".join(text.split())
        for char in text:
            assert char.isalnum() or char in " '-·׳״־\u200c\u200d" or unicodedata.category(char)[0] == "M", (line, text)


@pytest.mark.parametrize(
    "part",
    ["[", "<", "(", "((", "+", "&", "#", "(1", "( ", "a:", "0", "a@a-", "↫", "⌈", "a [x 200] ", "+/", "[: ", "'"],
)
def test_time_is_linear(part: str) -> None:
    started = time.perf_counter()
    translate(part * (100_000 // len(part)))
    assert time.perf_counter() - started < 2
