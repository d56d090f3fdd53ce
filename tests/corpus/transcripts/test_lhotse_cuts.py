from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.corpus.transcripts.damage import damaged, head

from smallvoice.corpus.transcripts import lhotse_cuts
from smallvoice.corpus.transcripts.document import Document, Unreadable, head_of
from smallvoice.corpus.transcripts.lhotse_cuts import READER
from smallvoice.recipe import CorpusRecipe


def recording(*sources: dict[str, Any]) -> dict[str, Any]:
    return {"id": "rec", "sources": list(sources), "sampling_rate": 16000, "num_samples": 160000, "duration": 10.0}


def source(path: str, kind: str = "file", channels: tuple[int, ...] = (0,)) -> dict[str, Any]:
    return {"type": kind, "channels": list(channels), "source": path}


def supervision(text: str = "hello there", start: float = 0.25, duration: float = 1.0, **more: Any) -> dict[str, Any]:
    own = {"id": "sup", "recording_id": "rec", "start": start, "duration": duration, "channel": 0, "text": text}
    return own | {"language": "en", "speaker": "Ann", "gender": "F"} | more


def cut(*supervisions: dict[str, Any], start: float = 0.0, **more: Any) -> dict[str, Any]:
    own = {"id": "cut", "start": start, "duration": 5.0, "channel": 0, "supervisions": list(supervisions)}
    return own | {"recording": recording(source("audio/rec.flac")), "type": "MonoCut"} | more


def read(tmp_path: Path, *rows: dict[str, Any], name: str = "cuts.jsonl.gz") -> Document:
    data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return READER.parse(tmp_path / name, name, CorpusRecipe())


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    spoken = [(2.75, 3.75, "hello there"), (4.0, 62.007, "zwei Wörter")]
    rows = [cut(*(supervision(text, start - 2.5, end - start) for start, end, text in spoken), start=2.5)]
    document = read(tmp_path, *rows, name=name)
    assert [(s.start_s, s.end_s, s.text) for s in document.segments] == spoken
    assert READER.recognises(head_of(tmp_path / name)) and not document.problems
    first = document.segments[0]
    assert (first.where, first.recording, first.channel) == (f"{name}:1", "audio/rec.flac", 0)
    assert (first.speaker, first.gender, first.language) == ("Ann", "f", "en")


def test_words_and_custom(tmp_path: Path) -> None:
    words = [["hello", 0.25, 0.5, 0.9], ["", 0.75, 0.1, None], ["there", 0.85, 0.4, None]]
    document = read(
        tmp_path, cut(supervision(alignment={"word": words}, custom={"age": "6", "role": "child"}), start=2)
    )
    (segment,) = document.segments
    assert [(w.text, w.start_s, w.end_s) for w in segment.words] == [("hello", 2.25, 2.75), ("there", 2.85, 3.25)]
    assert (segment.age_years, segment.role) == (6, "child")
    (segment,) = read(tmp_path, cut(supervision(alignment={"word": [["hello", None, 1]]}))).segments
    assert segment.words == ()


def test_channels(tmp_path: Path) -> None:
    stereo = recording(source("left.wav", channels=(0,)), source("right.wav", channels=(1, 2)))
    rows = [cut(supervision(channel=channel), recording=stereo) for channel in (0, 1, 2, [2], [0, 1])]
    document = read(tmp_path, *rows)
    found = [(segment.recording, segment.channel) for segment in document.segments]
    assert found == [("left.wav", 0), ("right.wav", 0), ("right.wav", 1), ("right.wav", 1)]
    assert [problem.reason for problem in document.problems] == ["recording of several files"]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    rows = [
        cut(supervision(), recording=recording(source("sox a.sph -t wav - |", "command"))),
        cut(supervision(), recording=recording(source("https://example.org/a.wav", "url"))),
        cut(supervision(), recording=recording()),
        cut(supervision(), recording={**recording(source("a.wav")), "transforms": [{"name": "Speed", "kwargs": {}}]}),
        cut(),
        cut(supervision(text="")),
        cut(supervision(start="soon")),
        {
            "id": "mix",
            "tracks": [{"cut": cut(supervision("mixed words"))}, {"cut": {"type": "PaddingCut"}}],
            "type": "MixedCut",
        },
        {"id": "what"},
        cut(supervision("good")),
    ]
    document = read(tmp_path, *rows)
    assert [segment.text for segment in document.segments] == ["good"]
    reasons = ["not a file", "not a file", "no audio named", "recording is transformed"]
    reasons += ["no text", "no text", "bad line", "mixed cut", "bad line"]
    assert [problem.reason for problem in document.problems] == reasons
    assert [problem.where for problem in document.problems] == [f"cuts.jsonl.gz:{line}" for line in range(1, 10)]
    lost = [problem.segment.text for problem in document.problems if problem.segment]
    assert lost == [*4 * ["hello there"], "", "hello there", "mixed words"]


def test_supervisions_beside_recordings(tmp_path: Path) -> None:
    rows = [supervision("one", start=1.5), supervision("two", recording_id="other")]
    document = read(tmp_path, *rows, name="my_supervisions_train.jsonl.gz")
    assert [(s.recording, s.start_s) for s in document.segments] == [("rec", 1.5), ("other", 0.25)]
    (tmp_path / "my_recordings_train.jsonl").write_text(json.dumps(recording(source("rec.flac"))), encoding="utf-8")
    document = read(tmp_path, *rows, name="my_supervisions_train.jsonl.gz")
    assert [segment.recording for segment in document.segments] == ["rec.flac", "other"]


def test_what_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreadable, match="no cut or supervision"):
        read(tmp_path, {"a": 1})
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(cut(supervision())).encode())[:-20])
    with pytest.raises(Unreadable, match="damaged gzip"):
        READER.parse(path, path.name, CorpusRecipe())
    monkeypatch.setattr(lhotse_cuts, "MAX_BYTES", 100_000)
    path.write_bytes(gzip.compress(b" " * 1_000_000))
    with pytest.raises(Unreadable, match="unpacks to too much"):
        READER.parse(path, path.name, CorpusRecipe())


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (cut(supervision()), True),
        (cut(), True),
        (supervision(), True),
        ({"id": "mix", "tracks": [{"cut": cut()}], "type": "MixedCut"}, True),
        (recording(source("a.wav")), False),
        ({"audio_filepath": "a.wav", "text": "x", "duration": 1}, False),
    ],
)
def test_recognition(row: dict[str, Any], expected: bool) -> None:
    assert READER.recognises(head(json.dumps(row), "a.jsonl")) is expected


VALID = "".join(
    json.dumps(cut(supervision(alignment={"word": [["hello", 0, 1]]}), start=start)) + "\n" for start in (0, 2)
)
test_damaged = damaged(READER, "a.jsonl", VALID)
test_damaged_gzip = damaged(READER, "a.jsonl.gz", gzip.compress(VALID.encode(), mtime=0))
