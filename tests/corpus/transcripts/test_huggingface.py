from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from tests.corpus.corpora import noise, prepared, write_audio, write_kaldi
from tests.corpus.transcripts.damage import damage, mutated

from smallvoice.corpus import transcripts
from smallvoice.corpus.transcripts import huggingface
from smallvoice.corpus.transcripts.document import Unreadable
from smallvoice.corpus.transcripts.huggingface import embedded_audio
from smallvoice.corpus.transcripts.segment import Embedded, Note, Problem, Recording
from smallvoice.recipe import CorpusRecipe

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table(num_rows: int, *, name: str = "audio", first: int = 0) -> pa.Table:
    rows = range(first, first + num_rows)
    return pa.table(
        {
            name: pa.array([{"bytes": b"sound %d" % row, "path": f"{row}.wav"} for row in rows], AUDIO),
            "sentence": [f"text {row}" for row in rows],
            "speaker_id": [row // 2 for row in rows],
            "age": [6.5] * num_rows,
        }
    )


def write(path: Path, content: pa.Table, *, rows_per_group: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(content, path, row_group_size=rows_per_group)
    else:
        with pa.OSFile(str(path), "wb") as out, pa.ipc.new_stream(out, content.schema) as writer:
            writer.write_table(content, max_chunksize=rows_per_group)
    return path


def recordings(folder: Path) -> list[Recording]:
    return [item for item in huggingface.read(folder, CorpusRecipe()) if isinstance(item, Recording)]


def problems(folder: Path) -> dict[str, str]:
    return {item.where: item.reason for item in huggingface.read(folder, CorpusRecipe()) if isinstance(item, Problem)}


def sounds(items: list[Recording]) -> Iterator[bytes]:
    for item in items:
        assert isinstance(item.audio, Embedded)
        yield embedded_audio(item.audio)


@pytest.mark.parametrize("name", ["data/train-00000-of-00001.parquet", "train/data-00000-of-00001.arrow"])
def test_rows_and_their_audio(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, table(8))
    assert huggingface.recognises(tmp_path)
    items = recordings(tmp_path)
    assert [item.segments[0].text for item in items] == [f"text {row}" for row in range(8)]
    assert [item.segments[0].speaker for item in items] == ["0", "0", "1", "1", "2", "2", "3", "3"]
    assert {item.segments[0].age_years for item in items} == {6.5} and {item.split for item in items} == {"train"}
    assert [(item.path, item.segments[0].where) for item in items[:2]] == [
        (f"{name}#0", f"{name}:1"),
        (f"{name}#1", f"{name}:2"),
    ]
    assert list(sounds(items)) == [b"sound %d" % row for row in range(8)]
    backwards = items[::-1]
    assert list(sounds(backwards)) == [b"sound %d" % row for row in range(7, -1, -1)]
    assert problems(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("validation.parquet", "dev"),
        ("en/test/0000.parquet", "test"),
        ("test-other/data-00000-of-00001.arrow", "test"),
        ("data-00000-of-00001.arrow", None),
        ("training set/part.parquet", "train"),
        ("attestation.parquet", None),
    ],
)
def test_splits(tmp_path: Path, name: str, split: str | None) -> None:
    write(tmp_path / name, table(1))
    assert [item.split for item in recordings(tmp_path)] == [split]


def test_what_datasets_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "sound": datasets.Audio(sampling_rate=16_000, decode=False),
            "transcription": datasets.Value("string"),
            "gender": datasets.ClassLabel(names=["male", "female"]),
            "lang_id": datasets.Value("string"),
        }
    )
    rows: list[dict[str, Any]] = [
        {"sound": {"bytes": b"abc", "path": None}, "transcription": "one", "gender": 1, "lang_id": "x"},
        {"sound": {"bytes": b"de", "path": "x.wav"}, "transcription": "two", "gender": None, "lang_id": "y"},
    ]
    schema = features.arrow_schema
    content = pa.Table.from_pylist(rows, schema=schema)
    write(tmp_path / "test.parquet", content)
    write(tmp_path / "train" / "data-00000-of-00001.arrow", content)
    items = recordings(tmp_path)
    assert [(item.segments[0].text, item.segments[0].gender, item.split) for item in items] == [
        ("one", "f", "test"),
        ("two", None, "test"),
        ("one", "f", "train"),
        ("two", None, "train"),
    ]
    assert list(sounds(items)) == [b"abc", b"de"] * 2


