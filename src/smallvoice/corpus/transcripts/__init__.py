"""Transcripts in whatever form they come: one reader per format, all giving the same items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from smallvoice.corpus.transcripts import folder, formats, huggingface, kaldi, plain
from smallvoice.corpus.transcripts.files import is_audio, relative, walk
from smallvoice.corpus.transcripts.segment import Item, Problem, Reader
from smallvoice.errors import InputError
from smallvoice.recipe import CorpusRecipe

FOLDER_READERS: tuple[Reader, ...] = (kaldi.READER, huggingface.READER)
"""Shapes that a folder has as a whole, in the order in which it is tried; any other is read file by file."""


def read(path: Path, recipe: CorpusRecipe) -> Iterator[Item]:
    """Every segment, unusable line and orphan file of a folder or of one transcript, each exactly once.

    Raises:
        InputError: as `reader_of`. RecipeError: the recipe's `format` is not known.
    """
    reader = reader_of(path, recipe)
    if reader is None:
        yield from folder.read(path, recipe)
        return
    yield from reader.read(path, recipe)
    by_content = replace(recipe, format=None)
    for file in walk(path):
        if _is_a_transcript(file, by_content):
            detail = f"the folder is read as {reader.name}: give this file's own folder as another source"
            yield Problem(where=relative(file, path), reason="another kind of transcript", detail=detail)


def reader_of(path: Path, recipe: CorpusRecipe = CorpusRecipe()) -> Reader | None:
    """The reader of a folder as a whole; None: it is read file by file.

    Raises:
        InputError: missing, empty, or without anything that can be read (the message lists the formats).
        RecipeError: the recipe's `format` is not known.
    """
    if not path.exists():
        raise InputError(f"{path}: no such folder.")
    by_name = {reader.name: reader for reader in FOLDER_READERS}
    forced = recipe.format.lower() if recipe.format else None
    if forced and forced not in by_name:
        formats.by_name(forced)
    if path.is_file():
        if forced in by_name or not (forced or formats.detect(path, recipe)):
            raise InputError(f"{path}: not a transcript of a known format. What is read:{_shapes()}")
        return None
    if not any(path.iterdir()):
        raise InputError(f"{path}: the folder is empty; a source is a folder of recordings and transcripts.")
    for reader in FOLDER_READERS:
        if forced == reader.name or (forced is None and reader.recognises(path)):
            return reader
    if forced in by_name or not folder.recognises(path, recipe):
        raise InputError(f"{path}: no transcripts of a known shape. What is read:{_shapes()}")
    return None


def _is_a_transcript(file: Path, recipe: CorpusRecipe) -> bool:
    """Whether a file would be read elsewhere. Any .txt is plain text: it is a transcript where it has a recording."""
    if is_audio(file):
        return False
    reader = formats.detect(file, recipe)
    if reader is plain.TEXT:
        return plain.has_audio_beside(file)
    return reader is not None


def _shapes() -> str:
    shapes = [(reader.name, reader.shape) for reader in FOLDER_READERS]
    shapes += [(reader.name, reader.shape) for reader in formats.FILE_READERS]
    return "".join(f"\n  - {name}: {shape}" for name, shape in shapes)
