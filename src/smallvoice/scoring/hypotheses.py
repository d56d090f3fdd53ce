"""Files of hypotheses: read, checked, and paired by id. Nothing is dropped on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from smallvoice.errors import InputError
from smallvoice.scoring.groups import SEED, UTTERANCE, Row
from smallvoice.storage import read_jsonl

_SHOWN = 5
"""Ids listed in an error message before "and N more"."""

_OF_THE_MODEL = ("system", "hypothesis", "decoded", "num_tokens", "capped", "beams", "error")
"""What a row says about the model that was heard; the rest is about the utterance."""
_NO_REASON = frozenset(("", "-", "n/a", "na", "none", "null", "no", "yes", "false", "true"))
"""Of a failure, in lower case: how tables write nothing, and truth values."""


def is_number(value: Any) -> bool:
    """Whether it is a number that can be reckoned with: no truth value, finite, of no hundreds of digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e12 < value < 1e12


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_TEXT = (_is_text, "missing or not text")
_TEXT_OR_NULL = (lambda value: value is None or isinstance(value, str), "not text")
_NUMBER_OR_NULL = (lambda value: value is None or is_number(value), "not a number")
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("id", "reference", "hypothesis"), _TEXT),
    **dict.fromkeys(("language", "speaker", "recording", "gender", "role"), _TEXT_OR_NULL),
    **dict.fromkeys(("age_years", "duration_s", "snr_db", "beams"), _NUMBER_OR_NULL),
    **dict.fromkeys(
        ("capped", "synthetic"), (lambda value: value is None or isinstance(value, bool), "not true or false")
    ),
    "flags": (
        lambda value: value is None or (isinstance(value, list) and all(map(_is_text, value))),
        "no list of texts",
    ),
}


def read(path: Path) -> list[Row]:
    """Read one file of hypotheses.

    Raises:
        InputError: missing, empty, not JSONL of a known schema, or rows that `check` refuses.
    """
    rows = read_jsonl(path)
    check(rows, str(path))
    return rows


def check(rows: list[Row], where: str) -> None:
    """Refuse rows that cannot be scored, with every reason at once.

    Raises:
        InputError: no rows, rows without the text fields or with fields of the wrong kind, an id given twice, or rows
            of several systems.
    """
    if not rows:
        raise InputError(f"{where}: no hypotheses in it. Run `smallvoice evaluate` first.")
    problems = []
    for field, (valid, wanted) in _FIELDS.items():
        bad = [str(number) for number, row in enumerate(rows, 1) if not valid(row.get(field))]
        if bad:
            problems.append(f"{where}: {field!r} is {wanted} in row {listed(bad)}.")
    if problems:
        raise InputError(*problems)
    twice = [name for name, count in Counter(row["id"] for row in rows).items() if count > 1]
    if twice:
        problems.append(f"{where}: {len(twice)} ids are given more than once: {listed(twice)}.")
    systems = sorted({str(row.get("system")) for row in rows})
    if len(systems) > 1:
        problems.append(f"{where}: hypotheses of {len(systems)} systems ({listed(systems)}); one file holds one.")
    if problems:
        raise InputError(*problems)


def pair(rows_a: list[Row], rows_b: list[Row], names: tuple[str, str]) -> list[Row]:
    """B's rows in the order of A's, what is known of the utterance (speaker, age, language) taken from A.

    Raises:
        InputError: ids that only one side has, or references that differ for one id.
    """
    by_id = {row["id"]: row for row in rows_b}
    ids_a = {row["id"] for row in rows_a}
    problems = []
    for only, here, there in (
        ([row["id"] for row in rows_a if row["id"] not in by_id], names[0], names[1]),
        ([name for name in by_id if name not in ids_a], names[1], names[0]),
    ):
        if only:
            problems.append(
                f"{len(only)} ids are in {here} but not in {there}: {listed(only)}. "
                "Both models must be evaluated on the same split of the same corpus."
            )
    differing = [
        row["id"] for row in rows_a if row["id"] in by_id and row["reference"] != by_id[row["id"]]["reference"]
    ]
    if differing:
        problems.append(
            f"{len(differing)} ids have another reference in {names[1]} than in {names[0]}: "
            f"{listed(differing)}. The corpus was prepared again in between: evaluate both models again."
        )
    if problems:
        raise InputError(*problems)
    return [_on_the_same_utterance(row, by_id[row["id"]]) for row in rows_a]


def pooled(before: list[Row], seeds: list[list[Row]], names: list[str]) -> tuple[list[Row], list[Row]]:
    """One system from several seeds as one: every utterance once for each, `before` repeated beside it.

    A speaker's utterances of all seeds stay one unit, so an interval over speakers takes no seed for a new voice.

    Args:
        seeds: the hypotheses of each seed, of the same utterances.
        names: of `before` and of each seed in error messages.

    Raises:
        InputError: as `check` and `pair`.
    """
    check(before, names[0])
    rows_a: list[Row] = []
    rows_b: list[Row] = []
    for number, (rows, name) in enumerate(zip(seeds, names[1:], strict=True), 1):
        check(rows, name)
        for row_a, row_b in zip(before, pair(before, rows, (names[0], name)), strict=True):
            seed = {"id": f"{row_a['id']} seed {number}", UTTERANCE: row_a["id"], SEED: f"seed {number}"}
            rows_a.append({**row_a, **seed})
            rows_b.append({**row_b, **seed, "system": seeds[0][0].get("system")})
    return rows_a, rows_b


def heard(row: Row) -> str:
    """The hypothesis as it is scored: nothing where decoding failed, so that every word is a deletion."""
    return "" if failure(row) else str(row["hypothesis"])


def failure(row: Row) -> str | None:
    """Why an utterance could not be decoded, as `evaluate` writes it into `error`; None where it says no such thing.

    Only words are a reason. In files of others `error` may be a rate, a truth value or empty.
    """
    text = row.get("error")
    if not isinstance(text, str) or text.strip().casefold() in _NO_REASON:
        return None
    try:
        float(text.strip().rstrip("%").replace(",", "."))
    except ValueError:
        return text
    return None


def _on_the_same_utterance(row_a: Row, row_b: Row) -> Row:
    flags = sorted({*(row_a.get("flags") or []), *(row_b.get("flags") or [])})
    return {**row_a, **{field: row_b.get(field) for field in _OF_THE_MODEL}, "flags": flags}


def listed(names: Iterable[str]) -> str:
    """The first few, and how many more: for error messages."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
