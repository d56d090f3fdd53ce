"""Scores and comparisons as tables for the terminal."""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from smallvoice.scoring import wording

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
    lines = [f"{scores['perfect']:,} without an error, {scores['over_100']:,} with more errors than words."]
    if interval := scores["wer"]["normalised"]["interval"]:
        low, high = (wording.number(100 * end, 1) for end in interval)
        lines.append(f"{100 * scores['confidence']:g} % interval over speakers, normalised: {low} to {high} %.")
    table.caption, table.caption_justify = "\n".join(lines), "left"
    return table


def comparison_table(comparison: dict[str, Any]) -> Table:
    """Both models side by side: every form, then the normalised WER of each age group, then the verdict."""
    from rich import box
    from rich.table import Table

    confidence = f"{100 * comparison['bootstrap']['confidence']:g} %"
    verdict_lines = [comparison["verdict"]["sentence"], comparison["verdict"]["caution"]]
    caption = "\n".join(line for line in verdict_lines if line)
    lost = comparison["verdict"]["outcome"] == "worse" or any(each["lost"] for each in comparison["retention"].values())
    table = Table(caption=caption, caption_justify="left", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.caption_style = "red" if lost else "table.caption"
    table.title = (
        f"Word error rate, {wording.count(comparison['utterances'], 'utterance')}, "
        f"{wording.count(comparison['speakers'], 'speaker')}"
    )
    if comparison["seeds"] > 1:
        table.title += f", {comparison['seeds']} seeds pooled"
    if comparison["synthetic"]:
        table.title += " (synthetic speech: it says nothing about children)"
    for heading in ("", *map(str, comparison["systems"].values()), "relative"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=bool(heading))
    table.add_column(f"{confidence} CI", justify="right", no_wrap=True)
    for form, label in wording.FORM_NAMES.items():
        table.add_row(label, *_cells(comparison["overall"][form]))
    table.add_section()
    for group in comparison["by_age"]:
        size = f"{wording.count(group['speakers'], 'speaker')}, {group['normalised']['a']['words']:,} words"
        compared = group["speakers"] >= comparison["min_speakers"]
        table.add_row(f"age {group['group']}: {size}", *_cells(group["normalised"], compared))
    table.add_section()
    for name, block in comparison["retention"].items():
        words = block.get("words", block["a"]["words"])
        table.add_row(f"other speech, {name}: {words:,} words", *_cells(block))
    return table


def systems_table(pairs: list[dict[str, Any]], names: list[str]) -> Table:
    """Every two of several systems. Args: names: of their files, the first is A."""
    from rich import box
    from rich.table import Table

    legend = "\n".join(f"{letter}: {name}" for letter, name in zip(ascii_uppercase, names, strict=False))
    table = Table(caption=legend, caption_justify="left", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.title = "Every two systems, normalised WER"
    for heading in ("", "WER", "points", "CI", "MAPSSWE p", "Holm"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for each in pairs:
        table.add_row(
            f"{each['a']} → {each['b']}",
            " → ".join(wording.percent(each["wer"][side]) for side in ("a", "b")),
            wording.points(each["absolute"]["change"]),
            wording.interval(each["absolute"]["interval"], 1),
            wording.probability(each["p"]),
            wording.probability(each["p_holm"]),
        )
    return table


def _cells(block: dict[str, Any], compared: bool = True) -> list[str]:
    """Rates, and their change where there are speakers enough to compare."""
    change = [
        wording.signed_percent(block["relative"]["change"]),
        wording.interval(block["relative"]["interval"]),
    ]
    rates = [wording.percent(block[system]["wer"]) for system in "ab"]
    return [*rates, *(change if compared else [wording.NOTHING] * len(change))]
