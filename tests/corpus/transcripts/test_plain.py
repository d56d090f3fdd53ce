from __future__ import annotations

from pathlib import Path

import pytest
from tests.corpus.transcripts.damage import damaged, head

from smallvoice.corpus.transcripts import plain
from smallvoice.corpus.transcripts.document import Unreadable, head_of
from smallvoice.recipe import CorpusRecipe

LIST, TEXT = plain.READERS


def test_the_whole_file_is_one_segment(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\ufeffthis is said\r\n\r\n  in three\tlines\nand <unk> verbatim\n", encoding="utf-8")
    (segment,) = TEXT.parse(path, "x/a.txt", CorpusRecipe()).segments
    assert (segment.where, segment.text) == ("x/a.txt:1", "this is said in three lines and <unk> verbatim")
    assert (segment.start_s, segment.end_s, segment.recording) == (None, None, None)


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "a.lab"
    for encoding, num_notes in (("utf-8", 0), ("utf-16", 0), ("latin-1", 1)):
        path.write_bytes("déjà vu".encode(encoding))
        document = TEXT.parse(path, "a.lab", CorpusRecipe())
        assert document.segments[0].text == "déjà vu" and len(document.notes) == num_notes
    for data, reason in (
        (b" \n", "empty file"),
        ("\u2003\n".encode(), "empty file"),
        (b"ab\0\xff\0c\xffde", "not text"),
    ):
        path.write_bytes(data)
        with pytest.raises(Unreadable, match=reason):
            TEXT.parse(path, "a.lab", CorpusRecipe())


def test_librispeech(tmp_path: Path) -> None:
    path = tmp_path / "84-121123.trans.txt"
    path.write_bytes(b"84-121123-0000 GO DO YOU HEAR\nclip7 words\n84-121123-0001\ncaf\xe9 x\n")
    document = LIST.parse(path, path.name, CorpusRecipe())
    found = [(segment.recording, segment.speaker, segment.text) for segment in document.segments]
    assert found == [("84-121123-0000", "84", "GO DO YOU HEAR"), ("clip7", None, "words"), ("84-121123-0001", "84", "")]
    assert [(problem.where, problem.reason) for problem in document.problems] == [(f"{path.name}:4", "not UTF-8")]


def test_sclite_trn(tmp_path: Path) -> None:
    path = tmp_path / "a.trn"
    path.write_text(";; comment\ni { um / @ } do (s1-a-001)\n(laughs) yes (utt_2)\nno name\n", encoding="utf-8")
    document = LIST.parse(path, path.name, CorpusRecipe())
    found = [(s.where, s.recording, s.speaker, s.text, s.flags) for s in document.segments]
    assert found == [
        ("a.trn:2", "s1-a-001", "s1", "i { um / @ } do", ("alternatives",)),
        ("a.trn:3", "utt_2", None, "(laughs) yes", ()),
    ]
    assert [(problem.where, problem.reason) for problem in document.problems] == [("a.trn:4", "bad line")]
    path.write_text("no name\n", encoding="utf-8")
    with pytest.raises(Unreadable, match="no utterance"):
        LIST.parse(path, path.name, CorpusRecipe())


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("he said so", "a.txt", "text"),
        ("he said so", "a.lab", "text"),
        ("he said so", "a.trn", "text"),
        ("", "a.lab", "text"),
        ("he said so", "README.md", None),
        ("he said so (utt1)\n", "a.trn", "librispeech"),
        ("84-1-1 HE SAID\n", "84-1.trans.txt", "librispeech"),
        ("0 2500000 sil\n2500000 3000000 h\n", "a.lab", None),
        ("0\t1\thello\n", "a.txt", None),
        ("1\n00:00:01,000 --> 00:00:02,000\nhello\n", "a.txt", None),
        ("rec 1 Ann 0 1 hello there\n", "a.txt", None),
        ("file,text\na.wav,hello\n", "a.txt", None),
        ("@UTF8\n@Begin\n", "a.txt", None),
        ('File type = "ooTextFile"', "a.txt", None),
        ("1 2 buckle my shoe\n", "a.txt", "text"),
        ("0 46797 She had\n", "SA1.TXT", "text"),
        ("300 46797 She had\n", "SA1.TXT", None),
        ("0 2500000 sil\n", "a.lab", None),
        ("hello (laughs)\n", "a.trn", "text"),
    ],
)
def test_recognition(text: str, name: str, expected: str | None) -> None:
    found = [reader.name for reader in plain.READERS if reader.recognises(head(text, name))]
    assert found == ([expected] if expected else [])


def test_real_files(shared_data: Path) -> None:
    paths = sorted((shared_data / "transcripts" / "mfa").glob("*.lab"))
    assert len(paths) == 9
    words = 0
    for path in paths:
        assert TEXT.recognises(head_of(path)) and not LIST.recognises(head_of(path))
        document = TEXT.parse(path, path.name, CorpusRecipe())
        assert document.segments[0].text.split() == path.read_text(encoding="utf-8").split()
        words += len(document.segments[0].text.split())
    assert words == 244


test_damaged_text = damaged(TEXT, "a.txt", "this is said\nin zwei Wörter\n")
test_damaged_list = damaged(LIST, "a.trans.txt", "84-121123-0000 GO DO YOU\n84-121123-0001 HÖR\n")
test_damaged_trn = damaged(LIST, "a.trn", "go do { um / @ } (84-121123-0000)\nhör (b)\n")


def test_sample_numbers_are_no_words(tmp_path: Path) -> None:
    path = tmp_path / "SA1.TXT"
    path.write_text("0 46797 She had your dark suit in greasy wash water all year.\n", encoding="utf-8")
    assert TEXT.recognises(head_of(path))
    (segment,) = TEXT.parse(path, "SA1.TXT", CorpusRecipe()).segments
    assert segment.text == "She had your dark suit in greasy wash water all year."
    assert (segment.start_s, segment.end_s, segment.flags) == (None, None, ("sample numbers left out",))
    path.write_text("0 2021\nwas a good year\n", encoding="utf-8")
    assert TEXT.parse(path, "SA1.TXT", CorpusRecipe()).segments[0].text == "0 2021 was a good year"


@pytest.mark.parametrize("words", ["it goes around the (*)", "hello (laughs)", "hello (laughs)\nbye (coughs)"])
def test_a_remark_at_the_end_is_no_name(words: str, tmp_path: Path) -> None:
    (tmp_path / "myst_1.flac").touch()
    path = tmp_path / "myst_1.trn"
    path.write_text(f"{words}\n", encoding="utf-8")
    assert TEXT.recognises(head_of(path)) and not LIST.recognises(head_of(path))


def test_names_of_recordings_make_a_list(tmp_path: Path) -> None:
    (tmp_path / "anna.WAV").touch()
    path = tmp_path / "anna.trn"
    path.write_text("hello (anna)\n", encoding="utf-8")
    assert LIST.recognises(head_of(path)) and not TEXT.recognises(head_of(path))
