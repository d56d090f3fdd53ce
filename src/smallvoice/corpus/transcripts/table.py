"""Tables of segments: CSV, TSV, XLSX and JSON, a row a segment. `columns.py` knows what their columns hold.

The delimiter (`,` `;` tab `|`) is the one with which the header makes most sense. The first row is the header,
unless the recipe's `columns` gives numbers from 1 (`{audio: "1", text: "2"}`): then there is none.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from smallvoice.corpus.transcripts import lhotse_cuts, seglst, spreadsheet
from smallvoice.corpus.transcripts.columns import MAX_COLUMNS, chosen, document_of, guessed, header_of
from smallvoice.corpus.transcripts.document import Document, FileReader, Head, Unreadable, read_text
from smallvoice.corpus.transcripts.fields import first_lines, numbered_lines, text_and_notes
from smallvoice.corpus.transcripts.segment import Problem
from smallvoice.recipe import CorpusRecipe

_DELIMITERS = ",;\t|"
_MAX_LINES = 20
"""A quoted cell that does not end within so many lines is taken for a stray quotation mark."""
_KEY = re.compile(r'"([^"\\\n]{1,60})"\s{0,8}:')
_ROWS_FOR_HEADER = 200
_MAX_RATE = 100
"""Characters in a second: four times the speech of the fastest."""


def recognises_csv(head: Head) -> bool:
    delimiter = _head_delimiter(head)
    return delimiter is not None and delimiter != "\t"


def recognises_tsv(head: Head) -> bool:
    return _head_delimiter(head) == "\t"


def _head_delimiter(head: Head) -> str | None:
    """The delimiter of a header with a text column and one that says of which audio; None: there is no such header."""
    lines = first_lines(head, 3)
    lines = lines[1:] if lines and _is_separator(lines[0]) else lines
    if not lines or len(lines[0]) > 4000 or lines[0][0] in "{[":
        return None
    delimiter = _delimiter(lines, {})
    return delimiter if guessed(_cells(lines[0], delimiter) or []).are_usable else None


def recognises_json(head: Head) -> bool:
    """Objects with a text and an audio key, but not those of other formats nor of smallvoice's own files."""
    start = head.text.lstrip()
    if not re.match(r"\{|\[\s{0,20}\{", start) or seglst.recognises(head) or lhotse_cuts.recognises(head):
        return False
    try:
        first, _ = json.JSONDecoder().raw_decode(start, start.index("{"))
        keys = list(first)
    except (ValueError, RecursionError):
        keys = _KEY.findall(start)
    return "schema_version" not in keys and guessed(keys).are_usable


