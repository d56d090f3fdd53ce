"""The sections on where the numbers come from: corpus, model, recipe, versions, machine, time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from smallvoice.recipe import Recipe
from smallvoice.recipe_file import as_dict
from smallvoice.reporting.privacy import LOCAL, model_name, selection, shareable, source_name
from smallvoice.run_folder import FOLDS, RunFolder
from smallvoice.scoring import wording
from smallvoice.storage import file_digest, read_json, read_jsonl

Json = dict[str, Any]
Pairs = list[tuple[str, str]]

_MAX_REASONS = 15


@dataclass(frozen=True)
class Data:
    """The corpus section: tables of text, headings first."""

    splits: list[list[str]]
    fates: list[tuple[str, int]]
    units: str | None
    """How many speakers (else sessions, recordings) have their place in each split, from `split.json`."""
    notes: list[str]
    synthetic: bool


def data(corpus: Json, split: Json, ledger: list[Json]) -> Data:
    units = "; ".join(
        f"{name} {', '.join(wording.count(len(members), kind.removesuffix('s')) for kind, members in places)}"
        for name, places in _places(split)
    )
    return Data(
        splits=_split_table(corpus.get("splits") or {}),
        fates=_fates(ledger),
        units=units or None,
        notes=[str(shareable(note)) for note in corpus.get("notes") or []],
        synthetic=corpus.get("synthetic") is True,
    )


def num_folds(folder: RunFolder) -> int | None:
    """Over how many folds a result was pooled; None of a run."""
    path = folder.path / FOLDS
    return int(read_json(path)["number"]) if path.is_file() else None


def separation(folder: RunFolder, tested: list[Json]) -> tuple[bool, str] | None:
    """Whether the test is one: nothing and nobody of it is in `trained_on.jsonl`. None where nobody knows.

    A voice that has no name may be in both: then only utterances are claimed to be apart.
    """
    if num_folds(folder):  # which are pooled only where each is a test: `folds._require_separate`
        return True, (
            "Each speaker was scored by the model of one fold, whose training and choice of a checkpoint saw none of "
            "the utterances and none of the speakers scored there (checked against each fold's trained_on.jsonl)."
        )
    trained_on = list(read_jsonl(folder.trained_on)) if folder.trained_on.is_file() else []
    if not trained_on or not tested:
        return None
    seen = {row["id"] for row in trained_on}
    voices = {row["speaker"] for row in trained_on if row.get("speaker") is not None}
    utterances = sum(row["id"] in seen for row in tested)
    speakers = len(voices & {row.get("speaker") for row in tested})
    if utterances or speakers:
        return False, (
            "This is not a test: of what is scored here, training or the choice of a checkpoint saw "
            f"{wording.count(utterances, 'utterance')} and {wording.count(speakers, 'speaker')}."
        )
    checked = "Training and the choice of a checkpoint saw none of the utterances"
    if nameless := sum(row.get("speaker") is None for row in [*tested, *trained_on]):
        return True, (
            f"{checked} scored here (checked against trained_on.jsonl). Of {nameless:,} of them no "
            "speaker is known: whether somebody is in both is not known either."
        )
    return True, f"{checked} and none of the speakers scored here (checked against trained_on.jsonl)."


def afterwards(recipe: Recipe) -> Iterator[str]:
    """What is made of the checkpoints that training keeps, in order."""
    train = recipe.train
    if train.members > 1:
        yield f"the average of {wording.count(train.members, 'member')}"
    if train.preserve:
        yield "what other speech needs of the base came back"
    if train.interpolate < 1:
        yield f"{train.interpolate:g} of the way from the base"
    if train.spectrum_power < 1:
        yield f"spectrum ^ {train.spectrum_power:g}"
    if recipe.model.save_rank:
        yield f"rank {recipe.model.save_rank}"


def shareable_recipe(folder: RunFolder, recipe: Recipe) -> Json:
    """The recipe without places: a corpus or a model in a folder is called a local one."""
    content: Json = shareable(as_dict(recipe))
    sources = recipe.corpus.source
    names = [source_name(source) for source in ([sources] if isinstance(sources, str) else sources)]
    content["corpus"]["source"] = names[0] if isinstance(sources, str) else names
    content["model"]["base"] = _base(folder, recipe)
    for kept, shown in zip(recipe.evaluate.retention, content["evaluate"]["retention"], strict=True):
        places = [kept.source] if isinstance(kept.source, str) else kept.source
        shown["source"] = [source_name(place) for place in places] if len(places) > 1 else source_name(places[0])
    corpus, augment = content["corpus"], content["augment"]
    corpus["audio"] = [LOCAL for _ in recipe.corpus.audio]
    corpus["tiers"] = [LOCAL for _ in recipe.corpus.tiers]  # often called by who speaks in them
    _mask_selections(content)
    for part in (corpus, *content["evaluate"]["retention"]):
        part["text_rules"] = part["text_rules"] and "local rules"
    for part, name in ((corpus, "speakers"), (augment, "noise_folder"), (augment, "room_folder")):
        part[name] = part[name] and LOCAL
    return content


def _mask_selections(content: Any) -> None:
    """Take names out of every `select` of a recipe."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if key in ("select", "select_dev") and isinstance(value, str):
            content[key] = selection(value)
        elif isinstance(value, dict | list):
            _mask_selections(value)


