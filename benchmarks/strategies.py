"""Every strategy at the same few minutes of training: what moves, what it costs, what it gains.

    smallvoice prepare speechocean762 --select "age_years < 18" --language en --out CORPUS
    python benchmarks/strategies.py CORPUS --out FOLDER [--epochs 3] [--precision bfloat16] [--only lora dora]

Each trains with the base model, augmentation, window lengths and batch of `--recipe` on the corpus' `train`, in a
process of its own, and decodes its `dev` greedily at its own window; the best three at 30 s too. All else is the
default: each strategy has its own learning rate, but for LoRA+, whose B moves faster. What is done is kept in FOLDER
and not done again, so that a table which was cut off continues.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from counting import recipe_path

from smallvoice import machine
from smallvoice import recipe_file as recipes
from smallvoice.decoding.evaluate import evaluate
from smallvoice.model import tuned
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import DecodeRecipe, ModelRecipe, TrainRecipe, WindowRecipe
from smallvoice.run_folder import RunFolder
from smallvoice.storage import read_json, write_json
from smallvoice.training.train import train

ATTENTION = ["q_proj", "k_proj", "v_proj", "out_proj"]

STRATEGIES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "lora": ("LoRA, what hears (the default)", {}, {}),
    "lora-attention": ("LoRA, attention of both halves", {"part": "both", "targets": ATTENTION}, {}),
    "lora-all": ("LoRA, all linear layers", {"part": "both"}, {}),
    "lora-encoder": ("LoRA, encoder", {"part": "encoder"}, {}),
    "lora-decoder": ("LoRA, decoder", {"part": "decoder"}, {}),
    "lora-top": (
        "LoRA, upper half of the encoder, and cross-attention",
        {"layers": ["encoder.layers.[345]", "decoder.layers.*"]},
        {},
    ),
    "lora-r4": ("LoRA, rank 4", {"rank": 4, "alpha": 8.0}, {}),
    "lora-r64": ("LoRA, rank 64", {"rank": 64, "alpha": 128.0}, {}),
    "lora-plus": ("LoRA+, B 8 times faster", {}, {"lora_plus": 8.0, "learning_rate": 3e-4}),
    "rslora": ("rsLoRA", {"strategy": "rslora", "alpha": 8.0}, {}),
    "dora": ("DoRA", {"strategy": "dora"}, {}),
    "pissa": ("PiSSA", {"strategy": "pissa"}, {}),
    "adalora": ("AdaLoRA, to rank 16", {"strategy": "adalora"}, {}),
    "bottleneck": ("bottleneck adapters of 64", {"strategy": "bottleneck"}, {}),
    "norms-biases": ("layer norms and biases", {"strategy": "selective", "norms": True, "biases": True}, {}),
    "top-encoder": (
        "the encoder's upper three layers themselves",
        {"strategy": "selective", "top_encoder_layers": 3, "part": "encoder"},
        {},
    ),
    "top-decoder": (
        "the decoder's upper three layers themselves",
        {"strategy": "selective", "top_decoder_layers": 3, "part": "decoder"},
        {},
    ),
    "full-encoder": ("the whole encoder", {"strategy": "full", "part": "encoder"}, {}),
    "full-hearing": ("the whole of what hears", {"strategy": "full", "part": "hearing"}, {}),
    "full": ("the whole model", {"strategy": "full", "part": "both"}, {}),
}
GREEDY = DecodeRecipe()
BEST = 3


def one(options: argparse.Namespace, name: str) -> None:
    """Train a strategy, decode dev, and keep its row; in a process of its own, for its peak memory."""
    _, model, settings = STRATEGIES[name]
    recipe = recipes.load(recipe_path(options.recipe))
    # Named one by one, so that what the recipe does besides, to others or after training, stays out of the comparison.
    settings_of_training = TrainRecipe(
        epochs=options.epochs,
        batch_size=recipe.train.batch_size,
        evaluations=1,
        precision=options.precision,
        select_dev=options.select_dev,
        **settings,
    )
    recipe = replace(
        recipe,
        model=replace(ModelRecipe(base=recipe.model.base), **model),
        train=settings_of_training,
        window=WindowRecipe(margin_s=recipe.window.margin_s, step_s=recipe.window.step_s),
    )
    folder = options.out / name
    rows: list[dict[str, Any]] = []
    before = machine.matmul_gflops()
    result = train(recipe, options.corpus, folder, rows.append)
    steps = [row for row in rows if row["kind"] == "step"]
    peak = machine.peak_memory_bytes()
    write_json(
        folder / "row.json",
        {
            "learning_rate": recipe.train.learning_rate,
            "trainable": result.trained.trainable,
            "precision": result.precision,
            # Of a training that was cut off and continued, what was left is timed.
            "seconds_per_utterance": sum(row["seconds"] for row in steps) / sum(row["utterances"] for row in steps),
            "utterances": sum(row["utterances"] for row in steps),
            "peak_memory_bytes": peak,
            "matmul_gflops": [before, machine.matmul_gflops()],
            "dev": result.dev["member 1"].as_dict(),
        },
    )
    shutil.rmtree(RunFolder(folder).checkpoints)


def at_30_s(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Normalised word errors on dev of a model that hears 30 s instead of its own window."""
    adapter, full = RunFolder(folder).adapter, RunFolder(folder / "full").adapter
    shutil.copytree(adapter, full, dirs_exist_ok=True)
    write_json(full / tuned.FILE, {**read_json(full / tuned.FILE), "window": recipes.as_dict(FULL_WINDOW)})
    block = evaluate(str(full), options.corpus, folder / "full", split="dev", decode=GREEDY, select=options.select_dev)
    normalised: dict[str, Any] = block["wer"]["normalised"]
    return normalised


