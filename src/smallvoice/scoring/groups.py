"""Groups of utterances, with the words and speakers behind every figure."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
"""One utterance of a hypotheses file."""

AGE_BANDS = ("≤4", "5–7", "8–10", "11–13", "14–17", "adults", "unknown")
"""In whole years: a child is 7 until the eighth birthday, so 7.9 years are in 5–7."""

_UPPER_YEARS = ((5, "≤4"), (8, "5–7"), (11, "8–10"), (14, "11–13"), (18, "14–17"))


def age_band(age_years: float | None, role: str | None = None) -> str:
    """The band of an age; without an age an adult by role is an adult, anyone else unknown."""
    if age_years is None:
        return "adults" if role == "adult" else "unknown"
    return next((band for upper, band in _UPPER_YEARS if age_years < upper), "adults")


def by_age(rows: list[Row]) -> dict[str, list[int]]:
    """The positions of the rows of each age band that occurs, youngest first."""
    members: dict[str, list[int]] = {band: [] for band in AGE_BANDS}
    for position, row in enumerate(rows):
        members[age_band(row.get("age_years"), row.get("role"))].append(position)
    return {band: positions for band, positions in members.items() if positions}


def unit_of(row: Row) -> tuple[str, str]:
    """The unit whose utterances are not independent: the speaker, else the recording, else the utterance."""
    for kind in ("speaker", "recording"):
        if row.get(kind) is not None:
            return kind, str(row[kind])
    return "utterance", str(row["id"])


def num_speakers(rows: list[Row]) -> int:
    """How many different speakers are named; rows without one add none."""
    return len({row["speaker"] for row in rows if row.get("speaker") is not None})
