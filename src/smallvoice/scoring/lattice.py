"""The alignment with the fewest errors between two texts that leave choices open.

Either text is a lattice: nodes in order, arcs with a word or with none. The search is dynamic programming over pairs of
nodes with sclite's weights (a substitution 4, an insertion or deletion 3, so that a substitution is never split into a
pair of the others); without choices the number of errors is that of the shortest edit path but for rare ties.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from smallvoice.scoring.alternatives import Alternatives, Token

MOST_CELLS = 4_000_000
"""Pairs of nodes up to which all choices are searched together: about 4 s. Beyond: `long_texts`."""

_BITS = 32
_COST, _INSERTION, _DELETION, _SUBSTITUTION = (1 << _BITS * place for place in (4, 3, 2, 1))
"""A cell is one integer, cost first: the smallest is the cheapest, and sums of steps carry their counts along. The last
field holds the words of the reference."""
_INSERT = 3 * _COST + _INSERTION
_DELETE = 3 * _COST + _DELETION + 1
_SUBSTITUTE = 4 * _COST + _SUBSTITUTION + 1
_EQUAL = 1

Arc = tuple[int, str | None]
"""Where it leads, and its word."""
Step = tuple[str | None, str | None]
"""A word of the reference and a word of the hypothesis; None where one has nothing."""


@dataclass(frozen=True)
class Found:
    """Counts of words; `words` of the reference as chosen."""

    words: int
    insertions: int
    deletions: int
    substitutions: int


def count(reference: Sequence[Token], hypothesis: Sequence[Token]) -> Found:
    """The fewest errors over all choices."""
    reference, hypothesis, same = _without_common_ends(reference, hypothesis)
    words, substitutions, deletions, insertions, _ = _fields(_searched(reference, hypothesis)[-1][-1][-1])
    return Found(words + same, insertions, deletions, substitutions)


class TooLarge(Exception):
    """Two texts that are too long to search all choices together."""


def align(reference: Sequence[Token], hypothesis: Sequence[Token]) -> list[Step]:
    """The steps of the alignment that `count` counts, in reading order.

    Raises:
        TooLarge: more than `MOST_CELLS`.
    """
    left, right, table = _searched(reference, hypothesis)
    return _steps(left, right, table, len(left) - 1)


def align_until_stopped(reference: Sequence[Token], hypothesis: Sequence[Token]) -> tuple[list[Step], int]:
    """The alignment of a reader who may have stopped anywhere: what stands behind costs nothing.

    Of ends that cost as much, the one with the fewest substitutions, then with the fewest insertions: what is said
    after stopping is not taken for the words that were not read.

    Returns:
        The steps up to the end, and how many tokens of the reference those are.

    Raises:
        TooLarge: more than `MOST_CELLS`.
    """
    left, right, table = _searched(reference, hypothesis)
    ends = [*itertools.accumulate(map(_num_nodes, reference), initial=0)]

    def price(size: int) -> tuple[int, int, int]:
        _, substitutions, _, insertions, cost = _fields(table[ends[size]][-1])
        return cost, substitutions, insertions

    read = min(range(len(ends)), key=price)
    return _steps(left, right, table, ends[read]), read


def _searched(
    reference: Sequence[Token], hypothesis: Sequence[Token]
) -> tuple[list[list[Arc]], list[list[Arc]], list[list[int]]]:
    """Both lattices, and the cheapest way to every pair of their nodes."""
    if num_cells(reference, hypothesis) > MOST_CELLS:
        raise TooLarge
    left, right = _lattice(reference), _lattice(hypothesis)
    return left, right, _search(left, right)


def _fields(cell: int) -> tuple[int, int, int, int, int]:
    """Words of the reference, substitutions, deletions, insertions, and the cost."""
    words, substitutions, deletions, insertions = (cell >> _BITS * place & (1 << _BITS) - 1 for place in range(4))
    return words, substitutions, deletions, insertions, cell // _COST


def _steps(left: list[list[Arc]], right: list[list[Arc]], table: list[list[int]], node: int) -> list[Step]:
    """The cheapest way to a node of the reference and the end of the hypothesis."""
    into_left, into_right = _reversed(left), _reversed(right)
    other = len(right) - 1
    steps: list[Step] = []
    while node or other:
        node, other, step = _step_before(table, into_left, into_right, node, other)
        if step != (None, None):
            steps.append(step)
    return steps[::-1]


def num_cells(reference: Sequence[Token], hypothesis: Sequence[Token]) -> int:
    """How many pairs of nodes a search looks at: about a million a second."""
    left, right = (1 + sum(map(_num_nodes, side)) for side in (reference, hypothesis))
    return left * right


def _num_nodes(token: Token) -> int:
    """How many nodes a token adds: its end, and those between the words of its options."""
    return 1 if isinstance(token, str) else 1 + sum(max(0, len(option) - 1) for option in token.options)


def _lattice(tokens: Sequence[Token]) -> list[list[Arc]]:
    """For each node its arcs; nodes are in an order in which every arc leads forward."""
    arcs: list[list[Arc]] = [[]]
    for token in tokens:
        start = len(arcs) - 1
        if isinstance(token, str):
            arcs[start].append((start + 1, token))
            arcs.append([])
            continue
        end = start + _num_nodes(token)
        for option in token.options:
            node = start
            for word in option[:-1]:
                arcs.append([])
                arcs[node].append((len(arcs) - 1, word))
                node = len(arcs) - 1
            arcs[node].append((end, option[-1] if option else None))
        arcs.append([])
    return arcs


def _search(left: list[list[Arc]], right: list[list[Arc]]) -> list[list[int]]:
    """The cheapest way to every pair of nodes."""
    never = 1 << _BITS * 6
    table = [[never] * len(right) for _ in left]
    table[0][0] = 0
    for node, arcs in enumerate(left):
        row = table[node]
        for other, heard in enumerate(right):
            so_far = row[other]
            if so_far == never:
                continue
            for there, word in heard:
                row[there] = min(row[there], so_far + (_INSERT if word is not None else 0))
            for here, said in arcs:
                below = table[here]
                below[other] = min(below[other], so_far + (_DELETE if said is not None else 0))
                if said is not None:
                    for there, word in heard:
                        if word is not None:
                            below[there] = min(below[there], so_far + (_EQUAL if word == said else _SUBSTITUTE))
    return table


def _reversed(arcs: list[list[Arc]]) -> list[list[Arc]]:
    """For each node the arcs that lead to it, with where they come from."""
    into: list[list[Arc]] = [[] for _ in arcs]
    for start, going in enumerate(arcs):
        for end, word in going:
            into[end].append((start, word))
    return into


def _step_before(
    table: list[list[int]], into_left: list[list[Arc]], into_right: list[list[Arc]], node: int, other: int
) -> tuple[int, int, Step]:
    """How the cheapest way came to a pair of nodes: where from, and by which words."""
    cell = table[node][other]
    for start, said in into_left[node]:
        if said is not None:
            for from_, word in into_right[other]:
                if word is not None and table[start][from_] + (_EQUAL if word == said else _SUBSTITUTE) == cell:
                    return start, from_, (said, word)
    for start, said in into_left[node]:
        if table[start][other] + (_DELETE if said is not None else 0) == cell:
            return start, other, (said, None)
    for from_, word in into_right[other]:
        if table[node][from_] + (_INSERT if word is not None else 0) == cell:
            return node, from_, (None, word)
    raise AssertionError("no way leads here")


def _without_common_ends(
    reference: Sequence[Token], hypothesis: Sequence[Token]
) -> tuple[Sequence[Token], Sequence[Token], int]:
    """Both without the plain words that they begin and end with alike, and how many those are."""
    most = min(len(reference), len(hypothesis))
    first = 0
    while first < most and _same(reference[first], hypothesis[first]):
        first += 1
    last = 0
    while last < most - first and _same(reference[-1 - last], hypothesis[-1 - last]):
        last += 1
    return (
        reference[first : len(reference) - last],
        hypothesis[first : len(hypothesis) - last],
        first + last,
    )


def _same(one: Token, other: Token) -> bool:
    return not isinstance(one, Alternatives) and one == other