def table(options: argparse.Namespace) -> str:
    """What is there so far, best first."""
    rows = {name: read_json(options.out / name / "row.json") for name in STRATEGIES if _done(options, name)}
    order = sorted(rows, key=lambda name: rows[name]["dev"]["wer"])
    for name in order[:BEST]:
        if "dev_full" not in rows[name]:
            rows[name]["dev_full"] = at_30_s(options.out / name, options)
            write_json(options.out / name / "row.json", rows[name])
    rates = [rate for row in rows.values() for rate in row["matmul_gflops"]]
    words = rows[order[0]]["dev"]["words"]
    precisions = sorted({row.get("precision", "precision not recorded") for row in rows.values()})
    lines = [
        f"{options.epochs} epochs, {', '.join(precisions)}, float32 products of {min(rates):.0f}–{max(rates):.0f} "
        f"GFLOP/s, {words} words of dev, greedy, {date.today().isoformat()}",
        "",
        "| strategy | learning rate | trainable | s / utterance | memory | dev | ins, del, sub | dev at 30 s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in order:
        row = rows[name]
        dev, full = row["dev"], row.get("dev_full")
        errors = f"{dev['insertions']}, {dev['deletions']}, {dev['substitutions']}"
        heard_full = f"{100 * full['wer']:.1f} %" if full else ""
        lines.append(
            f"| {STRATEGIES[name][0]} | {row['learning_rate']:g} | {row['trainable']:,} "
            f"| {row['seconds_per_utterance']:.3f} | {row['peak_memory_bytes'] / 1e9:.1f} GB "
            f"| {100 * dev['wer']:.1f} % | {errors} | {heard_full} |"
        )
    return "\n".join(lines)


def _done(options: argparse.Namespace, name: str) -> bool:
    return (options.out / name / "row.json").is_file()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="speechocean762_base", help="a name or a file")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--select-dev", help="which rows of dev are decoded")
    parser.add_argument("--only", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--one", choices=STRATEGIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options, options.one)
        return
    for name in options.only:
        if not _done(options, name):
            print(name, file=sys.stderr)
            subprocess.run([sys.executable, *sys.argv, "--one", name], check=True)
    print(table(options))


if __name__ == "__main__":
    main()
