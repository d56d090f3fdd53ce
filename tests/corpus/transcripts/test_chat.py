from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallvoice.corpus.transcripts.chat import READER
from smallvoice.corpus.transcripts.document import Document, Unreadable, head_of
from smallvoice.corpus.transcripts.segment import Problem, Segment, Word
from smallvoice.recipe import CorpusRecipe

FILE = """@UTF8
@PID:\t11312/c-00000000-1
@Begin
@Languages:\teng, spa
@Participants:\tCHI Ross Target_Child, MOT Mother,
\tUNC Uncle_Bob Relative , INV Investigator
@ID:\teng|MacWhinney|CHI|2;06.15|male|TD||Target_Child|||
@ID:\teng|MacWhinney|MOT|33;|female|||Mother|||
@Media:\tross12, audio
@Date:\t28-JUL-2001
@Comment:\tnobody says this \x151_2\x15
*MOT:\twhat do you want ? \x151000_2500\x15
%mor:\tpro|what v|do pro|you v|want ?
%com:\tlooks up \x155_6\x15
*CHI:\t<more cookie> [/] more (be)cause
\tI wan(t) it . \x152600_4100\x15
*CHI:\t&=laughs . \x154100_4500\x15
*INV:\txxx there . [+ exc]
*MOT:\twww .
*UNC:\tno\x155000_5400\x15 way \x155600_6000\x15 .
*CHI:\t[- spa] dame la leche@s:spa . \x156100_7200\x15
@End
"""


def _parse(tmp_path: Path, content: str | bytes, where: str = "a/f.cha", **settings: str) -> Document:
    path = tmp_path / "f.cha"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return READER.parse(path, where, CorpusRecipe(**settings))  # type: ignore[arg-type]


def _places(document: Document) -> list[str]:
    return [segment.where for segment in document.segments] + [problem.where for problem in document.problems]


def _line(tmp_path: Path, line: str, headers: str = "") -> Segment | Problem:
    document = _parse(tmp_path, f"@UTF8\n@Begin\n{headers}{line}\n@End\n")
    assert len(document.segments) + len(document.problems) == 1
    return document.segments[0] if document.segments else document.problems[0]


def test_a_transcript(tmp_path: Path) -> None:
    document = _parse(tmp_path, FILE)
    what, more, there, no, dame = document.segments
    assert (what.where, what.text, what.start_s, what.end_s) == ("a/f.cha:12", "what do you want", 1.0, 2.5)
    assert (more.where, more.text, more.start_s, more.end_s) == (
        "a/f.cha:15",
        "more cookie more cause I wan it",
        2.6,
        4.1,
    )
    assert (more.speaker, more.gender, more.role, more.tier) == ("MacWhinney/Ross", "m", "child", "CHI")
    assert more.age_years == pytest.approx(2.54, abs=0.01)
    assert (what.speaker, what.age_years, what.gender, what.role) == ("a/f:MOT", 33, "f", "adult")
    assert (there.text, there.start_s, there.flags) == ("there", None, ("unintelligible",))
    assert there.extra == {"postcodes": ["exc"], "chat": "xxx there . [+ exc]"}
    assert (no.text, no.start_s, no.end_s, no.speaker) == ("no way", 5.0, 6.0, "Uncle_Bob")
    assert (dame.text, dame.language, more.language) == ("dame la leche", "es", "en")
    assert (document.media, document.notes) == (("ross12",), ())


def test_an_utterance_without_words_keeps_its_time_and_speaker(tmp_path: Path) -> None:
    laughs, www = _parse(tmp_path, FILE).problems
    assert (laughs.where, laughs.reason, laughs.detail) == ("a/f.cha:17", "no words", "&=laughs .")
    assert laughs.segment and (laughs.segment.start_s, laughs.segment.end_s) == (4.1, 4.5)
    assert laughs.segment.speaker == "MacWhinney/Ross"
    assert (www.where, www.reason) == ("a/f.cha:19", "not transcribed (www)")


def test_what_was_meant(tmp_path: Path) -> None:
    assert _parse(tmp_path, FILE, chat_text="target").segments[1].text == "more because I want it"


