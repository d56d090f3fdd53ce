"""The course of training, from `metrics.jsonl`: what the plots draw and the sentences beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from smallvoice.reporting import plots
from smallvoice.scoring import wording

Metrics = list[dict[str, Any]]

_MAX_POINTS = 600
"""More than a plot of this width can show; longer runs are thinned by means of neighbours."""


@dataclass(frozen=True)
class Training:
    """The training section of the page."""

    sentence: str
    loss: str | None
    dev: str | None
    evaluations: list[tuple[str, str, str, bool]]
    """Step, WER, errors of words, whether it was the best so far: one row a dev evaluation."""


def training(metrics: Metrics) -> Training | None:
    """None where nothing was recorded."""
    steps = [row for row in metrics if row.get("kind") == "step" and _finite(row.get("loss"))]
    devs = [row for row in metrics if row.get("kind") == "dev" and _finite(row.get("wer"))]
    if not steps and not devs:
        return None
    sentence = _sentence(steps, devs)
    loss = [curve for curve in (_loss_curve(rows) for rows in by_member(steps)) if len(curve.steps) > 1]
    dev = [_dev_curve(rows) for rows in by_member(devs)]
    return Training(
        sentence=sentence,
        loss=plots.training_loss(loss, sentence) if loss else None,
        dev=plots.dev_error(dev, sentence) if dev else None,
        evaluations=[
            (
                f"{row['step']:,}" if row.get("member") is None else f"{row['step']:,} (member {row['member'] + 1})",
                wording.percent(row["wer"]),
                f"{_errors(row):,} of {row['words']:,}",
                bool(row.get("best")),
            )
            for row in devs
        ],
    )


def by_member(rows: Metrics) -> list[Metrics]:
    """Rows of each model that was trained; a run of one model does not number it."""
    members: dict[Any, Metrics] = {}
    for row in rows:
        members.setdefault(row.get("member"), []).append(row)
    return list(members.values())


def thinned(steps: list[int], values: list[float], limit: int = _MAX_POINTS) -> tuple[list[int], list[float]]:
    """At most `limit` points: the last step and the mean of each run of neighbours."""
    size = -(-len(values) // limit) if values else 1
    starts = range(0, len(values), size)
    return (
        [steps[min(start + size, len(steps)) - 1] for start in starts],
        [sum(values[start : start + size]) / len(values[start : start + size]) for start in starts],
    )


def _loss_curve(rows: Metrics) -> plots.Curve:
    return plots.Curve(*thinned([row["step"] for row in rows], [row["loss"] for row in rows]))


def _dev_curve(rows: Metrics) -> plots.Curve:
    # `best` marks every improvement; the last one is the adapter that was kept.
    best = [number for number, row in enumerate(rows) if row.get("best")]
    values = [100 * row["wer"] for row in rows]
    return plots.Curve([row["step"] for row in rows], values, best[-1] if best else None)


def _sentence(steps: Metrics, devs: Metrics) -> str:
    parts = []
    if steps:
        first, last = steps[0]["loss"], steps[-1]["loss"]
        members = len(by_member(steps))
        of = f" by each of {members} members" if members > 1 else ""
        parts.append(f"{wording.count(len(steps) // members, 'step')}{of}; loss {first:.2f} → {last:.2f} per token.")
    if devs:
        parts.append(_dev_sentence(by_member(devs)))
    return " ".join(parts)


def _dev_sentence(members: list[Metrics]) -> str:
    """What was seen on dev: where it was decoded once, it chose nothing."""
    best = [min(rows, key=lambda row: row["wer"]) for rows in members]
    rates = ", ".join(wording.percent(row["wer"]) for row in best)
    if all(len(rows) == 1 for rows in members):
        each = " of each member" if len(members) > 1 else ""
        return f"Word error rate on dev after the last step{each}: {rates}. Dev chose nothing."
    if len(members) > 1:
        return f"Best word error rate on dev of each member: {rates}. Dev alone chooses each member's checkpoint."
    return (
        f"Word error rate on dev {wording.percent(members[0][0]['wer'])} at the first evaluation, "
        f"best {rates} at step {best[0]['step']:,}. Dev alone chooses the checkpoint."
    )


def _errors(row: dict[str, Any]) -> int:
    return int(row["insertions"] + row["deletions"] + row["substitutions"])


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
