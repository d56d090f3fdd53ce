"""How likely a written word is right, told from what the model thinks of it.

A model's own probabilities are too sure of themselves, most of all where it was tuned on little. Two numbers, fitted
on dev, put that right: logit(confidence) = slope × logit(probability) + intercept (Platt, 1999).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smallvoice.scoring.alternatives import Token
from smallvoice.scoring.normalize import Normaliser
from smallvoice.scoring.word_errors import align_all

FEWEST = 20
"""Words, right ones and wrong ones each, below which nothing is fitted."""
_EDGE = 1e-6
_MOST_STEPS = 100
_FARTHEST = 30.0
"""A logit beyond is as good as certain."""
RIDGE = 1.0
"""Holds the two numbers where right and wrong words lie apart without a doubt."""


@dataclass(frozen=True)
class Calibration:
    """From a word's probability to the share of such words that are right."""

    slope: float
    intercept: float
    words: int
    """On dev, from which this was fitted."""
    right: int

    def confidence(self, probability: float) -> float:
        logit = self.slope * _logit(probability) + self.intercept
        return 1 / (1 + math.exp(-min(max(logit, -_FARTHEST), _FARTHEST)))


def _logit(probability: float) -> float:
    inside = min(max(probability, _EDGE), 1 - _EDGE)
    return math.log(inside / (1 - inside))


def fit(probabilities: Sequence[float], right: Sequence[bool]) -> Calibration | None:
    """The likeliest calibration; None where there is too little to tell.

    Maximum likelihood with a small ridge, by Newton's method; the targets stand a little inside 0 and 1, as Platt has
    them, so that a model which is never wrong on dev is not called infallible.
    """
    num_right = sum(right)
    if min(num_right, len(right) - num_right) < FEWEST:
        return None
    inputs = np.column_stack([[_logit(probability) for probability in probabilities], np.ones(len(right))])
    targets = np.where(right, (num_right + 1) / (num_right + 2), 1 / (len(right) - num_right + 2))
    weights = np.array([0.0, _logit(num_right / len(right))])
    for _ in range(_MOST_STEPS):
        found = _share(inputs @ weights)
        slope = inputs.T @ (targets - found) - RIDGE * weights
        curvature = (inputs * (found * (1 - found))[:, None]).T @ inputs + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        while _cost(inputs, targets, weights + step) > _cost(inputs, targets, weights) and np.abs(step).max() > 1e-9:
            step = step / 2  # Newton's method may overshoot
        weights = weights + step
        if np.abs(step).max() < 1e-6:
            break
    if weights[0] <= 0:
        return None  # the model's own probabilities say nothing
    return Calibration(float(weights[0]), float(weights[1]), len(right), num_right)


def _share(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(logits, -_FARTHEST, _FARTHEST)))


def _cost(inputs: NDArray[np.float64], targets: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Negative log-likelihood, and half the ridge."""
    logits = inputs @ weights
    return float(np.logaddexp(0, logits).sum() - targets @ logits + RIDGE / 2 * weights @ weights)


def judged(written: Sequence[str], reference: str, rules: Normaliser) -> list[bool | None]:
    """Of each written word whether the reference has it there; None for one that is not scored, such as *um*.

    Both are normalised word by word: a whole text's rules join "eight one" to "81", which is no word of either.

    Args:
        written: words as the model wrote them.
    """
    spelled = [rules.words(word) for word in written]
    # What leaves a choice ({a / b}) is more than its words.
    said = rules.reference(reference) if "{" in reference else _flat(rules.words(word) for word in reference.split())
    equals = (step.kind == "equal" for step in align_all([said], [_flat(spelled)])[0] if step.hypothesis is not None)
    verdicts: list[bool | None] = []
    for tokens in spelled:
        equal = [next(equals) for _ in tokens]
        verdicts.append(all(equal) if equal else None)
    return verdicts


def _flat(parts: Iterable[list[str]]) -> list[Token]:
    return [token for part in parts for token in part]


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Distance between confidence and share of right words, in bins of as many words (Naeini et al., 2015)."""
    order = np.argsort(confidences, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    sure, true = np.asarray(confidences), np.asarray(right, float)
    return float(sum(len(part) * abs(sure[part].mean() - true[part].mean()) for part in parts) / len(order))