@pytest.mark.parametrize(
    ("bullets", "times"),
    [
        ("\x15100_200\x15", (0.1, 0.2, None)),
        ("\x15100_200-\x15", (0.1, 0.2, None)),
        ('\x15%snd:"boys 85_a"_1073_4500\x15', (1.073, 4.5, "boys 85_a")),
        ("\x15%mov:boys_1073_4500\x15", (1.073, 4.5, "boys")),
        ("\x15boys85_1073_4500\x15", (1.073, 4.5, "boys85")),
        ("•100_200•", (0.1, 0.2, None)),
        ("100_200", (0.1, 0.2, None)),
        ('\x15%pic:"a/b.jpg"\x15', (None, None, None)),
        ("\x15100_200", (0.1, 0.2, None)),
    ],
)
def test_bullets(tmp_path: Path, bullets: str, times: tuple[float | None, float | None, str | None]) -> None:
    segment = _line(tmp_path, f"*CHI:\tno . {bullets}")
    assert isinstance(segment, Segment)
    assert (segment.text, segment.start_s, segment.end_s, segment.recording) == ("no", *times)
    assert segment.flags == ()


def test_bullets_that_make_no_sense(tmp_path: Path) -> None:
    backwards = _line(tmp_path, "*CHI:\tno . \x15200_100\x15")
    assert isinstance(backwards, Segment)
    assert (backwards.start_s, backwards.flags) == (None, ("times out of order",))
    assert backwards.extra["times_ms"] == [200, 100]
    odd = _line(tmp_path, "*CHI:\tno . \x15soon\x15")
    assert isinstance(odd, Segment)
    assert (odd.flags, odd.extra["not_understood"]) == (("code not understood",), ["soon"])


def test_a_bullet_names_the_recording(tmp_path: Path) -> None:
    lines = '*CHI:\tno . \x15%snd:"tape1"_1_2\x15\n*CHI:\tyes . \x15%snd:"tape1"_3_4\x15\n'
    assert _parse(tmp_path, "@Begin\n" + lines).media == ("tape1",)
    named = _parse(tmp_path, "@Begin\n@Media:\ttape1, audio\n" + lines)
    assert (named.media, {segment.recording for segment in named.segments}) == (("tape1",), {None})
    two = _parse(tmp_path, "@Begin\n" + lines + '*CHI:\tso . \x15%snd:"tape2"_3_4\x15\n')
    assert (two.media, [segment.recording for segment in two.segments]) == ((), ["tape1", "tape1", "tape2"])


@pytest.mark.parametrize(
    ("headers", "speaker", "age", "gender", "role"),
    [
        ("", "a/f:CHI", None, None, "child"),
        ("@Participants:\tCHI Target_Child\n", "a/f:CHI", None, None, "child"),
        ("@Participants:\tCHI Child Target_Child\n", "a/f:CHI", None, None, "child"),
        ("@Participants:\tCHI Adam Target_Child\n", "Adam", None, None, "child"),
        ("@ID:\teng|Brown|CHI|4;|||||||\n@Participants:\tCHI Adam Target_Child\n", "Brown/Adam", 4, None, "child"),
        ("@ID:\teng|corpus|CHI|;6.|female|||Girl||\n@Participants:\tCHI Eve Girl\n", "Eve", 0.5, "f", "child"),
        ("@ID:\teng|Brown|CHI|old|||||||\n", "a/f:CHI", None, None, "child"),
        ("@Age of CHI:\t3;\n@Sex of CHI:\tFemale\n", "a/f:CHI", 3, "f", "child"),
        ("@Birth of CHI:\t01-JAN-2000\n@Date:\t01-JAN-2004\n", "a/f:CHI", 4, None, "child"),
        ("@Birth of CHI:\t01-JAN-2000\n@Date:\t31-FEB-2004\n", "a/f:CHI", None, None, "child"),
        ("@ID:\teng|Aphasia|CHI|70;|||Participant||\n", "a/f:CHI", 70, None, "child"),
        ("@ID:\teng|X|CHI|||||Caretaker||\n", "a/f:CHI", None, None, "adult"),
    ],
)
def test_who_speaks(
    tmp_path: Path, headers: str, speaker: str, age: float | None, gender: str | None, role: str | None
) -> None:
    document = _parse(tmp_path, f"@Begin\n{headers}*CHI:\thello .\n")
    (segment,) = document.segments
    assert (segment.speaker, segment.gender, segment.role) == (speaker, gender, role)
    assert segment.age_years == (None if age is None else pytest.approx(age, abs=0.01))


