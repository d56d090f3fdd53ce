"""Text files in whatever encoding they came, line by line, so that one bad line does not cost the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from smallvoice.corpus.transcripts.document import encoding_of
from smallvoice.errors import InputError


def read_lines(path: Path) -> Iterator[tuple[int, str | None]]:
    """The number (from 1) and text of every line that is not blank; None for a line that is not UTF-8.

    UTF-16 is recognised by its byte order mark or by its zero bytes.

    Raises:
        InputError: the file cannot be opened.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
    encoding = encoding_of(data)
    newline = "\n".encode(encoding)
    if _find(data, newline, 0) < 0:
        newline = "\r".encode(encoding)  # an old Mac's
    for number, line in enumerate(_split(data, newline), 1):
        try:
            text = line.decode(encoding).removeprefix("\ufeff").rstrip("\r")
        except UnicodeDecodeError:
            yield number, None
            continue
        if text.strip():
            yield number, text


def _split(data: bytes, newline: bytes) -> Iterator[bytes]:
    start = 0
    while (end := _find(data, newline, start)) >= 0:
        yield data[start:end]
        start = end + len(newline)
    yield data[start:]


def _find(data: bytes, newline: bytes, position: int) -> int:
    """The next newline that starts at a whole character; -1 where there is none."""
    while (position := data.find(newline, position)) >= 0 and position % len(newline):
        position += 1
    return position
