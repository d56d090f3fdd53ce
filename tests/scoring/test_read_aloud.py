"""Reading aloud: each kind of deviation alone, and a whole passage."""

from __future__ import annotations

import pytest

from smallvoice.scoring.read_aloud import assess

PASSAGE = "The rabbit ran into the wood. It did not come back."
WORDS = 11


@pytest.mark.parametrize(
    ("heard", "counts"),
    [
        ("the rabbit ran into the wood it did not come back", {"correct": 11}),
        ("The rabbit ran into the wood. It didn't come back!", {"correct": 11}),
        ("the rabbit ran the wood it did not come back", {"correct": 10, "omitted": 1}),
        ("the rabbit ran into the would it did not come back", {"correct": 10, "substituted": 1}),
        ("the rabbit ran into the dark wood it did not come back", {"correct": 11, "inserted": 1}),
        ("the rab rabbit ran into the wood it did not come back", {"correct": 11, "self_corrected": 1}),
        ("the rabid rabbit ran into the wood it did not come back", {"correct": 11, "self_corrected": 1}),
        ("the rabbit ran ran into the wood it did not come back", {"correct": 11, "repeated": 1}),
        ("the rabbit the rabbit ran into the wood it did not come back", {"correct": 11, "repeated": 2}),
        ("", {"correct": 0, "omitted": 11}),
    ],
)
def test_each_deviation(heard: str, counts: dict[str, int]) -> None:
    reading, steps = assess(PASSAGE, heard, None)
    found = reading.as_dict()
    kinds = ("omitted", "inserted", "substituted", "self_corrected", "repeated")
    assert {name: found[name] for name in ("correct", *kinds)} == {**dict.fromkeys(kinds, 0), **counts}
    assert found["words"] == WORDS and sum(step.reference is not None for step in steps) == WORDS
    assert found["words_correct_per_minute"] is None


def test_words_correct_per_minute() -> None:
    reading, _ = assess(PASSAGE, "the rabbit ran into the wood", 12.0)
    assert reading.correct_per_minute == pytest.approx(6 / 12 * 60)
    assert reading.as_dict()["words_correct_per_minute"] == 30.0


def test_other_languages() -> None:
    reading, _ = assess("Das Kind läuft.", "das kind lauft", 3.0, "de")
    assert (reading.correct, reading.substituted) in ((3, 0), (2, 1))
    assert reading.words == 3