def test_audio_beside_the_table(tmp_path: Path) -> None:
    outside = write_audio(tmp_path / "outside.wav", noise(0.1))
    folder = tmp_path / "corpus"
    for name in ("wav/a.wav", "data/b.wav", "orphan.wav"):
        write_audio(folder / name, noise(0.1))
    names = ["wav/a.wav", "b.wav", "wav/a.wav", "../outside.wav", str(outside), None, "x" * 5000, "a\0b"]
    cells = pa.array([{"bytes": None, "path": name} for name in names], AUDIO)
    times = pa.array([0.0, None, 1.0] + [None] * 5)
    write(
        folder / "data/train.parquet",
        pa.table({"audio": cells, "text": [f"t{row}" for row in range(8)], "start": times}),
    )
    found = {item.path: [(s.text, s.start_s) for s in item.segments] for item in recordings(folder)}
    assert found == {"wav/a.wav": [("t0", 0.0), ("t2", 1.0)], "data/b.wav": [("t1", None)]}
    reasons = {f"data/train.parquet:{row}": "transcript without audio" for row in (4, 5, 7, 8)}
    assert problems(folder) == reasons | {
        "data/train.parquet:6": "no audio named",
        "orphan.wav": "audio without transcript",
    }


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_cells_with_and_without_bytes(tmp_path: Path, suffix: str) -> None:
    cells = pa.array(
        [{"bytes": b"x", "path": None}, None, {"bytes": None, "path": None}, {"bytes": b"", "path": "a"}], AUDIO
    )
    path = write(tmp_path / f"a.{suffix}", pa.table({"audio": cells, "text": ["a", "b", "c", "d"]}))
    first, last = recordings(tmp_path)
    assert isinstance(first.audio, Embedded) and isinstance(last.audio, Embedded)
    assert embedded_audio(first.audio) == b"x"
    with pytest.raises(Unreadable, match="audio empty"):
        embedded_audio(last.audio)
    assert problems(tmp_path) == {f"a.{suffix}:2": "no audio named", f"a.{suffix}:3": "no audio named"}
    for row in (1, 4, -1):
        with pytest.raises(Unreadable):
            embedded_audio(Embedded(file=path, column="audio", row=row))


def test_shape_without_metadata(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", table(2, name="my.sound"))
    items = recordings(tmp_path)
    assert list(sounds(items)) == [b"sound 0", b"sound 1"]


def test_what_is_none(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.parquet", pa.table({"text": ["a"], "value": [1]}))
    (tmp_path / "a" / "y.parquet").write_bytes(b"not parquet")
    assert not huggingface.recognises(tmp_path / "a")
    write(tmp_path / "a" / "z.parquet", pa.table({"audio": pa.array([None], AUDIO), "length": [1]}))
    write(tmp_path / "a" / "cache-0123.arrow", table(1))
    assert problems(tmp_path / "a") == {
        "x.parquet": "no audio column",
        "y.parquet": "damaged table",
        "z.parquet": "no text column",
    }
    assert [item.message for item in huggingface.read(tmp_path / "a", CorpusRecipe()) if isinstance(item, Note)] == [
        "cache-0123.arrow is a cache of `datasets`, and is not read."
    ]


def test_named_columns(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", table(2).rename_columns(["audio", "Satz", "speaker_id", "age"]))
    assert problems(tmp_path) == {"a.parquet": "no text column"}
    items = list(huggingface.read(tmp_path, CorpusRecipe(columns={"text": "Satz"})))
    assert [item.segments[0].text for item in items if isinstance(item, Recording)] == ["text 0", "text 1"]


def test_prepared_corpora_are_left_alone(tmp_path: Path) -> None:
    speakers: dict[str, tuple[float | None, str | None]] = dict.fromkeys("abcdef", (6.0, "f"))
    write_kaldi(tmp_path / "source", speakers)
    prepared(tmp_path / "source", tmp_path / "out" / "corpus")
    assert list((tmp_path / "out" / "corpus").glob("*.parquet"))
    assert not huggingface.recognises(tmp_path / "out") and not huggingface.recognises(tmp_path / "out" / "corpus")


def test_transcripts_beside_the_tables_are_not_lost_in_silence(tmp_path: Path) -> None:
    write(tmp_path / "old" / "train.parquet", table(2))
    (tmp_path / "a.cha").write_text("@Begin\n*CHI:\tone .\n@End\n", encoding="utf-8")
    found = [item for item in transcripts.read(tmp_path, CorpusRecipe()) if isinstance(item, Problem)]
    assert [(item.where, item.reason) for item in found] == [("a.cha", "another kind of transcript")]


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_damaged(tmp_path: Path, suffix: str) -> None:
    valid = write(tmp_path / f"valid.{suffix}", table(7)).read_bytes()
    folder = tmp_path / "damaged"
    folder.mkdir()

    @damage
    @given(data=mutated(valid))
    def check(data: bytes) -> None:
        (folder / f"a.{suffix}").write_bytes(data)
        huggingface.recognises(folder)
        for item in huggingface.read(folder, CorpusRecipe()):
            if isinstance(item, Recording) and isinstance(item.audio, Embedded):
                try:
                    assert isinstance(embedded_audio(item.audio), bytes)
                except Unreadable as error:
                    assert error.detail

    check()
