"""The recordings that are meant: files, audio files in folders, pipes; and what each one's transcript may be called."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from smallvoice.corpus.transcripts.segment import AUDIO_SUFFIXES
from smallvoice.errors import InputError
from smallvoice.storage import no_space_as_error

STANDARD_INPUT = "-"
MOST_BYTES = 8 << 30
"""Of a pipe, which goes to a temporary file: 12 hours in stereo, 16 bits at 48 kHz."""

_BLOCK = 1 << 20
_LONGEST_NAME = 225
"""Bytes of a recording's name that its transcript keeps: a file system takes 255, with a digest and a suffix."""

State = list[int]
"""What tells a recording from what it was before: its size, and its time or its checksum."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One recording, and where its transcript may go."""

    source: Path | None
    """None: standard input."""
    name: str
    """What it is called in messages."""
    id: str
    """The same whenever it is found again, and no other's of this command."""
    targets: tuple[Path, ...] = ()
    """Names of its transcript without a suffix, the best first; the last is its alone. None: it is only returned."""
    shared: frozenset[Path] = frozenset()
    """Those that another recording of this command could take too."""
    problem: str | None = None
    """Why it cannot be read, where that is seen already."""


@dataclass(frozen=True)
class _Found:
    source: Path
    place: Path
    """Below the folder that was given."""
    folder: str
    """The name of that folder."""
    problem: str | None = None


def find(sources: list[Path], out: Path | None) -> list[Work]:
    """The recordings that are meant: files, pipes, and audio files in folders, in order of their names.

    Raises:
        InputError: a source that does not exist, a folder without audio.
    """
    if [str(source) for source in sources] == [STANDARD_INPUT]:
        name = "standard input"
        return [Work(source=None, name=name, id=name, targets=(out / "standard_input",) if out else ())]
    found: list[_Found] = []
    problems = []
    for source in sources:
        if source.is_dir():
            files = _audio_in(source)
            folder = _absolute(source).name
            found += [_Found(file, file.relative_to(source), folder, _problem(file)) for file in files]
            if not files:
                problems.append(f"{source}: no audio file in it.")
        elif source.exists():
            found.append(_Found(source, Path(source.name), _absolute(source).parent.name))
        else:
            problems.append(f"{source}: no such file or folder.")
    if problems:
        raise InputError(*problems)
    once: dict[Path, _Found] = {}
    for one in found:
        once.setdefault(_absolute(one.source), one)
    return _with_targets(list(once.values()), out)


def _audio_in(folder: Path) -> list[Path]:
    """Files that are audio by their name; not what macOS keeps beside them, `._a.wav`."""
    files = (file for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
    return sorted(file for file in files if not file.name.startswith("._") and not file.is_dir())


def _with_targets(found: list[_Found], out: Path | None) -> list[Work]:
    """A transcript is called as its recording is, without the suffix; with it where two would share that name; and with
    a digest of where the recording lies where they would share that too.
    """
    ids = [_digest(Path(one.folder, one.place)) for one in found]
    known = Counter(ids)
    ids = [_digest(_absolute(one.source)) if known[id] > 1 else id for one, id in zip(found, ids, strict=True)]
    targets = [_targets(one, out) if out else () for one in found]
    wanted = Counter(target for wishes in targets for target in wishes)
    return [
        Work(
            source=one.source,
            name=str(one.source),
            id=id,
            targets=wishes,
            shared=frozenset(target for target in wishes if wanted[target] > 1),
            problem=one.problem,
        )
        for one, id, wishes in zip(found, ids, targets, strict=True)
    ]


def _targets(found: _Found, out: Path) -> tuple[Path, ...]:
    mark = _digest(_absolute(found.source))
    names = []
    for name in (found.place.stem, found.place.name):
        kept = os.fsencode(name)
        names.append(name if len(kept) <= _LONGEST_NAME else f"{kept[:200].decode('utf-8', 'ignore')}-{mark}")
    names.append(f"{found.place.name.encode('utf-8', 'ignore')[:_LONGEST_NAME].decode('utf-8', 'ignore')}-{mark}")
    return tuple(out / found.place.parent / name for name in dict.fromkeys(names))


def _problem(file: Path) -> str | None:
    """Why what lies in a folder is not read. A pipe is read only where it is named, for it may have no other end."""
    if file.is_file():
        return None
    return "not a regular file" if file.exists() else "a link to a file that is not there"


@contextmanager
def held(work: Work) -> Iterator[tuple[Path, State]]:
    """A recording as a file; what comes through a pipe is put into a temporary one.

    Raises:
        InputError: it cannot be read; from a pipe come no audio, or more than `MOST_BYTES`.
        ResourceError: no room for the temporary file.
    """
    if work.problem:
        raise InputError(f"{work.name}: {work.problem}.")
    if work.source is not None and work.source.is_file():
        found = work.source.stat()
        yield work.source, [found.st_size, found.st_mtime_ns]
        return
    if work.source is None and sys.stdin is None:
        raise InputError(f"{work.name}: it is closed.")
    with (
        nullcontext(sys.stdin.buffer) if work.source is None else work.source.open("rb") as pipe,
        tempfile.NamedTemporaryFile(prefix="smallvoice-") as file,
    ):
        with no_space_as_error(Path(file.name)):
            state = _spooled(pipe, file, work.name)
        yield Path(file.name), state


def _spooled(pipe: IO[bytes], file: IO[bytes], name: str) -> State:
    """Everything from a pipe, in a file; its size and checksum."""
    size = checksum = 0
    while block := pipe.read(_BLOCK):
        if size == 0 and len(block) == _BLOCK and not block.strip(b"\0"):
            raise InputError(f"{name}: not audio: it begins with {_BLOCK >> 20} MB of zeros.")
        size += len(block)
        if size > MOST_BYTES:
            most = f"{MOST_BYTES >> 30} GB" if MOST_BYTES >> 30 else f"{MOST_BYTES} bytes"
            raise InputError(f"{name}: over {most} came through the pipe. Save it as a file, and give that.")
        checksum = zlib.crc32(block, checksum)
        file.write(block)
    file.flush()
    return [size, checksum]


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
