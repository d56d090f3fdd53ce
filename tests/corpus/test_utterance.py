from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smallvoice.corpus import shards
from smallvoice.corpus.shards import CorpusWriter, ShardWriter
from smallvoice.corpus.utterance import SCHEMA, Corpus, Utterance, open_corpus, read_rows, read_shard
from smallvoice.errors import InputError, RecipeError
from smallvoice.storage import write_json


def _utterance(number: int, split: str = "train", num_bytes: int = 1000, **known: Any) -> Utterance:
    columns: dict[str, Any] = {
        "id": f"{number:016x}",
        "audio": number.to_bytes(4, "big") * (num_bytes // 4),
        "duration_s": number / 10,
        "text": f"UTTERANCE {number}",
        "recording": f"R{number:08x}",
        "start_s": 0.0,
        "end_s": number / 10,
        "split": split,
        "source": "lab",
    }
    return Utterance(**{**columns, **known})


def _written(folder: Path, utterances: list[Utterance]) -> Corpus:
    folder.mkdir(exist_ok=True)
    with CorpusWriter(folder) as writer:
        for utterance in utterances:
            writer.add(utterance)
    write_json(folder / "corpus.json", {"language": "en"})
    return open_corpus(folder)


def test_a_row_comes_back_as_it_was(tmp_path: Path) -> None:
    full = _utterance(
        1,
        language="en",
        speaker="S0001",
        age_years=6.5,
        gender="f",
        role="child",
        session="V0001",
        extra={"flags": ["silent"], "segment_start_s": 0.1},
    )
    bare = _utterance(2)
    corpus = _written(tmp_path, [full, bare])
    assert list(corpus.utterances("train")) == [full, bare]
    assert (bare.speaker, bare.age_years, bare.gender, bare.session, bare.language) == (None,) * 5
    assert corpus.facts == {"language": "en"}


def test_what_stays_together() -> None:
    assert _utterance(1, speaker="S0001", session="V0001").unit == "S0001"
    assert _utterance(1, session="V0001").unit == "V0001"
    assert _utterance(1).unit == "R00000001"


def test_splits_index_and_row_groups(tmp_path: Path) -> None:
    utterances = [_utterance(number, ["train", "test", "dev"][number % 3]) for number in range(400)]
    corpus = _written(tmp_path, utterances)
    assert list(corpus.splits().items()) == [("train", 134), ("dev", 133), ("test", 133)]
    of_dev = [row for row in utterances if row.split == "dev"]
    assert list(corpus.utterances("dev")) == of_dev
    index = corpus.index("dev")
    assert index["id"].to_pylist() == [row.id for row in of_dev]
    assert index["duration_s"].to_pylist() == [row.duration_s for row in of_dev]
    groups = corpus.row_groups("dev")
    assert [len(group.durations_s) for group in groups] == [64, 64, 5]
    assert [group.num_bytes for group in groups] == [64_000, 64_000, 5000]
    for position in (0, 63, 64, 132):
        place = {name: index[name][position].as_py() for name in ("shard", "row_group", "row")}
        assert read_rows(tmp_path / place["shard"], place["row_group"])[place["row"]] == of_dev[position]


def test_an_unknown_split_names_the_known_ones(tmp_path: Path) -> None:
    corpus = _written(tmp_path, [_utterance(1), _utterance(2, "test")])
    for ask in (corpus.index, corpus.row_groups, corpus.utterances):
        with pytest.raises(InputError, match=r"no 'dev' split. It has: train \(1\), test \(1\)"):
            ask("dev")


def test_select(tmp_path: Path) -> None:
    corpus = _written(tmp_path, [_utterance(number, age_years=float(number)) for number in range(10)])
    assert [row.age_years for row in corpus.utterances("train", "age_years >= 7")] == [7, 8, 9]
    with pytest.raises(RecipeError, match="Known columns"):
        corpus.utterances("train", "years > 3")


def test_row_groups_and_shards_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus of any length is written and read one row group at a time, in shards of limited size."""
    monkeypatch.setattr(shards, "MAX_SHARD_BYTES", 11_000_000)
    corpus = _written(tmp_path, [_utterance(number, num_bytes=900_000) for number in range(40)])
    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("*.parquet"))]
    assert len(sizes) == 5 and max(sizes) < 11_000_000
    groups = corpus.row_groups("train")
    assert {len(group.durations_s) for group in groups} == {4}
    assert max(group.num_bytes for group in groups) <= 4_000_000
    for path in sorted(tmp_path.glob("*.parquet")):
        metadata = pq.ParquetFile(path).metadata
        for number in range(metadata.num_row_groups):
            assert metadata.row_group(number).num_rows <= 64
            assert metadata.row_group(number).total_byte_size < 4_100_000
    assert [row.id for row in corpus.utterances("train")] == [f"{number:016x}" for number in range(40)]
    assert [row.id for path in sorted(tmp_path.glob("*.parquet")) for row in read_shard(path)] == [
        f"{number:016x}" for number in range(40)
    ]


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    """150 MB of audio pass through; Arrow and Python together never hold more than a few row groups."""
    import tracemalloc

    tracemalloc.start()
    pool = pa.default_memory_pool()
    before, peak = pool.bytes_allocated(), 0
    with CorpusWriter(tmp_path) as writer:
        for number in range(300):
            writer.add(_utterance(number, ["train", "test"][number % 2], num_bytes=500_000))
            peak = max(peak, pool.bytes_allocated() - before)
    write_json(tmp_path / "corpus.json", {})
    for row in open_corpus(tmp_path).utterances("train"):
        peak = max(peak, pool.bytes_allocated() - before)
        assert len(row.audio) == 500_000
    python_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert python_peak < 50e6


def test_audio_is_stored_as_it_is(tmp_path: Path) -> None:
    _written(tmp_path, [_utterance(number) for number in range(9)])
    group = pq.ParquetFile(tmp_path / "train-00000.parquet").metadata.row_group(0)
    columns = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    assert columns["audio.bytes"].compression == "UNCOMPRESSED"
    assert "RLE_DICTIONARY" not in columns["audio.bytes"].encodings
    assert columns["text"].compression == "ZSTD"


def test_other_readers_know_that_audio_is_sound(tmp_path: Path) -> None:
    _written(tmp_path, [_utterance(1)])
    schema = pq.read_schema(tmp_path / "train-00000.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["audio"] == {"sampling_rate": 16_000, "_type": "Audio"}
    assert features["text"] == {"dtype": "string", "_type": "Value"}
    record = pq.read_table(tmp_path / "train-00000.parquet").to_pylist()[0]
    assert record["audio"] == {"bytes": _utterance(1).audio, "path": f"{1:016x}.flac"}
    assert json.loads(record["extra"]) == {}


def test_an_unknown_version_is_refused_by_name(tmp_path: Path) -> None:
    corpus = _written(tmp_path, [_utterance(1)])
    table = pq.read_table(tmp_path / "train-00000.parquet")
    pq.write_table(table.replace_schema_metadata({"schema_version": "99"}), tmp_path / "train-00000.parquet")
    with pytest.raises(InputError, match="schema_version is 99"):
        list(corpus.utterances("train"))
    (tmp_path / "corpus.json").write_text('{"schema_version": 99}')
    with pytest.raises(InputError, match="schema_version is 99"):
        open_corpus(tmp_path)


def test_what_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        open_corpus(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not a prepared corpus"):
        open_corpus(tmp_path)


@pytest.mark.parametrize("name", ["train-00000.parquet", "index.arrow"])
def test_a_damaged_corpus(tmp_path: Path, name: str) -> None:
    corpus = _written(tmp_path, [_utterance(1)])
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(InputError, match=rf"{name}: cannot be read"):
        list(corpus.utterances("train"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_leaves_the_writer_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full is a disk without room: writing to it fails, and so does writing the footer when closing."""
    monkeypatch.setattr(Path, "open", lambda self, mode: open("/dev/full", mode))  # noqa: PTH123, SIM115
    with pytest.raises(OSError, match="No space left"), ShardWriter(tmp_path, "train") as writer:
        for number in range(100):
            writer.add(_utterance(number, num_bytes=100_000))


def test_a_corpus_can_be_sent_to_another_process(tmp_path: Path) -> None:
    corpus = _written(tmp_path, [_utterance(1)])
    corpus.splits()
    assert [row.id for row in pickle.loads(pickle.dumps(corpus)).utterances("train")] == [f"{1:016x}"]  # noqa: S301


def test_the_schema_has_every_field() -> None:
    assert SCHEMA.names == list(Utterance.__dataclass_fields__)
