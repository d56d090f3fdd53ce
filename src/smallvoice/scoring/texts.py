"""Texts to be scored, from the files that recognisers and their users have.

    .jsonl         one object a line: an id, and `text`, `reference`, `hypothesis`, `words` or `transcript`
    .tsv .csv      an id and a text, with or without a head
    .trn           text (id), as sclite has it
    .stm .ctm      NIST's timed files; .json: SegLST
    anything else  id and text, where every line of both files begins with what looks like an id (it holds a digit, a _
                   or a -, or the file is called `text`, as Kaldi's); else line by line

Timed files are joined into one text for each recording, or for each speaker of it where both files name the same
speakers; words of a CTM that are said where an STM is not to be scored are left out, as sclite does. Nothing else is
dropped: a reference without a hypothesis counts as deleted words and is said, a hypothesis without
a reference is an error.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallvoice.errors import InputError
from smallvoice.scoring.groups import Row
from smallvoice.scoring.hypotheses import listed
from smallvoice.scoring.wording import count
from smallvoice.storage import read_text

if TYPE_CHECKING:
    from smallvoice.corpus.transcripts.segment import Segment, Word

_IDS = ("id", "utterance_id", "utt_id", "utt", "key", "audio", "file", "path", "audio_filepath")
_TEXTS = ("text", "words", "transcript", "transcription", "sentence")
_OF_SIDE = {"reference": ("reference", "ref"), "hypothesis": ("hypothesis", "hyp", "prediction", "pred_text")}
_KEPT = ("speaker", "recording", "age_years", "gender", "role", "language", "duration_s")
_ID = re.compile(r"[\d_-]")
_TRN = re.compile(r"(.*)\(([^()\s]+)\)\s*")


@dataclass(frozen=True)
class Text:
    """One utterance of a file."""

    id: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)
    """What else its row says: speaker, age_years, language, ..."""


@dataclass(frozen=True)
class Timed:
    """A segment of a timed file."""

    recording: str
    speaker: str | None
    start_s: float
    text: str
    words: tuple[Word, ...] = ()
    """Where the file times them."""


def pair(reference: Path, hypothesis: Path, language: str | None = None) -> tuple[list[Row], list[str]]:
    """The utterances of two files, as rows that `scores.score` takes, and the ids that have no hypothesis.

    Args:
        language: of rows that do not say theirs; None is taken for English.

    Raises:
        InputError: a file that cannot be read, ids given twice, hypotheses of nothing, other numbers of lines.
    """
    paths = (reference, hypothesis)
    left, right = _read(reference, "reference"), _read(hypothesis, "hypothesis")
    if isinstance(left, _TimedFile) and isinstance(right, _TimedFile):
        return _rows(*_joined(left, right), language, paths)
    if isinstance(left, _TimedFile) or isinstance(right, _TimedFile):
        timed, other = paths if isinstance(left, _TimedFile) else paths[::-1]
        raise InputError(f"{timed} has times and {other} has none, so their texts cannot be paired.")
    if isinstance(left, _Lines) and isinstance(right, _Lines):
        return _rows(*_of_lines(left, right), language, paths)
    texts = [side.with_ids() if isinstance(side, _Lines) else side for side in (left, right)]
    return _rows(texts[0], texts[1], language, paths)


@dataclass(frozen=True)
class _Lines:
    """A plain file: a text a line, perhaps with its id before it."""

    path: Path
    lines: list[str]

    def with_ids(self) -> list[Text]:
        pieces = [line.split(None, 1) for line in self.lines if line.strip()]
        return [Text(piece[0], piece[1] if len(piece) > 1 else "") for piece in pieces]


@dataclass(frozen=True)
class _TimedFile:
    segments: list[Timed]
    ignored: list[tuple[str, float, float]]
    """Recording, start and end of what an STM leaves out of scoring."""


def _read(path: Path, side: str) -> list[Text] | _Lines | _TimedFile:
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    suffix = path.suffix.lower()
    if suffix in _TIMED:
        return _TIMED[suffix](path)
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
    found, problems = [], []
    for number, line in enumerate(_lines(text), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            problems.append(f"{path}:{number}: not a JSON object.")
        elif "schema_version" in row and len(row) == 1:
            continue
        else:
            found.append(_of_row(row, f"{path}:{number}", side, problems))
    _refuse(problems)
    return [text for text in found if text is not None]


def _of_row(row: dict[str, Any], where: str, side: str, problems: list[str]) -> Text | None:
    name = next((row[key] for key in _IDS if row.get(key) not in (None, "")), None)
    keys = (*_OF_SIDE[side], *_TEXTS)
    text = next((row[key] for key in keys if row.get(key) is not None), None)
    if row.get("error") is not None and side == "hypothesis":
        text = ""
    if name is None or not isinstance(text, str):
        problems.append(f"{where}: expected an id ({', '.join(_IDS[:3])}, ...) and a text ({', '.join(keys)}).")
        return None
    facts = {key: _number(row[key]) if key in _NUMBERS else row[key] for key in _KEPT if row.get(key) not in (None, "")}
    return Text(str(name), text, {key: value for key, value in facts.items() if value is not None})


_NUMBERS = ("age_years", "duration_s")


def _number(value: Any) -> float | None:
    """A finite number; None for anything else, which is then unknown."""
    try:
        number = float(value)
    except (TypeError, ValueError):
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
    if not (set(head) & set(_IDS) and set(head) & set(texts)):
        head, rows = ["id", "text"], [[], *rows]
    problems: list[str] = []
    found = []
    for number, cells in enumerate(rows[1:], 2 if rows[0] else 1):
        if any(cells):
            row = dict(zip(head, cells, strict=False))
            found.append(_of_row(dict(row), f"{path}:{number}", side, problems))
    _refuse(problems)
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
    _refuse(problems)
    return found


def _nist(path: Path) -> _TimedFile:
    from smallvoice.corpus.transcripts import nist

    return _segments(path, nist.parse_stm if path.suffix.lower() == ".stm" else nist.parse_ctm)


def _seglst(path: Path) -> _TimedFile:
    from smallvoice.corpus.transcripts import seglst

    return _segments(path, seglst.parse)


_TIMED: dict[str, Callable[[Path], _TimedFile]] = {".stm": _nist, ".ctm": _nist, ".json": _seglst}


def _segments(path: Path, parse: Callable[..., Any]) -> _TimedFile:
    """What a reader of transcripts finds; a line that it cannot read is an error here, not a row of a ledger."""
    from smallvoice.corpus.transcripts.document import Unreadable
    from smallvoice.recipe import CorpusRecipe

    try:
        document = parse(path, str(path), CorpusRecipe())
    except Unreadable as error:
        raise InputError(str(error)) from None
    _refuse(
        [
            f"{problem.where}: {problem.reason}: {problem.detail}"
            for problem in document.problems
            if problem.reason != "not speech"
        ]
    )
    segments = [
        Timed(
            recording=_recording(segment),
            speaker=None if segment.speaker is None else str(getattr(segment.speaker, "name", segment.speaker)),
            start_s=segment.start_s or 0.0,
            text=segment.text,
            words=segment.words,
        )
        for segment in document.segments
    ]
    left_out = (problem.segment for problem in document.problems if problem.segment is not None)
    ignored = [(_recording(region), region.start_s or 0.0, region.end_s or math.inf) for region in left_out]
    return _TimedFile(segments, ignored)


def _recording(segment: Segment) -> str:
    return f"{segment.recording}{f'/{segment.channel}' if segment.channel else ''}"


def _scored(one: Timed, ignored: list[tuple[str, float, float]]) -> str:
    """Its text without the words whose middle lies where nothing is scored, as sclite has it."""
    regions = [(start, end) for recording, start, end in ignored if recording == one.recording]
    if not regions or not one.words:
        return one.text
    middles = ((word, (word.start_s + word.end_s) / 2) for word in one.words)
    return " ".join(word.text for word, at in middles if not any(start <= at < end for start, end in regions))


def _joined(reference: _TimedFile, hypothesis: _TimedFile) -> tuple[list[Text], list[Text]]:
    """One text for each recording, or for each speaker in it where both name the same ones."""
    speakers = [{(one.recording, one.speaker) for one in side.segments} for side in (reference, hypothesis)]
    by_speaker = speakers[1] <= speakers[0] and all(name is not None for _, name in speakers[0])
    texts = []
    for side in (reference, hypothesis):
        parts: dict[str, list[Timed]] = defaultdict(list)
        for one in side.segments:
            if one.text and not _scored(one, reference.ignored):
                continue  # all of it lies where nothing is scored
            parts[f"{one.recording}/{one.speaker}" if by_speaker else one.recording].append(one)
        texts.append(
            [
                Text(
                    name,
                    " ".join(_scored(one, reference.ignored) for one in sorted(found, key=lambda one: one.start_s)),
                    {"recording": found[0].recording} | ({"speaker": found[0].speaker} if by_speaker else {}),
                )
                for name, found in parts.items()
            ]
        )
    return texts[0], texts[1]


def _of_lines(reference: _Lines, hypothesis: _Lines) -> tuple[list[Text], list[Text]]:
    """By the first words of lines where they are ids, else by their numbers."""
    left, right = reference.with_ids(), hypothesis.with_ids()
    kaldi = all(side.path.stem.startswith("text") and not side.path.suffix for side in (reference, hypothesis))
    if left and (kaldi or all(_ID.search(text.id) for side in (left, right) for text in side)):
        return left, right
    if len(reference.lines) != len(hypothesis.lines):
        raise InputError(
            f"{reference.path} has {len(reference.lines)} lines and {hypothesis.path} has {len(hypothesis.lines)}. "
            "Without ids the texts are paired line by line; an empty line is an empty text."
        )
    numbered = [
        [Text(str(place), line) for place, line in enumerate(side.lines, 1)] for side in (reference, hypothesis)
    ]
    return numbered[0], numbered[1]


def _rows(
    references: list[Text], hypotheses: list[Text], language: str | None, paths: tuple[Path, Path]
) -> tuple[list[Row], list[str]]:
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
    _refuse(problems)
    rows = []
    for text in references:
        found = heard.get(text.id)
        facts = {"language": language, **(found.facts if found else {}), **text.facts}
        said = {"id": text.id, "reference": text.text, "hypothesis": found.text if found else ""}
        rows.append({**facts, **said, "system": "hypotheses", "error": None if found else "no hypothesis"})
    return rows, [text.id for text in references if text.id not in heard]


def _twice(texts: list[Text]) -> str | None:
    twice = [name for name, times in Counter(text.id for text in texts).items() if times > 1]
    return f"{count(len(twice), 'id')} given more than once: {listed(twice)}." if twice else None


def _refuse(problems: list[str]) -> None:
    if problems:
        raise InputError(*problems)
