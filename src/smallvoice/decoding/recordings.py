"""The recordings that are meant: files, audio files in folders, pipes; and what tells one from every other."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from smallvoice.corpus.transcripts.segment import AUDIO_SUFFIXES
from smallvoice.errors import InputError
from smallvoice.storage import file_digest, no_space_as_error

STANDARD_INPUT = "-"
MOST_BYTES = 8_000_000_000
"""Of a pipe, which goes to a temporary file: 11 hours in stereo, 16 bits at 48 kHz."""

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Work:
    """One recording, and where its transcript may go."""

    source: Path | None
    """None: standard input."""
    name: str
    """What it is called in messages."""
    target: Path | None = None
    """Where it would lie among the transcripts. None: its transcript is only returned."""
    problem: str | None = None
    """Why it cannot be read, where that is seen already."""


@dataclass(frozen=True)
class Identity:
    """What tells a recording from every other, as its transcript keeps it."""

    content: str
    """The sha256 of its bytes."""
    place: str | None
    """A digest of where it lies; None of a pipe, which lies nowhere."""


def find(sources: list[Path], out: Path | None) -> list[Work]:
    """The recordings that are meant: files, pipes, and audio files in folders, in order of their names.

    Raises:
        InputError: a source that does not exist, a folder without audio.
    """
    if [str(source) for source in sources] == [STANDARD_INPUT]:
        return [Work(source=None, name="standard input", target=out / "standard_input" if out else None)]
    found: dict[str, Work] = {}
    problems = []
    for source in sources:
        if source.is_dir() and not _entered(source):
            works = []
            problems.append(f"{source}: a folder that may not be read.")
        elif source.is_dir():
            files = _audio_in(source)
            works = [_work(file, file.relative_to(source), out, _problem(file)) for file in files]
            works += [_work(place, place.relative_to(source), out, why) for place, why in _not_entered(source)]
            if not works:
                problems.append(f"{source}: no audio file in it.")
        elif source.exists():
            works = [_work(source, Path(source.name), out)]
        else:
            works = []
            problems.append(f"{source}: no such file or folder.")
        for work in works:
            found.setdefault(os.path.abspath(work.name), work)  # noqa: PTH100 (resolve() would follow links)
    if problems:
        raise InputError(*problems)
    return list(found.values())


def _work(file: Path, below: Path, out: Path | None, problem: str | None = None) -> Work:
    return Work(source=file, name=str(file), target=out / below if out else None, problem=problem)


def _audio_in(folder: Path) -> list[Path]:
    """Files that are audio by their name; not what macOS keeps beside them, `._a.wav`."""
    files = (file for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES and _entered(file.parent))
    return sorted(file for file in files if not file.name.startswith("._") and not file.is_dir())


def _entered(folder: Path) -> bool:
    """Whether its files can be looked at; of some folders one may see the names alone."""
    return os.access(folder, os.R_OK | os.X_OK)


def _not_entered(folder: Path) -> Iterator[tuple[Path, str]]:
    """Folders below it whose recordings are not seen, and why."""
    for place, names, _ in os.walk(folder):
        for path in sorted(Path(place, name) for name in names):
            if path.is_symlink():
                if not path.resolve().is_relative_to(folder.resolve()):
                    yield path, "a link to another folder, which is not followed: name that one"
            elif not _entered(path):
                yield path, "a folder that may not be read"


def _problem(file: Path) -> str | None:
    """Why what lies in a folder is not read. A pipe is read only where it is named, for it may have no other end."""
    if file.is_file():
        return None
    return "not a regular file" if file.exists() else "a link to a file that is not there"


@contextmanager
def held(work: Work) -> Iterator[tuple[Path, Identity]]:
    """A recording as a file; what comes through a pipe is put into a temporary one.

    Raises:
        InputError: it cannot be read; from a pipe come no audio, or more than `MOST_BYTES`.
        ResourceError: no room for the temporary file.
    """
    if work.problem:
        raise InputError(f"{work.name}: {work.problem}.")
    if work.source is not None and work.source.is_file():
        yield work.source, Identity(file_digest(work.source), place_of(work.source))
        return
    if work.source is None and sys.stdin is None:
        raise InputError(f"{work.name}: it is closed.")
    with (
        nullcontext(sys.stdin.buffer) if work.source is None else work.source.open("rb") as pipe,
        tempfile.NamedTemporaryFile(prefix="smallvoice-") as file,
    ):
        with no_space_as_error(Path(file.name)):
            _spool(pipe, file, work.name)
        yield Path(file.name), Identity(file_digest(Path(file.name)), None)


def place_of(source: Path) -> str:
    """A digest of where a file lies: the `place` of its recording."""
    place = os.path.realpath(source)  # of /dev/stdin the file that it stands for
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:12]


def _spool(pipe: IO[bytes], file: IO[bytes], name: str) -> None:
    """Everything from a pipe, into a file."""
    size = 0
    while block := pipe.read(_BLOCK):
        if size == 0 and len(block) == _BLOCK and not block.strip(b"\0"):
            raise InputError(f"{name}: not audio: it begins with {_BLOCK >> 20} MB of zeros.")
        size += len(block)
        if size > MOST_BYTES:
            most = f"{MOST_BYTES / 1e9:g} GB"
            raise InputError(f"{name}: over {most} came through the pipe. Save it as a file, and give that.")
        file.write(block)
    file.flush()
