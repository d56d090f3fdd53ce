"""What single fields of a transcript say: times, channels, speakers, splits. And how its text is got at."""

from __future__ import annotations

import datetime
import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from smallvoice.corpus.transcripts.document import HEAD_BYTES, MAX_BYTES, Head, Unreadable, read_bytes, read_text
from smallvoice.corpus.transcripts.lines import read_lines
from smallvoice.corpus.transcripts.people import is_code, person
from smallvoice.corpus.transcripts.segment import number
from smallvoice.errors import InputError

SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "devel": "dev",
    "development": "dev",
    "val": "dev",
    "valid": "dev",
} | {
    "validation": "dev",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""What corpora call their splits -> what they are called here."""

_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,3}):(\d{1,2})(?:[.,](\d{1,9}))?", re.ASCII)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_SIDES = {"A": 0, "L": 0, "LEFT": 0, "B": 1, "R": 1, "RIGHT": 1}
_MAX_SECONDS = 1e15


def squeezed(text: str) -> str:
    """White space and line ends as single spaces."""
    return " ".join(text.split())


def unescaped(text: str) -> str:
    """`&lt;`, `&#39;` as the characters that they stand for; an `&` without `;` is itself."""
    return _ENTITY.sub(lambda found: html.unescape(found.group()), text)


def clock(text: str) -> float | None:
    """`1:02:03.5`, `02:03,500` in seconds, or None."""
    found = _CLOCK.fullmatch(text.strip())
    if not found:
        return None
    hours, minutes, seconds, fraction = found.groups(default="0")
    # One conversion, so that 00:00:01.1 is the same number as 1.1.
    return float(f"{(int(hours) * 60 + int(minutes)) * 60 + int(seconds)}.{fraction}")


def seconds(value: object) -> float | None:
    """A time in seconds: a number, its text (with point or comma), a clock time; else None."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < _MAX_SECONDS else None
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.time):
        return (value.hour * 60 + value.minute) * 60 + value.second + value.microsecond / 1e6
    text = str(value).strip()
    if ":" in text:
        return clock(text)
    return number(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)


def channel(text: str, *, from_zero: bool) -> int | None:
    """The channel from 0: `A`, `left` or a number; None where it is neither.

    Args:
        from_zero: whether the file's own numbers start at 0.
    """
    word = text.strip().upper()
    if word in _SIDES:
        return _SIDES[word]
    if word.isascii() and word.isdigit() and len(word) <= 2:
        return int(word) if from_zero else max(int(word) - 1, 0)
    return None


def person_in(
    name: str | None, transcript: str, recording: str | None, is_local: Callable[[str], bool] = is_code
) -> str | None:
    """As `people.person`, where one transcript has several recordings: a code is one person in each."""
    # The suffix keeps recordings apart whose names differ after a dot.
    return person(name, f"{transcript}/{recording}.x" if recording else transcript, is_local)


_LIBRISPEECH = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")


def split_of_folder(name: str) -> str | None:
    """The split that a folder (`development`, `test-clean`) or a table (`train` of `train.tsv`) is called by."""
    found = _LIBRISPEECH.fullmatch(name.lower())
    return found[1] if found else SPLITS.get(name.lower())


def split_in(name: str) -> str | None:
    """The split that a file or folder name speaks of (`train-00000-of-00002`, `test`), or None."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def first_lines(head: Head, count: int = 10) -> list[str]:
    """The first lines that are not blank; the last is left out where the head cuts it."""
    lines = head.text.replace("\r", "\n").split("\n")
    if len(head.data) >= HEAD_BYTES:
        lines = lines[:-1] or lines
    return [line for line in lines if line.strip()][:count]


def numbered_lines(path: Path, where: str) -> Iterator[tuple[int, str | None]]:
    """As `read_lines`, of a file that is not too large.

    Raises:
        Unreadable: it is, or cannot be opened.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise Unreadable(where, "too large for a transcript", f"{size / 1e6:.0f} MB")
        yield from read_lines(path)
    except Unreadable:
        raise
    except (InputError, OSError) as error:
        raise Unreadable(where, "cannot be read", str(error).rstrip(".")) from None


def text_and_notes(path: Path, where: str) -> tuple[str, tuple[str, ...]]:
    """The whole file as text; what is neither UTF-8 nor UTF-16 is read as Windows-1252, and a note says so.

    Raises:
        Unreadable: it cannot be opened, is empty, too large, or not text.
    """
    notes: tuple[str, ...] = ()
    try:
        text = read_text(path, where)
    except Unreadable as error:
        if error.reason != "not UTF-8":
            raise
        if b"\0" in read_bytes(path, where):
            raise Unreadable(where, "not text", "it holds zero bytes") from None
        text = read_text(path, where, fallback="cp1252")
        notes = (f"not UTF-8 ({error.detail}): read as Windows-1252 (Latin-1).",)
    if "\0" in text:
        raise Unreadable(where, "not text", "it holds zero bytes")
    return text, notes
