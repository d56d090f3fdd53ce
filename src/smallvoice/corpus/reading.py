"""What the readers understand of a transcript or a folder of them, without any audio: `smallvoice read`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from smallvoice.corpus.completing import Completer
from smallvoice.corpus.transcripts import formats, reader_of
from smallvoice.corpus.transcripts.document import Document, FileReader, Unreadable
from smallvoice.corpus.transcripts.files import is_audio, relative, walk
from smallvoice.corpus.transcripts.segment import Item, Note, Problem, Recording, Segment
from smallvoice.errors import InputError
from smallvoice.recipe import CorpusRecipe


@dataclass
class Reading:
    """What was read of one file, or of one folder of a known shape."""

    path: str
    format: str
    segments: list[Segment] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, item: Item) -> None:
        if isinstance(item, Recording):
            self.segments += item.segments
        elif isinstance(item, Problem):
            self.problems.append(item)
        else:
            self.notes.append(item.message)

    def as_dict(self) -> dict[str, Any]:
        """Counts: `segments`, `timed`, `untimed`, `words`, `speakers`, `flagged` and `rejected` by reason."""
        flags = Counter(flag for segment in self.segments for flag in segment.flags)
        timed = sum(segment.start_s is not None for segment in self.segments)
        return {
            "path": self.path,
            "format": self.format,
            "segments": len(self.segments),
            "timed": timed,
            "untimed": len(self.segments) - timed,
            "words": sum(len(segment.text.split()) for segment in self.segments),
            "speakers": len({segment.speaker for segment in self.segments if segment.speaker}),
            "flagged": dict(flags.most_common()),
            "rejected": dict(Counter(problem.reason for problem in self.problems).most_common()),
            "notes": self.notes,
        }


def read_transcripts(path: Path, recipe: CorpusRecipe) -> Iterator[Reading]:
    """Each transcript file below `path` (or `path` itself) with what its reader understood.

    Raises:
        InputError: nothing there is a transcript. RecipeError: a setting that cannot be right.
    """
    reader = reader_of(path, recipe)
    completer = Completer(recipe)
    if reader is not None:
        reading = Reading(path.name, reader.name)
        for item in completer.complete(reader.read(path, recipe)):
            reading.add(item)
        yield reading
        return
    folder = path if path.is_dir() else path.parent
    found = False
    for file in walk(path) if path.is_dir() else [path]:
        if is_audio(file) or (detected := formats.detect(file, recipe)) is None:
            continue
        found = True
        reading = Reading(relative(file, folder), detected.name)
        for item in completer.complete(_items(file, reading.path, detected, recipe)):
            reading.add(item)
        yield reading
    if not found:
        raise InputError(f"{path}: audio, but no transcript of a known format.")


def _items(file: Path, where: str, reader: FileReader, recipe: CorpusRecipe) -> Iterator[Item]:
    try:
        document: Document = reader.parse(file, where, recipe)
    except Unreadable as error:
        yield Problem(where=where, reason=error.reason, detail=error.detail)
        return
    yield Recording(audio=file, path=where, segments=document.segments)
    yield from document.problems
    yield from (Note(message=message) for message in document.notes)


def describe(readings: list[Reading], num_shown: int) -> list[RenderableType]:
    """A row of counts for each file, then the first segments as they were understood."""
    counts = Table(box=None, pad_edge=False)
    counts.add_column("file", overflow="fold")
    counts.add_column("format")
    for heading in ("segments", "timed", "words", "speakers", "flagged", "rejected"):
        counts.add_column(heading, justify="right")
    rows = [reading.as_dict() for reading in readings]
    for row in rows:
        numbers = [str(row[name]) for name in ("segments", "timed", "words", "speakers")]
        flagged, rejected = sum(row["flagged"].values()), sum(row["rejected"].values())
        counts.add_row(row["path"], row["format"], *numbers, str(flagged), str(rejected))
    lines: list[RenderableType] = [counts]
    for name in ("rejected", "flagged"):
        total: Counter[str] = Counter()
        for row in rows:
            total.update(row[name])
        lines += [f"  {count} {name}: {reason}" for reason, count in total.most_common()]
    notes = Counter(note for row in rows for note in row["notes"])
    lines += [f"Note: {note.rstrip('.')}{f' ({count} files)' if count > 1 else ''}." for note, count in notes.items()]
    shown = [segment for reading in readings for segment in reading.segments][:num_shown]
    if shown:
        lines.append(_segments(shown))
    return lines


def _segments(segments: list[Segment]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("where", overflow="fold")
    table.add_column("start", justify="right")
    table.add_column("end", justify="right")
    for heading in ("speaker", "text"):
        table.add_column(heading, overflow="fold")
    for segment in segments:
        times = ["" if time is None else f"{time:.2f}" for time in (segment.start_s, segment.end_s)]
        table.add_row(segment.where, *times, segment.speaker or "", segment.text)
    return table
