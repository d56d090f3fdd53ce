from __future__ import annotations

from pathlib import Path

import pytest
from tests.corpus.transcripts.damage import damaged, head

from smallvoice.corpus.transcripts import subtitles
from smallvoice.corpus.transcripts.document import Document, Unreadable
from smallvoice.recipe import CorpusRecipe

SRT, VTT = subtitles.READERS
TEN = [
    (0.0, 1.5, "hello there"),
    (1.5, 2.25, "Anna: <3 & more"),
    (62.007, 3661.5, "zwei Wörter"),
    (4000.001, 4001, "7"),
]


def read(tmp_path: Path, text: str | bytes, name: str = "a.srt") -> Document:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return (SRT if name.endswith(".srt") else VTT).parse(path, f"in/{name}", CorpusRecipe())


def spoken(document: Document) -> list[tuple[float | None, float | None, str]]:
    return [(segment.start_s, segment.end_s, segment.text) for segment in document.segments]


def stamp(seconds: float, point: str) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def test_round_trip(tmp_path: Path) -> None:
    for name, point, start in (("a.srt", ",", ""), ("a.srt", ".", ""), ("a.vtt", ".", "WEBVTT\n\n")):
        cues = [
            f"{number}\n{stamp(begin, point)} --> {stamp(end, point)}\n{escaped(text)}\n"
            for number, (begin, end, text) in enumerate(TEN, 1)
        ]
        document = read(tmp_path, start + "\n".join(cues), name)
        assert spoken(document) == TEN and not document.problems
        assert all(segment.speaker is None for segment in document.segments)


def test_srt_as_it_is_found(tmp_path: Path) -> None:
    text = (
        "\ufeff1\r\n00:00:01,000 --> 00:00:02,000 X1:40 X2:600\r\n{\\an8}<i>first</i> <b>line</b><br>second\r\n\r\n"
        "00:00:03.5 --> 00:00:04\r\nno number\r\n\r\nafter a blank line\r\n\r\n3\r\n"
        "00:00:05,000 --> 00:00:06,000\r\n<breath> 5 - 3 --> 2\r\n4\r\n"
        "00:00:07,000 --> 00:00:08,000\r\n- Yes?\r\n<i>- No.</i>\r\n\r\n"
        "5\r\n00:00:0x,000 -> 00:00:10,000\r\n\r\n6\r\n00:00:11,000 --> 00:xx:12,000\r\nlost words\r\n"
    )
    document = read(tmp_path, text)
    assert spoken(document) == [
        (1, 2, "first line second"),
        (3.5, 4, "no number after a blank line"),
        (5, 6, "<breath> 5 - 3 --> 2"),
        (7, 8, "- Yes? - No. 5 00:00:0x,000 -> 00:00:10,000"),
    ]
    assert [segment.where for segment in document.segments] == [f"in/a.srt:{line}" for line in (2, 5, 11, 14)]
    assert [segment.flags for segment in document.segments] == [(), (), (), ("speakers share a cue",)]
    (problem,) = document.problems
    assert (problem.where, problem.reason) == ("in/a.srt:22", "bad line")
    assert problem.segment and problem.segment.text == "lost words"


def test_a_number_in_the_text_stays(tmp_path: Path) -> None:
    cue = "00:00:0{}.0 --> 00:00:0{}.0\n{}\n"
    document = read(tmp_path, cue.format(1, 2, "I have\n7") + cue.format(3, 4, "so\n\n2\n\n") + cue.format(5, 6, "1"))
    assert [segment.text for segment in document.segments] == ["I have 7", "so 2", "1"]


def test_latin_1_is_said(tmp_path: Path) -> None:
    document = read(tmp_path, "1\n00:00:01,000 --> 00:00:02,000\ncafé\n".encode("latin-1"))
    assert document.segments[0].text == "café"
    assert "Latin-1" in document.notes[0]
    utf16 = read(tmp_path, "1\n00:00:01,000 --> 00:00:02,000\ncafé\n".encode("utf-16"))
    assert utf16.segments[0].text == "café" and not utf16.notes


