"""XLSX spreadsheets, through openpyxl; formulas give the value that was saved with them.

A spreadsheet is a ZIP of XML. What it would unpack to is looked at before anything is unpacked, and a document
type declaration, which no spreadsheet has, is refused.
"""

from __future__ import annotations

import datetime
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl

from smallvoice.corpus.transcripts.columns import are_asked, chosen, document_of, guessed, header_of, text_of
from smallvoice.corpus.transcripts.document import Document, FileReader, Head, Unreadable
from smallvoice.corpus.transcripts.fields import seconds
from smallvoice.corpus.transcripts.segment import Problem
from smallvoice.recipe import CorpusRecipe

MAX_BYTES = 256 * 2**20
"""Unpacked."""
MAX_RATIO = 200
_MAX_PART = 16 * 2**20
"""Unpacked, of a part that openpyxl holds as a whole tree: all but sheets and the strings in them."""
_MAX_ROW = 1_048_576
_MAX_COLUMNS = 1024
_HEADER_ROWS = 10
_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"})
"""What stands in a cell whose formula failed."""
_CHUNK = 2**20
_TIMES = ("start", "end", "duration")

Rows = list[tuple[int, Sequence[object]]]
"""The row's number, from 1, and its cells."""


def recognises(head: Head) -> bool:
    """A ZIP whose first sheets have a header with columns of text and audio."""
    if not head.data.startswith(b"PK") or head.suffix not in READER.suffixes:
        return False
    try:
        sheets = _sheets(head.path, head.path.name, limit=_HEADER_ROWS)
    except Unreadable:
        return False
    return any(guessed(_names(_from_header(rows, set()))).are_usable for rows in sheets.values())


