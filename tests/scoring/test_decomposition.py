"""What a raw error rate is made of, on texts where it can be counted by hand."""

from __future__ import annotations

import pytest

from smallvoice.scoring.decomposition import STEPS, waterfall
from smallvoice.scoring.scores import score


def rates(reference: str, hypothesis: str, language: str = "en") -> dict[str, float]:
    row = {"id": "1", "reference": reference, "hypothesis": hypothesis, "language": language}
    blocks = {form: {"a": block} for form, block in score([row])["wer"].items()}
    return {step["step"]: step["taken"] for step in waterfall(blocks, "a")} | {"left": blocks["normalised"]["a"]["wer"]}


@pytest.mark.parametrize(
    ("reference", "hypothesis", "step", "taken"),
    [
        ("WE CALL IT BEAR", "We call it bear", "case", 4 / 4),
        ("we call it bear", "we call it, bear!", "punctuation", 2 / 4),
        ("i saw seven bears", "i saw 7 bears", "numbers, contractions, spelling", 1 / 4),
        ("it is my favourite colour", "it is my favorite color", "numbers, contractions, spelling", 2 / 5),
        ("um i saw hmm a bear", "i saw a bear", "fillers, as Whisper's rules leave them out", 2 / 6),
    ],
)
def test_each_step_takes_what_it_says_and_nothing_else(
    reference: str, hypothesis: str, step: str, taken: float
) -> None:
    found = rates(reference, hypothesis)
    expected = {name: 0.0 for name, _ in STEPS} | {step: taken, "left": 0.0}
    assert found == pytest.approx(expected)


def test_the_parts_and_what_is_left_add_up_to_the_raw_rate() -> None:
    found = rates("UM I SAW SEVEN BEARS YESTERDAY", "I saw 7 bears, yes to day.")
    assert found["left"] > 0
    assert sum(found.values()) == pytest.approx(7 / 6)


def test_without_a_reference_word_there_is_nothing_to_divide() -> None:
    blocks = {
        form: {"a": block} for form, block in score([{"id": "1", "reference": "", "hypothesis": "a"}])["wer"].items()
    }
    assert waterfall(blocks, "a") == []
