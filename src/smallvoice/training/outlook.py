"""How much would more data help: what growing shares of the speakers say about twice as many, and what they do not."""

from __future__ import annotations

from typing import Any

import numpy as np

from smallvoice.scoring import significance, wording


def outlook(
    speakers: list[int], totals: np.ndarray, sums: np.ndarray | None, confidence: float
) -> dict[str, Any] | None:
    """What a doubling of the speakers did to the error rate, and would do once more: never further than that.

    Error rates are taken to fall as a power of the amount of data (Hestness et al., 2017, "Deep learning scaling is
    predictable, empirically"): a straight line through the points, both axes logarithmic. The interval is of the same
    line through each bootstrap draw of the decoded speakers.

    Returns:
        `factor` of a doubling and its interval, `speakers`, `wer` and `interval` at twice the data, and `shown`:
        whether the interval of the factor excludes 1. None where there are too few speakers or no errors.
    """
    if sums is None or not totals[:-1].all():
        return None
    doublings = np.log2(np.asarray(speakers, dtype=float))
    weight = doublings - doublings.mean()
    weight /= (weight**2).sum()
    drawn = sums[sums[:, -1] > 0]
    errors = np.maximum(drawn[:, :-1], 0.5)  # a draw without errors has no logarithm
    factors = np.exp(np.log(errors) @ weight)
    factor = float(np.exp(np.log(totals[:-1]) @ weight))
    interval = significance.percentile_interval(factors, confidence)
    expected = significance.percentile_interval(factors * errors[:, -1] / drawn[:, -1], confidence)
    if interval is None or expected is None:
        return None
    return {
        "factor": factor,
        "factor_interval": list(interval),
        "speakers": 2 * speakers[-1],
        "wer": factor * float(totals[-2] / totals[-1]),
        "interval": list(expected),
        "shown": interval[1] < 1 or interval[0] > 1,
    }


def sentence(
    points: list[dict[str, Any]], trend: dict[str, Any] | None, split: str, units: int, confidence: float
) -> str:
    """How much more data would help, and what is not known about that."""
    first, last = points[0], points[-1]
    change = f"{wording.percent(first['wer'])} → {wording.percent(last['wer'])}"
    parts = [f"From {first['speakers']} to {last['speakers']} training speakers, WER on {split} {change}."]
    if trend is None:
        return " ".join(
            [*parts, f"Nothing is claimed: no interval can be drawn from {wording.count(units, 'speaker')}."]
        )
    low, high = trend["factor_interval"]
    sure = f"{100 * confidence:g} % interval"
    factor = f"by a factor of {trend['factor']:.2f} ({sure} {low:.2f} to {high:.2f}) for each doubling"
    if not trend["shown"]:
        parts.append(f"It changed {factor}: that holds 1, so no effect of more speakers is shown.")
    elif trend["factor"] > 1:
        parts.append(f"It rose {factor}: more of the same did not help this recipe.")
    else:
        ends = " to ".join(wording.percent(end) for end in trend["interval"])
        parts.append(
            f"It fell {factor}. If the next doubling does as much, {trend['speakers']} speakers would bring it to "
            f"about {wording.percent(trend['wer'])} ({ends})."
        )
    parts.append(
        f"The interval holds the chance of which of {split}'s {wording.count(units, 'speaker')} are asked, not that of "
        "which speakers are trained on, nor of the seed; beyond twice the data nothing is said."
    )
    if units < significance.FEW_UNITS:
        parts.append("With so few speakers it is narrower than it should be.")
    return " ".join(parts)
