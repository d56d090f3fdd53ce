"""Whose errors and which: groups, speakers, words, and text that nobody said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from smallvoice.reporting import plots, results
from smallvoice.scoring import wording
from smallvoice.scoring.groups import UNNAMED

Block = dict[str, Any]

MOST_POINTS = 1_000
"""Of a plot: of ten times as many speakers it is 2 MB, and black."""

_SIGNS = {
    "loop": "the same words again and again",
    "burst of insertions": "five or more words in a row that were not said",
    "faster than speech": "more than eight words a second",
    "words on silence": "words where the reference has none",
    "another script": "letters of another script than the language's",
    "another language": "the small words of another language",
    "nothing written": "nothing, though something was said",
}


@dataclass(frozen=True)
class Grouping:
    """A table of groups."""

    name: str
    groups: list[Block]
    gap: str | None
    """How far the best and the worst group are apart, in a sentence."""


def groupings(comparison: Block) -> list[Grouping]:
    """Every grouping beside age; `few` marks groups that are shown and not compared."""
    found = []
    for name, members in comparison["groups"].items():
        found.append(Grouping(name, results.marked(members, comparison), gap_sentence(comparison, name)))
    return found


def gap_sentence(comparison: Block, name: str) -> str | None:
    """Between the group with the fewest and the one with the most errors, of those with enough speakers."""
    gap = comparison["gaps"].get(name)
    if gap is None:
        return None
    before, after = (_points(gap[side]) for side in ("a", "b"))
    return (
        f"After training {gap['worst']} has {after} points more than {gap['best']}; before, the same two groups were "
        f"{before} apart. They were picked as the best and the worst, which their intervals do not know."
    )


def _points(side: Block) -> str:
    bounds = "" if side["interval"] is None else f" [{', '.join(wording.points(end) for end in side['interval'])}]"
    return f"{wording.points(side['points'])}{bounds}"


def speakers_plot(comparison: Block) -> str | None:
    """Each speaker who is named, before and after; None for fewer than two, for very many, or without words."""
    if not comparison["speakers"]:  # what is compared are recordings, or utterances
        return None
    named = [one for one in comparison["by_speaker"] if one["unit"] != UNNAMED]
    rated = [one for one in named if one["a"] is not None and one["b"] is not None]
    if not 2 <= len(rated) <= MOST_POINTS:
        return None
    better = sum(one["b"] < one["a"] for one in rated)
    alternative = f"{better} of {wording.count(len(rated), 'speaker')} have fewer errors after training."
    return plots.speakers([(100 * one["a"], 100 * one["b"]) for one in rated], alternative)


def invented(comparison: Block, evaluation: Block) -> list[tuple[str, str, str, str]]:
    """Sign, what it is, and how many utterances of base and tuned show it; the probe of silence last."""
    a, b = comparison["hallucination"]["a"], comparison["hallucination"]["b"]
    rows = [
        (sign, meaning, f"{a[sign]['utterances']:,}", f"{b[sign]['utterances']:,}") for sign, meaning in _SIGNS.items()
    ]
    probes = [(evaluation.get("models") or {}).get(system, {}).get("silence") for system in ("base", "tuned")]
    if any(probes):
        shown = [f"{probe['with_words']} of {probe['clips']}" if probe else wording.NOTHING for probe in probes]
        rows.append(
            ("silence probe", "clips of silence, noise and hum for which words were written", shown[0], shown[1])
        )
    return rows


def on_silence(evaluation: Block) -> list[tuple[str, list[str]]]:
    """System → what it wrote where nobody speaks, for those that wrote something."""
    found = []
    for system in ("base", "tuned"):
        probe = (evaluation.get("models") or {}).get(system, {}).get("silence") or {}
        if written := probe.get("written", []):
            found.append((system, [f"{one['text']} ({one['kind']}, {one['duration_s']:g} s)" for one in written[:5]]))
    return found


def whole(comparison: Block) -> list[tuple[str, str, str]]:
    """Label, base and tuned: errors in characters, and utterances by how they came out."""
    a, b = comparison["details"]["a"], comparison["details"]["b"]
    number = comparison["utterances"] * comparison["seeds"]
    return [
        ("characters, normalised (CER)", wording.percent(a["cer"]["cer"]), wording.percent(b["cer"]["cer"])),
        ("utterances without an error", _share(a["perfect"], number), _share(b["perfect"], number)),
        ("utterances with more errors than words", _share(a["over_100"], number), _share(b["over_100"], number)),
    ]


def _share(part: int, number: int) -> str:
    return f"{part:,} ({wording.percent(part / number if number else None, 0)})"


def matched_pairs(comparison: Block) -> str:
    """The outcome of the matched-pairs test, in a sentence."""
    test = comparison["matched_pairs"]
    found = f"{test['method']}: {wording.count(test['segments'], 'segment')} with an error"
    if test["p"] is None:
        return f"{found}, too few for a p."
    p = wording.probability(test["p"])
    p = p if p.startswith("<") else f"= {p}"
    which = "fewer" if test["mean"] >= 0 else "more"
    return f"{found}, {wording.number(abs(test['mean']), 2)} errors {which} after training in each, p {p}."


def words(evaluation: Block) -> list[tuple[str, list[tuple[str, list[tuple[str, int]]]]]]:
    """System → kind of error → the most frequent words."""
    found = []
    for system in ("base", "tuned"):
        block = (evaluation.get("models") or {}).get(system, {})
        if "confused" in block:
            confused = [(f"{pair['reference']} → {pair['hypothesis']}", pair["count"]) for pair in block["confused"]]
            others = [(kind, [(one["word"], one["count"]) for one in block[kind]]) for kind in ("inserted", "deleted")]
            lists = [("confused", confused), *others]
            found.append((system, [(kind, entries[:10]) for kind, entries in lists]))
    return found
