from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.corpus.transcripts.damage import damaged, head

from smallvoice.corpus.transcripts import nist
from smallvoice.corpus.transcripts.document import Document, FileReader, Unreadable, head_of
from smallvoice.recipe import CorpusRecipe

STM, CTM, RTTM = nist.READERS
Words = list[tuple[str, float, float]]


def read(tmp_path: Path, reader: FileReader, text: str | bytes) -> Document:
    path = tmp_path / f"a.{reader.name}"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return reader.parse(path, path.name, CorpusRecipe())


def words(document: Document) -> list[Words]:
    return [[(word.text, word.start_s, word.end_s) for word in segment.words] for segment in document.segments]


def test_stm_round_trip(tmp_path: Path) -> None:
    spoken = [("rec1", "A", "Ann", 0.0, 1.5, "hello there"), ("rec1", "B", "Ben", 1.5, 62.007, "<noise> zwei Wörter")]
    lines = [
        " ".join([rec, chan, who, f"{start:.3f}", f"{end:.3f}", text]) for rec, chan, who, start, end, text in spoken
    ]
    document = read(tmp_path, STM, "\n".join(lines))
    found = [
        (s.recording, "AB"[s.channel or 0], s.speaker, s.start_s, s.end_s, s.text) for s in document.segments
    ]  # fmt: skip
    assert found == spoken and not document.problems


def test_stm_lines(tmp_path: Path) -> None:
    lines = [
        ';; CATEGORY "0" "" ""',
        ';; LABEL "F" "Female" "Female talkers"',
        "rec 1 Ann 0 1 <o,f0,female> with a label",
        "rec 1 Ben 1 2 <F> declared",
        "rec 1 Ben 2 3 <unk> is a word",
        "rec 2 inter_segment_gap 3 4 <o,,unknown> ",
        "rec 2 Ann 4 5 IGNORE_TIME_SEGMENT_IN_SCORING",
        "rec 2 excluded_region 5 6",
        "rec 2 CHI 6 7",
        "rec 2 Ann 7 8 I { said / say / @ } so",
        "rec 2 Ann seven 8 bad",
        "rec 2 Ann",
    ]
    document = read(tmp_path, STM, "\n".join(lines))
    found = [(s.where, s.text, s.speaker, s.gender, s.role, s.channel, s.flags) for s in document.segments]
    assert found == [
        ("a.stm:3", "with a label", "Ann", "f", None, 0, ()),
        ("a.stm:4", "declared", "Ben", None, None, 0, ()),
        ("a.stm:5", "<unk> is a word", "Ben", None, None, 0, ()),
        ("a.stm:9", "", "a.stm/rec:CHI", None, "child", 1, ()),
        ("a.stm:10", "I { said / say / @ } so", "Ann", None, None, 1, ("alternatives",)),
    ]
    assert document.segments[0].extra == {"label": "o,f0,female"}
    reasons = {problem.where: problem.reason for problem in document.problems}
    assert reasons == {f"a.stm:{line}": "not speech" for line in (6, 7, 8)} | {
        "a.stm:11": "bad line",
        "a.stm:12": "bad line",
    }


def test_channels_from_zero(tmp_path: Path) -> None:
    document = read(tmp_path, STM, "rec 0 Ann 0 1 a\nrec 1 Ann 0 1 b\nrec S Ann 0 1 c\n")
    assert [segment.channel for segment in document.segments] == [0, 1, None]


def test_ctm_round_trip(tmp_path: Path) -> None:
    spoken: list[Words] = [[("hello", 0.25, 0.75), ("there", 1.24, 1.5)], [("zwei", 2.0, 2.25)]]
    lines = [f"rec 1 {start:.2f} {end - start:.2f} {word} 0.9" for group in spoken for word, start, end in group]
    document = read(tmp_path, CTM, "\n".join(lines))
    assert words(document) == spoken  # a pause of 0.49 s joins, one of 0.5 s does not
    assert [(s.text, s.start_s, s.end_s) for s in document.segments] == [
        ("hello there", 0.25, 1.5),
        ("zwei", 2.0, 2.25),
    ]
    assert not document.problems