def parse_delimited(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every row of a CSV or TSV file.

    Raises:
        Unreadable: no header with a column of text.
    """
    text, notes = text_and_notes(path, where)
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if _is_separator(lines[start]):
        start += 1
    delimiter = _delimiter(lines[start : start + 5] or [""], recipe.columns)
    records = _records(lines, start, delimiter)
    first_line, first = next(records, (start + 1, []))
    if isinstance(first, str):
        raise Unreadable(f"{where}:{first_line}", "no header", first)
    header, has_header = header_of(first, recipe.columns)
    columns = chosen(header, recipe.columns, where)
    rows: list[tuple[int, Mapping[str, object]]] = []
    problems: list[Problem] = []
    for line, cells in [*([] if has_header else [(first_line, first)]), *records]:
        if isinstance(cells, str):
            problems.append(Problem(where=f"{where}:{line}", reason="bad row", detail=cells))
            continue
        while len(cells) > len(header) and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(header):
            detail = f"{len(cells)} cells, the first row has {len(header)}"
            problems.append(Problem(where=f"{where}:{line}", reason="bad row", detail=detail))
        elif any(cell.strip() for cell in cells):
            rows.append((line, dict(zip(header, cells, strict=True))))
    is_open = delimiter == "\t" and {"start", "end"}.isdisjoint(recipe.columns)
    if is_open and _are_whispers(header, [row for _, row in rows]):
        columns = replace(columns, names={"start_ms": header[0], "end_ms": header[1], "text": header[2]})
        notes = (*notes, "whole numbers below Whisper's header (start, end, text): read as milliseconds.")
    return document_of(columns, rows, problems, where, notes)


def _are_whispers(header: list[str], rows: list[Mapping[str, object]]) -> bool:
    """Whether these are the columns and the milliseconds of Whisper's own TSV: nobody speaks too fast for them."""
    if [name.strip().lower() for name in header] != ["start", "end", "text"] or not rows:
        return False
    times = [[str(row[name]).strip() for name in header[:2]] for row in rows]
    if not all(time.isascii() and time.isdigit() and len(time) <= 9 for row in times for time in row):
        return False
    spoken_s = sum(int(end) - int(start) for start, end in times) / 1000
    return sum(len(str(row[header[2]]).strip()) for row in rows) <= _MAX_RATE * spoken_s


def parse_json(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every object of a JSON Lines file or a JSON list.

    Raises:
        Unreadable: no object, or none with a text.
    """
    problems: list[Problem] = []
    rows: list[tuple[int, Mapping[str, object]]] = []
    for line, found in _objects(path, where):
        if isinstance(found, str):
            reason = "not UTF-8" if found == "not UTF-8" else "bad row"
            problems.append(Problem(where=f"{where}:{line}", reason=reason, detail=found))
        elif found:
            rows.append((line, found))
    if not rows:
        detail = f"no object in it, {len(problems)} bad rows" if problems else "no object in it"
        raise Unreadable(where, "not a JSON table", detail)
    # Dictionaries keep order: the keys as they come.
    header = list(dict.fromkeys(key for _, row in rows[:_ROWS_FOR_HEADER] for key in row))
    return document_of(chosen(header, recipe.columns, where), rows, problems, where)


def _objects(path: Path, where: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Objects with their line, or what is wrong with that line."""
    lines = numbered_lines(path, where)
    first_line, first = next(lines, (1, ""))
    if first is not None and first.lstrip().startswith("["):
        yield from seglst.json_objects(read_text(path, where), where)
        return
    yield first_line, _object(first)
    for line, text in lines:
        yield line, _object(text)


def _object(line: str | None) -> dict[str, Any] | str:
    if line is None:
        return "not UTF-8"
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:  # digits without end are a ValueError too
        return f"not JSON: {getattr(error, 'msg', 'too deep or too long')}"
    return value if isinstance(value, dict) else "not an object"


def _is_separator(line: str) -> bool:
    """Excel's own hint: `sep=;`"""
    return re.fullmatch(r"sep=.", line.strip().lower()) is not None


def _delimiter(lines: list[str], asked: Mapping[str, str]) -> str:
    """The delimiter that gives most known names in the first line, then the most even rows."""

    def fit(delimiter: str) -> tuple[int, int, int]:
        rows = [_cells(line, delimiter) or [] for line in lines]
        names = [cell.strip() for cell in rows[0]]
        known = len(guessed(names[:MAX_COLUMNS]).names) + sum(wanted in names for wanted in asked.values() if wanted)
        return known, sum(len(row) == len(names) for row in rows) if len(names) > 1 else 0, len(names)

    return max(_DELIMITERS, key=fit)


def _records(lines: list[str], start: int, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """The line number (from 1) and cells of every row that is not blank, or what is wrong with it."""
    position = start
    while position < len(lines):
        line = position + 1
        if not lines[position].strip():
            position += 1
            continue
        for end in range(line, min(line + _MAX_LINES, len(lines) + 1)):
            cells = _cells("\n".join(lines[position:end]), delimiter)
            if cells is not None:
                yield line, cells
                position = end
                break
        else:
            yield line, "a quotation mark that does not end"
            position += 1


def _cells(record: str, delimiter: str) -> list[str] | None:
    """The cells of a row; None where a quoted cell goes on in the next line.

    Tables with tabs or bars are mostly written without quotation: there a cell is unquoted where all of it is quoted.
    """
    if delimiter in "\t|":
        return [_unquoted(cell) for cell in record.split(delimiter)]
    try:
        return next(csv.reader([f"{line}\n" for line in record.split("\n")], delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end" in str(error):
            return None
    except StopIteration:
        return []
    try:
        return next(csv.reader([record.replace("\n", " ")], delimiter=delimiter))
    except (csv.Error, StopIteration):
        return [record]


def _unquoted(cell: str) -> str:
    inside = cell.strip()
    if len(inside) > 1 and inside[0] == inside[-1] == '"' and '"' not in inside[1:-1].replace('""', ""):
        return inside[1:-1].replace('""', '"')
    return cell


READERS = (
    FileReader(
        name="csv",
        shape="a table (CSV) with a header: a column of text, one of audio files, and optionally start, end, speaker, "
        "age, gender, split; as Common Voice's, or with other names given by `columns`",
        suffixes=frozenset({".csv"}),
        sure_of_name=False,
        recognises=recognises_csv,
        parse=parse_delimited,
    ),
    FileReader(
        name="tsv",
        shape="the same, separated by tabs",
        suffixes=frozenset({".tsv", ".tab"}),
        sure_of_name=False,
        recognises=recognises_tsv,
        parse=parse_delimited,
    ),
    spreadsheet.READER,
    FileReader(
        name="jsonl",
        shape="the same as JSON: one object a line (NeMo, audiofolder), or a list of objects",
        suffixes=frozenset({".jsonl", ".ndjson", ".json"}),
        sure_of_name=False,
        recognises=recognises_json,
        parse=parse_json,
    ),
)
