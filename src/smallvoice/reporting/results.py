"""The result sections: from the content of `comparative_analysis.json` to headline, table and age groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from smallvoice.reporting import plots
from smallvoice.scoring import wording

Block = dict[str, Any]


@dataclass(frozen=True)
class Headline:
    """The answer in plain words."""

    outcome: str
    """The comparison's own word, such as `better but`."""
    title: str
    red: bool
    """Worse, or worse on speech that training should not have touched."""
    explanation: str
    rule: str
    caution: str | None


@dataclass(frozen=True)
class Bar:
    """One bar of the waterfall; where it begins and how long it is, in percent of the longest."""

    label: str
    note: str
    value: str
    begin: float
    length: float


def headline(comparison: Block) -> Headline:
    """Who makes fewer errors, by how much, and how sure that is; no claim where the interval holds zero."""
    block, verdict = comparison["overall"]["normalised"], comparison["verdict"]
    relative, outcome = block["relative"]["change"], verdict["outcome"]
    size = wording.percent(abs(relative), 0) if relative is not None else None
    titles = {
        "better": f"{size} fewer word errors" if size else "Fewer word errors",
        "better but": f"{size} fewer word errors, but …" if size else "Fewer word errors, but …",
        "worse": f"{size} more word errors" if size else "More word errors",
        "no evidence": "No evidence of a difference",
    }
    return Headline(
        outcome=outcome,
        title=titles[outcome] if block["absolute"]["interval"] else "Nothing can be claimed",
        red=outcome == "worse" or any(block["lost"] for block in comparison["retention"].values()),
        explanation=" ".join([*_in_a_hundred(block), *_how_sure(comparison)]),
        rule=verdict["rule"],
        caution=verdict["caution"],
    )


def tiles(comparison: Block) -> list[tuple[str, str, str]]:
    """The figures under the headline: label, value, and what stands behind it."""
    block = comparison["overall"]["normalised"]
    confidence = confidence_name(comparison)
    found = [
        (
            f"{name}, normalised WER",
            wording.percent(block[side]["wer"]),
            rates(block[side]["interval"], confidence),
        )
        for side, name in (("a", "Base"), ("b", "Tuned"))
    ]
    relative = block["relative"]
    behind = "no interval"
    if relative["interval"] is not None:
        behind = f"{confidence} interval {wording.interval(relative['interval'])} %"
    found.append(("Relative change", wording.signed_percent(relative["change"]), behind))
    words = round(block["a"]["words"] / comparison["seeds"])
    scored = f"{wording.count(comparison['speakers'], 'speaker')}, {wording.count(words, 'word')}"
    return [*found, ("Scored on", wording.count(comparison["utterances"], "utterance"), scored)]


def rates(bounds: list[float] | None, confidence: str) -> str:
    """The interval of a rate: `95 % interval 36.2 to 45.9 %`."""
    if bounds is None:
        return "no interval"
    low, high = (wording.number(100 * bound, 1) for bound in bounds)
    return f"{confidence} interval {low} to {high} %"


def confidence_name(comparison: Block) -> str:
    return f"{100 * comparison['bootstrap']['confidence']:g} %"


def waterfall(steps: dict[str, list[Block]]) -> list[tuple[str, list[Bar]]]:
    """For each model what its raw rate is made of: a bar for each thing that is set aside, and one for what is left."""
    found = []
    longest = max((step["wer"] for side in steps.values() for step in side), default=0.0) or 1.0
    for side, system in (("a", "base"), ("b", "tuned")):
        bars = [_bar(step, longest) for step in steps[side]]
        if bars:
            left = steps[side][-1]["wer"]
            bars.append(Bar("Words", "what is left: normalised", wording.percent(left), 0.0, 100 * left / longest))
        found.append((system, bars))
    return found


def _bar(step: Block, longest: float) -> Bar:
    rate, taken = step["wer"], step["taken"]
    if step["step"] == "as written":
        return Bar("As written", "raw", wording.percent(rate), 0.0, 100 * rate / longest)
    note = "set aside" if taken >= 0 else "set aside, which makes the rate higher"
    name = f"{step['step'][0].upper()}{step['step'][1:]}"
    return Bar(name, note, wording.points(-taken), 100 * min(rate, rate + taken) / longest, 100 * abs(taken) / longest)


def scores(overall: Block) -> list[tuple[str, list[tuple[str, Block]], Block]]:
    """The before/after table: for each form its name, the two models' counts, and the whole block."""
    return [
        (wording.FORM_NAMES[form], [("base", block["a"]), ("tuned", block["b"])], block)
        for form, block in overall.items()
    ]


