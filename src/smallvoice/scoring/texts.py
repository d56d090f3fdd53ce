"""Texts to be scored, from the files that recognisers and their users have.

    .jsonl         one object a line: an id, and `text`, `reference`, `hypothesis`, `words` or `transcript`
    .tsv .csv      an id and a text, or a head that names both among other columns
    .trn           text (id), as sclite has it
    .stm .ctm      NIST's timed files; .json: SegLST
    anything else  id and text, where every line of both files begins with what looks like an id (it holds a _, a
                   digit beside other letters, or at least four digits; or the file is called `text`, as Kaldi's);
                   else line by line

Timed files are joined into one text for each recording, or for each speaker of it where both files name the same
speakers; words of a CTM that are said where an STM is not to be scored are left out, as sclite does. Nothing else is
dropped: a reference without a hypothesis counts as deleted words and is said, a hypothesis without a reference is an
error. Where rows have a field for the hypothesis (`hypothesis`, `hyp`, `prediction`, `pred_text`), null in it is the
empty text, whatever else stands in the row; so is one whose row says in `error` why decoding failed, and that is said.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallvoice.errors import InputError
from smallvoice.scoring.groups import Row
from smallvoice.scoring.hypotheses import failure, listed
from smallvoice.scoring.timed_texts import READERS, Text, TimedFile, joined, refuse
from smallvoice.scoring.wording import count
from smallvoice.storage import parse_json, read_text

_IDS = (
    "id",
    "utterance_id",
    "utt_id",
    "utt",
    "key",
    "audio",
    "file",
    "filename",
    "file_name",
    "path",
    "audio_filepath",
)
_TEXTS = ("text", "words", "transcript", "transcription", "sentence")
_OF_SIDE = {"reference": ("reference", "ref"), "hypothesis": ("hypothesis", "hyp", "prediction", "pred_text")}
_NAMES = ("speaker", "recording", "gender", "role", "language")
_NUMBERS = ("age_years", "duration_s", "snr_db")
_OF_A_RUN: dict[str, type] = {
    "capped": bool,
    "synthetic": bool,
    "flags": list,
    "beams": int,
    "split": str,
    "system": str,
}
"""What `evaluate` writes; columns of that name that hold other things are not these."""
_NO_FACT = frozenset({*_IDS, *_TEXTS, *_OF_SIDE["reference"], *_OF_SIDE["hypothesis"], "error", "schema_version"})
_ID = re.compile(r"\S*_\S*|(?=\S*\d)\S*[^\W\d]\S*|\d{4,}\S*|\d+-\d\S*")
_TRN = re.compile(r"(.*)\(([^()\s]+)\)\s*")


@dataclass(frozen=True)
class Paired:
    """The utterances of two files."""

    rows: list[Row]
    """As `scores.score` takes them."""
    missing: list[str]
    """The ids that have no hypothesis."""
    failed: list[str]
    """The ids whose hypothesis says why they could not be decoded (`hypotheses.failure`), and is scored as empty."""
    how: str
    """How they were found to belong together, such as `line by line`."""


def pair(reference: Path, hypothesis: Path, language: str | None = None, *, by_line: bool = False) -> Paired:
    """Pair the texts of two files.

    Args:
        language: of rows that do not say theirs; None is taken for English.
        by_line: pair plain texts line by line, even where each line begins with what looks like an id.

    Raises:
        InputError: a file that cannot be read, ids given twice, hypotheses of nothing, other numbers of lines.
    """
    paths = (reference, hypothesis)
    left, right = _read(reference, "reference"), _read(hypothesis, "hypothesis")
    if isinstance(left, TimedFile) and isinstance(right, TimedFile):
        return _rows(*joined(left, right), language, paths, "by recording")
    if isinstance(left, TimedFile) or isinstance(right, TimedFile):
        timed, other = paths if isinstance(left, TimedFile) else paths[::-1]
        raise InputError(f"{timed} has times and {other} has none, so their texts cannot be paired.")
    if isinstance(left, _Lines) and isinstance(right, _Lines) and (by_line or not _have_ids(left, right)):
        return _rows(*_line_by_line(left, right), language, paths, "line by line")
    texts = [side.with_ids() if isinstance(side, _Lines) else side for side in (left, right)]
    return _rows(texts[0], texts[1], language, paths, "by id")


@dataclass(frozen=True)
class _Lines:
    """A plain file: a text a line, perhaps with its id before it."""

    path: Path
    lines: list[str]

    def with_ids(self) -> list[Text]:
        pieces = [line.split(None, 1) for line in self.lines if line.strip()]
        return [Text(piece[0], piece[1] if len(piece) > 1 else "") for piece in pieces]


def _read(path: Path, side: str) -> list[Text] | _Lines | TimedFile:
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix](path)
    text = read_text(path).removeprefix("\ufeff")
    if suffix == ".jsonl":
        return _json_lines(path, text, side)
    if suffix in (".tsv", ".csv"):
        return _table(path, text, side)
    if suffix == ".trn":
        return _trn(path, text)
    return _Lines(path, _lines(text))


def _lines(text: str) -> list[str]:
    """Not splitlines(): a text may hold U+2028, a form feed or other things that it takes for an end."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _json_lines(path: Path, text: str, side: str) -> list[Text]:
    found: list[Text | None] = []
    problems: list[str] = []
    for number, line in enumerate(_lines(text), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line, f"{path}:{number}")
        except InputError as error:
            problems.extend(error.problems)
            continue
        if not isinstance(row, dict):
            problems.append(f"{path}:{number}: not a JSON object.")
        elif "schema_version" in row and len(row) == 1:
            continue
        else:
            found.append(_of_row(row, f"{path}:{number}", side, problems))
    refuse(problems)
    return [text for text in found if text is not None]


