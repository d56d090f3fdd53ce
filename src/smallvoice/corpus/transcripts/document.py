"""One transcript file: what a reader of a format gives, and how the formats are told apart.

A reader knows one format and nothing of audio: `parse` takes the file and gives a `Document`. Which recording a
segment belongs to is settled by `folder.py`, from the names that the document gives or from the file beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from smallvoice.corpus.transcripts.segment import Problem, Segment
from smallvoice.errors import InputError
from smallvoice.recipe import CorpusRecipe

HEAD_BYTES = 8192
MAX_BYTES = 256 * 2**20
"""A larger transcript is refused: the longest day-long recording's is a hundredth of it."""


class Unreadable(InputError):
    """A file that is not what its reader expects; `reason` is short and countable, `detail` says what was found."""

    def __init__(self, where: str, reason: str, detail: str) -> None:
        super().__init__(f"{where}: {reason}: {detail}.")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """What one transcript file says."""

    segments: tuple[Segment, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Lines of which nothing could be made."""
    media: tuple[str, ...] = ()
    """Audio or video that the file names as its own, the best first: as written, never followed blindly."""
    shifts_s: tuple[float, ...] = ()
    """What the times become later by in each of `media`, where these begin at different times; none: nothing."""
    words_alone: bool = False
    """Whether it is made of aligned words: the whole text of the same recording, as somebody wrote it, says more."""
    notes: tuple[str, ...] = ()
    """What costs no segment, but its owner would want to know."""

    def later_by(self, shift_s: float) -> Document:
        """The same at other times."""
        if not shift_s:
            return self
        problems = (
            replace(problem, segment=problem.segment and _later(problem.segment, shift_s)) for problem in self.problems
        )
        segments = (_later(segment, shift_s) for segment in self.segments)
        return replace(self, segments=tuple(segments), problems=tuple(problems))


def _later(segment: Segment, shift_s: float) -> Segment:
    return replace(
        segment,
        start_s=None if segment.start_s is None else segment.start_s + shift_s,
        end_s=None if segment.end_s is None else segment.end_s + shift_s,
        words=tuple(
            replace(word, start_s=word.start_s + shift_s, end_s=word.end_s + shift_s) for word in segment.words
        ),
    )


@dataclass(frozen=True, slots=True)
class Head:
    """The name and the first bytes of a file: enough to tell its format."""

    path: Path
    data: bytes
    text: str
    """`data` decoded, wrong characters replaced."""

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class FileReader:
    """A format of transcript files: one row of the table in `formats.py`."""

    name: str
    """What `--format` takes."""
    shape: str
    """What such a file looks like, for the message that lists what can be read."""
    suffixes: frozenset[str]
    """Names that it usually has; a file of another name is recognised by its content alone."""
    recognises: Callable[[Head], bool]
    """Whether the first bytes look like it."""
    sure_of_name: bool = True
    """Whether a file of such a name that is not recognised is still this format's, to be explained by it."""
    parse: Callable[[Path, str, CorpusRecipe], Document]
    """The file, what to call it in `where`, and the settings (`tiers`, `chat_text`, `columns`).

    Raises `Unreadable` where nothing can be made of the file as a whole."""


def head_of(path: Path) -> Head:
    """The first bytes of a file.

    Raises:
        Unreadable: it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            data = file.read(HEAD_BYTES)
    except OSError as error:
        raise Unreadable(str(path), "cannot be read", str(error.strerror)) from None
    return Head(path, data, _guessed(data))


def read_bytes(path: Path, where: str) -> bytes:
    """The whole file.

    Raises:
        Unreadable: it cannot be opened, is empty, or too large to be a transcript.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise Unreadable(where, "too large for a transcript", f"{size / 1e6:.0f} MB")
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(where, "cannot be read", str(error.strerror)) from None
    if not data.strip(b"\0 \t\r\n"):
        raise Unreadable(where, "empty file", f"{len(data)} bytes")
    return data


def read_text(path: Path, where: str, *, fallback: str | None = None) -> str:
    """The whole file as text with `\\n` line ends; UTF-8 or, by its mark or zero bytes, UTF-16.

    Args:
        fallback: the encoding of files that are neither, such as `latin-1`.

    Raises:
        Unreadable: as `read_bytes`, or in no known encoding.
    """
    data = read_bytes(path, where)
    encoding = encoding_of(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if fallback is None:
            line = data.count(b"\n", 0, error.start) + 1
            raise Unreadable(f"{where}:{line}", "not UTF-8", f"byte {error.start}") from None
        text = data.decode(fallback, errors="replace")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


_MARKS = [(b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")]


def encoding_of(data: bytes) -> str:
    """UTF-8, or UTF-16 by its byte order mark or its zero bytes."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    head = data[:1000]
    if head and b"\0" in head:
        # ASCII characters, spaces and tabs above all, have their zero byte second in little-endian text.
        return "utf-16-le" if head[1::2].count(0) >= head[0::2].count(0) else "utf-16-be"
    return "utf-8"


def _guessed(data: bytes) -> str:
    return data.decode(encoding_of(data), errors="replace").removeprefix("\ufeff").replace("\r\n", "\n")
