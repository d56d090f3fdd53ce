"""The files of a source, in the same order on every machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from smallvoice.corpus.transcripts.segment import AUDIO_SUFFIXES, Problem


def walk(folder: Path) -> Iterator[Path]:
    """Every file at any depth, sorted, but hidden ones (`.DS_Store`, `._a.wav`) and prepared corpora.

    A link is followed only where it stays inside the folder.
    """
    return (path for path in _walk(folder) if not leads_out(path, folder))


def links_out(folder: Path) -> Iterator[Problem]:
    """The links that `walk` does not follow."""
    for place, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            path = Path(place, name)
            if path.is_symlink():
                yield Problem(where=relative(path, folder), reason="link to a folder", detail="not followed")
            elif not os.access(path, os.R_OK | os.X_OK):
                yield Problem(where=relative(path, folder), reason="folder cannot be read", detail="no permission")
    for path in _walk(folder):
        if leads_out(path, folder):
            yield Problem(where=relative(path, folder), reason="link out of the folder", detail="not followed")


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a file is a link to something outside of the folder."""
    try:
        return path.is_symlink() and not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a loop
        return True


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        if "corpus.json" in names and "index.arrow" in names:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            # What is no file (a pipe, a socket, a device) would be waited for without end.
            path = Path(place, name)
            if not name.startswith(".") and (path.is_symlink() or path.is_file()):
                yield path


def is_audio(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES


def is_file(path: Path) -> bool:
    """Whether a name that somebody wrote is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def relative(path: Path, folder: Path) -> str:
    """`path` inside `folder`, with forward slashes on every system."""
    name = path.relative_to(folder).as_posix()
    # A name that is not UTF-8 (old Latin-1 disks) still has to be written down.
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")