def test_a_name_is_one_child_in_all_files(tmp_path: Path) -> None:
    headers = "@Begin\n@Participants:\tCHI Adam Target_Child, MOT Mother\n@ID:\teng|Brown|CHI|2;|||||||\n"
    both = [_parse(tmp_path, headers + "*CHI:\thi .\n*MOT:\thi .\n", where) for where in ("a1.cha", "a2.cha")]
    assert [[segment.speaker for segment in document.segments] for document in both] == [
        ["Brown/Adam", "a1:MOT"],
        ["Brown/Adam", "a2:MOT"],
    ]


def test_times_of_words(tmp_path: Path) -> None:
    wor = "%wor:\tuh \x15100_150\x15 I \x15150_200\x15 want \x15200_300\x15 ice+cream \x15400_600\x15 ."
    line = "*CHI:\t&-uh I want ice+cream . \x15100_600\x15\n"
    segment = _line(tmp_path, line + wor)
    assert isinstance(segment, Segment)
    assert segment.words[-1] == Word(text="ice cream", start_s=0.4, end_s=0.6)
    assert " ".join(word.text for word in segment.words) == segment.text
    for other in (wor.replace("want", "like"), wor.replace(" \x15150_200\x15", ""), wor + " yes"):
        segment = _line(tmp_path, line + other)
        assert isinstance(segment, Segment) and segment.words == ()


def test_conversation_analysis(tmp_path: Path) -> None:
    segment = _line(tmp_path, "*CHI:\the said (maybe) that", "@Options:\tCA, multi\n")
    assert isinstance(segment, Segment) and segment.text == "he said maybe that"


@pytest.mark.parametrize(
    ("value", "media", "notes"),
    [
        ("ross12, audio", "ross12", 0),
        ("ross12 , video , unlinked", "ross12", 1),
        ("a.b(1).趙, audio, missing", "a.b(1).趙", 1),
        ('"https://example.org/a,b.mp3", audio', "https://example.org/a,b.mp3", 0),
        ("../../x, audio", "../../x", 0),
    ],
)
def test_media(tmp_path: Path, value: str, media: str, notes: int) -> None:
    document = _parse(tmp_path, f"@Begin\n@Media:\t{value}\n*CHI:\thi .\n")
    assert (document.media, len(document.notes)) == ((media,), notes)


def test_lines_that_cannot_be_used(tmp_path: Path) -> None:
    lines = ["@Begin", "*CHI hello", "stray words", "*CHI:", "", "*CHI:\tfine .", "   and more .", "%com", "@End"]
    document = _parse(tmp_path, "\r\n".join(lines))
    assert [(problem.where, problem.reason) for problem in document.problems] == [
        ("a/f.cha:2", "bad line"),
        ("a/f.cha:3", "bad line"),
        ("a/f.cha:4", "no words"),
    ]
    assert document.problems[1].segment and document.problems[1].segment.text == "stray words"
    assert [segment.text for segment in document.segments] == ["fine and more"]


def test_encodings(tmp_path: Path) -> None:
    text = "@UTF8\n@Begin\n*CHI:\tcafé œuf .\n*CHI:\tno .\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert [s.text for s in _parse(tmp_path, text.encode(encoding)).segments] == ["café œuf", "no"]
    old = _parse(tmp_path, text.replace("@UTF8\n", "").encode("cp1252"))
    assert [segment.text for segment in old.segments] == ["café œuf", "no"]
    assert old.notes == ("Not UTF-8: read as Latin-1 (Windows-1252).",)
    broken = _parse(tmp_path, text.encode("cp1252"))
    assert [(problem.where, problem.reason) for problem in broken.problems] == [("a/f.cha:3", "not UTF-8")]
    assert [segment.text for segment in broken.segments] == ["no"]


def test_undeclared_speakers_and_ids_of_another_kind_are_said(tmp_path: Path) -> None:
    notes = _parse(tmp_path, "@Begin\n@Participants:\tCHI Child\n@ID:\ten.Brown.CHI\n*LUK:\tno .\n").notes
    assert notes == ("Not in @Participants: LUK.", "An @ID is not read: en.Brown.CHI.")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"hello\nworld\n", b"\0" * 100, b"\xff\xfe\n"])