def _of_row(row: dict[str, Any], where: str, side: str, problems: list[str]) -> Text | None:
    name = next((row[key] for key in _IDS if row.get(key) not in (None, "")), None)
    keys = (*_OF_SIDE[side], *_TEXTS)
    text = next((row[key] for key in keys if row.get(key) is not None), None)
    if side == "hypothesis" and row.keys() & set(_OF_SIDE[side]):  # `text` beside it is what was said
        text = next((row[key] for key in _OF_SIDE[side] if row.get(key) is not None), "")
    failed = failure(row) if side == "hypothesis" else None
    if failed:
        text = ""
    if not isinstance(name, str | int) or not isinstance(text, str):
        problems.append(f"{where}: expected an id ({', '.join(_IDS[:3])}, ...) and a text ({', '.join(keys)}).")
        return None
    facts = {key: value for key, value in row.items() if key not in _NO_FACT and value not in (None, "")}
    facts = {key: value for key, value in facts.items() if key not in _OF_A_RUN or isinstance(value, _OF_A_RUN[key])}
    for key in facts.keys() & set(_NAMES):
        if isinstance(facts[key], str | int):
            facts[key] = str(facts[key])
        else:
            problems.append(f"{where}: {key} is {facts[key]!r}, not text.")
    facts |= {key: _number(facts[key]) for key in facts.keys() & set(_NUMBERS)}
    facts["error"] = failed
    return Text(str(name), text, {key: value for key, value in facts.items() if value is not None})


