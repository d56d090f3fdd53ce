"""Scores and comparisons as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smallvoice.scoring import groups, wording

if TYPE_CHECKING:
    from rich.table import Table


def score_table(scores: dict[str, Any]) -> Table:
    """One system: every form, with its insertions, deletions and substitutions."""
    from rich import box
    from rich.table import Table

    table = Table(title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.title = f"Word error rate, {wording.count(scores['utterances'], 'utterance')}"
    for heading in ("", "WER", "words", "ins", "del", "sub"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for form, label in wording.FORM_NAMES.items():
        block = scores["wer"][form]
        counts = (block[name] for name in ("words", "insertions", "deletions", "substitutions"))
        table.add_row(label, wording.percent(block["wer"]), *(f"{count:,}" for count in counts))
    table.add_row("characters, normalised", wording.percent(scores["cer"]["cer"]), f"{scores['cer']['characters']:,}")
    return table


def comparison_table(comparison: dict[str, Any]) -> Table:
    """Both models side by side: every form, then the normalised WER of each age group, then the verdict."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    confidence = f"{100 * comparison['bootstrap']['confidence']:g} %"
    verdict_lines = [comparison["verdict"]["sentence"], comparison["verdict"]["caution"]]
    caption = escape("\n".join(line for line in verdict_lines if line))
    table = Table(caption=caption, caption_justify="left", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.title = (
        f"Word error rate, {wording.count(comparison['utterances'], 'utterance')}, "
        f"{wording.count(comparison['speakers'], 'speaker')}"
    )
    if comparison["seeds"] > 1:
        table.title += f", {comparison['seeds']} seeds pooled"
    if comparison["synthetic"]:
        table.title += " (synthetic speech: it says nothing about children)"
    for heading in ("", *(escape(str(name)) for name in comparison["systems"].values()), "relative"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    table.add_column(f"{confidence} CI", justify="right", no_wrap=True)
    for form, label in wording.FORM_NAMES.items():
        table.add_row(label, *_cells(comparison["overall"][form]))
    table.add_section()
    for group in comparison["by_age"]:
        size = f"{wording.count(group['speakers'], 'speaker')}, {group['normalised']['a']['words']:,} words"
        compared = group["units"] >= groups.MIN_SPEAKERS
        table.add_row(f"age {group['group']}: {size}", *_cells(group["normalised"], compared))
    return table


def _cells(block: dict[str, Any], compared: bool = True) -> list[str]:
    """Rates, and their change where there are speakers enough to compare."""
    change = [
        wording.signed_percent(block["relative"]["change"]),
        wording.interval(block["relative"]["interval"]),
    ]
    rates = [wording.percent(block[system]["wer"]) for system in "ab"]
    return [*rates, *(change if compared else [wording.NOTHING] * len(change))]
