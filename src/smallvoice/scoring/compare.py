"""Two models on the same utterances, side by side: the content of `comparative_analysis.json`.

`a` is the model before (base), `b` the model after (tuned). A rate is a fraction; a change is B minus A, so
negative is better. `null` stands where a number does not exist, never NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from smallvoice.errors import InputError
from smallvoice.recipe import EvaluateRecipe
from smallvoice.scoring import (
    groups,
    hallucination,
    hypotheses,
    matched_pairs,
    normalize,
    scores,
    significance,
    verdict,
)
from smallvoice.scoring.decomposition import waterfall
from smallvoice.scoring.details import details
from smallvoice.scoring.groups import Row
from smallvoice.scoring.scored import Scored
from smallvoice.scoring.word_errors import ErrorCounts, total

_Each = TypeVar("_Each")


def compare(
    rows_a: list[Row],
    rows_b: list[Row],
    evaluate: EvaluateRecipe,
    names: tuple[str, str] = ("A", "B"),
    retention: dict[str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Compare two models on the same utterances, paired by id.

    Args:
        rows_a, rows_b: two hypotheses files, before and after.
        evaluate: age bands, the fewest speakers of a group that is compared, resamples, confidence and seed.
        names: of the two in error messages.
        retention: by the name of a set of other speech, what this function gave for it.

    Raises:
        InputError: a side cannot be scored, or the two differ in their utterances or references.
    """
    hypotheses.check(rows_a, names[0])
    hypotheses.check(rows_b, names[1])
    rows_b = hypotheses.pair(rows_a, rows_b, names)
    rows_a = [{**row, "flags": paired["flags"]} for row, paired in zip(rows_a, rows_b, strict=True)]
    a = Scored(rows_a)
    b = Scored(rows_b, like=a)
    both = Pair(rows_a, scores.utterance_counts(a), scores.utterance_counts(b), evaluate)

    everyone = list(range(len(rows_a)))
    unflagged = scores.unflagged(rows_a)
    overall = both.section(everyone)
    bootstrap = both.bootstrap(everyone)
    ages = groups.by_age(rows_a, evaluate.age_bands)
    by_age = both.sections(ages)
    by_column = {name: both.sections(found, ("normalised",)) for name, found in groups.by_columns(rows_a).items()}
    signs = {"a": hallucination.signs(a), "b": hallucination.signs(b)}
    buts = [
        but
        for name, found in {"age": by_age, **by_column}.items()
        for but in verdict.group_buts(name, found, evaluate.min_speakers)
    ]
    buts += verdict.loop_buts(signs["a"], signs["b"])
    kept = {name: _other_speech(each, name) for name, each in (retention or {}).items()}
    lost = verdict.retention_buts(kept, evaluate.retention_margin)
    return {
        **scores.about(rows_a),
        "systems": {"a": rows_a[0].get("system"), "b": rows_b[0].get("system")},
        "verdict": verdict.verdict(overall["normalised"], bootstrap, [*buts, *lost.values()], _beams(rows_a, rows_b)),
        "overall": overall,
        "formatting": verdict.formatting(overall, str(rows_a[0].get("system"))),
        "waterfall": {"a": waterfall(a), "b": waterfall(b)},
        "details": {"a": details(a), "b": details(b)},
        "matched_pairs": {
            "method": matched_pairs.METHOD,
            **asdict(matched_pairs.test(*(of_one_seed(rows_a, each.aligned("normalised")) for each in (a, b)))),
        },
        "by_age": by_age,
        "groups": by_column,
        "gaps": both.gaps({"age": ages, **groups.by_columns(rows_a)}),
        "by_speaker": both.by_speaker(),
        "hallucination": signs,
        "retention": {name: {**block, "lost": name in lost} for name, block in kept.items()},
        "without_flagged": both.section(unflagged) if len(unflagged) < len(rows_a) else None,
        "not_decoded": {"a": scores.not_decoded(rows_a), "b": scores.not_decoded(rows_b)},
        "capped": {"a": scores.num_capped(rows_a), "b": scores.num_capped(rows_b)},
        "bootstrap": bootstrap,
        "min_speakers": evaluate.min_speakers,
    }


