"""The matched-pairs test on sentence segments, MAPSSWE (Gillick & Cox, ICASSP 1989), as NIST's sc_stats has it.

Where both systems are right for two words in a row, what comes after does not depend on what came before: such places
cut the text into segments, and those in which somebody erred are the sample. It asks whether the difference is more
than chance on these recordings; whether other children would show it, the intervals over speakers say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from smallvoice.scoring.word_errors import AlignedWord

METHOD = "matched pairs of segments between two words that both have right (MAPSSWE, Gillick & Cox 1989), two-tailed"
RIGHT_WORDS = 2
"""In a row, that end a segment."""
FEWEST_SEGMENTS = 30
"""Of fewer the statistic is not yet normally distributed: two of them would give p = 0.003."""


@dataclass(frozen=True)
class MatchedPairs:
    """The outcome of the test."""

    segments: int
    """In which A or B erred."""
    mean: float | None
    """Errors of A less errors of B, in a segment; above 0 B is better."""
    z: float | None
    p: float | None
    """The probability of a difference as large by chance; None for fewer than `FEWEST_SEGMENTS`. Where all segments
    differ alike, that of as many signs."""


def test(a: Sequence[list[AlignedWord]], b: Sequence[list[AlignedWord]]) -> MatchedPairs:
    """Compare two systems on the same utterances, each aligned with its reference."""
    differences = [left - right for pair in zip(a, b, strict=True) for left, right in _segments(*pair)]
    size = len(differences)
    if size < 2:
        return MatchedPairs(size, differences[0] if differences else None, None, None)
    mean = sum(differences) / size
    variance = sum((each - mean) ** 2 for each in differences) / (size - 1)
    if not variance:
        p, z = (1.0 if mean == 0 else 2 * 0.5**size), None
    else:
        z = mean / math.sqrt(variance / size)
        p = 2 * NormalDist().cdf(-abs(z))
    return MatchedPairs(size, mean, z, p if size >= FEWEST_SEGMENTS else None)


def _segments(a: list[AlignedWord], b: list[AlignedWord]) -> list[tuple[int, int]]:
    """The errors of A and of B in each segment of an utterance in which there are any."""
    left, right = _errors_by_word(a), _errors_by_word(b)
    if len(left) != len(right):  # each chose other words of a reference that leaves a choice
        left, right = [sum(left)], [sum(right)]
    found: list[tuple[int, int]] = []
    errors = [0, 0]
    in_a_row = 0
    for one, other in zip(left, right, strict=True):
        in_a_row = 0 if one or other else in_a_row + 1
        errors = [errors[0] + one, errors[1] + other]
        if in_a_row >= RIGHT_WORDS and any(errors):
            found.append((errors[0], errors[1]))
            errors = [0, 0]
    return [*found, (errors[0], errors[1])] if any(errors) else found


def _errors_by_word(aligned: list[AlignedWord]) -> list[int]:
    """Errors at each word of the reference, an insertion at the word before which it stands, and at the end."""
    errors = [0]
    for word in aligned:
        errors[-1] += word.kind != "equal"
        if word.reference is not None:
            errors.append(0)
    return errors
