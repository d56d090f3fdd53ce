"""The model card: `README.md` of a run, in the Hugging Face form, every figure from the files of the run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from smallvoice import recipe_file as recipes
from smallvoice.errors import InputError
from smallvoice.recipe import Recipe
from smallvoice.reporting import facts
from smallvoice.run_folder import RunFolder
from smallvoice.scoring import wording
from smallvoice.storage import read_json, read_jsonl, read_text, write_text

Json = dict[str, Any]


def write_card(run: Path) -> Path:
    """Write the card of a finished run, with or without a test. Returns its path.

    Raises:
        InputError: a file of the run cannot be read.
    """
    folder = RunFolder(run)
    recipe = recipes.load(folder.recipe)
    comparison = read_json(folder.comparison) if folder.comparison.is_file() else None
    if comparison and (folder.corpus / "corpus.json").is_file():
        comparison["synthetic"] |= read_json(folder.corpus / "corpus.json").get("synthetic") is True
    shown = facts.shareable_recipe(folder, recipe)
    parts = [
        f"---\n{yaml.safe_dump(_metadata(recipe, shown, comparison), sort_keys=False, allow_unicode=True)}---",
        f"# {recipe.name}",
        f"{shown['model']['base']}, {_MADE_WITH} ({recipe.model.strategy}) on {_sources(shown)}.",
        *_results(comparison, shown["evaluate"]["select"], _separation(folder, comparison)),
        *_training(folder, recipe),
        *_use(folder, recipe),
        "## Limits",
        facts.limits(recipe, comparison),
        "## How it was made",
        f"```yaml\n{yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)}```",
        *_machine(folder),
    ]
    write_text(folder.card, "\n\n".join(parts) + "\n")
    return folder.card


_MADE_WITH = "fine-tuned with [smallvoice](https://pypi.org/project/smallvoice/)"


def require_own(card: Path) -> None:
    """See that a card that is written here replaces nobody's README.

    Raises:
        InputError: there is one that is no card of a run.
    """
    if card.exists() and _MADE_WITH not in read_text(card):
        raise InputError(
            f"{card} is no model card of smallvoice, and one would be written there. Choose another --out."
        )


_LIBRARIES = {"full": "transformers", "selective": "transformers", "bottleneck": "smallvoice"}


def _metadata(recipe: Recipe, shown: Json, comparison: Json | None) -> Json:
    base = shown["model"]["base"]
    content: Json = {
        "base_model": base if "/" in base else None,  # else it is no name on the hub
        "library_name": "peft" if recipe.model.save_rank else _LIBRARIES.get(recipe.model.strategy, "peft"),
        "pipeline_tag": "automatic-speech-recognition",
        "language": recipe.corpus.language,
        "tags": ["whisper", "smallvoice", recipe.model.strategy],
        "metrics": ["wer"],
    }
    value = comparison["overall"]["normalised"]["b"]["wer"] if comparison else None
    if comparison and value is not None and not comparison["synthetic"]:
        content["model-index"] = [
            {
                "name": recipe.name,
                "results": [
                    {
                        "task": {"type": "automatic-speech-recognition"},
                        "dataset": {"type": "audio", "name": _scored_on(shown, comparison["split"])},
                        "metrics": [{"type": "wer", "name": "WER, Whisper-normalised", "value": round(100 * value, 2)}],
                    }
                ],
            }
        ]
    return {key: value for key, value in content.items() if value is not None}


def _sources(shown: Json) -> str:
    source = shown["corpus"]["source"]
    return ", ".join(source) if isinstance(source, list) else str(source)


def _scored_on(shown: Json, split: str) -> str:
    """What was scored. A split of a run is none of the corpus's own, which may have another of that name."""
    select = shown["evaluate"]["select"]
    return f"{_sources(shown)}, {split} of this run" + (f", where {select}" if select else "")


def _separation(folder: RunFolder, comparison: Json | None) -> str:
    """Whether training heard what was scored, as the report says it."""
    if comparison is None:
        return ""
    path = folder.hypotheses("tuned", comparison["split"] or "test")
    tested = read_jsonl(path) if path.is_file() else []
    found = facts.separation(folder, tested)
    return found[1] if found else "Whether training heard any of it is not known."


def _results(comparison: Json | None, select: str | None, separation: str) -> list[str]:
    if comparison is None:
        return ["## Results", "Nobody was kept for a test: everyone but dev was trained on, so there is no score here."]
    rows = ["| text compared | words | base | tuned | change, relative |", "|---|---|---|---|---|"]
    for form, label in wording.FORM_NAMES.items():
        block = comparison["overall"][form]
        rates = (wording.percent(block[side]["wer"]) for side in ("a", "b"))
        bounds = wording.interval(block["relative"]["interval"])
        change = f"{wording.signed_percent(block['relative']['change'])} {bounds}"
        rows.append(f"| {label} | {block['a']['words']:,} | {' | '.join(rates)} | {change} |")
    unit, confidence = comparison["bootstrap"]["unit"], f"{100 * comparison['bootstrap']['confidence']:g} %"
    sentences = [
        f"Word error rate on {wording.count(comparison['utterances'], 'utterance')} of "
        f"{wording.count(comparison['speakers'], 'known speaker')}{_where(select)}; in brackets the interval, whose "
        f"unit is the {unit} ({confidence}). {separation}",
        f"Verdict: {comparison['verdict']['sentence']}.",
    ]
    if comparison["synthetic"]:
        sentences.insert(0, "**Synthetic speech: these numbers say nothing about people.**")
    return ["## Results", " ".join(sentences), "\n".join(rows), *_other_speech(comparison)]


