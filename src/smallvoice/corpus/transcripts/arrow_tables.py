"""Parquet and Arrow files that hold audio: their columns, their batches, and the bytes of one cell.

Nothing of a damaged file is believed: Arrow's offsets are checked before they are followed. A Parquet file's audio
is read a few rows at a time, and not by whole column chunks.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from smallvoice.corpus.transcripts.columns import guessed, text_of
from smallvoice.corpus.transcripts.document import Unreadable
from smallvoice.corpus.transcripts.segment import Embedded

AUDIO_ROWS = 8
"""Rows of audio held at once."""
_THRIFT_LIMIT = 64 * 2**20
ERRORS = (pa.ArrowException, OSError, ValueError, MemoryError, LookupError, TypeError)
"""What damaged files raise in pyarrow; text that is not UTF-8 is a ValueError."""


def embedded_audio(cell: Embedded) -> bytes:
    """The bytes of one cell. Rows that are asked for in their order are read once, a few at a time.

    Raises:
        Unreadable: the file has changed or is damaged, or the cell is empty.
    """
    try:
        key = (cell.file, cell.column, cell.file.stat().st_mtime_ns)
        cursor = getattr(_cursors, "last", None)
        if cursor is None or cursor.key != key:
            cursor = _cursors.last = _Cursor(key)
        data = cursor.bytes_of(cell.row)
    except ERRORS as error:
        raise Unreadable(cell.name, "damaged table", str(error)[:200]) from None
    if not data:
        raise Unreadable(cell.name, "audio empty", "the cell holds no bytes")
    return data


_cursors = threading.local()


class _Cursor:
    """A place in the audio column of one file."""

    def __init__(self, key: tuple[Path, str, int]) -> None:
        self.key = key
        self._file = key[0]
        self._column = key[1]
        self._starts: list[int] = [0]
        """The first row of every row group, and the number of rows."""
        if is_parquet(self._file):
            with open_parquet(self._file) as file:
                sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            self._arrow: list[pa.RecordBatch] = []
        else:
            # Memory-mapped: the batches are places in the file, not copies.
            self._arrow = list(arrow_batches(self._file))
            sizes = [batch.num_rows for batch in self._arrow]
        for size in sizes:
            self._starts.append(self._starts[-1] + size)
        self._group = -1
        self._next = 0
        """The row, counted in its row group, that `_batches` gives next."""
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._held: list[bytes | None] = []

    def bytes_of(self, row: int) -> bytes | None:
        if not 0 <= row < self._starts[-1]:
            raise ValueError(f"there is no row {row}")
        group = bisect_right(self._starts, row) - 1
        place = row - self._starts[group]
        if self._arrow:
            audio = self._arrow[group].column(self._column)[place]
            return audio.as_py()["bytes"] if audio.is_valid else None
        if group != self._group or place < self._next - len(self._held):
            self._open(group)
        while place >= self._next:
            batch = next(self._batches, None)
            if batch is None:
                raise ValueError("fewer rows than the file says")
            self._held = [cell and cell["bytes"] for cell in batch.column(0).to_pylist()]
            self._next += len(self._held)
        return self._held[place - self._next + len(self._held)]

    def _open(self, group: int) -> None:
        self._group, self._next, self._held = group, 0, []
        self._batches = _audio_batches(self._file, self._column, group)


def _audio_batches(path: Path, column: str, group: int) -> Iterator[pa.RecordBatch]:
    with open_parquet(path) as file:
        yield from file.iter_batches(AUDIO_ROWS, row_groups=[group], columns=[f"{column}.bytes"], use_threads=False)


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def open_parquet(path: Path) -> pq.ParquetFile:
    # A buffer instead of whole column chunks: audio is read as it is asked for.
    return pq.ParquetFile(
        path,
        buffer_size=2**20,
        pre_buffer=False,
        thrift_string_size_limit=_THRIFT_LIMIT,
        thrift_container_size_limit=_THRIFT_LIMIT,
    )


def schema_of(path: Path) -> pa.Schema:
    if is_parquet(path):
        with open_parquet(path) as file:
            return file.schema_arrow
    with pa.memory_map(str(path)) as source, _arrow(source) as reader:
        return reader.schema


def _arrow(source: pa.NativeFile) -> Any:
    """A reader of either of Arrow's two forms: `save_to_disk` writes the stream."""
    try:
        return pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source)


def arrow_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow file, each looked at: what points outside of it must not be followed."""
    with pa.memory_map(str(path)) as source, _arrow(source) as reader:
        if isinstance(reader, pa.ipc.RecordBatchFileReader):
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            batches = iter(reader)
        for batch in batches:
            batch.validate(full=True)
            yield batch


def audio_column(schema: pa.Schema) -> str | None:
    """The column of audio: by the metadata of `datasets`, else a struct of bytes and path called like audio."""
    structs: list[str] = [field.name for field in schema if _holds_bytes(field.type)]
    features = features_of(schema)
    for name in structs:
        if features.get(name, {}).get("_type") == "Audio":
            return name
    unmarked = [name for name in structs if "_type" not in features.get(name, {})]
    return next((name for name in unmarked if "audio" in guessed([name]).names), unmarked[0] if unmarked else None)


def _holds_bytes(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    inner = kind.field("bytes").type
    names = {kind.field(number).name for number in range(kind.num_fields)}
    return names <= {"bytes", "path", "sampling_rate"} and (
        pa.types.is_binary(inner) or pa.types.is_large_binary(inner) or pa.types.is_null(inner)
    )


def features_of(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """What `datasets` says of the columns; empty where it says nothing."""
    try:
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = info["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def is_plain(kind: pa.DataType) -> bool:
    """A column of texts, numbers or truths."""
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating)
    if pa.types.is_dictionary(kind):
        return is_plain(kind.value_type)
    return any(test(kind) for test in tests) or pa.types.is_boolean(kind)


def paths_of(cells: pa.StructArray) -> list[str]:
    """The names of audio cells; empty where they have none."""
    if cells.type.get_field_index("path") < 0:
        return [""] * len(cells)
    return [text_of(name) for name in cells.field("path").to_pylist()]


def has_bytes_of(cells: pa.StructArray) -> list[bool]:
    present: list[bool] = pa.compute.and_(cells.is_valid(), cells.field("bytes").is_valid()).to_pylist()
    return present