def test_files_that_are_not_chat(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Unreadable):
        _parse(tmp_path, content)


@pytest.mark.parametrize(
    ("name", "content", "known"),
    [
        ("a.cha", FILE, True),
        ("a.txt", FILE, True),
        ("a.cha", "\ufeff@Begin\n*CHI:\tno .\n", True),
        ("a.cha", "*CHI:\tno .\n", True),
        ("a.txt", "*CHI:\tno .\n", False),
        ("a.txt", "@relation iris\n", False),
        ("a.txt", "I said @Begin\n", False),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nhello\n", False),
    ],
)
def test_recognised(tmp_path: Path, name: str, content: str, known: bool) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert READER.recognises(head_of(tmp_path / name)) is known


CHANGES = ["flip", "cut", "copy", "insert", "end"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["flip", "cut", "copy", "insert", "end"]), st.integers(0, 10**6), st.binary(max_size=6)
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_damaged_files(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, bytes]]) -> None:
    data = bytearray(FILE.encode())
    for kind, number, junk in changes:
        place = number % (len(data) + 1)
        if kind == "flip" and place < len(data):
            data[place] ^= 1 + number % 255
        elif kind == "cut":
            del data[place : place + number % 50]
        elif kind == "copy":
            data[place:place] = data[place : place + number % 200]
        elif kind == "insert":
            data[place:place] = junk
        elif kind == "end" and number % 3 == 0:
            del data[place:]
    path = tmp_path_factory.mktemp("chat") / "f.cha"
    path.write_bytes(bytes(data))
    try:
        document = READER.parse(path, "f.cha", CorpusRecipe())
    except Unreadable:
        return
    places = _places(document)
    assert len(set(places)) == len(places)


def _real_files(shared_data: Path) -> list[Path]:
    folder = shared_data / "transcripts"
    files = sorted(folder.glob("chat/**/*.cha")) + sorted(folder.glob("childproject/*.cha"))
    if not files:
        pytest.skip("no CHAT files under transcripts/ in SMALLVOICE_DATA")
    return files


def test_real_files(shared_data: Path) -> None:
    """Every main line is one segment or one problem; no code is left; next to nothing is not understood."""
    utterances = not_understood = 0
    for path in _real_files(shared_data):
        assert READER.recognises(head_of(path)), path
        document = READER.parse(path, path.name, CorpusRecipe())
        found = [
            number for number, line in enumerate(path.read_bytes().split(b"\n"), 1) if re.match(rb"\*[^:]+:", line)
        ]
        assert sorted(int(where.rsplit(":", 1)[1]) for where in _places(document)) == found, path
        for segment in document.segments:
            assert not re.search(r"[^\w' -]", segment.text), (path, segment)
            not_understood += "code not understood" in segment.flags
        utterances += len(found)
    assert utterances > 500
    assert not_understood <= 0.02 * utterances


def test_a_real_daylong_recording(shared_data: Path) -> None:
    path = shared_data / "transcripts" / "childproject" / "vandam.cha"
    if not path.is_file():
        pytest.skip("no childproject/vandam.cha under transcripts/ in SMALLVOICE_DATA")
    document = READER.parse(path, "vandam.cha", CorpusRecipe())
    assert document.media == ("BN32_010007",)
    assert (len(document.segments), {problem.reason for problem in document.problems}) == (8, {"no words"})
    last = document.segments[-1]
    assert (last.text, last.start_s, last.end_s) == ("I think", 126.586, 136.789)
    assert last.extra["postcodes"] == ["id"]
    assert {segment.speaker for segment in document.segments} == {"vandam:MOT", "VanDam-Daylong/Natasha"}


def test_two_transcripts_in_a_file_are_not_taken_for_one(tmp_path: Path) -> None:
    one = "@UTF8\n@Begin\n@Participants:\tCHI {} Target_Child\n*CHI:\tone .\n@End\n"
    path = tmp_path / "a.cha"
    path.write_text(one.format("Fay") + one.format("Gus"), encoding="utf-8")
    with pytest.raises(Unreadable, match=r"^a\.cha:7: several transcripts in a file: "):
        READER.parse(path, "a.cha", CorpusRecipe())