def _where(select: str | None) -> str:
    return f", those where `{select}`" if select else ""


def _other_speech(comparison: Json) -> list[str]:
    return [
        f"Other speech, {name}: {wording.percent(block['a']['wer'])} → {wording.percent(block['b']['wer'])} "
        f"({wording.points(block['absolute']['change'])} points)."
        for name, block in comparison["retention"].items()
    ]


def _training(folder: RunFolder, recipe: Recipe) -> list[str]:
    rows = read_jsonl(folder.trained_on) if folder.trained_on.is_file() else []
    heard = Counter(row["used_for"] for row in rows)
    people = {
        use: len({row["speaker"] for row in rows if row["used_for"] == use and row.get("speaker") is not None})
        for use in heard
    }
    sentences = []
    if heard["training"]:
        who = wording.count(people["training"], "speaker")
        averaged = ", averaged" if recipe.train.members > 1 else ""
        sentences.append(
            f"Trained on {wording.count(heard['training'], 'utterance')} of {who}: "
            f"{wording.count(recipe.train.members, 'member')} of {wording.count(recipe.train.epochs, 'epoch')}"
            f"{averaged}."
        )
    if early := _kept_early(folder):
        sentences.append(f"Kept: {', '.join(early)}.")
    if heard["preserving"]:
        sentences.append(
            f"What the base makes of {wording.count(heard['preserving'], 'utterance')} of "
            f"{wording.count(people['preserving'], 'speaker')} was to be kept."
        )
    if heard["selection"]:
        chosen = "Checkpoints were chosen on" if recipe.train.evaluations > 1 else "Last checkpoints were decoded on"
        sentences.append(
            f"{chosen} {wording.count(heard['selection'], 'other utterance')} of "
            f"{wording.count(people['selection'], 'speaker')}{_dev(folder)}."
        )
    return ["## Training", " ".join(sentences)] if sentences else []


def _kept_early(folder: RunFolder) -> list[str]:
    """Of each member that is not kept as its last step left it, which step is."""
    rows = read_jsonl(folder.metrics) if folder.metrics.is_file() else []
    kept = {row.get("member", 0): row["step"] for row in rows if row["kind"] == "dev" and row["best"]}
    of = {row.get("member", 0): row.get("of", 0) for row in rows if row["kind"] == "step"}
    early = [member for member in of if kept.get(member, of[member]) < of[member]]
    return [f"step {kept[member]} of {of[member]} (member {member + 1})" for member in early]


def _dev(folder: RunFolder) -> str:
    """The best word error rate on dev of each member, which is no test."""
    rows = read_jsonl(folder.metrics) if folder.metrics.is_file() else []
    best: dict[int, float] = {}
    for row in rows:
        if row["kind"] == "dev" and row["wer"] is not None:
            best[row.get("member", 0)] = min(row["wer"], best.get(row.get("member", 0), float("inf")))
    shown = ", ".join(wording.percent(best[member]) for member in sorted(best))
    return f" (normalised WER there, which is no test: {shown})" if shown else ""


def _use(folder: RunFolder, recipe: Recipe) -> list[str]:
    if folds := facts.num_folds(folder):
        return [
            "## Use",
            f"This folder holds no model: each of its {folds} folds has one, which heard a part of the speakers. For a "
            "model of all: `smallvoice run recipe.yaml --set split.test=0`. For these scores again: "
            f"`smallvoice run recipe.yaml --folds {folds}`.",
        ]
    window = "30 seconds" if recipe.window.kind in ("full", "packed") else "the length of the audio"
    lines = ["## Use", f"The encoder hears {window}; smallvoice knows that from `smallvoice.json` beside the weights."]
    if recipe.window.kind == "trim":
        lines.append("In runtimes that pad to 30 seconds it makes more errors than here.")
    lines.append("`smallvoice evaluate THIS_FOLDER CORPUS` decodes a corpus with the options below.")
    return [lines[0], " ".join(lines[1:])]


def _machine(folder: RunFolder) -> list[str]:
    if not folder.provenance.is_file():
        return []
    lines = [f"- {label}: {value}" for label, value in facts.machine(read_json(folder.provenance))]
    stages = [f"- {name}: {time}" for name, time in facts.stages(read_json(folder.provenance))]
    return ["\n".join([*lines, *stages])]
