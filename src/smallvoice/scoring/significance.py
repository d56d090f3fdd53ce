"""How far the numbers would move with other children: intervals over speakers.

The utterances of one speaker rise and fall together, so the speaker is the unit. An interval is Student's t around the
estimate with the jackknife's standard error, each speaker left out once (Tukey 1958; Efron & Tibshirani 1993, chapter
11); of rates and of the ratio of two rates the logarithm is taken, whose distribution is less skewed. Simulated with 20
to 200 words a speaker (`tests/scoring/test_significance.py`) it holds the true value as often as it says with 5, 20 and
100 speakers, where the percentiles of a bootstrap hold it in 80, 91 and 93 % of the trials instead of 95. Degrees of
freedom are those of as many speakers with equally many words, so that a few who say most of the words make it wider.

The share of resamples in which B is better is a paired bootstrap (Bisani and Ney, "Bootstrap estimates for confidence
intervals in ASR performance evaluation", ICASSP 2004): whole speakers are drawn with replacement, and both systems are
scored on the same draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

METHOD = "Student's t with jackknife standard errors over speakers, of logarithms for rates and their ratio"
FEW_UNITS = 10
"""Below this an interval, of whatever kind, rests on too little to be taken at its word."""
MOST_UNITS = 2_000
"""More units than these are put together at random into so many before they are drawn: the draws are then as good."""

ALIKE = 1e-9
"""A standard error under that is what rounding leaves of none."""
_CELLS = 2_000_000
"""Draws held at once, about 50 MB with their weights."""

Interval = tuple[float, float] | None
Counts = NDArray[np.float64]


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


def change(table: NDArray[np.int64], resamples: int, seed: int, confidence: float) -> Change:
    """The change of a word error rate with its intervals.

    Args:
        table: of each speaker the errors of A, the words that A is scored on, the errors of B, and B's words; they
            are the same words unless the reference leaves a choice. Shape = (num_speakers, 4).
        resamples, seed: of the bootstrap that gives the probability of improvement.
        confidence: of the intervals, such as 0.95.
    """
    errors_a, words_a, errors_b, words_b = (int(column) for column in table.sum(axis=0))
    if not words_a or not words_b:
        return Change(None, None, None, None, None, None, None)
    units = table[table.any(axis=1)].astype(np.float64)
    rate_a, rate_b = errors_a / words_a, errors_b / words_b
    estimate = _Jackknife(units, confidence)
    relative = rate_b / rate_a - 1 if errors_a else None
    ratio = estimate.of_positive(_ratio, lost=2) if errors_a else None
    points = estimate.of(lambda sums: _rate(sums, 2) - _rate(sums, 0))
    if len(units) > 1 and (units[:, :2] == units[:, 2:]).all():  # nobody differs: which is no evidence of a difference
        points, ratio = (0.0, 0.0), (1.0, 1.0) if errors_a else None
    return Change(
        absolute=rate_b - rate_a,
        absolute_interval=points,
        relative=relative,
        relative_interval=None if ratio is None else (ratio[0] - 1, ratio[1] - 1),
        interval_a=estimate.of_positive(lambda sums: _rate(sums, 0)),
        interval_b=estimate.of_positive(lambda sums: _rate(sums, 2)),
        probability_of_improvement=_improvement(units, resamples, seed) if len(units) > 1 else None,
    )


def rate(table: NDArray[np.int64], confidence: float) -> Interval:
    """The interval of one system's error rate. Args: table: errors and words of each speaker, shape = (speakers, 2)."""
    if not table[:, 1].sum():
        return None
    estimate = _Jackknife(table[table.any(axis=1)].astype(np.float64), confidence)
    return estimate.of_positive(lambda sums: _rate(sums, 0))


def gap(best: NDArray[np.int64], worst: NDArray[np.int64], confidence: float) -> tuple[float, Interval]:
    """How much higher the word error rate of one group of utterances is than that of another.

    Args:
        best, worst: errors and words of each speaker in the one and in the other group, shape = (num_speakers, 2); the
            same speakers in both, for one may speak in both.

    Returns:
        The difference, and its interval. That the groups were picked as the best and the worst is not in it.
    """
    table = np.concatenate([best, worst], axis=1).astype(np.float64)
    estimate = _Jackknife(table[table.any(axis=1)], confidence)

    def difference(sums: Counts) -> Counts:
        return _rate(sums, 2) - _rate(sums, 0)

    return float(difference(estimate.sums)), estimate.of(difference, lost=2)


