"""One system's hypotheses to its scores: a model's block of `evaluation_results.json`. Without speakers it needs no
numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smallvoice.recipe import EvaluateRecipe
from smallvoice.scoring import groups, hallucination, hypotheses, normalize
from smallvoice.scoring.details import details
from smallvoice.scoring.groups import Row
from smallvoice.scoring.scored import Scored
from smallvoice.scoring.word_errors import ErrorCounts, total

Counts = dict[str, list[ErrorCounts]]
"""Form → the counts of every utterance."""


def score(rows: list[Row], name: str = "hypotheses", evaluate: EvaluateRecipe | None = None) -> dict[str, Any]:
    """Score one model's hypotheses in every form, in all, by age and by any other column.

    Args:
        rows: of a hypotheses file; an utterance with an `error` counts as if nothing had been heard.
        name: of the rows in error messages.
        evaluate: age bands, and the confidence of the intervals over speakers, which two known ones are needed for.

    Raises:
        InputError: the rows cannot be scored; see `hypotheses.check`.
    """
    hypotheses.check(rows, name)
    scored = Scored(rows)
    counts = utterance_counts(scored)
    everyone = list(range(len(rows)))
    clean = unflagged(rows)
    rule = evaluate or EvaluateRecipe()
    return {
        **about(rows),
        "system": rows[0].get("system"),
        "wer": _with_intervals(_blocks(counts, everyone), rows, counts, rule.confidence),
        "confidence": rule.confidence,
        **details(scored),
        "hallucination": hallucination.signs(scored),
        "by_age": [
            {"group": band, **size(rows, positions), "wer": _blocks(counts, positions)}
            for band, positions in groups.by_age(rows, rule.age_bands).items()
        ],
        "groups": {
            column: [
                {"group": group, **size(rows, positions), "wer": _blocks(counts, positions, ("normalised",))}
                for group, positions in members.items()
            ]
            for column, members in groups.by_columns(rows).items()
        },
        "without_flagged": _blocks(counts, clean) if len(clean) < len(rows) else None,
        "not_decoded": not_decoded(rows),
        "capped": num_capped(rows),
    }


def utterance_counts(scored: Scored) -> Counts:
    """The errors of every utterance in every form."""
    return {form: scored.counts(form) for form in normalize.FORMS}


def _blocks(counts: Counts, positions: list[int], forms: Sequence[str] = normalize.FORMS) -> dict[str, Any]:
    return {form: total([counts[form][position] for position in positions]).as_dict() for form in forms}


def _with_intervals(blocks: dict[str, Any], rows: list[Row], counts: Counts, confidence: float) -> dict[str, Any]:
    """The same with `interval`: null where fewer than two speakers are known."""
    if groups.num_speakers(rows) < 2:
        return {form: {**block, "interval": None} for form, block in blocks.items()}
    # Imported here: without it texts that name no speakers are scored in half the time.
    import numpy as np

    from smallvoice.scoring import significance

    units = groups.units(rows)
    index = {unit: place for place, unit in enumerate(sorted(set(units)))}
    for form, block in blocks.items():
        table = np.zeros((len(index), 2), dtype=np.int64)
        for unit, count in zip(units, counts[form], strict=True):
            table[index[unit]] += (count.errors, count.words)
        interval = significance.rate(table, confidence)
        block["interval"] = None if interval is None else list(interval)
    return blocks


def about(rows: list[Row]) -> dict[str, Any]:
    """What was scored, and how the words were made."""
    return {
        "split": ", ".join(sorted({str(row["split"]) for row in rows if row.get("split") is not None})) or None,
        **size(rows, list(range(len(rows)))),
        "seeds": num_seeds(rows),
        "duration_s": sum(row.get("duration_s") or 0.0 for row in rows) / num_seeds(rows),
        "synthetic": any(row.get("synthetic") for row in rows),
        "flagged": size(rows, [position for position, row in enumerate(rows) if row.get("flags")])["utterances"],
        "normalisers": normalize.description(row.get("language") for row in rows),
    }


def size(rows: list[Row], positions: list[int]) -> dict[str, int]:
    return {
        "utterances": len({rows[position].get(groups.UTTERANCE, rows[position]["id"]) for position in positions}),
        "speakers": groups.num_speakers([rows[position] for position in positions]),
    }


def num_seeds(rows: list[Row]) -> int:
    """From how many seeds a system's hypotheses are pooled (`hypotheses.pooled`)."""
    return len({row.get(groups.SEED) for row in rows})


def unflagged(rows: list[Row]) -> list[int]:
    return [position for position, row in enumerate(rows) if not row.get("flags")]


def not_decoded(rows: list[Row]) -> list[dict[str, Any]]:
    return [{"id": row["id"], "error": reason} for row in rows if (reason := hypotheses.failure(row))]


def num_capped(rows: list[Row]) -> int:
    return sum(bool(row.get("capped")) for row in rows)
