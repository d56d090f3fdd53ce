"""The table of transcript formats, and which of them a file has."""

from __future__ import annotations

from pathlib import Path

from smallvoice.corpus.transcripts import (
    chat,
    elan,
    labels,
    lena,
    lhotse_cuts,
    nist,
    plain,
    seglst,
    subtitles,
    table,
    textgrid,
    transcriber,
)
from smallvoice.corpus.transcripts.document import FileReader, Unreadable, head_of
from smallvoice.errors import RecipeError
from smallvoice.recipe import CorpusRecipe

FILE_READERS: tuple[FileReader, ...] = (
    chat.READER,
    elan.READER,
    textgrid.READER,
    transcriber.READER,
    *subtitles.READERS,
    *nist.READERS,
    seglst.READER,
    lhotse_cuts.READER,
    *table.READERS,
    labels.READER,
    *plain.READERS,
    lena.READER,
)
"""The more a format says, the earlier: where a recording has several transcripts, the first is taken."""

NAMES = tuple(reader.name for reader in FILE_READERS)


def by_name(name: str) -> FileReader:
    """The reader of a format that the user names.

    Raises:
        RecipeError: there is none; the message lists them.
    """
    for reader in FILE_READERS:
        if reader.name == name.lower():
            return reader
    raise RecipeError(f"format: {name!r} is not known. Known formats: kaldi, huggingface, {', '.join(NAMES)}.")


def detect(path: Path, recipe: CorpusRecipe) -> FileReader | None:
    """The reader of a file, by its content; of several that fit, one that the file's name fits too.

    Where the recipe gives the `format`, other files are left alone; where it says what columns hold, a file that is
    called a table is one.
    """
    try:
        head = head_of(path)
    except Unreadable:  # its reader will say so
        suffix = path.suffix.lower()
        return next((reader for reader in FILE_READERS if suffix in reader.suffixes), None)
    if recipe.format:
        reader = by_name(recipe.format)
        return reader if head.suffix in reader.suffixes or reader.recognises(head) else None
    for known_name in (True, False):
        for reader in FILE_READERS:
            if (head.suffix in reader.suffixes) is known_name and reader.recognises(head):
                return reader
    if recipe.columns:
        return next((reader for reader in table.READERS if head.suffix in reader.suffixes), None)
    # A damaged or empty file of a known name is its reader's to explain.
    return next((reader for reader in FILE_READERS if head.suffix in reader.suffixes and reader.sure_of_name), None)