def of_models(table: NDArray[np.int64], function: Callable[[Counts, Counts], Counts], confidence: float) -> Interval:
    """The interval of something positive that several models' errors on the same speech say together.

    Args:
        table: of each speaker the errors of each model, then the words, shape = (num_speakers, models + 1).
        function: of errors, shape = (..., models), and words, shape = (...), to values, shape = (...).
    """
    pairs = np.repeat(table[table.any(axis=1)].astype(np.float64), 2, axis=1)[:, :-2]
    pairs[:, 1::2] = table[table.any(axis=1), -1:]
    return _Jackknife(pairs, confidence).of_positive(lambda sums: function(sums[..., ::2], sums[..., 1]), lost=2)


def _rate(sums: Counts, errors: int) -> Counts:
    """Errors over words, of the columns `errors` and the one after it; NaN without words."""
    words = sums[..., errors + 1]
    rates: Counts = sums[..., errors] / np.where(words > 0, words, np.nan)
    return rates


def _ratio(sums: Counts) -> Counts:
    """B's rate over A's."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Counts = _rate(sums, 2) / _rate(sums, 0)
    return ratios


_LARGEST = 700.0
"""A logarithm beyond which there is no float."""


class _Jackknife:
    """Intervals of functions of sums over speakers."""

    def __init__(self, units: Counts, confidence: float) -> None:
        """Args: units: shape = (num_speakers, num_columns)."""
        self.size = len(units)
        words = units[:, 1::2].sum(axis=1)
        self.degrees = float(words.sum() ** 2 / np.square(words).sum())
        """As how many speakers who all say equally much: fewer than there are, where a few say most (Kish, 1965)."""
        self.confidence = confidence
        self.sums = units.sum(axis=0)
        self.without = self.sums - units
        """The sums without each speaker."""

    def of(self, function: Callable[[Counts], Counts], lost: int = 1) -> Interval:
        """The interval of a function of the sums; None where it has none.

        Args:
            lost: degrees of freedom that the estimate takes.
        """
        spread = self.spread(function) if self.size > lost else None
        if spread is None:
            return None
        estimate = float(function(self.sums))
        degrees = max(1, math.floor(self.degrees - lost + 1e-9))
        half = student_t(1 - (1 - self.confidence) / 2, degrees) * spread
        return estimate - half, estimate + half

    def spread(self, function: Callable[[Counts], Counts]) -> float | None:
        """The jackknife's standard error; None for one speaker, where one cannot be left out, or where all are alike:
        six children who say one word each, all of them wrong, do not make it certain that every child does."""
        others = function(self.without)
        if self.size < 2 or not np.isfinite(others).all():
            return None
        found = math.sqrt((self.size - 1) / self.size * float(np.square(others - others.mean()).sum()))
        return found if found > ALIKE else None

    def of_positive(self, function: Callable[[Counts], Counts], lost: int = 1) -> Interval:
        """The same of what cannot be negative, by way of the logarithm; None where it is 0.

        Where it is 0 without one of the speakers there is no logarithm: then as it is, but not below 0.
        """

        def logarithm(sums: Counts) -> Counts:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.log(function(sums))

        estimate = float(function(self.sums))
        if not estimate > 0:
            return None
        if found := self.of(logarithm, lost):
            low, high = (math.exp(min(end, _LARGEST)) for end in found)
            return low, high
        plain = self.of(function, lost)
        return None if plain is None else (max(0.0, plain[0]), plain[1])


def _improvement(units: Counts, resamples: int, seed: int) -> float:
    """The share of resamples in which B's rate is lower than A's."""
    if len(units) > MOST_UNITS:
        order = np.random.default_rng(seed).permutation(len(units))
        units = np.stack([part.sum(axis=0) for part in np.array_split(units[order], MOST_UNITS)])
    sums = resample(units.astype(np.int64), resamples, seed)
    return float(np.mean(sums[:, 2] * sums[:, 1] < sums[:, 0] * sums[:, 3]))


@cache
def student_t(probability: float, degrees: int) -> float:
    """The quantile of Student's t, above its median.

    By bisection on its distribution function, whose sum for whole degrees of freedom is that of Abramowitz & Stegun
    (1964), 26.7.3 and 26.7.4; above 1,000 degrees the normal distribution's, 0.1 % from it.
    """
    if degrees > 1000:
        return NormalDist().inv_cdf(probability)
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _student_cdf(t: float, degrees: int) -> float:
    angle = math.atan(t / math.sqrt(degrees))
    cosine, odd = math.cos(angle), degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    inside = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return (1 + inside) / 2
