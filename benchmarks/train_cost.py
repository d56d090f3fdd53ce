"""What a training step costs: the standard tutorial at 30 s, and smallvoice, on the same utterances in one go.

    smallvoice prepare speechocean762 --select "age_years < 18" --language en --out CORPUS
    smallvoice prepare speechocean762 --language en --out EVERYONE
    python benchmarks/train_cost.py CORPUS --recipe-corpus EVERYONE --out cost.json [--batch 8] [--steps 40]

    (a) transformers' Seq2SeqTrainer and PEFT, every utterance padded to 30 s
    (b) smallvoice, window trim, the same LoRA, batch and precision
    (c) the recommended recipe as it stands (--recipe)

Each runs in a process of its own, so that its peak memory is its own, with the matrix-product rate measured in that
process before and after. Steps of (b) and (c) are the first of an epoch, of its own mix of lengths; (a) hears the
utterances of (b) in their order, and as each of its steps costs the same it needs fewer. On a CPU (a) and (b) are in
float32 unless `--precision` says otherwise, on CUDA in bfloat16 where the device has it; (c) is as its recipe says, and
the matrix-product rate that of the row's precision. `--shape small` takes random weights of that size: speed does not
ask what a model knows. `--times 10` makes the corpus so many times as large, for the memory of (b) and (c). A recipe
that hears others too, adults beside children, needs `--recipe-corpus`; its utterances are then its own. A way that
cannot run is said, and left out of the table.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from counting import finish, matmul_gflops, peak_memory, recipe_path, step_flop

from smallvoice import machine
from smallvoice import recipe_file as recipes
from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.shards import CorpusWriter
from smallvoice.corpus.utterance import Utterance, open_corpus
from smallvoice.errors import SmallvoiceError
from smallvoice.model import adapt, device, weights
from smallvoice.recipe import Recipe
from smallvoice.storage import read_json, write_json
from smallvoice.training import distributed
from smallvoice.training.setup import Setup
from smallvoice.training.train import train

NAMES = {
    "a": "Seq2SeqTrainer + PEFT, 30 s",
    "b": "smallvoice, trim",
    "c": "smallvoice, {recipe}",
}
ATTENTION = ["q_proj", "k_proj", "v_proj", "out_proj"]
SHAPES = {  # d_model, layers, heads, mel filters: Radford et al. (2022), table 1; large-v3's model card
    "tiny": (384, 4, 6, 80),
    "base": (512, 6, 8, 80),
    "small": (768, 12, 12, 80),
    "medium": (1024, 24, 16, 80),
    "large-v3": (1280, 32, 20, 128),
}


def recipe_of(options: argparse.Namespace) -> Recipe:
    """What (a) and (b) have in common, or the recommended recipe."""
    if options.only == "c":
        recipe = recipes.load(recipe_path(options.recipe))
        return replace(recipe, model=replace(recipe.model, base=options.model))
    content = {
        "model": {"base": options.model, "rank": 16, "alpha": 32, "part": "both", "targets": ATTENTION},
        "train": {"batch_size": options.batch, "precision": precision_of(options)},
        "corpus": {"language": options.language},
    }
    return recipes.build(content)


def precision_of(options: argparse.Namespace) -> str:
    """Of (a) and (b)."""
    where = device.best_device()
    return options.precision or ("float32" if where.type == "cpu" else device.training_precision("auto", where))


# --- (b) and (c) ------------------------------------------------------------------------------------------------


def smallvoice_cost(options: argparse.Namespace) -> dict[str, Any]:
    """Steps of a real training; dev is one speaker, for its decoding is not timed here."""
    recipe = recipe_of(options)
    steps = options.warmup + options.steps
    precision = device.training_precision(recipe.train.precision, device.best_device())
    before = matmul_gflops(precision)
    corpus = options.corpus if options.times == 1 else grown(options.corpus, options.times, options.work / "grown")
    speaker = open_corpus(corpus).columns("dev", ["speaker"])["speaker"][0].as_py()
    dev = {"select_dev": f'speaker == "{speaker}"'} if speaker else {}
    short = replace(recipe.train, max_steps=steps, evaluations=1, members=1, epochs=max(recipe.train.epochs, 50), **dev)
    rows: list[dict[str, Any]] = []
    train(replace(recipe, train=short), corpus, options.work / f"run-{options.only}", rows.append)
    timed = [row["seconds"] for row in rows if row["kind"] == "step"][options.warmup :]
    peak = peak_memory()
    # The plan again, for what each step heard; after the peak was read.
    setup = Setup(
        replace(recipe, train=short),
        open_corpus(corpus),
        weights.load(recipe.model.base),
        distributed.start(),
        "float32",
    )
    planned = list(itertools.islice(setup.planner.steps(short.epochs, short.seed), steps))[options.warmup :]
    ids = {item.utterance_id for step in planned for batch in step for item in batch}
    heard = {row.id: row for row in open_corpus(corpus).utterances("train") if row.id in ids}
    spoken = [heard[item.utterance_id] for step in planned for batch in step for item in batch]
    network = adapt.adapt(setup.whisper, recipe.model, seed=0, num_steps=steps)
    flop = sum(step_flop(network, setup.whisper.network.config, row.duration_s, tokens(setup, row)) for row in spoken)
    flop *= 2 if recipe.train.consistency else 1  # every utterance is heard twice at once
    return summary(precision, timed, spoken, flop, peak, (before, matmul_gflops(precision)))


def grown(corpus_folder: Path, times: int, out: Path) -> Path:
    """The corpus with every training row so many times, under other ids."""
    corpus = open_corpus(corpus_folder)
    out.mkdir()
    with CorpusWriter(out) as writer:
        for number in range(times):
            for row in corpus.utterances("train"):
                writer.add(replace(row, id=f"{number:02d}{row.id[2:]}"))
        for row in corpus.utterances("dev"):
            writer.add(row)
    write_json(out / "corpus.json", {**corpus.facts, "key": f"{corpus.facts['key']}-{times}"})
    return out


# --- (a) --------------------------------------------------------------------------------------------------------


def tutorial_cost(options: argparse.Namespace) -> dict[str, Any]:
    """The tutorial's way: features of 30 s made beforehand, labels padded with -100, PEFT without a task type."""
    from peft import LoraConfig, get_peft_model
    from transformers import Seq2SeqTrainer, TrainerCallback, WhisperFeatureExtractor

    recipe = recipe_of(options)
    precision = precision_of(options)
    before = matmul_gflops(precision)
    whisper = weights.load(recipe.model.base)
    where = device.best_device()
    steps = options.warmup_full + options.steps_full
    setup = Setup(recipe, open_corpus(options.corpus), whisper, distributed.start(), "float32")
    heard = in_order(setup, steps * options.batch)
    extractor = WhisperFeatureExtractor(feature_size=whisper.network.config.num_mel_bins)
    examples = [
        {
            "input_features": extractor(decode_flac(row.audio), sampling_rate=16_000).input_features[0],
            # Without the start token: the model puts it there itself.
            "labels": setup.tokens(row.text, row.language)[1:],
        }
        for row in heard
    ]
    settings = recipe.model
    network = get_peft_model(
        whisper.network,
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=settings.targets,
        ),
    )
    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: object, **__: object) -> None:
            finish(where)
            self.started = time.perf_counter()

        def on_step_end(self, *_: object, **__: object) -> None:
            finish(where)
            times.append(time.perf_counter() - self.started)

    arguments = tutorial_arguments(options, recipe, steps)
    trainer = Seq2SeqTrainer(
        model=network, args=arguments, train_dataset=examples, data_collator=collate, callbacks=[Clock()]
    )
    trainer.train()
    peak = peak_memory()
    timed = times[options.warmup_full :]
    counted = heard[: len(timed) * options.batch]  # every step costs the same, whichever utterances it heard
    config = whisper.network.config
    flop = sum(step_flop(network, config, row.duration_s, tokens(setup, row)) for row in counted)
    return summary(precision, timed, counted, flop, peak, (before, matmul_gflops(precision)))


