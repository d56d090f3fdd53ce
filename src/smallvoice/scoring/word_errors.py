"""Insertions, deletions and substitutions between a reference and a hypothesis.

The alignment is a shortest edit path (Levenshtein 1966, every edit costs 1), found by jiwer. The number of
errors is then unique; where several paths are as short, their division into the three kinds is jiwer's. Texts that
leave a choice (`alternatives`) are searched by `lattice`, long ones in pieces (`long_texts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Literal, TypeVar

from smallvoice.scoring import lattice, long_texts
from smallvoice.scoring.alternatives import Token, has_choice

Kind = Literal["equal", "substitution", "insertion", "deletion"]
_Found = TypeVar("_Found")


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


def count_all(references: Sequence[Sequence[Token]], hypotheses: Sequence[Sequence[Token]]) -> list[ErrorCounts]:
    """Count the word errors of many utterances, each given as its words."""

    def search(reference: Sequence[Token], hypothesis: Sequence[Token]) -> ErrorCounts:
        found = lattice.count(reference, hypothesis)
        return ErrorCounts(found.words, found.insertions, found.deletions, found.substitutions)

    return [total(counts) for counts in _of_pieces(references, hypotheses, search, _of_chunks)]


def align_all(references: Sequence[Sequence[Token]], hypotheses: Sequence[Sequence[Token]]) -> list[list[AlignedWord]]:
    """Align many utterances word by word, in reading order."""

    def search(reference: Sequence[Token], hypothesis: Sequence[Token]) -> list[AlignedWord]:
        return [AlignedWord(_kind(*step), *step) for step in lattice.align(reference, hypothesis)]

    return [[*chain.from_iterable(words)] for words in _of_pieces(references, hypotheses, search, _aligned)]


def align_until_stopped(
    reference: Sequence[Token], hypothesis: Sequence[Token]
) -> tuple[list[AlignedWord], Sequence[Token]]:
    """Align what a reader said, who may have stopped anywhere: the alignment up to there, and what is behind it.

    A text too long to search in one is aligned to its end, and nothing is behind it.
    """
    try:
        steps, read = lattice.align_until_stopped(reference, hypothesis)
    except lattice.TooLarge:
        return align_all([reference], [hypothesis])[0], []
    return [AlignedWord(_kind(*step), *step) for step in steps], reference[read:]


def unread(tokens: Sequence[Token]) -> list[AlignedWord]:
    """Words that nobody said; of a choice the shortest."""
    words = ((token,) if isinstance(token, str) else min(token.options, key=len) for token in tokens)
    return [AlignedWord("deletion", word, None) for each in words for word in each]


def align(reference: str, hypothesis: str) -> list[AlignedWord]:
    """Align two texts word by word, in reading order, for display."""
    return align_all([reference.split()], [hypothesis.split()])[0]


def _of_pieces(
    references: Sequence[Sequence[Token]],
    hypotheses: Sequence[Sequence[Token]],
    search: Callable[[Sequence[Token], Sequence[Token]], _Found],
    plain: Callable[[list[str], list[str], list[Any]], _Found],
) -> list[list[_Found]]:
    """What is found in each piece of each utterance: by `search` where it leaves a choice, else of jiwer's chunks."""
    cut = [long_texts.pieces(*both) for both in zip(references, hypotheses, strict=True)]
    without_choice = [piece for pieces in cut for piece in pieces if not any(map(has_choice, piece))]
    left, right = ([[str(word) for word in piece[side]] for piece in without_choice] for side in (0, 1))
    found = (plain(*each) for each in zip(left, right, _alignments(left, right), strict=True))
    return [[search(*piece) if any(map(has_choice, piece)) else next(found) for piece in pieces] for pieces in cut]


def _of_chunks(reference: list[str], _: list[str], chunks: list[Any]) -> ErrorCounts:
    sizes = {"substitute": 0, "delete": 0, "insert": 0, "equal": 0}
    for chunk in chunks:
        # A chunk covers no reference words if it is an insertion, no hypothesis words if a deletion.
        sizes[chunk.type] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
    return ErrorCounts(len(reference), sizes["insert"], sizes["delete"], sizes["substitute"])


def _aligned(reference: list[str], hypothesis: list[str], chunks: list[Any]) -> list[AlignedWord]:
    words = []
    for chunk in chunks:
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        words += [AlignedWord(_kind(*pair), *pair) for pair in zip_longest(said, heard)]
    return words


def _kind(said: str | None, heard: str | None) -> Kind:
    if said is None:
        return "insertion"
    if heard is None:
        return "deletion"
    return "equal" if said == heard else "substitution"


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