def test_vtt_blocks_voices_and_settings(tmp_path: Path) -> None:
    text = (
        "WEBVTT - title\nKind: captions\nLanguage: en-GB\n\nNOTE a comment\nof two lines\n\n"
        "STYLE\n::cue { color: red }\n\n"
        "REGION\nid:fred\n\nintro\n00:01.000 --> 00:02.500 align:start position:0%\n<v.loud Anna Bell>hello</v>\n\n"
        "1:00:03.000 --> 1:00:04.000\n<v CHI>mine!\n<v Mother>no <c.yellow>yours</c> &amp; his&nbsp;too\n\n"
        "00:05.000 --> 00:06.000\nall <v Anna>Anna</v> <v Anna>again\n\nstray text\n\n00:07.000 --> 00:08.000\n\n"
    )
    document = read(tmp_path, text, "a.vtt")
    found = [(segment.speaker, segment.text, segment.flags) for segment in document.segments]
    shared = ("speakers share a cue",)
    assert found == [
        ("Anna Bell", "hello", ()),
        ("in/a:CHI", "mine!", shared),
        ("in/a:Mother", "no yours & his too", shared),
        (None, "all", shared),
        ("Anna", "Anna again", shared),
        (None, "", ()),
    ]
    assert [segment.start_s for segment in document.segments] == [1, 3603, 3603, 5, 5, 7]
    assert document.segments[1].where == document.segments[2].where == "in/a.vtt:18"
    assert {segment.language for segment in document.segments} == {"en-GB"}
    (problem,) = document.problems
    assert problem.segment and (problem.where, problem.segment.text) == ("in/a.vtt:25", "stray text")


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("one<00:01.250> two<00:01.500><c> three</c>", [("one", 1, 1.25), ("two", 1.25, 1.5), ("three", 1.5, 2)]),
        ("<00:01.100>one <00:01.500>two<00:01.700>", [("one", 1.1, 1.5), ("two", 1.5, 1.7)]),
        ("one two<00:01.500> three", []),  # two words share a time
        ("one <00:00.500>two", []),  # before the cue
        ("on<00:01.500>ly", []),  # inside a word
        ("one two", []),
    ],
)
def test_vtt_words(tmp_path: Path, payload: str, words: list[tuple[str, float, float]]) -> None:
    document = read(tmp_path, f"WEBVTT\n\n00:01.000 --> 00:02.000\n{payload}\n", "a.vtt")
    (segment,) = document.segments
    assert [(word.text, word.start_s, word.end_s) for word in segment.words] == words
    assert "<" not in segment.text


def test_rolling_captions_are_noted(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(9)]
    cues = [f"00:0{number}.000 --> 00:0{number + 1}.000\n{lines[number]}\n{lines[number + 1]}\n" for number in range(8)]
    document = read(tmp_path, "WEBVTT\n\n" + "\n".join(cues), "a.vtt")
    assert len(document.segments) == 8 and "rolling captions" in document.notes[0]


def test_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="not SRT"):
        read(tmp_path, "just text\n\nand more")
    with pytest.raises(Unreadable, match="not WebVTT"):
        read(tmp_path, "00:01.000 --> 00:02.000\nhello", "a.vtt")
    with pytest.raises(Unreadable, match="empty file"):
        read(tmp_path, b"\n")


def test_recognition() -> None:
    srt = "1\n00:00:01,000 --> 00:00:02,000\nhello\n"
    assert SRT.recognises(head(srt, "a.txt")) and not VTT.recognises(head(srt, "a.txt"))
    vtt = "WEBVTT\n00:01.000 --> 00:02.000\n"
    assert VTT.recognises(head(vtt, "a")) and not SRT.recognises(head(vtt, "a"))
    assert not SRT.recognises(head("0\t1\thello --> there", "a.txt"))
    assert not VTT.recognises(head("WEBVTTX", "a.vtt"))


def test_no_quadratic_time(tmp_path: Path) -> None:
    import time

    started = time.monotonic()
    for payload in ("<v A>x<v B>" * 8_000, "<" * 80_000, "{\\" * 40_000, "&" * 80_000, "a\n \n" * 20_000):
        read(tmp_path, f"WEBVTT\n\n00:01.000 --> 00:02.000\n{payload}", "a.vtt")
        read(tmp_path, f"00:00:01,000 --> 00:00:02,000\n{payload}")
    assert time.monotonic() - started < 4


VALID = "1\n00:00:01,000 --> 00:00:02,000\n<i>hello</i> &amp; you\n\n2\n00:00:03,000 --> 00:00:04,000\ntwo\n"
test_damaged_srt = damaged(SRT, "a.srt", VALID)
test_damaged_vtt = damaged(
    VTT, "a.vtt", "WEBVTT\nLanguage: en\n\nNOTE x\n\n00:01.000 --> 00:02.000\n<v Anna>one<00:01.500> two</v> <v B>hm\n"
)
