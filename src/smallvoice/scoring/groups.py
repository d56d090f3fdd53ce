"""Groups of utterances, with the words and speakers behind every figure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

Row = dict[str, Any]
"""One utterance of a hypotheses file."""

SEED, UTTERANCE = "pooled seed", "pooled utterance"
"""Columns of pooled rows: which seed, and the id of the utterance, which then occurs several times."""

MOST_GROUPS = 12
"""A column with more values than these names things, not groups."""

ADULT_YEARS = 18


def age_bands(begins: Sequence[int]) -> list[str]:
    """The names of the bands that begin at these birthdays, the youngest first: `≤4`, `5–7`, ..., `adults`.

    In whole years: a child is 7 until the eighth birthday, so 7.9 years are in 5–7.
    """
    between = [f"{low}–{high - 1}" if high - 1 > low else f"{low}" for low, high in pairwise(begins)]
    return [f"≤{begins[0] - 1}", *between, "adults" if begins[-1] == ADULT_YEARS else f"≥{begins[-1]}"]


def by_age(rows: list[Row], begins: Sequence[int]) -> dict[str, list[int]]:
    """The positions of the rows of each age band that occurs, youngest first.

    Without an age an adult by role is in the band that holds all adults, if there is one, and anyone else unknown.

    Args:
        begins: the birthdays at which a band begins, as `evaluate.age_bands` has them.
    """
    bands = [*age_bands(begins), "unknown"]
    members: dict[str, list[int]] = {band: [] for band in bands}
    for position, row in enumerate(rows):
        age = row.get("age_years")
        if age is None:
            known = row.get("role") == "adult" and begins[-1] <= ADULT_YEARS
            members[bands[-2] if known else "unknown"].append(position)
        else:
            members[bands[bisect_right(begins, age)]].append(position)
    return {band: positions for band, positions in members.items() if positions}


def by_columns(rows: list[Row]) -> dict[str, dict[str, list[int]]]:
    """What the rows can be grouped by beside age: gender, role, duration, speaking rate, and any column of their own.

    Returns:
        Name of the grouping → group → positions of its rows, where there are at least two groups.
    """
    found = {}
    own = {
        f"{name} (column)" if name in ("age", *_GROUPINGS) else name: each for name, each in _own_columns(rows).items()
    }
    for name, label in {**_GROUPINGS, **own}.items():
        members: dict[str, list[int]] = {}
        for position, row in enumerate(rows):
            members.setdefault(label(row) or "unknown", []).append(position)
        named = [group for group in members if group != "unknown"]
        if 2 <= len(named) <= MOST_GROUPS:
            found[name] = {group: members[group] for group in _in_order(members)}
    return found


def _in_order(members: dict[str, list[int]]) -> list[str]:
    ranges = [label for _, label in (*_DURATIONS, *_RATES, *_SNRS)]
    return sorted(members, key=lambda name: (name == "unknown", ranges.index(name) if name in ranges else 0, name))


_DURATIONS = ((2.0, "under 2 s"), (4.0, "2–4 s"), (8.0, "4–8 s"), (float("inf"), "over 8 s"))
_RATES = ((1.5, "under 1.5 words/s"), (2.5, "1.5–2.5 words/s"), (float("inf"), "over 2.5 words/s"))
_SNRS = ((15.0, "under 15 dB"), (25.0, "15–25 dB"), (35.0, "25–35 dB"), (float("inf"), "over 35 dB"))


def _range(value: float | None, bounds: tuple[tuple[float, str], ...]) -> str | None:
    return None if value is None else next((label for upper, label in bounds if value < upper), None)


def _speaking_rate(row: Row) -> str | None:
    duration_s = row.get("duration_s")
    return _range(len(str(row["reference"]).split()) / duration_s, _RATES) if duration_s else None


_GROUPINGS: dict[str, Callable[[Row], str | None]] = {
    "gender": lambda row: row.get("gender"),
    "role": lambda row: row.get("role"),
    "duration": lambda row: _range(row.get("duration_s"), _DURATIONS),
    "speaking rate": _speaking_rate,
    "signal to noise": lambda row: _range(row.get("snr_db"), _SNRS),
}
_NO_GROUP = frozenset(
    {"id", "system", "split", "reference", "hypothesis", "decoded", "speaker", "recording", "age_years", "gender"}
    | {"role", "duration_s", "num_tokens", "avg_logprob", "capped", "synthetic", "flags", "error", "schema_version"}
    | {UTTERANCE, "beams", "snr_db"}
)


def _own_columns(rows: list[Row]) -> dict[str, Callable[[Row], str | None]]:
    """Columns that `evaluate` does not write: a task, a school year, an accent."""
    names = sorted({key for row in rows for key, value in row.items() if isinstance(value, str | int)} - _NO_GROUP)

    def label_of(name: str) -> Callable[[Row], str | None]:
        return lambda row: _label(row.get(name))

    return {name: label_of(name) for name in names}


def _label(value: Any) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, str | int) and value != "" else None


UNNAMED = "unknown"
"""The unit of all rows without a speaker where others have one."""


def units(rows: list[Row]) -> list[tuple[str, str]]:
    """Of each row the unit whose utterances are not independent, as its kind and name.

    The speaker; where nobody is known the recording, else the utterance. Where some are known all other rows are one
    unit, for they may be one voice.
    """
    if num_speakers(rows):
        return [("speaker", UNNAMED if row.get("speaker") is None else str(row["speaker"])) for row in rows]
    return [
        ("utterance", str(row.get(UTTERANCE, row["id"])))
        if row.get("recording") is None
        else ("recording", str(row["recording"]))
        for row in rows
    ]


def num_speakers(rows: list[Row]) -> int:
    """How many different speakers are named; rows without one add none."""
    return len({row["speaker"] for row in rows if row.get("speaker") is not None})
