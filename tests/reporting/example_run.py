"""A run folder as the stages leave it, made of text alone."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from smallvoice import recipe_file as recipes
from smallvoice.run_folder import RunFolder
from smallvoice.scoring.compare import compare
from smallvoice.scoring.scores import score
from smallvoice.storage import write_json, write_jsonl

SENTENCES = [
    "THE CHILD WENT TO THE ZOO WITH HER MOTHER",
    "WE CALL IT BEAR",
    "I LIKE TWENTY THREE SMALL RED APPLES",
    "MARK IS GOING TO SEE ELEPHANTS",
    "DON'T YOU KNOW HOW TO DO IT",
    "THE RABBIT RUNS VERY FAST INTO THE WOOD AND DOES NOT COME BACK",
]
CONFUSED = {
    "ZOO": "zone",
    "BEAR": "beer",
    "RABBIT": "rabbits",
    "ELEPHANTS": "elegant",
    "WOOD": "would",
    "MARK": "mug",
}

Row = dict[str, Any]


def spoken(sentence: str, error_rate: float, chance: random.Random) -> str:
    """A sentence as a model that errs in `error_rate` of the words would write it."""
    words = []
    for word in sentence.split():
        draw = chance.random()
        if draw < error_rate * 0.6:
            words.append(CONFUSED.get(word, chance.choice(["so", "the", "lay", "and"])).upper())
        elif draw < error_rate * 0.8:
            continue
        else:
            words.append(word)
            if draw > 1 - error_rate * 0.3:
                words.append(chance.choice(["UH", "BIG", "YEAH"]))
    return " ".join(words)


def rows(system: str, error_rate: float, speakers: int = 14, utterances: int = 240) -> list[Row]:
    chance = random.Random(system)
    made = []
    for number in range(utterances):
        speaker = number % speakers
        age = 5 + speaker % 9
        text = spoken(SENTENCES[number % len(SENTENCES)], error_rate * (1.6 - age / 14), chance)
        made.append(
            {
                "id": f"{number:016x}",
                "system": system,
                "split": "test",
                "reference": SENTENCES[number % len(SENTENCES)],
                "hypothesis": text.capitalize() + "." if system == "base" else text,
                "decoded": text,
                "language": "en",
                "speaker": f"S{speaker:04d}",
                "recording": f"R{number:08x}",
                "age_years": float(age),
                "gender": "fm"[speaker % 2],
                "role": "child",
                "duration_s": 3.5,
                "num_tokens": 9,
                "capped": False,
                "flags": [],
                "error": None,
            }
        )
    return made


def metrics() -> list[Row]:
    chance = random.Random(0)
    found: list[Row] = []
    for step in range(1, 421):
        loss = 0.25 + 2.2 * math.exp(-step / 60) + chance.uniform(-0.1, 0.1)
        at = {"step": step, "of": 420, "epoch": step // 84}
        found.append({"kind": "step", **at, "loss": loss, "learning_rate": 1e-3})
        if step % 105 == 0:
            errors = [0, 300, 210, 170, 180][step // 105]
            counts = {"words": 800, "insertions": 20, "deletions": 30, "substitutions": errors - 50}
            dev = {"kind": "dev", "step": step, "best": step < 420, "wer": errors / 800, **counts}
            found.append(dev)
    return found


def fill(
    run: Path,
    base: list[Row] | None = None,
    tuned: list[Row] | None = None,
    *,
    synthetic: bool = False,
    settings: dict[str, Any] | None = None,
) -> Path:
    """Write every file of a finished run."""
    base = rows("base", 0.75) if base is None else base
    tuned = rows("tuned", 0.3) if tuned is None else tuned
    folder = RunFolder(run)
    recipe = recipes.build({"name": "speechocean762_base", **(settings or {"corpus": {"source": "speechocean762"}})})
    recipes.dump(recipe, folder.recipe)
    write_jsonl(folder.hypotheses("base", "test"), base)
    write_jsonl(folder.hypotheses("tuned", "test"), tuned)
    write_json(folder.comparison, compare(base, tuned, recipe.evaluate))
    write_jsonl(folder.metrics, metrics())
    parameters = {
        "base": {"trainable_parameters": 0, "total_parameters": 72_593_920},
        "tuned": {"trainable_parameters": 1_179_648, "total_parameters": 73_773_568},
    }
    decoding = {"batch_size": 8, "tokens_per_s": 10.0, "window": {"kind": "trim", "margin_s": 0.4}, "search": "greedy"}
    models = {
        name: {"model": "openai/whisper-base", **parameters[name], "decoding": decoding, **score(hypotheses)}
        for name, hypotheses in (("base", base), ("tuned", tuned))
    }
    write_json(folder.evaluation("test"), {"split": "test", "models": models})
    write_json(
        folder.provenance,
        {
            "versions": {"python": "3.11.9", "torch": "2.13.0", "smallvoice": "0.1.0"},
            "machine": {
                "processor": "AMD EPYC",
                "cores": 2,
                "memory_bytes": 8_200_000_000,
                "system": "Linux x86_64",
            },
            "peak_memory_bytes": 2_100_000_000,
            "stages": {
                "prepare": {"seconds": 31.5},
                "train": {"seconds": 1_900, "precision": "float32", "matmul_gflops": 176.5},
                "evaluate": {"seconds": 801.2},
            },
        },
    )
    splits = {
        "train": {"utterances": 820, "speakers": 40, "hours": 0.81, "ages_years": [5.0, 13.0]},
        "dev": {"utterances": 100, "speakers": 4, "hours": 0.1, "ages_years": [6.0, 9.0]},
        "test": {"utterances": 240, "speakers": 14, "hours": 0.23, "ages_years": None},
    }
    write_json(folder.corpus / "corpus.json", {"synthetic": synthetic, "splits": splits, "notes": []})
    speakers = [f"S{number:04d}" for number in range(58)]
    places = {"train": speakers[14:54], "dev": speakers[54:], "test": speakers[:14]}
    kinds = {split: {"speakers": members, "sessions": [], "recordings": []} for split, members in places.items()}
    write_json(folder.corpus / "split.json", {"splits": kinds, "strata": [], "leaks": {}})
    ledger = [{"fate": "kept"}] * 1160 + [
        {"fate": "dropped", "reason": "not selected", "where": "/data/anna/text:3"}
    ] * 1340
    ledger += [{"fate": "dropped", "reason": "ends after the recording", "detail": f"{n} s"} for n in range(3)]
    write_jsonl(folder.corpus / "ledger.jsonl", ledger)
    trained_on = [{"id": f"t{n}", "speaker": f"S{n % 40 + 14:04d}", "used_for": "training"} for n in range(820)]
    write_jsonl(folder.trained_on, trained_on)
    return run
