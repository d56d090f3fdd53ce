from __future__ import annotations

import time

import numpy as np
import pytest

from smallvoice.scoring.significance import change, percentile_interval, resample


def drawn(counts: list[list[int]], resamples: int = 4000, seed: int = 0) -> np.ndarray:
    return resample(np.array(counts, dtype=np.int64), resamples, seed)


def test_resampling_equals_the_slow_way() -> None:
    counts = np.random.default_rng(1).integers(0, 50, size=(7, 3))
    generator = np.random.default_rng(5)
    slow = np.array([counts[generator.integers(0, 7, size=7)].sum(axis=0) for _ in range(100)])
    assert np.array_equal(resample(counts, 100, seed=5), slow)


def test_the_same_seed_gives_the_same_interval() -> None:
    counts = [[9, 3, 20], [4, 4, 30], [8, 1, 25]]
    assert np.array_equal(drawn(counts), drawn(counts))
    assert not np.array_equal(drawn(counts), drawn(counts, seed=1))


def test_a_clear_gain_excludes_zero_and_both_intervals_agree() -> None:
    counts = [[20 + i, 8 + i % 3, 50] for i in range(20)]
    totals = tuple(int(column) for column in np.sum(counts, axis=0))
    result = change(totals, drawn(counts), 0.95)  # type: ignore[arg-type]
    assert result.absolute is not None and result.relative is not None
    assert result.absolute_interval is not None and result.relative_interval is not None
    assert result.absolute_interval[0] < result.absolute < result.absolute_interval[1] < 0
    assert result.relative_interval[0] < result.relative < result.relative_interval[1] < 0
    assert result.probability_of_improvement == 1.0


def test_no_difference_is_not_an_improvement() -> None:
    result = change((10, 10, 100), drawn([[5, 5, 50], [5, 5, 50]]), 0.95)
    assert result.absolute == 0 and result.absolute_interval == (0, 0)
    assert result.probability_of_improvement == 0


def test_speakers_that_move_together_are_not_independent_words() -> None:
    """Ten times the words of the same few speakers must not make the interval narrower."""
    few = [[5, 1, 10], [5, 9, 10], [5, 2, 10], [5, 4, 10]]
    many = [[10 * cell for cell in row] for row in few]
    assert (
        change((20, 16, 40), drawn(few), 0.95).absolute_interval
        == change((200, 160, 400), drawn(many), 0.95).absolute_interval
    )


def test_what_cannot_be_divided_is_none() -> None:
    no_words = change((0, 3, 0), drawn([[0, 1, 0], [0, 2, 0]]), 0.95)
    assert no_words.absolute is None and no_words.relative is None and no_words.absolute_interval is None
    no_errors = change((0, 3, 40), drawn([[0, 1, 20], [0, 2, 20]]), 0.95)
    assert no_errors.absolute == 3 / 40 and no_errors.relative is None and no_errors.relative_interval is None
    assert change((4, 3, 40), None, 0.95).absolute_interval is None


def test_an_infinite_increase_gives_no_interval_rather_than_infinity() -> None:
    result = change((1, 9, 40), drawn([[0, 4, 20], [1, 5, 20]]), 0.95)
    assert result.relative == 8 and result.relative_interval is None
    assert result.absolute_interval is not None


def test_a_speaker_without_words_does_not_break_the_draws() -> None:
    result = change((4, 3, 20), drawn([[0, 1, 0], [4, 2, 20]]), 0.95)
    assert result.absolute_interval is not None and np.isfinite(result.absolute_interval).all()


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    draws = np.random.default_rng(0).normal(size=10_000)
    narrow, wide = percentile_interval(draws, 0.5), percentile_interval(draws, 0.95)
    assert narrow is not None and wide is not None
    assert wide == pytest.approx((-1.96, 1.96), abs=0.06)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_many_speakers_are_resampled_in_seconds() -> None:
    counts = np.random.default_rng(0).integers(0, 500, size=(2000, 12))
    start = time.monotonic()
    resample(counts, 10_000, 0)
    assert time.monotonic() - start < 10
