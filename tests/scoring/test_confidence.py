"""Confidence: as often right as it says, fitted on few words, and words judged as the reference has them."""

from __future__ import annotations

import numpy as np
import pytest

from smallvoice.scoring.confidence import Calibration, expected_calibration_error, fit, judged
from smallvoice.scoring.normalize import CASELESS, WHISPER_ENGLISH


def overconfident(count: int, seed: int) -> tuple[list[float], list[bool]]:
    """Words that are right less often than their probability says: logit(true) = 0.5 × logit(said) - 0.3."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(2.5, 1.5, count)
    right = rng.random(count) < 1 / (1 + np.exp(-(0.5 * logits - 0.3)))
    return (1 / (1 + np.exp(-logits))).tolist(), right.tolist()


def test_the_two_numbers_are_found_again() -> None:
    found = fit(*overconfident(50_000, 0))
    assert found is not None
    assert (found.slope, found.intercept) == pytest.approx((0.5, -0.3), abs=0.05)
    assert found.words == 50_000


def test_it_says_how_often_words_are_right() -> None:
    found = fit(*overconfident(600, 1))
    assert found is not None
    probabilities, right = overconfident(20_000, 2)
    before = expected_calibration_error(probabilities, right)
    after = expected_calibration_error([found.confidence(value) for value in probabilities], right)
    assert before > 0.1 and after < before / 3


def test_words_that_lie_apart_do_not_make_it_certain() -> None:
    probabilities = [0.01] * 20 + [0.3] * 5 + [0.99] * 1000 + [0.999] * 3000
    found = fit(probabilities, [False] * 25 + [True] * 4000)
    assert found is not None and 0 < found.slope < 20
    sure = [found.confidence(value) for value in (0.0, 0.01, 0.3, 0.99, 1.0)]
    assert sure == sorted(sure) and sure[1] < 0.1 and sure[3] > 0.9
    near = fit([0.900] * 50 + [0.9001] * 50, [False] * 50 + [True] * 50)
    assert near is None or 0 <= near.confidence(0.001) <= near.confidence(0.999) <= 1


def test_a_probability_that_says_the_opposite_is_not_believed() -> None:
    assert fit([0.9] * 100 + [0.2] * 100, [False] * 100 + [True] * 100) is None


def test_order_is_kept_and_ends_are_numbers() -> None:
    found = Calibration(slope=0.7, intercept=-0.2, words=100, right=80)
    sure = [found.confidence(value) for value in (0.0, 1e-9, 0.2, 0.9, 1.0)]
    assert sure == sorted(sure) and sure[0] > 0 and sure[-1] < 1


@pytest.mark.parametrize("right", [[True] * 500, [False] * 500, [True] * 500 + [False] * 19, []])
def test_too_little_to_tell(right: list[bool]) -> None:
    assert fit([0.9] * len(right), right) is None


def test_a_word_is_right_where_the_reference_has_it() -> None:
    said = judged(["We", "called", "it", "it", "bear."], "we call it bear", WHISPER_ENGLISH)
    assert said[:2] == [True, False] and sorted(map(bool, said[2:4])) == [False, True] and said[4]
    assert judged(["Um,", "bear."], "bear", WHISPER_ENGLISH) == [None, True]
    assert judged(["Eight", "one", "zero."], "eight one two", WHISPER_ENGLISH) == [True, True, False]
    assert judged(["I'm", "here"], "I am here", WHISPER_ENGLISH) == [True, True]
    assert judged(["Green", "bare"], "{grey / green} bear", CASELESS) == [True, False]
    assert judged([], "a bear", WHISPER_ENGLISH) == []
