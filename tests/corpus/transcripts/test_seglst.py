from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.corpus.transcripts.damage import damaged, head

from smallvoice.corpus.transcripts.document import Document, Unreadable, head_of
from smallvoice.corpus.transcripts.seglst import READER
from smallvoice.recipe import CorpusRecipe


def read(tmp_path: Path, text: str) -> Document:
    path = tmp_path / "a.seglst.json"
    path.write_text(text, encoding="utf-8")
    return READER.parse(path, "a.json", CorpusRecipe())


def test_round_trip(tmp_path: Path) -> None:
    spoken = [
        ("rec", "Ann", 0.0, 1.5, "hello there"),
        ("rec", "Ben", 1.5, 62.007, "zwei Wörter"),
        ("b", "Ann", 3, 4, ""),
    ]
    keys = ("session_id", "speaker", "start_time", "end_time", "words")
    rows = [dict(zip(keys, row, strict=True)) for row in spoken]
    for text in (
        json.dumps(rows),
        json.dumps(rows, indent=2),
        json.dumps([{**row, "start_time": str(row["start_time"])} for row in rows]),
    ):
        document = read(tmp_path, text)
        assert [(s.recording, s.speaker, s.start_s, s.end_s, s.text) for s in document.segments] == spoken
        assert not document.problems
    assert [segment.where for segment in read(tmp_path, json.dumps(rows, indent=2)).segments] == [
        "a.json:2",
        "a.json:9",
        "a.json:16",
    ]


def test_objects(tmp_path: Path) -> None:
    text = """[
      {"session_id": "rec", "speaker": "CHI", "start_time": "0:00:01.5", "end_time": 2, "words": "mine",
       "gender": "female", "language": "en", "channel": 1, "location": "kitchen", "name": "Anna", "ref": "/home/x"},
      {"session_id": "rec", "speaker": "unknown", "start_time": 2, "end_time": 3, "words": ["two", "words"]},
      {"session_id": "rec", "speaker": "MOT", "start_time": "soon", "end_time": 3, "words": "lost"},
      17,
      {"session_id": "rec", "speaker": "MOT", "start_time": NaN, "end_time": 1e999, "words": "lost too"}
    ]"""
    document = read(tmp_path, text)
    first, second = document.segments
    assert (first.speaker, first.role, first.gender) == ("a.json/rec:CHI", "child", "f")
    assert (first.language, first.channel, first.start_s) == ("en", 1, 1.5)
    assert first.extra == {"location": "kitchen"}
    assert (second.text, second.speaker) == ("two words", None)
    assert [(problem.where, problem.reason) for problem in document.problems] == [
        ("a.json:5", "bad line"),
        ("a.json:6", "bad JSON"),
        ("a.json:7", "bad line"),
    ]
    assert [problem.segment.text for problem in document.problems if problem.segment] == ["lost", "lost too"]


@pytest.mark.parametrize("end", ['{"words": "cut', "", '{"words": "x"} {"words": "y"}]', "[" * 100_000, "1" * 10_000])
def test_what_follows_damage_is_said(tmp_path: Path, end: str) -> None:
    document = read(tmp_path, '[{"words": "good", "start_time": 0, "end_time": 1},\n' + end)
    assert document.segments[0].text == "good"
    assert document.problems[-1].where == "a.json:2" and document.problems[-1].reason == "bad JSON"


def test_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="not a JSON list"):
        read(tmp_path, '{"words": "x"}')
    assert read(tmp_path, "[]") == Document()
    assert not READER.recognises(head('[{"text": "x", "audio": "a.wav"}]', "a.json"))


@pytest.mark.parametrize(("name", "segments", "num_words"), [("ref", 6, 92), ("hyp", 6, 85)])
def test_real_files(shared_data: Path, name: str, segments: int, num_words: int) -> None:
    path = shared_data / "scoring" / "meeteval" / f"{name}.seglst.json"
    assert READER.recognises(head_of(path))
    document = READER.parse(path, path.name, CorpusRecipe())
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert [segment.text for segment in document.segments] == [" ".join(row["words"].split()) for row in rows]
    assert (len(document.segments), sum(len(s.text.split()) for s in document.segments)) == (segments, num_words)


test_damaged = damaged(
    READER,
    "a.json",
    '[\n{"session_id": "rec", "speaker": "Ann", "start_time": "0", "end_time": 1.5, "words": "hi you"},\n'
    '{"session_id": "b", "speaker": "CHI", "start_time": 1, "end_time": "0:01.5", "words": ["a", "b"]}\n]',
)