def test_ctm_groups(tmp_path: Path) -> None:
    lines = [f"rec A {0.4 * number:.1f} 0.4 w{number}" for number in range(100)]
    lines += ["rec A 10.0 0.1 back", "rec B 10.1 0.1 other", "zwei B 10.2 0.1 file"]
    document = read(tmp_path, CTM, "\n".join(lines))
    assert [len(segment.words) for segment in document.segments] == [75, 25, 1, 1, 1]
    assert document.segments[0].end_s == pytest.approx(30.0)
    assert [segment.channel for segment in document.segments] == [0, 0, 0, 1, 1]
    assert [segment.recording for segment in document.segments[-2:]] == ["rec", "zwei"]


def test_ctm_alternatives_and_types(tmp_path: Path) -> None:
    lines = [
        ";; a comment",
        "rec A 1.0 0.2 so lex",
        "rec A 1.0 0.2 so",
        "rec A * * <ALT_BEGIN>",
        "rec A 1.2 0.3 UM",
        "rec A * * <ALT>",
        "rec A 1.2 0.3 UH",
        "rec A * * <ALT>",
        "rec A 1.2 0.3 @",
        "rec A * * <ALT_END>",
        "rec A 1.5 0.2 yes 0.98 lex CHI",
        "rec A 1.8 0.2 breath 0.98 non-lex CHI",
        "rec A 2.0 -0.2 bad",
        "rec A 2.0 0.2 two words",
    ]
    document = read(tmp_path, CTM, "\n".join(lines))
    found = [(s.where, s.text, s.speaker, s.role, s.flags) for s in document.segments]
    assert found == [
        ("a.ctm:3", "so UM", None, None, ("alternatives",)),
        ("a.ctm:11", "yes", "a.ctm/rec:CHI", "child", ()),
    ]
    reasons = {problem.where.rpartition(":")[2]: problem.reason for problem in document.problems}
    assert reasons == {"2": "bad line", "12": "not speech", "13": "bad line", "14": "bad line"}


def test_rttm_round_trip(tmp_path: Path) -> None:
    spoken: list[Words] = [[("hello", 0.25, 0.75), ("there", 0.75, 1.5)], [("zwei", 0.3, 0.5), ("drei", 0.6, 0.7)]]
    lines = [
        f"LEXEME rec 1 {start} {end - start:.3f} {word} lex {name} 0.9 <NA>"
        for name, group in zip(("Ann", "Ben"), spoken, strict=True)
        for word, start, end in group
    ]
    # Speakers who talk at once have their words in turn.
    document = read(tmp_path, RTTM, "\n".join([lines[0], lines[2], lines[1], lines[3]]))
    assert words(document) == spoken
    assert [(segment.speaker, segment.where) for segment in document.segments] == [
        ("Ann", "a.rttm:1"),
        ("Ben", "a.rttm:2"),
    ]


def test_rttm_lines(tmp_path: Path) -> None:
    lines = [
        "SPKR-INFO rec 1 <NA> <NA> <NA> child Tim <NA> <NA>",
        "SPKR-INFO rec 1 <NA> <NA> <NA> adult_female Mum <NA> <NA>",
        "SPEAKER rec 1 0.0 2.0 <NA> <NA> Tim <NA> <NA>",
        "SPEAKER rec 1 5.0 2.0 <NA> <NA> Mum <NA> <NA>",
        "LEXEME rec 1 0.5 0.5 hello lex Tim <NA> <NA>",
        "NON-SPEECH rec 1 3.0 1.0 <NA> laugh Mum <NA> <NA>",
        "SU rec 1 0.0 2.0 <NA> statement Tim <NA> <NA>",
        "LEXEME rec 1 <NA> 0.5 hello lex Tim <NA> <NA>",
        "WHAT rec 1 0 1 <NA> <NA> Tim <NA> <NA>",
    ]
    document = read(tmp_path, RTTM, "\n".join(lines))
    (segment,) = document.segments
    assert (segment.text, segment.role, segment.gender, segment.speaker) == ("hello", "child", None, "Tim")
    reasons = {problem.where.rpartition(":")[2]: problem.reason for problem in document.problems}
    assert reasons == {"4": "no text", "6": "not speech", "8": "bad line", "9": "bad line"}
    lost = next(problem.segment for problem in document.problems if problem.reason == "no text")
    assert lost and (lost.start_s, lost.end_s, lost.role, lost.gender) == (5.0, 7.0, "adult", "f")
    assert document.notes == ("lines about words or scoring, not read: SU (1).",)


