"""What every transcript reader gives: recordings with their segments, and what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smallvoice.recipe import CorpusRecipe

AUDIO_SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".caf", ".sph"}
    | {".w64", ".rf64", ".m4a", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".aac", ".wma", ".amr", ".3gp"}
)
"""Files that are recordings by their name; not all of them can be opened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """One word and when it is said."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A stretch of a recording and what is said in it, as the source has it."""

    where: str
    """Source-relative `path:line` of the transcript."""
    text: str
    start_s: float | None = None
    """None: the recording's start."""
    end_s: float | None = None
    """None: the recording's end."""
    speaker: str | None = None
    """The source's own name."""
    age_years: float | None = None
    gender: str | None = None
    role: str | None = None
    role_is_guess: bool = False
    """Whether the role is that of the speaker's code or tier: what a table of speakers says wins over it."""
    language: str | None = None
    tier: str | None = None
    """The tier or track that it stands on, where the format has them."""
    recording: str | None = None
    """What the transcript calls its recording, where one file describes several: `rec1`, `clips/a.mp3`."""
    channel: int | None = None
    """From 0, where the format says which channel of the recording."""
    split: str | None = None
    """The split that its line puts it in."""
    session: str | None = None
    words: tuple[Word, ...] = ()
    """Where the format times words: so that a long segment can be split at a pause."""
    flags: tuple[str, ...] = ()
    """What a user should look at, short and countable: `unintelligible`, `code not understood`."""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """Audio that lies inside a table: one cell of a Parquet or Arrow file."""

    file: Path
    column: str
    row: int
    """From 0, in the whole file."""

    @property
    def name(self) -> str:
        return f"{self.file.name}#{self.row}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One channel of an audio file, or all of it mixed, with all of its segments."""

    audio: Path | Embedded
    path: str
    """What names it in this source on every machine: its source-relative path, where it lies inside."""
    channel: int | None = None
    """From 0; None: all, mixed."""
    split: str | None = None
    """The split that the source itself puts it in."""
    session: str | None = None
    """The source's own name of the visit or folder."""
    segments: tuple[Segment, ...]
    unwritten: tuple[Segment, ...] = ()
    """Other speech in it, of another recording's segments (another split, session or channel) or in the ledger already
    (`www`, other tiers): neighbours that margins must not enter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A line or file of which nothing could be made: a row of the ledger."""

    where: str
    """Source-relative `path:line`, or `path` of a whole file."""
    reason: str
    """Short, the same for all of its kind, so that it can be counted."""
    detail: str = ""
    segment: Segment | None = None
    """What is lost with it, where that is known."""
    session: str | None = None
    split: str | None = None


NOTHING_LOST = (
    "not selected",
    "role not chosen",
    "given twice",
    "another transcript is used",
    "not validated",
    "tier not chosen",
    "tier of phones",
    "tier of words",
    "tier of codes",
    "tier of notes",
    "dependent tier",
    "no words",
    "not transcribed",
    "not speech",
)
"""How reasons begin that cost no words: what the user did not want, what is there already, what nobody said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something about a source that costs no segment, but that its owner would want to know."""

    message: str


Item = Recording | Problem | Note


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """A format of transcripts."""

    name: str
    shape: str
    """What such a folder looks like, for the message that lists what can be read."""
    recognises: Callable[[Path], bool]
    read: Callable[[Path, CorpusRecipe], Iterator[Item]]
    """Every segment, unreadable line and orphan file of the folder, each exactly once."""


def number(text: str) -> float | None:
    """A plain finite decimal number, or None. Python's own float() also takes `nan`, `inf` and `1_0`."""
    stripped = text.strip()
    if not stripped or not set(stripped) <= set("0123456789.+-eE"):
        return None
    try:
        value = float(stripped)
    except ValueError:
        return None
    return value if abs(value) < 1e15 else None