class Pair:
    """Two models' counts of the same utterances, and the sections of a comparison that are made from them."""

    def __init__(
        self, rows: list[Row], counts_a: scores.Counts, counts_b: scores.Counts, evaluate: EvaluateRecipe
    ) -> None:
        self.rows = rows
        self.counts_a = counts_a
        self.counts_b = counts_b
        self.evaluate = evaluate
        self.units = groups.units(rows)

    def size(self, positions: list[int]) -> dict[str, int]:
        return {**scores.size(self.rows, positions), "units": len({self.units[position] for position in positions})}

    def section(self, positions: list[int], forms: Sequence[str] = normalize.FORMS) -> dict[str, Any]:
        """The forms of the chosen utterances: both models, the change and its intervals."""
        units = sorted({self.units[position] for position in positions})
        rule = self.evaluate
        blocks = {}
        for form in forms:
            a = total([self.counts_a[form][position] for position in positions])
            b = total([self.counts_b[form][position] for position in positions])
            table = self._per_unit(form, positions, units)
            blocks[form] = _block(a, b, significance.change(table, rule.resamples, rule.seed, rule.confidence))
        return blocks

    def sections(self, members: dict[str, list[int]], forms: Sequence[str] = normalize.FORMS) -> list[dict[str, Any]]:
        """The section of each group, with its name and size."""
        return [
            {"group": group, **self.size(positions), **self.section(positions, forms)}
            for group, positions in members.items()
        ]

    def gaps(self, groupings: dict[str, dict[str, list[int]]]) -> dict[str, Any]:
        """For each grouping the best and the worst group of B, of those with enough speakers, and how far apart."""
        found = {}
        for name, members in groupings.items():
            tables = {}
            for group, positions in members.items():
                units = sorted({self.units[position] for position in positions})
                if group != "unknown" and self.size(positions)["speakers"] >= self.evaluate.min_speakers:
                    tables[group] = self._per_unit("normalised", positions, units)
            rated = {group: table for group, table in tables.items() if table[:, 1].sum() and table[:, 3].sum()}
            if len(rated) < 2:
                continue
            order = sorted(rated, key=lambda group: rated[group][:, 2].sum() / rated[group][:, 3].sum())
            best, worst = self._per_unit_of(members[order[0]]), self._per_unit_of(members[order[-1]])
            sides = {
                side: significance.gap(best[:, columns], worst[:, columns], self.evaluate.confidence)
                for side, columns in (("a", slice(0, 2)), ("b", slice(2, 4)))
            }
            found[name] = {
                "best": order[0],
                "worst": order[-1],
                **{side: {"points": points, "interval": _list(interval)} for side, (points, interval) in sides.items()},
            }
        return found

    def by_speaker(self) -> list[dict[str, Any]]:
        """Each unit's words and normalised rates, in order."""
        members: dict[tuple[str, str], list[int]] = {}
        for position, unit in enumerate(self.units):
            members.setdefault(unit, []).append(position)
        found = []
        for unit, positions in sorted(members.items()):
            a, b = (
                total([counts["normalised"][position] for position in positions])
                for counts in (self.counts_a, self.counts_b)
            )
            row = self.rows[positions[0]]
            who = {"unit": unit[1], "age_years": row.get("age_years"), "gender": row.get("gender")}
            found.append({**who, "utterances": len(positions), "words": a.words, "a": a.rate, "b": b.rate})
        return found

    def bootstrap(self, positions: list[int]) -> dict[str, Any]:
        """How the intervals were made, or why there are none."""
        kinds = {self.units[position][0] for position in positions}
        num_units = len({self.units[position] for position in positions})
        unit = ", else ".join(kind for kind in ("speaker", "recording", "utterance") if kind in kinds)
        unnamed = ", and all rows without one as one more" if ("speaker", groups.UNNAMED) in set(self.units) else ""
        return {
            "method": significance.METHOD,
            "unit": f"{unit}{unnamed}",
            "units": num_units,
            "speakers": groups.num_speakers([self.rows[position] for position in positions]),
            "resamples": self.evaluate.resamples,
            "confidence": self.evaluate.confidence,
            "seed": self.evaluate.seed,
            "why_no_interval": None
            if num_units > 1
            else f"an interval needs at least 2 speakers; there is {num_units}",
        }

    def _per_unit_of(self, positions: list[int]) -> NDArray[np.int64]:
        """The same of some utterances, with a row for every unit of all: zero where it has none of them."""
        return self._per_unit("normalised", positions, sorted(set(self.units)))

    def _per_unit(self, form: str, positions: list[int], units: list[tuple[str, str]]) -> NDArray[np.int64]:
        """Errors and words of A, errors and words of B, shape = (num_units, 4)."""
        index = {unit: row for row, unit in enumerate(units)}
        table = np.zeros((len(units), 4), dtype=np.int64)
        for position in positions:
            a, b = self.counts_a[form][position], self.counts_b[form][position]
            table[index[self.units[position]]] += (a.errors, a.words, b.errors, b.words)
        return table


def _other_speech(comparison: dict[str, Any], name: str) -> dict[str, Any]:
    """What a comparison of both models on other speech says.

    Raises:
        InputError: it is no comparison.
    """
    try:
        normalised: dict[str, Any] = comparison["overall"]["normalised"]
        words = round(normalised["a"]["words"] / comparison.get("seeds", 1))  # which are pooled: of seeds, or of folds
        return {key: comparison[key] for key in ("utterances", "speakers")} | {"words": words} | normalised
    except (KeyError, TypeError):
        raise InputError(f"{name}: what was compared on other speech is no comparative_analysis.json.") from None


def _beams(rows_a: list[Row], rows_b: list[Row]) -> tuple[int, int] | None:
    """The beams that both were decoded with; None where a file does not say. Rows that could not be decoded do not."""
    a, b = (next((int(row["beams"]) for row in rows if row.get("beams")), None) for rows in (rows_a, rows_b))
    return (a, b) if a and b else None


def _block(a: ErrorCounts, b: ErrorCounts, change: significance.Change) -> dict[str, Any]:
    return {
        "a": {**a.as_dict(), "interval": _list(change.interval_a)},
        "b": {**b.as_dict(), "interval": _list(change.interval_b)},
        "absolute": {"change": change.absolute, "interval": _list(change.absolute_interval)},
        "relative": {"change": change.relative, "interval": _list(change.relative_interval)},
        "probability_of_improvement": change.probability_of_improvement,
    }


def of_one_seed(rows: list[Row], each: list[_Each]) -> list[_Each]:
    """What belongs to the rows of the first seed: the same sentence twice is no second observation."""
    return [one for row, one in zip(rows, each, strict=True) if row.get(groups.SEED) == rows[0].get(groups.SEED)]


def _list(interval: significance.Interval) -> list[float] | None:
    return None if interval is None else list(interval)
