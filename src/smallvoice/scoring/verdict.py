"""What a comparison says in a sentence, with the rule that made the sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smallvoice.scoring import wording
from smallvoice.scoring.significance import FEW_UNITS

FEW_SPEAKERS = 5
"""So few, or fewer, are never evidence."""
MORE_LOOPS = 0.01
"""So much larger a share of utterances that loop is held against a model."""
RULE = (
    "Better or worse: the intervals of the change of normalised WER, in points and relative, exclude zero, with "
    f"more than {FEW_SPEAKERS} known speakers. Better but: a compared group of more than {FEW_SPEAKERS} speakers is "
    f"worse by the same rule, the share of utterances that loop rises by more than {100 * MORE_LOOPS:g} point and one, "
    "or speech of another kind loses more than the recipe allows. Else no evidence of a difference."
)

DEFINITION = (
    "What removing case and punctuation from A's output and the references, and changing nothing else, takes "
    "off A's raw WER (raw WER of A − caseless WER of A), as a share of what B takes off it (raw WER of A − "
    "raw WER of B). Above 1 where B's gain is smaller than that; null where B's raw WER is not lower."
)


def verdict(
    normalised: dict[str, Any],
    bootstrap: dict[str, Any],
    buts: Sequence[str] = (),
    beams: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """The outcome of the normalised WER, in a sentence.

    Args:
        normalised: the `normalised` block of the comparison.
        bootstrap: its `bootstrap` block.
        buts: what is worse although the whole may be better, a sentence each.
        beams: that A and B were decoded with, where it is known.

    Returns:
        `outcome`: `better`, `better but`, `worse` or `no evidence`; the sentence, the rule, `but`.
    """
    a, b = normalised["a"]["wer"], normalised["b"]["wer"]
    outcome, reason = _outcome(normalised, bootstrap)
    if buts:
        outcome = "better but" if outcome == "better" else outcome
        reason = f"{reason}, {'but' if outcome == 'better but' else 'and'} {'; '.join(buts)}"
    parts = [f"normalised WER {wording.percent(a)} → {wording.percent(b)}"]
    absolute, relative = normalised["absolute"], normalised["relative"]
    if relative["change"] is not None:
        parts.append(f"{wording.signed_percent(relative['change'])} relative")
    if absolute["interval"] is not None:
        confidence = f"{100 * bootstrap['confidence']:g} %"
        shown = f"{wording.points(absolute['change'])} points, {confidence} interval"
        parts.append(f"{shown} {wording.interval(absolute['interval'], 1)}")
    cautions = []
    if beams and beams[0] != beams[1]:
        a_beams, b_beams = (wording.count(number, "beam") for number in beams)
        cautions.append(f"A was decoded with {a_beams} and B with {b_beams}: part of the difference is the search.")
    if outcome in ("better", "better but", "worse") and bootstrap["units"] < FEW_UNITS:
        cautions.append(f"Only {wording.count(bootstrap['units'], 'speaker')}: so few say little about others.")
    return {
        "outcome": outcome,
        "sentence": f"{', '.join(parts)}: {reason}",
        "rule": RULE,
        "caution": " ".join(cautions) or None,
        "but": list(buts),
    }


def _outcome(normalised: dict[str, Any], bootstrap: dict[str, Any]) -> tuple[str, str]:
    if normalised["absolute"]["change"] is None:
        return "no evidence", "there is no reference word to score"
    if normalised["absolute"]["interval"] is None:
        return "no evidence", f"nothing is claimed, {bootstrap['why_no_interval'] or 'no interval could be drawn'}"
    direction = _direction(normalised)
    if direction is None:
        which = "" if _holds_zero(normalised["absolute"]["interval"]) else " of the relative change"
        return "no evidence", f"no evidence of a difference, the interval{which} holds zero"
    if bootstrap["speakers"] <= FEW_SPEAKERS:  # rows without one may all be one voice
        known = wording.count(bootstrap["speakers"], "known speaker") if bootstrap["speakers"] else "no known speaker"
        return "no evidence", f"{direction} on these, which with {known} is no evidence for others"
    return direction, f"{direction}, the intervals exclude zero"


def _direction(normalised: dict[str, Any]) -> str | None:
    """`better` or `worse` where both intervals say so, that of points and, if there is one, that of the ratio.

    Of few speakers they often differ, and a page that shows either must not contradict what is claimed.
    """
    bounds = normalised["absolute"]["interval"]
    relative = normalised["relative"]["interval"]
    if bounds is None or _holds_zero(bounds) or (relative is not None and _holds_zero(relative)):
        return None
    return "better" if bounds[1] < 0 else "worse"


def _holds_zero(bounds: Sequence[float]) -> bool:
    return bounds[0] <= 0 <= bounds[1]


def group_buts(grouping: str, groups: Sequence[dict[str, Any]], fewest: int) -> list[str]:
    """Groups that became worse by the same rule, a sentence each.

    Args:
        grouping: such as `gender`.
        groups: sections of the comparison with `group`, `speakers` and `normalised`.
        fewest: a group of fewer speakers is shown, and not compared.
    """
    return [
        f"{grouping} {group['group']} is worse "
        f"({wording.percent(block['a']['wer'])} → {wording.percent(block['b']['wer'])})"
        for group in groups
        if _direction(block := group["normalised"]) == "worse" and group["speakers"] >= max(fewest, FEW_SPEAKERS + 1)
    ]


def retention_buts(retention: dict[str, dict[str, Any]], margin: float) -> dict[str, str]:
    """Sets of other speech that lost more than `margin` → a sentence. Args: retention: name → its block."""
    return {
        name: f"{name} loses more than {100 * margin:g} point "
        f"({wording.percent(block['a']['wer'])} → {wording.percent(block['b']['wer'])})"
        for name, block in retention.items()
        if block["absolute"]["change"] is not None and block["absolute"]["change"] > margin
    }


def loop_buts(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Whether more utterances loop than before. Args: a, b: what `hallucination.signs` gives."""
    before, after = a["loop"]["share"], b["loop"]["share"]
    more = b["loop"]["utterances"] - a["loop"]["utterances"]
    if before is None or after is None or after - before <= MORE_LOOPS or more < 2:
        return []
    return [f"more utterances loop ({wording.percent(before)} → {wording.percent(after)})"]


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
