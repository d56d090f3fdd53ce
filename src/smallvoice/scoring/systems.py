"""Several systems on the same utterances, every two of them compared."""

from __future__ import annotations

from itertools import combinations
from string import ascii_uppercase
from typing import Any

from smallvoice.errors import InputError
from smallvoice.recipe import EvaluateRecipe
from smallvoice.scoring import hypotheses, matched_pairs, scores
from smallvoice.scoring.compare import Pair, of_one_seed
from smallvoice.scoring.groups import Row
from smallvoice.scoring.scored import Scored


def between(systems: list[list[Row]], names: list[str], evaluate: EvaluateRecipe) -> list[dict[str, Any]]:
    """Every two of several systems: the change of normalised WER with its interval, and the matched-pairs test.

    Args:
        systems: the hypotheses of each.
        names: of their files, in error messages.

    Returns:
        For every two: `a`, `b` (A is the first system, B the second, ...), `wer` of both, `absolute` and `relative`
        change with intervals over speakers, `segments` and `p` of MAPSSWE, and `p_holm`, which holds for all of them at
        once (Holm, 1979).

    Raises:
        InputError: more than 26 systems, or files that cannot be paired.
    """
    if len(systems) > len(ascii_uppercase):
        raise InputError(f"{len(systems)} systems: at most {len(ascii_uppercase)} are compared at once.")
    for rows, name in zip(systems, names, strict=True):
        hypotheses.check(rows, name)
    first = systems[0]
    paired = [
        first,
        *(hypotheses.pair(first, rows, (names[0], name)) for rows, name in zip(systems[1:], names[1:], strict=True)),
    ]
    reference = Scored(first)
    scored = [reference, *(Scored(rows, like=reference) for rows in paired[1:])]
    found = [
        {"a": ascii_uppercase[a], "b": ascii_uppercase[b], **_two(first, scored[a], scored[b], evaluate)}
        for a, b in combinations(range(len(systems)), 2)
    ]
    for each, p in zip(found, _holm([each["p"] for each in found]), strict=True):
        each["p_holm"] = p
    return found


def _two(rows: list[Row], a: Scored, b: Scored, evaluate: EvaluateRecipe) -> dict[str, Any]:
    pair = Pair(rows, scores.utterance_counts(a), scores.utterance_counts(b), evaluate)
    block = pair.section(list(range(len(rows))), forms=("normalised",))["normalised"]
    test = matched_pairs.test(*(of_one_seed(rows, each.aligned("normalised")) for each in (a, b)))
    return {
        "wer": {"a": block["a"]["wer"], "b": block["b"]["wer"]},
        "absolute": block["absolute"],
        "relative": block["relative"],
        "segments": test.segments,
        "p": test.p,
    }


def _holm(probabilities: list[float | None]) -> list[float | None]:
    """Each p times the number of those that are not smaller, rising with p; None stays None, and was asked too."""
    known = sorted((p, place) for place, p in enumerate(probabilities) if p is not None)
    adjusted: list[float | None] = [None] * len(probabilities)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(probabilities) - rank)))
        adjusted[place] = highest
    return adjusted
