"""How much would more data help: what growing shares of the speakers say about twice as many, and what they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smallvoice.scoring import significance, wording
from smallvoice.scoring.significance import Counts
from smallvoice.scoring.verdict import FEW_SPEAKERS


def outlook(speakers: list[int], table: NDArray[np.int64], known: int, confidence: float) -> dict[str, Any] | None:
    """What a doubling of the speakers did to the error rate, and would do once more: never further than that.

    Error rates are taken to fall as a power of the amount of data (Hestness et al., 2017, "Deep learning scaling is
    predictable, empirically"): a straight line through the points, both axes logarithmic. The intervals are those of
    the same line over the decoded speakers.

    Args:
        speakers: training speakers of each share.
        table: of each decoded speaker the errors after each share, then the words.
        known: how many of the decoded speakers are known; recordings without one may all be of one voice.

    Returns:
        `factor` of a doubling and its interval, `speakers`, `wer` and `interval` at twice the data, and `shown`:
        whether the interval of the factor excludes 1, and more than a few speakers say so. None where there is no
        interval.
    """
    doublings = np.log2(np.asarray(speakers, dtype=float))
    weight = doublings - doublings.mean()
    weight /= (weight**2).sum()

    def factor(errors: Counts, words: Counts) -> Counts:
        with np.errstate(divide="ignore"):
            found: Counts = np.exp(np.log(errors) @ weight)
        return found

    def next_rate(errors: Counts, words: Counts) -> Counts:
        return factor(errors, words) * errors[..., -1] / words

    totals = table.sum(axis=0).astype(float)
    if not totals.all():
        return None
    interval, expected = (significance.of_models(table, of, confidence) for of in (factor, next_rate))
    if interval is None or expected is None:
        return None
    return {
        "factor": float(factor(totals[:-1], totals[-1])),
        "factor_interval": list(interval),
        "speakers": 2 * speakers[-1],
        "wer": float(next_rate(totals[:-1], totals[-1])),
        "interval": list(expected),
        "shown": known > FEW_SPEAKERS and (interval[1] < 1 or interval[0] > 1),
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
    if not low < 1 < high and not trend["shown"]:
        parts.append(f"It changed {factor}: too few known speakers were asked to show an effect of more of them.")
    elif not trend["shown"]:
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
        parts.append("With so few speakers it rests on too little.")
    return " ".join(parts)
