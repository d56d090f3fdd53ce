"""The corpus on disk: utterances in Parquet shards, with an index that is memory-mapped.

    CORPUS/train-00000.parquet   rows of `SCHEMA`; `audio` is FLAC, so that other readers open it as it is
    CORPUS/index.arrow           id, split, duration_s, shard, row group, row: enough to plan an epoch
    CORPUS/corpus.json           what all rows have in common (`Corpus.facts`)

Reading holds one row group at a time (64 rows or 4 MB), and so does writing (`shards.py`): memory does not
grow with the corpus.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from smallvoice.corpus.audio import SAMPLING_RATE
from smallvoice.corpus.select import parse
from smallvoice.errors import InputError
from smallvoice.storage import SCHEMA_VERSION, file_digest, read_json, read_jsonl

Role = Literal["child", "adult", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One row: what one person said, and what is known about it. Unknown is None, never a guess."""

    id: str
    """Hash of the source-relative path, the samples, the span and the text."""
    audio: bytes
    """FLAC, mono, 16 kHz, 16-bit."""
    sampling_rate: int = SAMPLING_RATE
    duration_s: float
    text: str
    """Verbatim, but for white space."""
    language: str | None = None
    speaker: str | None = None
    """A pseudonym (`S0001`); the table is `speakers.csv` in the corpus folder."""
    age_years: float | None = None
    gender: str | None = None
    """`f`, `m`, or another word as the source has it."""
    role: Role = "unknown"
    session: str | None = None
    """A pseudonym (`V0001`) of the folder or visit that the recording belongs to."""
    recording: str
    """A pseudonym (`R` and 8 hex digits)."""
    start_s: float
    """Where in the recording `audio` starts, margin included."""
    end_s: float
    split: str
    source: str
    extra: dict[str, Any] = field(default_factory=dict)
    """`flags`: what is odd about it; `segment_start_s`, `segment_end_s`: the times without margin."""

    @property
    def unit(self) -> str:
        """What stays in one split as a whole: the speaker; where unknown, the session; else the recording."""
        return self.speaker or self.session or self.recording


_FIELDS: list[pa.Field] = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("audio", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])),
    pa.field("sampling_rate", pa.int32(), nullable=False),
    pa.field("duration_s", pa.float64(), nullable=False),
    pa.field("text", pa.string(), nullable=False),
    pa.field("language", pa.string()),
    pa.field("speaker", pa.string()),
    pa.field("age_years", pa.float64()),
    pa.field("gender", pa.string()),
    pa.field("role", pa.string(), nullable=False),
    pa.field("session", pa.string()),
    pa.field("recording", pa.string(), nullable=False),
    pa.field("start_s", pa.float64(), nullable=False),
    pa.field("end_s", pa.float64(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("extra", pa.string(), nullable=False),
]


def _huggingface_metadata() -> str:
    """What `datasets` reads to know that `audio` is sound: its own names for the types of the columns."""
    names = {pa.string(): "string", pa.float64(): "float64", pa.int32(): "int32"}
    features: dict[str, Any] = {
        column.name: {"dtype": names[column.type], "_type": "Value"} for column in _FIELDS if column.name != "audio"
    }
    features["audio"] = {"sampling_rate": SAMPLING_RATE, "_type": "Audio"}
    return json.dumps({"info": {"features": {column.name: features[column.name] for column in _FIELDS}}})


SCHEMA = pa.schema(_FIELDS, metadata={"huggingface": _huggingface_metadata(), "schema_version": str(SCHEMA_VERSION)})

INDEX_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("duration_s", pa.float64()),
        ("num_bytes", pa.int64()),
        ("shard", pa.string()),
        ("row_group", pa.int32()),
        ("row", pa.int32()),
    ],
    metadata={"schema_version": str(SCHEMA_VERSION)},
)
"""One batch a row group, so that a split's part of the file is taken without a copy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowGroup:
    """What is read from the disk at once."""

    shard: str
    """The file name of the shard."""
    index: int
    """The row group's number in the shard."""
    durations_s: tuple[float, ...]
    """One a row."""
    num_bytes: int
    """FLAC bytes in all."""


