"""What a comparison says in a sentence, with the rule that made the sentence."""

from __future__ import annotations

from typing import Any

from smallvoice.scoring import wording
from smallvoice.scoring.significance import FEW_UNITS

RULE = (
    "The normalised WER is lower or higher where the interval of its change excludes zero; where the "
    "interval holds zero no difference is shown; without an interval nothing is claimed."
)

DEFINITION = (
    "What removing case and punctuation from A's output and the references, and changing nothing else, takes "
    "off A's raw WER (raw WER of A − caseless WER of A), as a share of what B takes off it (raw WER of A − "
    "raw WER of B). Above 1 where B's gain is smaller than that; null where B's raw WER is not lower."
)


def verdict(normalised: dict[str, Any], bootstrap: dict[str, Any]) -> dict[str, Any]:
    """The outcome of the normalised WER, in a sentence.

    Args:
        normalised: the `normalised` block of the comparison.
        bootstrap: its `bootstrap` block.
    """
    a, b = normalised["a"]["wer"], normalised["b"]["wer"]
    outcome, reason = _outcome(normalised, bootstrap)
    parts = [f"normalised WER {wording.percent(a)} → {wording.percent(b)}"]
    relative = normalised["relative"]
    if relative["change"] is not None:
        parts.append(f"{wording.signed_percent(relative['change'])} relative")
    if relative["interval"] is not None:
        confidence = f"{100 * bootstrap['confidence']:g} %"
        parts.append(f"{confidence} interval {wording.interval(relative['interval'])}")
    caution = None
    if outcome in ("lower", "higher") and bootstrap["units"] < FEW_UNITS:
        units = wording.count(bootstrap["units"], bootstrap["unit"].split(",")[0])
        caution = f"Only {units}: so few say little about other speakers."
    return {"outcome": outcome, "sentence": f"{', '.join(parts)}: {reason}", "rule": RULE, "caution": caution}


def _outcome(normalised: dict[str, Any], bootstrap: dict[str, Any]) -> tuple[str, str]:
    if normalised["absolute"]["change"] is None:
        return "unknown", "there is no reference word to score"
    bounds = normalised["absolute"]["interval"]
    if bounds is None:
        return (
            "unknown",
            f"nothing is claimed, {bootstrap['why_no_interval'] or 'no interval could be drawn'}",
        )
    if bounds[1] < 0:
        return "lower", "lower, the interval excludes zero"
    if bounds[0] > 0:
        return "higher", "higher, the interval excludes zero"
    return "undecided", "no difference is shown, the interval holds zero"


def formatting(overall: dict[str, Any], name_a: str) -> dict[str, Any]:
    """How much of the gain in raw WER is case and punctuation alone; `DEFINITION` says exactly what that is.

    Returns:
        gains as fractions of the reference's words (positive = fewer errors), `share`, and a sentence.
    """
    raw_a, raw_b = overall["raw"]["a"]["wer"], overall["raw"]["b"]["wer"]
    caseless_a = overall["caseless"]["a"]["wer"]
    block: dict[str, Any] = {
        "definition": DEFINITION,
        "raw_gain": None,
        "formatting_gain": None,
        "share": None,
    }
    if raw_a is None or raw_b is None or caseless_a is None:
        return {**block, "sentence": "There is no reference word to score."}
    gain, alone = raw_a - raw_b, raw_a - caseless_a
    block |= {"raw_gain": gain, "formatting_gain": alone}
    before = f"Raw WER went {wording.percent(raw_a)} → {wording.percent(raw_b)}"
    without = (
        f"removing case and punctuation from the output of {name_a} and from the references, without any "
        f"training, gives {wording.percent(caseless_a)}"
    )
    if gain <= 0:
        return {**block, "sentence": f"{before}: not lower, so there is no gain to divide; {without}."}
    share = alone / gain
    how_much = f"{wording.percent(share, 0)} of that gain"
    if share <= 0:
        how_much = "nothing of that gain"
    elif share > 1:
        how_much = "more than all of that gain"
    return {
        **block,
        "share": share,
        "sentence": f"{before}; {without}: {how_much} is case and punctuation alone.",
    }
