from __future__ import annotations

import pytest

from smallvoice.scoring import groups


@pytest.mark.parametrize(
    ("age_years", "role", "band"),
    [
        (0.5, "child", "≤4"),
        (4.99, "child", "≤4"),
        (5, "child", "5–7"),
        (7.9, "child", "5–7"),
        (8, "child", "8–10"),
        (11, "child", "11–13"),
        (14, "child", "14–17"),
        (17.99, "child", "14–17"),
        (18, "child", "adults"),
        (6, "adult", "5–7"),
        (None, "adult", "adults"),
        (None, "child", "unknown"),
        (None, None, "unknown"),
    ],
)
def test_age_band(age_years: float | None, role: str | None, band: str) -> None:
    assert groups.age_band(age_years, role) == band


def test_groups_come_youngest_first_and_hold_every_row_once() -> None:
    rows = [{"id": str(age), "age_years": age, "role": None} for age in (30, None, 6, 4, 7, 12)]
    assert groups.by_age(rows) == {"≤4": [3], "5–7": [2, 4], "11–13": [5], "adults": [0], "unknown": [1]}


def test_the_unit_is_the_speaker_else_the_recording() -> None:
    assert groups.unit_of({"id": "u", "speaker": "S1", "recording": "R1"}) == ("speaker", "S1")
    assert groups.unit_of({"id": "u", "speaker": None, "recording": "R1"}) == ("recording", "R1")
    assert groups.unit_of({"id": "u"}) == ("utterance", "u")