class Corpus:
    """A prepared corpus. `open_corpus` makes one."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self.facts = facts
        """corpus.json: `sources`, `language`, `synthetic`, `text`, `splits`, `ledger`, `key`, ..."""

    def splits(self) -> dict[str, int]:
        """The number of utterances of each split."""
        counts: dict[str, int] = {}
        for batch in self._batches:
            name = batch["split"][0].as_py()
            counts[name] = counts.get(name, 0) + batch.num_rows
        order = {"train": 0, "dev": 1, "test": 2}
        return {name: counts[name] for name in sorted(counts, key=lambda name: (order.get(name, 3), name))}

    def index(self, split: str) -> pa.Table:
        """`INDEX_SCHEMA` rows of a split, in the order of its shards; memory-mapped, not copied.

        Raises:
            InputError: there is no such split.
        """
        return pa.Table.from_batches(self._of_split(split), schema=INDEX_SCHEMA)

    def row_groups(self, split: str) -> list[RowGroup]:
        """The row groups of a split, in order.

        Raises:
            InputError: there is no such split.
        """
        return [
            RowGroup(
                shard=batch["shard"][0].as_py(),
                index=batch["row_group"][0].as_py(),
                durations_s=tuple(batch["duration_s"].to_pylist()),
                num_bytes=sum(batch["num_bytes"].to_pylist()),
            )
            for batch in self._of_split(split)
        ]

    def read_row_group(self, row_group: RowGroup) -> list[Utterance]:
        return read_rows(self.path / row_group.shard, row_group.index)

    def utterances(self, split: str, select: str | None = None) -> Iterator[Utterance]:
        """The utterances of a split, in order, one row group in memory at a time.

        Raises:
            InputError: there is no such split.
            RecipeError: `select` cannot be read.
        """
        selection = parse(select) if select else None
        row_groups = self.row_groups(split)
        return (
            row
            for group in row_groups
            for row in self.read_row_group(group)
            if selection is None or selection.accepts({name: getattr(row, name) for name in selection.columns})
        )

    def columns(self, split: str, names: list[str]) -> pa.Table:
        """Some columns of a split, in order, without reading its audio.

        Raises:
            InputError: there is no such split.
        """
        return pa.concat_tables([pq.read_table(shard, columns=names) for shard in self._shards(split)])

    def rows(self, split: str, names: Iterable[str], selections: Iterable[str] = ()) -> list[dict[str, Any]]:
        """`columns` of the rows that one of the selections accepts; without any, of all.

        Raises:
            InputError: there is no such split.
            RecipeError: a selection cannot be read.
        """
        wishes = [parse(selection) for selection in selections]
        asked = {*names}.union(*(wish.columns for wish in wishes))
        rows: list[dict[str, Any]] = self.columns(split, sorted(asked)).to_pylist()
        return [row for row in rows if not wishes or any(wish.accepts(row) for wish in wishes)]

    def content(self, *splits: str) -> str:
        """The sha256 of the rows of some splits, audio included: the same for a corpus made again of the same.

        Raises:
            InputError: there is no such split.
        """
        return file_digest(*(shard for split in splits for shard in self._shards(split)))

    def ledger(self) -> list[dict[str, Any]]:
        """What became of every segment of every source: rows of `ledger.jsonl`."""
        return read_jsonl(self.path / "ledger.jsonl")

    def _shards(self, split: str) -> list[Path]:
        names = dict.fromkeys(batch["shard"][0].as_py() for batch in self._of_split(split))
        return [self.path / name for name in names]

    def _of_split(self, split: str) -> list[pa.RecordBatch]:
        found = [batch for batch in self._batches if batch["split"][0].as_py() == split]
        if not found:
            known = ", ".join(f"{name} ({count})" for name, count in self.splits().items()) or "none"
            raise InputError(f"{self.path}: this corpus has no {split!r} split. It has: {known}.")
        return found

    @cached_property
    def _batches(self) -> list[pa.RecordBatch]:
        path = self.path / "index.arrow"
        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
                _check_version(reader.schema, path)
                return [reader.get_batch(number) for number in range(reader.num_record_batches)]
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: cannot be read ({error}). Prepare the corpus again.") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (self.path, self.facts)


def open_corpus(path: Path) -> Corpus:
    """Open a folder that `prepare` made.

    Raises:
        InputError: missing, not a prepared corpus, or of an unknown schema version.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder. Make a corpus with: smallvoice prepare SOURCE --out {path}")
    if not (path / "corpus.json").is_file() or not (path / "index.arrow").is_file():
        raise InputError(
            f"{path}: not a prepared corpus (no corpus.json and index.arrow). Make one from recordings and "
            "transcripts with: smallvoice prepare SOURCE --out CORPUS"
        )
    return Corpus(path, read_json(path / "corpus.json"))


def read_shard(path: Path) -> Iterator[Utterance]:
    """All rows of one shard, one row group in memory at a time."""
    with pq.ParquetFile(path) as file:
        num_groups = file.num_row_groups
    for number in range(num_groups):
        yield from read_rows(path, number)


def read_rows(path: Path, row_group: int) -> list[Utterance]:
    """The rows of one row group of a shard.

    Raises:
        InputError: the shard is missing or damaged, or of an unknown schema version.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check_version(file.schema_arrow, path)
            return [_from_record(record) for record in file.read_row_group(row_group).to_pylist()]
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Prepare the corpus again.") from None


def to_record(row: Utterance) -> dict[str, Any]:
    """A row as `SCHEMA` has it."""
    record = {name: getattr(row, name) for name in _NAMES}
    record["audio"] = {"bytes": row.audio, "path": f"{row.id}.flac"}
    record["extra"] = json.dumps(row.extra, ensure_ascii=False, sort_keys=True)
    return record


def _from_record(record: dict[str, Any]) -> Utterance:
    return Utterance(**{**record, "audio": record["audio"]["bytes"], "extra": json.loads(record["extra"])})


def _check_version(schema: pa.Schema, path: Path) -> None:
    found = (schema.metadata or {}).get(b"schema_version", b"none").decode()
    if found != str(SCHEMA_VERSION):
        raise InputError(
            f"{path}: schema_version is {found}; this smallvoice reads {SCHEMA_VERSION}. "
            "Prepare the corpus again, or use the smallvoice that wrote it."
        )


_NAMES = [column.name for column in dataclasses.fields(Utterance)]
