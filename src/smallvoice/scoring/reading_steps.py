"""A passage and what was heard of it, word by word, for a reader who may stop, or leave out a line and read on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from smallvoice.scoring.alternatives import Token
from smallvoice.scoring.long_texts import settled
from smallvoice.scoring.word_errors import AlignedWord, align_all, align_until_stopped, unread

ALIKE = 0.5
"""So similar (1 minus the edit distance over the longer word) is an attempt at the word that follows."""
BRIDGES = frozenset(["actually", "er", "hmm", "no", "oh", "oops", "sorry", "uh", "um", "wait", "whoops"])
"""Said between an attempt and the right word (Levelt, 1983: editing terms), as is `i mean`."""


def align_reading(passage: Sequence[Token], heard: Sequence[Token]) -> list[AlignedWord]:
    """The passage word by word, read to where the reader stopped.

    What was said behind that is no part of the passage, but for three cases: as many words as were left are those
    words; most of them stand further on, so that something was left out; or all are attempts at the next ones.
    """
    read, left = align_until_stopped(passage, heard)
    last = next((place for place in range(len(read), 0, -1) if read[place - 1].reference), 0)
    said = [step.hypothesis or "" for step in read[last:]]
    behind = unread(left)
    if not said or not behind:
        return [*read, *behind]
    if len(said) >= len(behind):
        return align_all([passage], [heard])[0]
    if reached := _reached(left, said):
        return [*read[:last], *align_all([left[:reached]], [said])[0], *unread(left[reached:])]
    tried = [word for word in said if word not in BRIDGES]
    if all(_attempted(word, step.reference or "") for word, step in zip(tried, behind, strict=False)):
        bridges = [step for step in read[last:] if step.hypothesis in BRIDGES]
        attempts = [
            AlignedWord("substitution", step.reference, word) for word, step in zip(tried, behind, strict=False)
        ]
        return [*read[:last], *bridges, *attempts, *behind[len(tried) :]]
    return [*read, *behind]


def _attempted(word: str, right: str) -> bool:
    """Whether a word is an attempt at another, and no remark that begins with `I` or `it` before `into`."""
    return len(word.rstrip("-")) > 2 and alike(word, right)


def _reached(left: Sequence[Token], said: Sequence[str]) -> int:
    """How many tokens a reader came to who left some out and read on; 0 where what was said does not show it.

    Most of it must stand there in this order; and the more of it does, the more may have been left out.
    """
    from rapidfuzz.distance import LCSseq

    words = [(word, number) for number, token in enumerate(left, 1) for word in settled([token], said)]
    there = [word for word, _ in words]
    same = LCSseq.similarity(there, said)
    # Where it first ends: of a shorter part less is the same.
    place = bisect_left(range(len(there) + 1), same, key=lambda size: LCSseq.similarity(there[:size], said))
    enough = 2 * same > len(said) and place - same <= same * (same + 1)
    return words[place - 1][1] if enough else 0


def alike(attempt: str, word: str) -> bool:
    """Whether one is an attempt at the other: its beginning, or nearly it."""
    from rapidfuzz.distance import Levenshtein

    return word.startswith(attempt.rstrip("-")) or Levenshtein.normalized_similarity(attempt, word) >= ALIKE
