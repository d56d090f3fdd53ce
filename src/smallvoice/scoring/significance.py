"""The paired bootstrap over speakers: how far the numbers would move with other children.

Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004.
The utterances of one speaker rise and fall together, so whole speakers are drawn, with replacement, as many
as there are; both systems are scored on the same draw, which is what makes the comparison paired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

METHOD = "paired percentile bootstrap over speakers (Bisani & Ney 2004)"
FEW_UNITS = 10
"""Below this a percentile interval is too narrow to be taken at its word, and the comparison says so."""

_CELLS = 2_000_000
"""Draws held at once, about 50 MB with their weights."""

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Change:
    """What happened to an error rate from system A to system B; negative is better. None: not defined."""

    absolute: float | None
    absolute_interval: Interval
    relative: float | None
    """Of A's rate: −0.5 means half the errors."""
    relative_interval: Interval
    interval_a: Interval
    interval_b: Interval
    probability_of_improvement: float | None
    """Share of the resamples in which B has fewer errors than A."""


def resample(counts: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Sum counts over speakers drawn with replacement.

    Args:
        counts: (num_speakers, num_columns), such as errors and words of each speaker.
        resamples: how many times as many speakers are drawn.
        seed: the same seed and number of speakers give the same draws.

    Returns:
        (resamples, num_columns) sums.
    """
    num_units, num_columns = counts.shape
    generator = np.random.default_rng(seed)
    sums = np.empty((resamples, num_columns))
    table = counts.astype(np.float64)
    step = max(1, _CELLS // num_units)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(0, num_units, size=(rows, num_units), dtype=np.int64)
        # How often each speaker is drawn, times the counts: one matrix product, no gather per column.
        drawn += np.arange(rows)[:, None] * num_units
        weights = np.bincount(drawn.ravel(), minlength=rows * num_units).reshape(rows, num_units)
        sums[start : start + rows] = weights.astype(np.float64) @ table
    return sums


def change(totals: tuple[int, int, int], sums: NDArray[np.float64] | None, confidence: float) -> Change:
    """The change of a word error rate with its intervals.

    Args:
        totals: errors of A, errors of B, words of the reference.
        sums: (resamples, 3), the same three in every resample; None where there are too few speakers to draw.
        confidence: of the intervals, such as 0.95.
    """
    errors_a, errors_b, words = totals
    absolute = (errors_b - errors_a) / words if words else None
    relative = (errors_b - errors_a) / errors_a if errors_a and words else None
    if sums is not None:
        # A draw of speakers without a single reference word has no rate.
        sums = sums[sums[:, 2] > 0]
    if sums is None or not len(sums):
        return Change(absolute, None, relative, None, None, None, None)
    drawn_a, drawn_b, drawn_words = sums.T
    difference = drawn_b - drawn_a
    # Where A made no error, no change is 0 and any error of B an infinite increase: the order is kept.
    no_errors = np.where(difference > 0, np.inf, 0.0)
    ratio = np.divide(difference, drawn_a, out=no_errors, where=drawn_a > 0)
    return Change(
        absolute=absolute,
        absolute_interval=percentile_interval(difference / drawn_words, confidence),
        relative=relative,
        relative_interval=percentile_interval(ratio, confidence) if relative is not None else None,
        interval_a=percentile_interval(drawn_a / drawn_words, confidence),
        interval_b=percentile_interval(drawn_b / drawn_words, confidence),
        probability_of_improvement=float(np.mean(difference < 0)),
    )


def percentile_interval(draws: NDArray[np.float64], confidence: float) -> Interval:
    """The central interval that holds `confidence` of the draws; None where an end is infinite.

    The ends are draws, not interpolated: the absolute and the relative change then agree on which side of
    zero their intervals lie.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    return (float(low), float(high)) if np.isfinite(low) and np.isfinite(high) else None
