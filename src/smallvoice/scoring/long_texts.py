"""Texts that leave choices and are too long to search in one: cut where both say the same, and searched in pieces.

Up to `lattice.MOST_CELLS` two texts are one piece, and the search is exact. Longer ones are aligned token by token,
where a choice equals only the same choice, and are cut in the middle of the longest runs of equal plain words. Each
piece is searched exactly; what may be missed is a cheaper alignment that does not go through the cuts. On random texts
in pieces of 50 words that cost nothing with every other word wrong, and one error in 457 with nine of ten
(`tests/scoring/test_alternatives.py`).

Only a piece that is still too large and has nowhere two equal words in a row is not searched: `settled`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from smallvoice.scoring import lattice
from smallvoice.scoring.alternatives import Alternatives, Token, has_choice

PIECE_CELLS = 40_000
"""Pairs of nodes up to which a piece of a long text is not cut further: 200 words, 0.04 s. 20,000 words take 5 s."""
FEWEST = 2
"""Equal words in a row that may be cut between, as in `matched_pairs`."""

Piece = tuple[Sequence[Token], Sequence[Token]]
Run = tuple[int, int, int]
"""Equal plain words: where they begin in the reference and in the hypothesis, and how many they are."""


def pieces(reference: Sequence[Token], hypothesis: Sequence[Token]) -> list[Piece]:
    """Both texts in pieces, in reading order; those that leave a choice are no larger than `lattice` searches."""
    if not _leaves_choice_beyond(lattice.MOST_CELLS, (reference, hypothesis)):
        return [(reference, hypothesis)]
    runs = list(_equal_runs(reference, hypothesis))
    found: list[Piece] = []
    parts = [((0, 0), (len(reference), len(hypothesis)))]
    while parts:
        start, end = parts.pop()
        piece = reference[start[0] : end[0]], hypothesis[start[1] : end[1]]
        cut = _best_cut(runs, start[0], end[0]) if _leaves_choice_beyond(PIECE_CELLS, piece) else None
        if cut:
            parts += [(cut, end), (start, cut)]
        elif _leaves_choice_beyond(lattice.MOST_CELLS, piece):
            said = settled(*piece)
            found.append((said, settled(piece[1], said)))
        else:
            found.append(piece)
    return found


def _leaves_choice_beyond(most: int, piece: Piece) -> bool:
    return lattice.num_cells(*piece) > most and any(map(has_choice, piece))


def _equal_runs(reference: Sequence[Token], hypothesis: Sequence[Token]) -> Iterator[Run]:
    """Runs of plain words that an alignment of the tokens has equal, without those that are too short to cut."""
    from rapidfuzz.distance import Levenshtein

    for block in Levenshtein.opcodes(reference, hypothesis):
        if block.tag != "equal":
            continue
        choices = [at for at in range(block.src_start, block.src_end) if isinstance(reference[at], Alternatives)]
        start = block.src_start
        for end in (*choices, block.src_end):
            if end - start >= FEWEST:
                yield start, block.dest_start + start - block.src_start, end - start
            start = end + 1


def _best_cut(runs: Sequence[Run], first: int, last: int) -> tuple[int, int] | None:
    """The middle of the longest run, as far as it lies in this part of the reference; None where there is none."""
    longest, cut = FEWEST - 1, None
    for start, other, size in runs:
        left, right = max(start, first), min(start + size, last)
        if right - left > longest:
            middle = (left + right) // 2
            longest, cut = right - left, (middle, other + middle - start)
    return cut


def settled(tokens: Sequence[Token], other: Sequence[Token]) -> list[str]:
    """Words of a text that is not searched: of each choice the first alternative that the other text holds somewhere.

    A choice that the other text leaves too falls on its first alternative; and so it does there, if that side is
    settled against these words.
    """
    there = [token for token in other if isinstance(token, str)]
    lengths = {len(option) for token in tokens if isinstance(token, Alternatives) for option in token.options}
    held = {tuple(there[start : start + length]) for length in lengths for start in range(len(there))}
    held.update(option for token in other if isinstance(token, Alternatives) for option in token.options)
    words: list[str] = []
    for token in tokens:
        if isinstance(token, str):
            words.append(token)
        else:
            words += next((option for option in token.options if option and option in held), token.options[0])
    return words
