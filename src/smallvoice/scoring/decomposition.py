"""How much of a raw word error rate is case, punctuation, spelling and fillers, and how much is words."""

from __future__ import annotations

from typing import Any

from smallvoice.scoring.scored import Scored
from smallvoice.scoring.word_errors import total

STEPS = (
    ("as written", "raw"),
    ("case", "lower_cased"),
    ("punctuation", "caseless"),
    ("numbers, contractions, spelling", "child"),
    ("fillers: um, hmm", "fluent"),
    ("words as Whisper's rules count them", "normalised"),
)
"""What is set aside, and the form that is then left. Each form does all that the ones before it do; the last one counts
a contraction as two words and a number as one, and so may make the rate higher.

For text that is not English `child` and `fluent` are `normalised`, and the last two steps are nothing.
"""


def waterfall(scored: Scored) -> list[dict[str, Any]]:
    """The same hypotheses under each form, from the strictest to the one that papers report.

    Returns:
        For each step its name, the rate that is left, and what it took off, in parts of 1 (negative where a step makes
        the rate higher). Empty where there is no reference word.
    """
    found = [total(scored.counts(form)).rate for _, form in STEPS]
    rates = [rate for rate in found if rate is not None]
    if len(rates) < len(found):
        return []
    return [
        {"step": name, "wer": rate, "taken": before - rate}
        for (name, _), before, rate in zip(STEPS, [rates[0], *rates], rates, strict=False)
    ]