def _base(folder: RunFolder, recipe: Recipe) -> str:
    """The base's name: as training found it, for where the recipe says `models/anna` only the folder tells."""
    facts = folder.adapter / "smallvoice.json"
    found = read_json(facts).get("base") if facts.is_file() else None
    return model_name(found if isinstance(found, str) else recipe.model.base)


def models(evaluation: Json) -> list[tuple[str, Pairs]]:
    """Model → facts such as parameters and decoding options, from `evaluation_results.json`."""
    found = []
    for name, model in (evaluation.get("models") or {}).items():
        facts = {key: value for key, value in model.items() if key not in _SHOWN_ELSEWHERE}
        found.append((str(name), pairs(shareable(facts))))
    return found


_SHOWN_ELSEWHERE = frozenset(
    {"wer", "by_age", "without_flagged", "normalisers", "not_decoded", "capped", "system", "split"}
    | {"utterances", "speakers", "duration_s", "flagged", "corpus", "select", "seen_in_training"}
    | {"cer", "perfect", "over_100", "confused", "inserted", "deleted", "hallucination", "silence"}
    | {"groups", "confidence"}
)


def stages(provenance: Json) -> list[tuple[str, str]]:
    """Stage → time, and energy where the machine counts it; and the sums. Of a stage that was cut off and does not know
    the time of its other parts, the last part, said as such."""
    found = {
        str(name): stage
        for name, stage in (provenance.get("stages") or {}).items()
        if isinstance(stage, dict) and isinstance(stage.get("seconds"), int | float)
    }
    if not found:
        return []
    labels = [", ".join([name, *_notes(stage)]) for name, stage in found.items()]
    costs = [_cost(float(stage["seconds"]), stage.get("energy_j")) for stage in found.values()]
    rows = list(zip(labels, costs, strict=True))
    energies = [float(stage["energy_j"]) for stage in found.values() if stage.get("energy_j") is not None]
    whole = sum(energies) if len(energies) == len(found) else None
    known = "in all, as far as known" if any(stage.get("last_part") for stage in found.values()) else "in all"
    return [*rows, (known, _cost(sum(float(stage["seconds"]) for stage in found.values()), whole))]


def _notes(stage: Json) -> list[str]:
    """What must be known of a stage's time: the precision of training, how fast the machine was, whether it is all."""
    notes = [str(stage["precision"])] if stage.get("precision") else []
    if isinstance(rate := stage.get("matmul_gflops"), int | float):
        notes.append(f"products at {rate:.0f} GFLOP/s")
    return [*notes, "its last part"] if stage.get("last_part") else notes


def _cost(seconds: float, energy_j: float | None) -> str:
    """75.2, 36000.0 → `1 min 15 s, 10.0 Wh`."""
    return duration(seconds) + (f", {energy_j / 3600:.1f} Wh" if isinstance(energy_j, int | float) else "")


