"""What a raw error rate is made of, on texts where it can be counted by hand."""

from __future__ import annotations

import pytest

from smallvoice.scoring.decomposition import STEPS, waterfall
from smallvoice.scoring.scored import Scored
from smallvoice.scoring.word_errors import total


def rates(reference: str, hypothesis: str, language: str = "en") -> dict[str, float]:
    scored = Scored([{"id": "1", "reference": reference, "hypothesis": hypothesis, "language": language}])
    steps = waterfall(scored)
    assert steps[-1]["wer"] == total(scored.counts("normalised")).rate
    return {step["step"]: step["taken"] for step in steps} | {"left": steps[-1]["wer"]}


@pytest.mark.parametrize(
    ("reference", "hypothesis", "step", "taken"),
    [
        ("WE CALL IT BEAR", "We call it bear", "case", 4 / 4),
        ("we call it bear", "we call it, bear!", "punctuation", 2 / 4),
        ("i saw seven bears", "i saw 7 bears", "numbers, contractions, spelling", 1 / 4),
        ("it is my favourite colour", "it is my favorite color", "numbers, contractions, spelling", 2 / 5),
        ("um i saw hmm a bear", "i saw a bear", "fillers: um, hmm", 2 / 6),
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
    assert waterfall(Scored([{"id": "1", "reference": "", "hypothesis": "a"}])) == []


def test_contractions_that_are_written_out_are_not_called_fillers() -> None:
    found = rates("i don't see it", "i don't hear it")
    assert found["fillers: um, hmm"] == 0.0
    assert found["words as Whisper's rules count them"] == pytest.approx(1 / 4 - 1 / 5)
