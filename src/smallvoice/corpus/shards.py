"""Writing a corpus: utterances in, Parquet shards and their index out, one row group in memory at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from smallvoice.corpus.utterance import INDEX_SCHEMA, SCHEMA, Utterance, to_record

MAX_GROUP_ROWS = 64
MAX_GROUP_BYTES = 4_000_000
MAX_SHARD_BYTES = 256_000_000
_FOOTER_BYTES = 1_000_000
"""Kept free in a shard for the footer, which is written last."""


class ShardWriter:
    """Utterances into `FOLDER/{prefix}-00000.parquet`, `-00001`, ... as they come; a context manager."""

    def __init__(self, folder: Path, prefix: str, on_group: Callable[[pa.RecordBatch], None] | None = None) -> None:
        self.folder = folder
        self.prefix = prefix
        self.on_group = on_group
        self.num_shards = 0
        self._rows: list[Utterance] = []
        self._num_bytes = 0
        self._num_groups = 0
        self._file: IO[bytes] | None = None
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write_group()
            self._close_shard()
        elif self._writer is not None and self._file is not None:
            # The shard will not be used, and what went wrong goes wrong again when the footer meets a full disk.
            with suppress(OSError):
                self._writer.close()
            self._writer.is_open = False
            with suppress(OSError):
                self._file.close()

    def add(self, utterance: Utterance) -> None:
        full = len(self._rows) >= MAX_GROUP_ROWS or self._num_bytes + len(utterance.audio) > MAX_GROUP_BYTES
        if self._rows and full:
            self._write_group()
        self._rows.append(utterance)
        self._num_bytes += len(utterance.audio)

    def _write_group(self) -> None:
        if not self._rows:
            return
        table = pa.Table.from_pylist([to_record(row) for row in self._rows], schema=SCHEMA)
        if self._file is not None and self._file.tell() + table.nbytes > MAX_SHARD_BYTES - _FOOTER_BYTES:
            self._close_shard()
        if self._writer is None:
            self._open_shard()
        assert self._writer is not None
        self._writer.write_table(table, row_group_size=MAX_GROUP_ROWS)
        if self.on_group is not None:
            self.on_group(
                _index_batch(self._rows, f"{self.prefix}-{self.num_shards - 1:05d}.parquet", self._num_groups)
            )
        self._num_groups += 1
        self._rows = []
        self._num_bytes = 0

    def _open_shard(self) -> None:
        self._file = (self.folder / f"{self.prefix}-{self.num_shards:05d}.parquet").open("wb")
        self._writer = pq.ParquetWriter(
            self._file,
            SCHEMA,
            # FLAC is compressed already, and no two utterances are equal.
            compression={name: "NONE" if name.startswith("audio.") else "ZSTD" for name in _leaves()},
            use_dictionary=["language", "speaker", "gender", "role", "session", "split", "source"],
            write_statistics=[name for name in _leaves() if name != "audio.bytes"],
        )
        self.num_shards += 1
        self._num_groups = 0

    def _close_shard(self) -> None:
        if self._writer is None or self._file is None:
            return
        self._writer.close()
        self._file.close()
        self._writer = self._file = None


class CorpusWriter:
    """Utterances into the shards of their splits, and `index.arrow`; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards: dict[str, ShardWriter] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        file = self._stack.enter_context((self.folder / "index.arrow").open("wb"))
        self._index = self._stack.enter_context(pa.ipc.new_file(file, INDEX_SCHEMA))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def add(self, utterance: Utterance) -> None:
        if utterance.split not in self._shards:
            shards = ShardWriter(self.folder, utterance.split, on_group=self._index.write_batch)
            self._shards[utterance.split] = self._stack.enter_context(shards)
        self._shards[utterance.split].add(utterance)


def _index_batch(rows: list[Utterance], shard: str, row_group: int) -> pa.RecordBatch:
    columns = {
        "id": [row.id for row in rows],
        "split": [row.split for row in rows],
        "duration_s": [row.duration_s for row in rows],
        "num_bytes": [len(row.audio) for row in rows],
        "shard": [shard] * len(rows),
        "row_group": [row_group] * len(rows),
        "row": list(range(len(rows))),
    }
    return pa.RecordBatch.from_pydict(columns, schema=INDEX_SCHEMA)


def _leaves() -> list[str]:
    """The columns as Parquet stores them."""
    return [leaf for name in SCHEMA.names for leaf in (("audio.bytes", "audio.path") if name == "audio" else (name,))]
