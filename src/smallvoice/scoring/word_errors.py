"""Insertions, deletions and substitutions between a reference and a hypothesis.

The alignment is a shortest edit path (Levenshtein 1966, every edit costs 1), found by jiwer. The number of
errors is then unique; where several paths are as short, their division into the three kinds is jiwer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["equal", "substitution", "insertion", "deletion"]


@dataclass(frozen=True)
class ErrorCounts:
    """Counts of words. They add up; a rate is taken last, so that long utterances weigh what they hold."""

    words: int = 0
    """Words of the reference."""
    insertions: int = 0
    deletions: int = 0
    substitutions: int = 0

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.words + other.words,
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.substitutions + other.substitutions,
        )

    @property
    def errors(self) -> int:
        return self.insertions + self.deletions + self.substitutions

    @property
    def rate(self) -> float | None:
        """Word error rate as a fraction (above 1 where words were invented); None without reference words."""
        return self.errors / self.words if self.words else None

    def as_dict(self) -> dict[str, int | float | None]:
        """The `wer` block of every file of scores."""
        return {
            "words": self.words,
            "insertions": self.insertions,
            "deletions": self.deletions,
            "substitutions": self.substitutions,
            "errors": self.errors,
            "wer": self.rate,
        }


@dataclass(frozen=True)
class AlignedWord:
    """One step of an alignment: a word of the reference, of the hypothesis, or of both."""

    kind: Kind
    reference: str | None
    hypothesis: str | None


def total(counts: Sequence[ErrorCounts]) -> ErrorCounts:
    return sum(counts, ErrorCounts())


def count_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count the word errors of one utterance; words are what white space separates.

    Words against an empty reference are insertions, and an empty hypothesis deletes every word.
    """
    return count_all([reference.split()], [hypothesis.split()])[0]


def count_all(references: Sequence[list[str]], hypotheses: Sequence[list[str]]) -> list[ErrorCounts]:
    """Count the word errors of many utterances, each given as its words."""
    counts = []
    for reference, chunks in zip(references, _alignments(references, hypotheses), strict=True):
        sizes = {"substitute": 0, "delete": 0, "insert": 0, "equal": 0}
        for chunk in chunks:
            # A chunk covers no reference words if it is an insertion, no hypothesis words if a deletion.
            sizes[chunk.type] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
        counts.append(ErrorCounts(len(reference), sizes["insert"], sizes["delete"], sizes["substitute"]))
    return counts


def align(reference: str, hypothesis: str) -> list[AlignedWord]:
    """Align two texts word by word, in reading order, for display."""
    reference_words, hypothesis_words = reference.split(), hypothesis.split()
    kinds: dict[str, Kind] = {"substitute": "substitution", "insert": "insertion", "delete": "deletion"}
    aligned = []
    for chunk in _alignments([reference_words], [hypothesis_words])[0]:
        left: list[str | None] = [*reference_words[chunk.ref_start_idx : chunk.ref_end_idx]]
        right: list[str | None] = [*hypothesis_words[chunk.hyp_start_idx : chunk.hyp_end_idx]]
        size = max(len(left), len(right))
        left += [None] * (size - len(left))
        right += [None] * (size - len(right))
        aligned += [AlignedWord(kinds.get(chunk.type, "equal"), *pair) for pair in zip(left, right, strict=True)]
    return aligned


def _alignments(references: Sequence[list[str]], hypotheses: Sequence[list[str]]) -> list[list[Any]]:
    """One list of `jiwer.AlignmentChunk` per utterance.

    jiwer gets words, not text: its own splitting knows only the space.
    """
    import jiwer

    if not references:
        return []
    as_given: Any = list
    output = jiwer.process_words(as_given(references), as_given(hypotheses), as_given, as_given)
    return list(output.alignments)