def test_what_is_none(tmp_path: Path) -> None:
    for reader in nist.READERS:
        with pytest.raises(Unreadable, match=f"not {reader.name.upper()}"):
            read(tmp_path, reader, "just some text\nand more of it\n")
        with pytest.raises(Unreadable, match="empty file"):
            read(tmp_path, reader, ";; a comment\n")


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("rec 1 Ann 0 1 hello there\n", "a", "stm"),
        ("rec 1 12 0 1 hello there my friend\n", "a", "stm"),
        ("rec 1 12 0 1 0.5\n", "a.stm", "stm"),
        ("rec 1 0.0 0.5 hello\nrec 1 0.5 0.5 7 0.9\n", "a", "ctm"),
        ("rec A * * <ALT_BEGIN>\nrec A 1.2 0.3 UM\n", "a.ctm", "ctm"),
        ("SPEAKER rec 1 0 1 <NA> <NA> Ann <NA> <NA>\n", "a", "rttm"),
        ("SPEAKER rec 1 0 1 hello there\n", "a", None),
        ("I have 1 or 2 of them\n", "a.txt", None),
        ("0\t1\thello\n", "a.txt", None),
        ("", "a.stm", None),
    ],
)
def test_recognition(text: str, name: str, expected: str | None) -> None:
    found = [reader.name for reader in nist.READERS if reader.recognises(head(text, name))]
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("name", "segments", "num_words", "reasons"),
    [
        ("scoring/meeteval/ref.stm", 7, 92, {}),
        ("scoring/meeteval/hyp.stm", 6, 85, {}),
        ("scoring/meeteval/hyp1.ctm", 63, 63, {}),
        ("scoring/meeteval/hyp2.ctm", 22, 22, {}),
        ("scoring/meeteval/ref.rttm", 0, 0, {"no text": 6}),
        ("transcripts/childproject/vtc.rttm", 0, 0, {"no text": 15}),
    ],
)
def test_real_files(shared_data: Path, name: str, segments: int, num_words: int, reasons: dict[str, int]) -> None:
    path = shared_data / name
    reader = next(reader for reader in nist.READERS if reader.recognises(head_of(path)))
    assert f".{reader.name}" == path.suffix
    document = reader.parse(path, path.name, CorpusRecipe())
    assert len(document.segments) == segments
    assert sum(len(segment.text.split()) for segment in document.segments) == num_words
    assert Counter(problem.reason for problem in document.problems) == reasons
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    words_per_line = sum(len(segment.words) for segment in document.segments) if path.suffix == ".ctm" else segments
    assert words_per_line + len(document.problems) == len(lines)


test_damaged_stm = damaged(STM, "a.stm", ';; LABEL "F"\nrec A Ann 0 1.5 <o,f0,male> hi { a / b }\nrec B Ben 2 3 you\n')
test_damaged_ctm = damaged(
    CTM,
    "a.ctm",
    "rec A 0 0.5 hi 0.9\nrec A * * <ALT_BEGIN>\nrec A 1 1 a\nrec A * * <ALT_END>\nrec B 2 1 you 1 lex CHI\n",
)
test_damaged_rttm = damaged(
    RTTM,
    "a.rttm",
    "SPKR-INFO rec 1 <NA> <NA> <NA> child Tim <NA>\nSPEAKER rec 1 0 2 <NA> <NA> Tim <NA>\n"
    "LEXEME rec 1 1 1 hi lex Tim 1\n",
)
