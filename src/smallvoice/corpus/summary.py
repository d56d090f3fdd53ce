"""What `prepare` did, and how it says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareResult:
    """What `prepare` did."""

    path: Path
    facts: dict[str, Any]
    """corpus.json."""
    unchanged: bool
    """The corpus was there already, made of the same."""
    remarks: list[str] = field(default_factory=list)
    """What the readers say of the sources; it may hold names, so it is shown and not written down."""


def describe(result: PrepareResult) -> list[RenderableType]:
    """Counts, hours, speakers and ages of each split, every reason for a drop, and what to know of the split."""
    facts = result.facts
    names = ", ".join(source["name"] for source in facts["sources"])
    synthetic = " (synthetic speech)" if facts["synthetic"] else ""
    unchanged = ", unchanged since it was prepared" if result.unchanged else ""
    ledger = facts["ledger"]
    num_dropped = sum(ledger["dropped"].values())
    joined = f"{ledger['joined']} joined into one of them, " if ledger["joined"] else ""
    lines: list[RenderableType] = [
        f"{names}{synthetic}: {result.path}{unchanged}",
        _splits(facts["splits"]),
        f"{ledger['segments']} segments: {ledger['kept']} kept, {joined}{num_dropped} dropped",
    ]
    lines += [f"  {count} dropped: {reason}" for reason, count in ledger["dropped"].items()]
    lines += [f"  {count} kept and flagged: {flag}" for flag, count in facts["flags"].items()]
    lines += [f"Note: {note}" for note in [*result.remarks, *facts["notes"]]]
    if num_dropped:
        lines.append(f"Each one with its file and line: {result.path / 'ledger.jsonl'}")
    return lines


def _splits(splits: dict[str, dict[str, Any]]) -> Table:
    table = Table("split", box=None, pad_edge=False)
    for heading in ("utterances", "hours", "speakers", "ages"):
        table.add_column(heading, justify="right")
    for name, counts in splits.items():
        ages = counts["ages_years"]
        shown = f"{ages[0]:g}–{ages[1]:g}" if ages else "unknown"
        speakers = str(counts["speakers"] or "unknown")
        table.add_row(name, str(counts["utterances"]), f"{counts['hours']:.2f}", speakers, shown)
    return table
