"""The utterances with the most errors, both models' words under the words of the reference."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from smallvoice.reporting.privacy import printable, shareable
from smallvoice.scoring.groups import Row
from smallvoice.scoring.hypotheses import failure
from smallvoice.scoring.scored import Scored
from smallvoice.scoring.word_errors import AlignedWord, ErrorCounts, Kind

NUM_SHOWN = 20
_MAX_COLUMNS = 150
"""A model in a loop writes hundreds of words; nobody reads them, and the page stays under a megabyte."""
_MAX_WORD = 40
_MAX_TEXT = 600

Cell = tuple[str, Kind | None]
"""A word and what became of it; `None` where a line has nothing at this place."""


@dataclass(frozen=True)
class Column:
    """One place of the alignment. `reference` is empty where a model put in a word."""

    reference: str
    base: Cell
    tuned: Cell


@dataclass(frozen=True)
class Utterance:
    """One card of the page."""

    id: str
    about: str
    flags: list[str]
    problems: list[str]
    base: ErrorCounts
    tuned: ErrorCounts
    columns: list[Column]
    left_out: int
    """Columns beyond the ones shown."""
    direction: str
    """`ltr` or `rtl`: the side from which the reference is read."""
    written: list[tuple[str, str]]
    """Line → text as it was written, before any normaliser."""


def worst(base: list[Row], tuned: list[Row], shown: int = NUM_SHOWN, perfect: bool = False) -> list[Utterance]:
    """The utterances in which the tuned model makes the most normalised errors.

    By number of errors and not by rate: these are the utterances that make up the score.

    Args:
        base, tuned: the same utterances in the same order (`hypotheses.pair`).
        perfect: also those without errors, last.
    """
    before = Scored(base)
    after = Scored(tuned, like=before)
    base_counts, tuned_counts = before.counts("normalised"), after.counts("normalised")
    order = sorted(
        (number for number, counts in enumerate(tuned_counts) if counts.errors or perfect),
        key=lambda number: (-tuned_counts[number].errors, tuned_counts[number].words, base[number]["id"]),
    )
    aligned = before.aligned("normalised"), after.aligned("normalised")
    return [
        _utterance((base[n], tuned[n]), (aligned[0][n], aligned[1][n]), (base_counts[n], tuned_counts[n]))
        for n in order[:shown]
    ]


def columns(base: list[AlignedWord], tuned: list[AlignedWord]) -> list[Column]:
    """Two alignments with one reference, put over each other.

    Insertions of both models before the same word of the reference share columns: the lines stay level.
    """
    base_slots, tuned_slots = _slots(base), _slots(tuned)
    merged = []
    for (base_new, base_word), (tuned_new, tuned_word) in zip(base_slots, tuned_slots, strict=True):
        for place in range(max(len(base_new), len(tuned_new))):
            merged.append(Column("", _cell(base_new, place), _cell(tuned_new, place)))
        if base_word is not None and tuned_word is not None:
            merged.append(Column(_short(base_word.reference), _heard(base_word), _heard(tuned_word)))
    return merged


def direction(text: str) -> str:
    """`rtl` where the first letter with a direction is Hebrew, Arabic, ... (rule P2 of Unicode annex 9)."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("L", "R", "AL"):
            return "ltr" if kind == "L" else "rtl"
    return "ltr"


def _utterance(
    rows: tuple[Row, Row],
    aligned: tuple[list[AlignedWord], list[AlignedWord]],
    counts: tuple[ErrorCounts, ErrorCounts],
) -> Utterance:
    base, tuned = rows
    merged = columns(*aligned) if _said(aligned[0]) == _said(aligned[1]) else _one_after_the_other(*aligned)
    written = {"reference": base["reference"], "base": base["hypothesis"], "tuned": tuned["hypothesis"]}
    return Utterance(
        id=base["id"],
        about=", ".join(_about(base)),
        flags=[str(flag) for flag in tuned.get("flags") or []],
        problems=list(_problems((("base", base), ("tuned", tuned)))),
        base=counts[0],
        tuned=counts[1],
        columns=merged[:_MAX_COLUMNS],
        left_out=max(0, len(merged) - _MAX_COLUMNS),
        direction=direction(base["reference"] or tuned["hypothesis"] or base["hypothesis"]),
        written=[(name, _short(text, _MAX_TEXT)) for name, text in written.items()],
    )


def _said(aligned: list[AlignedWord]) -> list[str]:
    return [word.reference for word in aligned if word.reference is not None]


def _one_after_the_other(base: list[AlignedWord], tuned: list[AlignedWord]) -> list[Column]:
    """Two alignments whose references differ, for each chose other words of one that leaves a choice."""
    nothing: Cell = ("", None)
    return [
        *(Column(_short(word.reference), _heard(word), nothing) for word in base),
        *(Column(_short(word.reference), nothing, _heard(word)) for word in tuned),
    ]


def _slots(aligned: list[AlignedWord]) -> list[tuple[list[AlignedWord], AlignedWord | None]]:
    """For each word of the reference, and for the end, the insertions before it."""
    slots: list[tuple[list[AlignedWord], AlignedWord | None]] = []
    inserted: list[AlignedWord] = []
    for word in aligned:
        if word.kind == "insertion":
            inserted.append(word)
        else:
            slots.append((inserted, word))
            inserted = []
    return [*slots, (inserted, None)]


def _cell(inserted: list[AlignedWord], place: int) -> Cell:
    return (_short(inserted[place].hypothesis), "insertion") if place < len(inserted) else ("", None)


def _heard(word: AlignedWord) -> Cell:
    return _short(word.hypothesis), word.kind


def _short(text: str | None, limit: int = _MAX_WORD) -> str:
    text = printable(text or "")
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _about(row: Row) -> Iterable[str]:
    yield f"speaker {row['speaker']}" if row.get("speaker") is not None else "speaker unknown"
    if row.get("age_years") is not None:
        yield f"{row['age_years']:g} years"
    if row.get("duration_s") is not None:
        yield f"{row['duration_s']:.1f} s"


def _problems(rows: Iterable[tuple[str, Row]]) -> Iterable[str]:
    for name, row in rows:
        if reason := failure(row):
            yield f"{name} could not decode it: {shareable(reason)}"
        if row.get("capped"):
            yield f"{name} was cut off at the token cap"
