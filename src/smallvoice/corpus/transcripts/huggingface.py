"""Folders of a Hugging Face dataset: Parquet shards, or the Arrow files of `save_to_disk`.

    data/train-00000-of-00002.parquet       audio {bytes, path}, text, and other columns
    train/data-00000-of-00001.arrow

https://huggingface.co/docs/datasets/about_arrow and https://huggingface.co/docs/hub/datasets-audio. The audio
column is found by the `huggingface` metadata or by its shape; the others as in any table (`columns.py`). Rows are
read row group by row group, without the audio's bytes: `embedded_audio` gets those, one cell at a time.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from smallvoice.corpus.transcripts.arrow_tables import (
    AUDIO_ROWS,
    ERRORS,
    arrow_batches,
    audio_column,
    embedded_audio,
    features_of,
    has_bytes_of,
    is_parquet,
    is_plain,
    open_parquet,
    paths_of,
    schema_of,
)
from smallvoice.corpus.transcripts.columns import Columns, chosen, segment_of, text_of
from smallvoice.corpus.transcripts.document import Unreadable
from smallvoice.corpus.transcripts.fields import split_in
from smallvoice.corpus.transcripts.files import is_audio, relative, walk
from smallvoice.corpus.transcripts.segment import Embedded, Item, Note, Problem, Reader, Recording, Segment
from smallvoice.recipe import CorpusRecipe

__all__ = ["READER", "embedded_audio", "read", "recognises"]

_SUFFIXES = (".parquet", ".arrow")
_MAX_GROUP_ROWS = 5_000_000
"""Run lengths let a file of a few bytes claim any number of rows."""


def recognises(folder: Path) -> bool:
    """Whether a table in it has an audio column. The corpora that `prepare` makes are not looked at."""
    for path in walk(folder):
        if _is_shard(path):
            try:
                if audio_column(schema_of(path)):
                    return True
            except ERRORS:
                continue
    return False


def read(folder: Path, recipe: CorpusRecipe) -> Iterator[Item]:
    """Every row of every table, with its audio: a cell, or a file of the folder."""
    named: dict[tuple[Path, str | None], list[Segment]] = defaultdict(list)
    audio = {path for path in walk(folder) if is_audio(path)}
    for path in walk(folder):
        if _is_shard(path):
            yield from _Shard(path, folder, audio, recipe.columns, named).items()
        elif path.suffix.lower() in _SUFFIXES:
            yield Note(message=f"{relative(path, folder)} is a cache of `datasets`, and is not read.")
    used = set()
    for (path, split), segments in named.items():
        used.add(path)
        yield Recording(audio=path, path=relative(path, folder), split=split, segments=tuple(segments))
    for path in sorted(audio - used):
        yield Problem(where=relative(path, folder), reason="audio without transcript", detail="no row names this file")


def _is_shard(path: Path) -> bool:
    """A table; `datasets` leaves its caches beside those of `save_to_disk`."""
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith("cache-")


@dataclass
class _Shard:
    """One file of a dataset."""

    path: Path
    folder: Path
    audio: set[Path]
    """The audio files of the folder."""
    asked: Mapping[str, str]
    """The recipe's `columns`."""
    named: dict[tuple[Path, str | None], list[Segment]]
    """The segments of audio files, by file and split: several rows may be of one."""

    def items(self) -> Iterator[Item]:
        try:
            schema = schema_of(self.path)
            audio = audio_column(schema)
            names = list(schema.names)
            plain = [field.name for field in schema if is_plain(field.type)]
        except ERRORS as error:
            yield self._problem("damaged table", str(error)[:200])
            return
        if audio is None:
            yield self._problem("no audio column", f"the columns are: {', '.join(names[:40])[:400]}")
            return
        try:
            found = chosen([*plain, audio], {**self.asked, "audio": audio}, relative(self.path, self.folder))
        except Unreadable as error:
            yield self._problem(error.reason, error.detail)
            return
        columns = Columns({field: name for field, name in found.names.items() if field != "audio"}, found.others)
        classes = {name: feature["names"] for name, feature in features_of(schema).items() if _is_classes(feature)}
        row = -1
        try:
            for row, cells, has_bytes, name in self._rows(audio, plain):
                for column, labels in classes.items():
                    cells[column] = _label(cells.get(column), labels)
                yield from self._item(Embedded(file=self.path, column=audio, row=row), columns, cells, has_bytes, name)
        except ERRORS as error:
            yield self._problem("damaged table", f"no rows after {row + 1}: {str(error)[:200]}")

    def _rows(self, audio: str, plain: list[str]) -> Iterator[tuple[int, dict[str, Any], bool, str]]:
        """Row number, cells of plain columns, whether there is audio in it, and the name of its audio."""
        row = 0
        for texts, has_bytes, names in (
            self._parquet_groups(audio, plain) if is_parquet(self.path) else (self._arrow_groups(audio, plain))
        ):
            for number, cells in enumerate(texts):
                yield row + number, cells, has_bytes[number], names[number]
            row += len(texts)

    def _arrow_groups(
        self, audio: str, plain: list[str]
    ) -> Iterator[tuple[list[dict[str, Any]], list[bool], list[str]]]:
        for batch in arrow_batches(self.path):
            cells = batch.column(audio)
            yield batch.select(plain).to_pylist(), has_bytes_of(cells), paths_of(cells)

    def _parquet_groups(
        self, audio: str, plain: list[str]
    ) -> Iterator[tuple[list[dict[str, Any]], list[bool], list[str]]]:
        with open_parquet(self.path) as file:
            leaves = {file.schema.column(number).path: number for number in range(len(file.schema))}
            paths = [f"{audio}.path"] if f"{audio}.path" in leaves else []
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                if size > _MAX_GROUP_ROWS:
                    raise ValueError(f"row group {group} is said to have {size} rows")
                table = file.read_row_group(group, columns=[*plain, *paths], use_threads=False)
                names = [name for chunk in table[audio].chunks for name in paths_of(chunk)] if paths else [""] * size
                has_bytes = self._parquet_has_bytes(file, group, leaves[f"{audio}.bytes"], audio)
                yield table.select(plain).to_pylist(), has_bytes, names

    def _parquet_has_bytes(self, file: pq.ParquetFile, group: int, leaf: int, audio: str) -> list[bool]:
        """Whether each row of a row group has audio in it: mostly its statistics know, without reading it."""
        column = [f"{audio}.bytes"]
        # Of a damaged chunk reading says so, while asking for its statistics ends the process (pyarrow 26).
        next(file.iter_batches(1, row_groups=[group], columns=column, use_threads=False), None)
        chunk = file.metadata.row_group(group).column(leaf)
        nulls = chunk.statistics.null_count if chunk.is_stats_set and chunk.statistics.has_null_count else -1
        size = file.metadata.row_group(group).num_rows
        if nulls in (0, size):
            return [nulls == 0] * size
        batches = file.iter_batches(AUDIO_ROWS, row_groups=[group], columns=column, use_threads=False)
        return [has for batch in batches for has in has_bytes_of(batch.column(0))]

    def _item(
        self, cell: Embedded, columns: Columns, cells: Mapping[str, object], has_bytes: bool, name: str
    ) -> Iterator[Item]:
        where = relative(self.path, self.folder)
        place = f"{where}:{cell.row + 1}"
        segment = segment_of(columns, cells, place, where, from_zero=True)
        split = self._split()
        if isinstance(segment, str):
            lost = Segment(where=place, text=text_of(cells.get(columns.names["text"])))
            yield Problem(where=place, reason="bad row", detail=segment, segment=lost, split=split)
        elif has_bytes:
            yield Recording(
                audio=cell,
                path=f"{where}#{cell.row}",
                channel=segment.channel,
                split=segment.split or split,
                session=segment.session,
                segments=(segment,),
            )
        elif not name:
            detail = "the row holds neither audio nor a path"
            yield Problem(where=place, reason="no audio named", detail=detail, segment=segment, split=split)
        elif (audio := self._inside(name)) is not None:
            self.named[audio, segment.split or split].append(segment)
        else:
            detail = f"there is no {PurePosixPath(name).name[:80]} in the folder"
            yield Problem(where=place, reason="transcript without audio", detail=detail, segment=segment, split=split)

    def _inside(self, name: str) -> Path | None:
        """The file that a row names, relative to the folder or to the table; nothing is opened to know."""
        paths = (Path(os.path.normpath(base / name)) for base in (self.folder, self.path.parent))
        return next((path for path in paths if path in self.audio), None)

    def _split(self) -> str | None:
        """By the shard's name, else by the nearest folder that says so."""
        parts = PurePosixPath(relative(self.path, self.folder)).parts
        return next((split for part in reversed(parts) if (split := split_in(part))), None)

    def _problem(self, reason: str, detail: str) -> Problem:
        return Problem(where=relative(self.path, self.folder), reason=reason, detail=detail, split=self._split())


def _is_classes(feature: dict[str, Any]) -> bool:
    return feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)


def _label(value: object, labels: list[object]) -> object:
    """The name of a class; `datasets` writes -1 for none."""
    if not isinstance(value, int) or value >= len(labels):
        return value
    return labels[value] if value >= 0 else None


READER = Reader(
    name="huggingface",
    shape="a Hugging Face dataset: Parquet or Arrow files with an audio column and a text column",
    recognises=recognises,
    read=read,
)