def tutorial_arguments(options: argparse.Namespace, recipe: Recipe, steps: int) -> Any:
    """The trainer's `Seq2SeqTrainingArguments`: nothing saved, nothing logged."""
    from transformers import Seq2SeqTrainingArguments

    where = device.best_device()
    return Seq2SeqTrainingArguments(
        output_dir=str(options.work / "tutorial"),
        per_device_train_batch_size=options.batch,
        max_steps=steps,
        learning_rate=recipe.train.learning_rate,
        warmup_steps=1,
        bf16=recipe.train.precision == "bfloat16",
        use_cpu=where.type == "cpu",
        dataloader_pin_memory=where.type == "cuda",
        remove_unused_columns=False,
        label_names=["labels"],
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def in_order(setup: Setup, number: int) -> list[Utterance]:
    """The first utterances that (b) hears."""
    items = (item for step in setup.planner.steps(1000, setup.recipe.train.seed) for batch in step for item in batch)
    ids = [item.utterance_id for item in itertools.islice(items, number)]
    wanted = set(ids)
    found = {row.id: row for row in setup.corpus.utterances("train") if row.id in wanted}
    return [found[name] for name in ids]


def collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """The tutorial's collator: features stacked, labels filled up with -100."""
    length = max(len(example["labels"]) for example in examples)
    labels = torch.full((len(examples), length), -100)
    for row, example in zip(labels, examples, strict=True):
        row[: len(example["labels"])] = torch.tensor(example["labels"])
    features = torch.from_numpy(np.stack([example["input_features"] for example in examples]))
    return {"input_features": features, "labels": labels}


# --- counting ---------------------------------------------------------------------------------------------------


def tokens(setup: Setup, row: Utterance) -> int:
    """What the decoder reads of an utterance: prefix and text."""
    return len(setup.tokens(row.text, row.language)) - 1


def summary(
    precision: str, timed: list[float], heard: list[Utterance], flop: float, peak: int, rates: tuple[float, float]
) -> dict[str, Any]:
    """Figures of one way of training; `heard` is what the timed steps heard."""
    seconds, audio_s, rate = sum(timed), sum(row.duration_s for row in heard), max(rates)
    return {
        "precision": precision,
        "steps": len(timed),
        "utterances": len(heard),
        "audio_s": audio_s,
        "seconds": seconds,
        "seconds_per_utterance": seconds / len(heard),
        "audio_s_per_s": audio_s / seconds,
        "gflop_per_utterance": flop / len(heard) / 1e9,
        "gflops": flop / seconds / 1e9,
        "share_of_matmul": flop / seconds / 1e9 / rate,
        "matmul_gflops": {"before": rates[0], "after": rates[1]},
        "peak_memory_bytes": peak,
    }


# --- all of it --------------------------------------------------------------------------------------------------


def write_random(shape: str, folder: Path) -> Path:
    """A Hugging Face folder with a random Whisper of a size, and the tokenizer of whisper-base."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    known = weights.load("openai/whisper-base")
    width, layers, heads, mels = SHAPES[shape]
    content = known.network.config.to_dict()
    content |= {"d_model": width, "num_mel_bins": mels}
    content |= {f"{half}_layers": layers for half in ("encoder", "decoder")}
    content |= {f"{half}_attention_heads": heads for half in ("encoder", "decoder")}
    content |= {f"{half}_ffn_dim": 4 * width for half in ("encoder", "decoder")}
    network = WhisperForConditionalGeneration(WhisperConfig.from_dict(content))
    network.generation_config = known.generation
    network.save_pretrained(folder)
    known.tokenizer.save_pretrained(folder)
    return folder


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    """Every way in a process of its own."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="train-cost-") as temporary:
        if options.shape:
            options.model = str(write_random(options.shape, Path(temporary, "model")))
        for way in options.ways:
            out = Path(temporary, f"{way}.json")
            corpus = options.recipe_corpus if way == "c" and options.recipe_corpus else options.corpus
            command = [sys.executable, __file__, str(corpus), *forwarded(options), "--only", way, "--out", str(out)]
            done = subprocess.run([*command, "--work", temporary], check=False, stdout=sys.stderr)
            if done.returncode == 0:
                results[way] = read_json(out)
    return {
        "model": (options.shape and f"random, the size of {options.shape}") or options.model,
        "recipe": options.recipe,
        "batch": options.batch,
        "times": options.times,
        "device": device.describe(device.best_device()),
        "machine": machine.facts(),
        "versions": machine.versions(),
        "date": date.today().isoformat(),
        "results": results,
    }


def forwarded(options: argparse.Namespace) -> list[str]:
    names = ("model", "recipe", "language", "batch", "steps", "warmup", "steps_full", "warmup_full", "times")
    names += ("precision",) if options.precision else ()
    pairs = [(f"--{name.replace('_', '-')}", str(getattr(options, name))) for name in names]
    return [*itertools.chain.from_iterable(pairs)]


def markdown(content: dict[str, Any]) -> str:
    """The table of `content`."""
    results = content["results"]
    first = results.get("a")
    lines = [
        f"{content['model']}, batch {content['batch']}, {content['device']}, "
        f"{content['date']}" + (f", corpus × {content['times']}" if content["times"] != 1 else ""),
        "",
        "| | precision | steps | s / utterance | × fewer | audio s / s | share of products | GFLOP/s | peak memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for way, row in results.items():
        alike = first and first["precision"] == row["precision"]
        fewer = f"{first['seconds_per_utterance'] / row['seconds_per_utterance']:.1f}" if alike else "–"
        rates = "–".join(f"{rate:.0f}" for rate in sorted(row["matmul_gflops"].values()))
        lines.append(
            f"| ({way}) {NAMES[way].format(recipe=Path(content['recipe']).stem)} | {row['precision']} | {row['steps']} "
            f"| {row['seconds_per_utterance']:.3f} | {fewer} | {row['audio_s_per_s']:.1f} "
            f"| {100 * row['share_of_matmul']:.0f} % | {rates} | {row['peak_memory_bytes'] / 1e9:.2f} GB |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--model", default="openai/whisper-base")
    parser.add_argument("--shape", choices=SHAPES, help="random weights of this size")
    parser.add_argument("--recipe", default="speechocean762_base", help="the recommended recipe: a name or a file")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="of (a) and (b)")
    parser.add_argument("--recipe-corpus", type=Path, help="what (c) trains on, where that is more than CORPUS")
    parser.add_argument("--language", default="en")
    parser.add_argument("--ways", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40, help="of (b) and (c)")
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--steps-full", type=int, default=8, help="of (a)")
    parser.add_argument("--warmup-full", type=int, default=2)
    parser.add_argument("--times", type=int, default=1, help="make the corpus so many times as large")
    parser.add_argument("--only", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if options.only:
        try:
            write_json(options.out, tutorial_cost(options) if options.only == "a" else smallvoice_cost(options))
        except SmallvoiceError as error:
            raise SystemExit(f"({options.only}) is left out: {error}") from error
        return
    content = run_all(options)
    if options.out:
        write_json(options.out, content)
    print(markdown(content))
    if missing := set(options.ways) - set(content["results"]):
        raise SystemExit(f"Without {', '.join(sorted(missing))}: see above.")


if __name__ == "__main__":
    main()
