"""A passage read aloud: what was read as it stands, left out, added, taken for another word, and put right.

The counts of a running record, as reading tutors and clinics take them. Words correct per minute (WCPM) is the usual
measure of fluency (Hasbrouck & Tindal, 2006): words read correctly, those that the reader put right among them, divided
by the minutes from the first word to the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from smallvoice.scoring.normalize import CHILD, for_language, is_english
from smallvoice.scoring.word_errors import AlignedWord, align_all

ALIKE = 0.5
"""So similar (1 minus the edit distance over the longer word) is an attempt at the word that follows."""


@dataclass(frozen=True)
class Reading:
    """Counts of words; `words` is what the passage has."""

    words: int
    correct: int
    omitted: int
    inserted: int
    """Beside repetitions and attempts."""
    substituted: int
    self_corrected: int
    """Of the correct ones: an attempt came first."""
    repeated: int
    """Words said again, which is no error."""
    seconds: float | None
    """From the first word to the last, where times are known."""

    @property
    def correct_per_minute(self) -> float | None:
        return 60 * self.correct / self.seconds if self.seconds else None

    def as_dict(self) -> dict[str, Any]:
        names = ("words", "correct", "omitted", "inserted", "substituted", "self_corrected", "repeated", "seconds")
        rate = self.correct_per_minute
        return {
            **{name: getattr(self, name) for name in names},
            "words_correct_per_minute": None if rate is None else round(rate, 1),
        }


def assess(
    passage: str, heard: str, seconds: float | None, language: str | None = "en"
) -> tuple[Reading, list[AlignedWord]]:
    """Compare a passage with what was heard.

    Case and punctuation count nothing; digits, contractions and spelling are read as what they mean (`child`).

    Args:
        seconds: from the first word to the last.

    Returns:
        The counts, and the passage word by word.
    """
    rules = CHILD if is_english(language) else for_language(language)
    steps = align_all([rules.reference(passage)], [rules.tokens(heard)])[0]
    correct = sum(step.kind == "equal" for step in steps)
    inserted, attempted, repeated = _added(steps)
    reading = Reading(
        words=sum(step.reference is not None for step in steps),
        correct=correct,
        omitted=sum(step.kind == "deletion" for step in steps),
        inserted=inserted,
        substituted=sum(step.kind == "substitution" for step in steps),
        self_corrected=attempted,
        repeated=repeated,
        seconds=seconds,
    )
    return reading, steps


def _added(steps: Sequence[AlignedWord]) -> tuple[int, int, int]:
    """How many insertions are words of their own, how many words were put right, how many were said again.

    Words added before a correct one are an attempt at it if the last of them is like it; they are repetitions if they
    are the words that come next, or those that came before.
    """
    inserted = attempted = repeated = 0
    place = 0
    for added, group in groupby(steps, key=lambda step: step.kind == "insertion"):
        run = list(group)
        if added:
            words = [step.hypothesis or "" for step in run]
            after = [step.hypothesis for step in steps[place + len(run) : place + 2 * len(run)]]
            before = [step.hypothesis for step in steps[max(0, place - len(run)) : place]]
            following = steps[place + len(run)] if place + len(run) < len(steps) else None
            if words in (after, before):
                repeated += len(words)
            elif following and following.kind == "equal" and alike(words[-1], following.reference or ""):
                attempted += 1
                inserted += len(words) - 1
            else:
                inserted += len(words)
        place += len(run)
    return inserted, attempted, repeated


def alike(attempt: str, word: str) -> bool:
    """Whether one is an attempt at the other: its beginning, or nearly it."""
    from rapidfuzz.distance import Levenshtein

    return word.startswith(attempt.rstrip("-")) or Levenshtein.normalized_similarity(attempt, word) >= ALIKE
