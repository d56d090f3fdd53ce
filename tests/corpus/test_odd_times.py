"""Times of tables that are not those of their audio."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from tests.corpus.corpora import RATE, dropped, ledger, noise, prepared, rows, write_audio, write_lines

from smallvoice.errors import InputError


def _dataset(folder: Path, spans: list[tuple[float, float]], length_s: float = 2.0) -> Path:
    """Clips of equal length inside a table, in the shape of AMI and GigaSpeech."""
    cells = []
    for number in range(len(spans)):
        out = io.BytesIO()
        soundfile.write(out, noise(length_s, number), RATE, format="WAV")
        cells.append({"bytes": out.getvalue(), "path": f"{number}.wav"})
    content = {
        "audio": pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "text": [f"words {number}" for number in range(len(spans))],
        "speaker_id": [f"k{number}" for number in range(len(spans))],
        "begin_time": [start for start, _ in spans],
        "end_time": [end for _, end in spans],
    }
    folder.mkdir()
    pq.write_table(pa.table(content), folder / "train.parquet")
    return folder


def test_clips_in_a_table_are_taken_whole(tmp_path: Path) -> None:
    spans = [(3.34, 5.34), (100.0, 101.9), (0.5, 1.5), (0.0, 2.0), (0.0, 3.0), (50.0, 50.5)]
    result = prepared(_dataset(tmp_path / "source", spans), tmp_path / "out")
    lengths = {row.text: row.duration_s for row in rows(tmp_path / "out")}
    # The third is a part of its cell, 1 s with a margin on both sides.
    assert lengths == {"words 0": 2.0, "words 1": 2.0, "words 2": 1.2, "words 3": 2.0}
    assert dropped(tmp_path / "out") == {f"train.parquet:{line}": "past the end of the recording" for line in (5, 6)}
    assert len(ledger(tmp_path / "out")) == 6
    assert any(note.startswith("2 clips in tables are as long") for note in result.facts["notes"])


def test_clips_in_files_are_taken_whole_where_the_user_says_so(tmp_path: Path) -> None:
    lines = ["file,begin_time,end_time,text,speaker"]
    for number in range(6):
        write_audio(tmp_path / "source" / f"{number}.wav", noise(1, number))
        lines.append(f"{number}.wav,{number + 3},{number + 4},words,k{number}")
    write_lines(tmp_path / "source" / "a.csv", lines)
    with pytest.raises(InputError, match=r"6 segments lie past .* --set columns\.start= --set columns\.end="):
        prepared(tmp_path / "source", tmp_path / "out")
    prepared(tmp_path / "source", tmp_path / "out", columns={"start": "", "end": ""})
    assert len(rows(tmp_path / "out")) == 6


def test_whole_numbers_far_past_the_end_are_noted(tmp_path: Path) -> None:
    lines = ["file,start,end,text,speaker"]
    for number in range(6):
        write_audio(tmp_path / "source" / f"{number}.wav", noise(3, number))
        lines += [f"{number}.wav,0,1,one,k{number}", f"{number}.wav,1000,2500,two,k{number}"]
    write_lines(tmp_path / "source" / "a.csv", lines)
    result = prepared(tmp_path / "source", tmp_path / "out")
    assert any(note.startswith("6 recordings have times in whole numbers") for note in result.facts["notes"])
    assert list(dropped(tmp_path / "out").values()) == 6 * ["past the end of the recording"]
    columns = {"start_ms": "start", "end_ms": "end"}
    result = prepared(tmp_path / "source", tmp_path / "milliseconds", columns=columns)
    assert not any("whole numbers" in note for note in result.facts["notes"])
