from __future__ import annotations

from pathlib import Path

import pytest
from tests.corpus.transcripts.damage import damaged, head

from smallvoice.corpus.transcripts.document import Document
from smallvoice.corpus.transcripts.labels import READER
from smallvoice.recipe import CorpusRecipe


def read(tmp_path: Path, data: str | bytes) -> Document:
    path = tmp_path / "a.txt"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return READER.parse(path, "train/a.txt", CorpusRecipe())


def test_round_trip(tmp_path: Path) -> None:
    spoken = [(0.0, 1.5, "hello there"), (1.5, 1.5, "a point"), (62.007123, 3661.5, "zwei Wörter"), (7.0, 8.0, "")]
    document = read(tmp_path, "".join(f"{start:.6f}\t{end:.6f}\t{text}\n" for start, end, text in spoken))
    assert [(segment.start_s, segment.end_s, segment.text) for segment in document.segments] == spoken
    assert not document.problems


def test_lines(tmp_path: Path) -> None:
    lines = ["0.5\t1.25\thello world", "\\\t100.0\t4000.0", "", "1.5 2.0 no tabs", "1.5\t2.0", "1.5\tlater\twords"]
    lines += ["nan\t2\twords", "1_0\t20\twords", "1\t2\ttwo\tcolumns", "2,5\t3,25\tKomma"]
    document = read(tmp_path, "\r\n".join(lines))
    assert [(segment.where, segment.start_s, segment.end_s, segment.text) for segment in document.segments] == [
        ("train/a.txt:1", 0.5, 1.25, "hello world"),
        ("train/a.txt:5", 1.5, 2.0, ""),
        ("train/a.txt:10", 2.5, 3.25, "Komma"),
    ]
    found = {problem.where: problem.reason for problem in document.problems}
    assert found == {f"train/a.txt:{line}": "bad line" for line in (4, 6, 7, 8, 9)}


def test_one_bad_line_does_not_cost_the_file(tmp_path: Path) -> None:
    document = read(tmp_path, b"0\t1\tcaf\xe9\n1\t2\tfine\n")
    assert [segment.text for segment in document.segments] == ["fine"]
    assert [(problem.where, problem.reason) for problem in document.problems] == [("train/a.txt:1", "not UTF-8")]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("0\t1\thello\n1\t2\tyou\n", "a.txt", True),
        ("0.5\t1\n", "a.txt", True),
        ("0\t1\thello\nbad\n2\t3\tyou\n", "labels", True),
        ("0001\t6\n0002\t7\n", "spk2age", False),
        ("rec\t1\tAnn\t0\t1\thello\n", "a.stm", False),
        ("1\t1\t0.0\t0.5\thello\n", "a.ctm", False),
        ("0 1 hello\n", "a.txt", False),
        ("words\n0\t1\thello\n", "a.txt", False),
        ("", "a.txt", False),
    ],
)
def test_recognition(text: str, name: str, expected: bool) -> None:
    assert READER.recognises(head(text, name)) is expected


test_damaged = damaged(READER, "a.txt", "0\t1\thello\n\\\t1\t2\n1.5\t2.5\tcafé\n2\t2\tpoint\n")
