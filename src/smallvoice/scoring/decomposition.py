"""How much of a raw word error rate is case, punctuation, spelling and fillers, and how much is words."""

from __future__ import annotations

from typing import Any

STEPS = (
    ("as written", "raw"),
    ("case", "lower_cased"),
    ("punctuation", "caseless"),
    ("numbers, contractions, spelling", "child"),
    ("fillers, as Whisper's rules leave them out", "normalised"),
)
"""What is set aside, and the form that is then left. Each form does all that the ones before it do.

For text that is not English `child` is `normalised`, and the last step is nothing.
"""


def waterfall(overall: dict[str, Any], side: str) -> list[dict[str, Any]]:
    """The same hypotheses under each form, from the strictest to the one that papers report.

    Args:
        overall: form → its block of the comparison.
        side: `a` or `b`.

    Returns:
        For each step its name, the rate that is left, and what it took off, in parts of 1 (negative where a step makes
        the rate higher: numbers in digits are fewer words). Empty where there is no reference word.
    """
    rates = [overall[form][side]["wer"] for _, form in STEPS]
    if None in rates:
        return []
    return [
        {"step": name, "wer": rate, "taken": before - rate}
        for (name, _), before, rate in zip(STEPS, [rates[0], *rates], rates, strict=False)
    ]