def limits(recipe: Recipe, comparison: Json | None) -> str:
    """What the figures of a run do not say. Args: comparison: None where nobody was tested."""
    found = ["A model of few voices: on other ages, accents, microphones and languages it must be measured first."]
    if comparison is None or not comparison["retention"]:
        found.append("What it does to other speech was not measured in this run.")
    if comparison and 0 < comparison["speakers"] <= 10:
        found.append(f"Only {wording.count(comparison['speakers'], 'speaker')} were tested.")
    found.append("It invents text like every Whisper; do not decide about a child by what it writes alone.")
    return " ".join(found)


def hashes(folder: RunFolder, split: str, corpus_facts: Json) -> Pairs:
    """The sha256 of the files that the page was made from, and the key of the corpus."""
    files = [folder.recipe, *(folder.hypotheses(system, split) for system in ("base", "tuned")), folder.comparison]
    files += [folder.evaluation(split), folder.metrics, folder.trained_on, folder.provenance]
    found = [(str(path.relative_to(folder.path)), file_digest(path)) for path in files if path.is_file()]
    return [*found, *([("corpus", str(corpus_facts["key"]))] if corpus_facts.get("key") else [])]


def machine(provenance: Json) -> Pairs:
    """Everything of `provenance.json` but the stages, one line a fact."""
    return pairs(shareable({key: value for key, value in provenance.items() if key != "stages"}))


def pairs(content: Json, prefix: str = "") -> Pairs:
    """A nested dict as lines of label and value; the unit in a name (`_bytes`) becomes part of the value."""
    found: Pairs = []
    for key, value in content.items():
        label = f"{prefix}{key}"
        if isinstance(value, dict):
            inner = f"{label} " if prefix else f"{label}: "
            found += pairs(value, "" if key in _TRANSPARENT else inner)
        elif value is not None:
            found.append((_label(label), _shown(str(key), value)))
    return found


_TRANSPARENT = frozenset({"versions", "machine"})
"""Their names say nothing that the lines in them do not."""


def _label(key: str) -> str:
    return re.sub(r"_bytes$|(?<!_per)_s$", "", key).replace("_", " ")


def duration(seconds: float) -> str:
    """75.2 → `1 min 15 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _shown(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, int | float):
        if key.endswith("_bytes"):
            return f"{value / 1e9:.2f} GB"
        if key.endswith(("seconds", "_s")) and not key.endswith("_per_s"):
            return duration(value)
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return str(value)


def _split_table(splits: Json) -> list[list[str]]:
    """Headings, then one row a split: whatever numbers `prepare` gives of it."""
    rows: dict[str, Json] = {
        name: facts if isinstance(facts, dict) else {"utterances": facts} for name, facts in splits.items()
    }
    columns = list(dict.fromkeys(key for facts in rows.values() for key in facts))
    if not columns:
        return []
    headings = ["", *(_label(column.removesuffix("_years")) for column in columns)]
    return [
        headings,
        *([name, *(_cell(column, facts.get(column)) for column in columns)] for name, facts in rows.items()),
    ]


def _cell(column: str, value: Any) -> str:
    if value is None:
        return wording.NOTHING
    if column.startswith("ages") and isinstance(value, list):
        return "–".join(f"{age:g}" for age in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {inner}" for key, inner in value.items()) or wording.NOTHING
    return f"{value:.2f}" if column == "hours" else _shown(column, shareable(value))


def _fates(ledger: list[Json]) -> list[tuple[str, int]]:
    """Fate and reason → how many, the most frequent first."""
    counts: Counter[str] = Counter()
    for row in ledger:
        fate, reason = str(row.get("fate")), row.get("reason")
        # "joined into X" names an utterance; the kind of fate is what is counted.
        fate = "joined" if fate.startswith("joined") else fate
        counts[f"{fate}: {shareable(str(reason))}" if reason else fate] += 1
    common = counts.most_common()
    rest = sum(count for _, count in common[_MAX_REASONS:])
    return [*common[:_MAX_REASONS], *([("other", rest)] if rest else [])]


def _places(split: Json) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Split → kind of unit → pseudonyms, kinds without any left out."""
    return [
        (name, [(kind, members) for kind, members in kinds.items() if members])
        for name, kinds in (split.get("splits") or {}).items()
    ]
