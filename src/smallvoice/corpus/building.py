"""A folder that is replaced as a whole: the old one stands until the new one is complete."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smallvoice.errors import InputError, ResourceError
from smallvoice.storage import no_space_as_error

RESERVE_BYTES = 64 << 20
"""Left free on the disk: a machine whose disk is full to the last byte is hard to help."""


def check_room(folder: Path) -> None:
    """See that the disk has room, before it is full to the last byte.

    Raises:
        ResourceError: less than 64 MB are free on the disk of `folder`.
    """
    free = shutil.disk_usage(folder).free
    if free < RESERVE_BYTES:
        raise ResourceError(
            f"No room left on the disk of {folder}: {free / 1e6:.0f} MB are free. Free some space and run "
            "the same command again; what was there before is untouched."
        )


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`; put it in the place of `out` if all went well, else remove it.

    A killed process leaves its unfinished folder behind; the next one with the same `out` removes it. A link stays one,
    and who may read the folder may read the new one.

    Raises:
        InputError: another process is building the same folder.
        ResourceError: the disk is full.
    """
    out = Path(os.path.realpath(out))  # of a link the folder that it leads to is replaced, not the link
    building = out.with_name(f".{out.name}.building")
    replaced = out.with_name(f".{out.name}.replaced")
    with no_space_as_error(out):
        building.mkdir(parents=True, exist_ok=True)
        lock = os.open(building, os.O_RDONLY)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(f"{out}: another smallvoice is writing it now. Wait for it to end.") from None
            _restore(out, replaced)
            shutil.rmtree(replaced, ignore_errors=True)
            _empty(building)
            if out.exists():
                building.chmod(0o700)  # until it takes over the mode of what it replaces
            try:
                check_room(building)
                yield building
                _sync(building)
                if out.exists():
                    shutil.copymode(out, building)
                    out.rename(replaced)
                building.rename(out)
            finally:
                shutil.rmtree(building, ignore_errors=True)
                _restore(out, replaced)
                shutil.rmtree(replaced, ignore_errors=True)
        finally:
            os.close(lock)


def _restore(out: Path, replaced: Path) -> None:
    """Bring back the old folder if we were stopped between the two renames."""
    if replaced.exists() and not out.exists():
        replaced.rename(out)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