def _number(value: Any) -> float | None:
    """A finite number; None for anything else, which is then unknown."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _table(path: Path, text: str, side: str) -> list[Text]:
    if path.suffix.lower() == ".tsv":  # quotation marks in it are text
        rows = [line.split("\t") for line in _lines(text)]
    else:
        try:
            rows = list(csv.reader(io.StringIO(text, newline="")))
        except csv.Error as error:
            raise InputError(f"{path}: not a CSV table: {error}.") from None
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    texts = (*_OF_SIDE[side], *_TEXTS)
    problems: list[str] = []
    ids, said = set(head) & set(_IDS), set(head) & {*_TEXTS, *_OF_SIDE["reference"], *_OF_SIDE["hypothesis"]}
    if ids and len(head) == 2:  # the other column is the text, whatever it is called
        head = [name if name in ids else side for name in head]
    elif ids and not set(head) & set(texts):
        problems.append(f"{path}:1: a head without a column of texts; known: {', '.join(texts)}.")
    elif said and not ids:
        problems.append(f"{path}:1: a head without a column of ids; known: {', '.join(_IDS)}.")
    headed = bool(ids)
    if not headed:
        head, rows = ["id", "text"], [[], *rows]
    found = []
    # Of a row that ends before the hypothesis which the head names, it is null.
    unheard: dict[str, Any] = dict.fromkeys(set(head) & set(_OF_SIDE["hypothesis"]))
    for number, cells in enumerate(rows[1:], 2 if headed else 1):
        if len(cells) > len(head) and any(cells):
            problems.append(f"{path}:{number}: {len(cells)} columns, expected {len(head)} ({', '.join(head)}).")
        elif any(cells):
            row = unheard | dict(zip(head, cells, strict=False))
            found.append(_of_row(row, f"{path}:{number}", side, problems))
    refuse(problems)
    return [text for text in found if text is not None]


def _trn(path: Path, text: str) -> list[Text]:
    found, problems = [], []
    for number, line in enumerate(_lines(text), 1):
        if not line.strip() or line.startswith(";;"):
            continue
        match = _TRN.fullmatch(line)
        if match:
            found.append(Text(match[2], match[1].strip()))
        else:
            problems.append(f"{path}:{number}: expected a text and its id in parentheses at the end.")
    refuse(problems)
    return found


def _have_ids(reference: _Lines, hypothesis: _Lines) -> bool:
    """Whether the first words of the lines are ids."""
    if all(side.path.stem.startswith("text") and not side.path.suffix for side in (reference, hypothesis)):
        return True
    first = [[text.id for text in side.with_ids()] for side in (reference, hypothesis)]
    return bool(first[0]) and all(_ID.fullmatch(name) for side in first for name in side)


def _line_by_line(reference: _Lines, hypothesis: _Lines) -> tuple[list[Text], list[Text]]:
    if hypothesis.lines and len(reference.lines) != len(hypothesis.lines):
        raise InputError(
            f"{reference.path} has {len(reference.lines)} lines and {hypothesis.path} has {len(hypothesis.lines)}. "
            "Without ids the texts are paired line by line; an empty line is an empty text."
        )
    numbered = [
        [Text(str(place), line) for place, line in enumerate(side.lines, 1)] for side in (reference, hypothesis)
    ]
    return numbered[0], numbered[1]


def _rows(
    references: list[Text], hypotheses: list[Text], language: str | None, paths: tuple[Path, Path], how: str
) -> Paired:
    problems = [
        f"{path}: {twice}"
        for path, side in zip(paths, (references, hypotheses), strict=True)
        if (twice := _twice(side))
    ]
    heard = {text.id: text for text in hypotheses}
    known = {text.id for text in references}
    unknown = [text.id for text in hypotheses if text.id not in known]
    if unknown:
        problems.append(f"{paths[1]}: {count(len(unknown), 'id')} not in {paths[0]}: {listed(unknown)}.")
    if not references:
        problems.append(f"{paths[0]}: no texts in it.")
    refuse(problems)
    rows = []
    for text in references:
        found = heard.get(text.id)
        facts = {"language": language, **(found.facts if found else {}), **text.facts}
        said = {"id": text.id, "reference": text.text, "hypothesis": found.text if found else ""}
        error = found.facts.get("error") if found else "no hypothesis"
        rows.append({**facts, **said, "system": "hypotheses", "error": error})
    failed = [text.id for text in hypotheses if text.facts.get("error")]
    return Paired(rows, [text.id for text in references if text.id not in heard], failed, how)


def _twice(texts: list[Text]) -> str | None:
    twice = [name for name, times in Counter(text.id for text in texts).items() if times > 1]
    return f"{count(len(twice), 'id')} given more than once: {listed(twice)}." if twice else None
