from __future__ import annotations

import pytest

from smallvoice import recipe_file as recipes
from smallvoice.errors import RecipeError
from smallvoice.recipe import EvaluateRecipe
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
    row = {"id": "1", "age_years": age_years, "role": role}
    assert groups.by_age([row], EvaluateRecipe().age_bands) == {band: [0]}


def test_bands_of_a_recipe() -> None:
    assert groups.age_bands([6, 7, 9]) == ["≤5", "6", "7–8", "≥9"]
    rows = [{"id": str(age), "age_years": age, "role": "adult"} for age in (5.9, 6, 8.99, 9, 40, None)]
    assert groups.by_age(rows, [6, 7, 9]) == {"≤5": [0], "6": [1], "7–8": [2], "≥9": [3, 4, 5]}
    assert groups.by_age(rows[-1:], [18, 65]) == {"unknown": [0]}, "an adult of any age"


@pytest.mark.parametrize("bands", [[8, 5], [5, 5], [0, 3], []])
def test_bands_must_rise(bands: list[int]) -> None:
    with pytest.raises(RecipeError, match=r"evaluate\.age_bands"):
        recipes.build({"evaluate": {"age_bands": bands}})


def test_groups_come_youngest_first_and_hold_every_row_once() -> None:
    rows = [{"id": str(age), "age_years": age, "role": None} for age in (30, None, 6, 4, 7, 12)]
    assert groups.by_age(rows, EvaluateRecipe().age_bands) == {
        "≤4": [3],
        "5–7": [2, 4],
        "11–13": [5],
        "adults": [0],
        "unknown": [1],
    }


def test_the_unit_is_the_speaker_else_the_recording() -> None:
    assert groups.units([{"id": "u", "speaker": "S1", "recording": "R1"}]) == [("speaker", "S1")]
    assert groups.units([{"id": "u", "speaker": None, "recording": "R1"}]) == [("recording", "R1")]
    assert groups.units([{"id": "u"}]) == [("utterance", "u")]
    pooled = [{"id": f"u seed {seed}", groups.UTTERANCE: "u"} for seed in (1, 2)]
    assert groups.units(pooled) == 2 * [("utterance", "u")], "three seeds are no more people than one"


def test_rows_without_a_speaker_may_all_be_one_voice() -> None:
    rows = [{"id": "a", "speaker": "S1"}, {"id": "b", "recording": "R1"}, {"id": "c", "recording": "R2"}]
    assert groups.units(rows) == [("speaker", "S1"), ("speaker", "unknown"), ("speaker", "unknown")]


def test_a_column_does_not_take_the_place_of_a_grouping_of_its_name() -> None:
    rows = [
        {"id": str(n), "reference": "a", "age": "yn"[n], "duration": "ls"[n], "duration_s": 1 + 4 * n} for n in (0, 1)
    ]
    assert set(groups.by_columns(rows)) == {"age (column)", "duration", "duration (column)"}


def test_long_names_that_begin_alike_are_two_groups() -> None:
    tasks = [f"Reading aloud the passage about the fox and the {place}" for place in ("river", "lake")]
    rows = [{"id": task, "reference": "a", "task": task} for task in tasks]
    assert groups.by_columns(rows)["task"] == {tasks[1]: [1], tasks[0]: [0]}


def test_groups_by_signal_to_noise_come_in_order() -> None:
    rows = [{"id": str(snr), "reference": "a", "snr_db": snr} for snr in (40.0, 9.9, 25.0, 24.9, None)]
    found = groups.by_columns(rows)["signal to noise"]
    assert found == {"under 15 dB": [1], "15–25 dB": [3], "25–35 dB": [2], "over 35 dB": [0], "unknown": [4]}
    assert [*found] == ["under 15 dB", "15–25 dB", "25–35 dB", "over 35 dB", "unknown"]