def parse(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every row of the first sheet with a header that can be used.

    Raises:
        Unreadable: not a spreadsheet, unsafe to unpack, or without such a sheet.
    """
    asked = set(recipe.columns.values())
    heads = _sheets(path, where, limit=_HEADER_ROWS)
    sheets = [(title, _from_header(rows, asked)) for title, rows in heads.items() if rows]
    if not sheets:
        raise Unreadable(where, "empty file", f"no sheet has a cell in its first {_HEADER_ROWS} rows")
    usable = [title for title, rows in sheets if are_asked(_names(rows), asked)]
    usable += [title for title, rows in sheets if guessed(_names(rows)).are_usable]
    title = (usable or [sheets[0][0]])[0]
    read = _sheets(path, where, only=[title, *usable])
    rows = _from_header(read[title], asked)
    header, has_header = header_of(rows[0][1], recipe.columns, max(len(cells) for _, cells in rows))
    columns = chosen(header, recipe.columns, where)
    found = [(number, dict(zip(header, cells, strict=False))) for number, cells in rows[has_header:]]
    of_times = [columns.names[field] for field in _TIMES if field in columns.names]
    others = [name for name, _ in sheets if name != title]
    notes = [f"of {len(sheets)} sheets {title!r} is read, not {', '.join(others[:5])}."] if others else []
    if len(rows) < len(read[title]):
        notes.append(f"its header is in row {rows[0][0]}; what stands above it is not read.")
    detail = f"of this workbook {title!r} is read; save this sheet as a workbook of its own"
    unread = [
        Problem(where=f"{where}#{name}:{number}", reason="sheet not read", detail=detail)
        for name, lines in read.items()
        if name != title
        for number, _ in _from_header(lines, asked)[1:]
    ]
    if _are_minutes_and_seconds([[row.get(name) for name in of_times] for _, row in found]):
        found = [(number, row | {name: _as_minutes(row.get(name)) for name in of_times}) for number, row in found]
        notes.append("no clock time in it has seconds: 1:30 is read as 1 minute 30 seconds, not 1 hour 30 minutes.")
    return document_of(columns, found, unread, where, tuple(notes))


def _are_minutes_and_seconds(rows: Sequence[Sequence[object]]) -> bool:
    """Whether `1:30` was typed for 90 seconds, which spreadsheets take for half past one.

    Taken for hours and minutes, a segment from one clock time to another would last whole minutes: too long for
    Whisper. A clock time beside a number of seconds (`0:05:00`, and a duration of 4) is what it says.
    """
    filled = [[cell for cell in row if cell is not None] for row in rows]
    clocks = [[cell for cell in row if isinstance(cell, datetime.time | datetime.timedelta)] for row in filled]
    if any(0 < len(some) < len(row) for some, row in zip(clocks, filled, strict=True)):
        return False
    times = [seconds(cell) or 0.0 for row in clocks for cell in row]
    return max(map(len, clocks), default=0) > 1 and any(times) and all(time % 60 == 0 for time in times)


def _as_minutes(cell: object) -> object:
    """Hours and minutes as minutes and seconds."""
    clock = isinstance(cell, datetime.time | datetime.timedelta)
    return (seconds(cell) or 0.0) / 60 if clock else cell


def _from_header(rows: Rows, asked: set[str]) -> Rows:
    """Without titles and remarks above the header: the first row that has the names asked for, or usual ones."""
    for place, row in enumerate(rows[:_HEADER_ROWS]):
        names = _names([row])
        if are_asked(names, asked) or guessed(names).are_usable:
            return rows[place:]
    return rows


def _names(rows: Rows) -> list[str]:
    return [text_of(cell) for cell in rows[0][1]] if rows else []


def _sheets(path: Path, where: str, *, limit: int | None = None, only: Sequence[str] = ()) -> dict[str, Rows]:
    """The rows (not blank) of every sheet, or only of some; of each the first `limit`."""
    _check(path, where)
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and extensions, which are not read
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            sheets = [sheet for sheet in book.worksheets if not only or sheet.title in only]
            return {sheet.title: _rows(sheet, where, limit) for sheet in sheets}
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable(where, "damaged spreadsheet", "it does not fit into memory") from None
    except Exception as error:  # openpyxl has no exception of its own: a damaged part fails in any way
        raise Unreadable(where, "damaged spreadsheet", f"{type(error).__name__}: {str(error)[:200]}") from None


def _rows(sheet: Any, where: str, limit: int | None) -> Rows:
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    rows: Rows = []
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if number > _MAX_ROW or len(cells) > _MAX_COLUMNS:
            found = f"row {number} of {sheet.title!r} has {len(cells)} columns"
            raise Unreadable(where, "damaged spreadsheet", found)
        if any(text_of(cell) for cell in cells):
            rows.append((number, ["" if cell in _ERRORS else cell for cell in cells]))
        if limit is not None and number >= limit:
            break
    return rows


def _check(path: Path, where: str) -> None:
    """Refuse what is no spreadsheet, or would unpack to far more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            size = sum(part.file_size for part in parts)
            # What a part says is an upper limit: zipfile reads no more.
            if size > MAX_BYTES or size > MAX_RATIO * path.stat().st_size:
                raise Unreadable(where, "unpacks to too much", f"{size / 1e6:.0f} MB")
            for part in parts:
                whole = not part.filename.startswith("xl/worksheets/") and part.filename != "xl/sharedStrings.xml"
                if whole and part.file_size > _MAX_PART and part.filename.endswith((".xml", ".rels")):
                    raise Unreadable(where, "unpacks to too much", f"{part.filename}: {part.file_size / 1e6:.0f} MB")
                _refuse_declarations(archive, part, where)
    except OSError as error:
        raise Unreadable(where, "cannot be read", str(error.strerror)) from None
    except Unreadable:
        raise
    except Exception as error:  # zipfile and its decompressors fail in many ways: BadZipFile, zlib.error, EOFError
        raise Unreadable(where, "not a spreadsheet", f"{type(error).__name__}: {str(error)[:200]}") from None


def _refuse_declarations(archive: zipfile.ZipFile, part: zipfile.ZipInfo, where: str) -> None:
    if not part.filename.endswith((".xml", ".rels")):
        return
    tail = b""
    with archive.open(part) as stream:
        while chunk := stream.read(_CHUNK):
            # Without zero bytes UTF-16 reads the same.
            text = tail + chunk.replace(b"\0", b"")
            if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
                raise Unreadable(where, "entity declaration", f"{part.filename} declares a document type")
            tail = text[-16:]


READER = FileReader(
    name="xlsx",
    shape="the same as a spreadsheet (XLSX): the first sheet with such a header",
    suffixes=frozenset({".xlsx", ".xlsm"}),
    sure_of_name=False,
    recognises=recognises,
    parse=parse,
)
