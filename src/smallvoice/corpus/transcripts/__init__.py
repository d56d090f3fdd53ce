"""Transcripts in whatever form they come: one reader per format, all giving the same items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from smallvoice.corpus.transcripts import kaldi, reference
from smallvoice.corpus.transcripts.segment import Item, Reader
from smallvoice.errors import InputError

READERS: tuple[Reader, ...] = (kaldi.READER, reference.READER)
"""In the order in which a folder is tried."""


def read(folder: Path) -> Iterator[Item]:
    """Every segment, unusable line and orphan file of a folder, each exactly once.

    Raises:
        InputError: as `reader_of`.
    """
    return reader_of(folder).read(folder)


def reader_of(folder: Path) -> Reader:
    """The reader of a folder.

    Raises:
        InputError: missing, not a folder, empty, or of no shape that can be read (the message lists them).
    """
    if not folder.exists():
        raise InputError(f"{folder}: no such folder.")
    if not folder.is_dir():
        raise InputError(f"{folder}: a file; a source is a folder of recordings and transcripts.")
    if not any(folder.iterdir()):
        raise InputError(f"{folder}: the folder is empty; a source is a folder of recordings and transcripts.")
    for reader in READERS:
        if reader.recognises(folder):
            return reader
    shapes = "".join(f"\n  - {reader.shape}" for reader in READERS)
    raise InputError(f"{folder}: no transcripts of a known shape. What is read:{shapes}")