def age_plot(comparison: Block) -> str | None:
    """The age groups that have words, as a plot; None where no group has any."""
    found = [group for group in ages(comparison) if all(group["normalised"][side]["wer"] is not None for side in "ab")]
    if not found:
        return None
    return plots.age_levels([_level(group) for group in found], " ".join(_spoken(group) for group in found))


def ages(comparison: Block) -> list[Block]:
    """The age groups, marked."""
    return marked(comparison["by_age"], comparison)


def marked(groups: list[Block], comparison: Block) -> list[Block]:
    """Groups with `few`: that they have so few speakers that they are shown and not compared."""
    return [{**group, "few": group["speakers"] < comparison["min_speakers"]} for group in groups]


def notes(comparison: Block) -> list[str]:
    """What a reader must know before using the numbers; each one follows from the files."""
    found = []
    if comparison["verdict"]["caution"]:
        found.append(comparison["verdict"]["caution"])
    if comparison["verdict"]["but"]:
        found.append(f"What became worse: {'; '.join(comparison['verdict']['but'])}.")
    small = [group["group"] for group in ages(comparison) if group["few"]]
    if small and len(comparison["by_age"]) > 1:
        found.append(
            f"Fewer than {comparison['min_speakers']} speakers in these age groups, which are shown and not compared: "
            f"{', '.join(small)}."
        )
    for side, name in (("a", "base"), ("b", "tuned")):
        if lost := len(comparison["not_decoded"][side]):
            found.append(
                f"{wording.count(lost, 'utterance')} could not be decoded by {name}; its words count as deletions."
            )
        if capped := comparison["capped"][side]:
            found.append(
                f"{wording.count(capped, 'hypothesis', 'hypotheses')} of {name} reached the cap on new "
                "tokens, often a loop."
            )
    if comparison["without_flagged"]:
        block = comparison["without_flagged"]["normalised"]
        change = f"{wording.percent(block['a']['wer'])} → {wording.percent(block['b']['wer'])}"
        found.append(
            f"Flagged as suspicious, but scored like all others: "
            f"{wording.count(comparison['flagged'], 'utterance')}. Without them, normalised WER {change}."
        )
    if comparison["speakers"] == 0:
        found.append(
            f"No speaker is known: the interval is over each {comparison['bootstrap']['unit']} instead, which several "
            "of one voice make too narrow, and nothing is claimed."
        )
    return found


def _in_a_hundred(block: Block) -> list[str]:
    a, b = block["a"]["wer"], block["b"]["wer"]
    if a is None or b is None:
        return ["There is no reference word to score."]
    before, after = wording.number(100 * a, 0), wording.number(100 * b, 0)
    return [f"For every 100 words that were said, the base model makes {before} errors and the tuned one {after}."]


def _how_sure(comparison: Block) -> list[str]:
    block, bootstrap = comparison["overall"]["normalised"], comparison["bootstrap"]
    bounds = block["relative"]["interval"]
    if bounds is None and block["absolute"]["interval"] is not None:
        low, high = (wording.points(end) for end in block["absolute"]["interval"])
        return [f"The change lies between {low} and {high} points ({confidence_name(comparison)} interval)."]
    if bounds is None:
        alike = "all are alike" if block["absolute"]["change"] is not None else "the change is not defined"
        return [f"There is no interval: {bootstrap['why_no_interval'] or alike}."]
    drawn = wording.count(bootstrap["units"], bootstrap["unit"].split(",")[0])
    return [
        f"Judged by how much the {drawn} differ, the change for others like them lies between "
        f"{wording.signed_percent(bounds[0])} and {wording.signed_percent(bounds[1])} "
        f"({confidence_name(comparison)} interval)."
    ]


def _level(group: Block) -> plots.Level:
    block = group["normalised"]
    behind = f"{wording.count(group['speakers'], 'speaker')}, {wording.count(block['a']['words'], 'word')}"
    return plots.Level(
        label=f"{group['group']}\n{behind}",
        before=100 * block["a"]["wer"],
        after=100 * block["b"]["wer"],
        before_interval=None if group["few"] else _percentages(block["a"]["interval"]),
        after_interval=None if group["few"] else _percentages(block["b"]["interval"]),
    )


def _spoken(group: Block) -> str:
    block = group["normalised"]
    return (
        f"Age {group['group']}: {wording.percent(block['a']['wer'])} before, "
        f"{wording.percent(block['b']['wer'])} after, {wording.count(group['speakers'], 'speaker')}."
    )


def _percentages(bounds: list[float] | None) -> list[float] | None:
    return None if bounds is None else [100 * bound for bound in bounds]
