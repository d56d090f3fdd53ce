"""What a recipe will do on this machine, before it does it: parameters, steps, time, memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallvoice.corpus.utterance import open_corpus
from smallvoice.decoding.engine import frames_at_once
from smallvoice.model import adapt, device, weights
from smallvoice.model import window as windows
from smallvoice.recipe import Recipe
from smallvoice.reporting import facts as facts_of
from smallvoice.training import calibrate, distributed, estimate, memory
from smallvoice.training.batches import Batch
from smallvoice.training.calibrate import EpochPlan, Measured
from smallvoice.training.preserve import PRESERVED_RATES
from smallvoice.training.setup import Setup

LONGEST_OF_A_BATCH = 1.3
"""A batch is decoded until its longest text has ended; so many times the tokens of an average text as long."""
MOMENTS = 2
"""Copies of what moves that Adam keeps."""
REUSE = 1.9
"""How much more batches of many shapes take than the largest alone: freed memory does not always fit the next.

60 steps of speechocean762_base_best and a decoding of dev held 2.8 GB at most on an EPYC, in bfloat16 as in float32,
and 3.5 on a Xeon with AMX, in bfloat16, where 2.7 are predicted (3.1 in float32)."""


@dataclass(frozen=True)
class Plan:
    """What a recipe will do."""

    base: str
    origin: str
    device: str
    precision: str
    trainable: adapt.ParameterCount
    learning_rate: float
    utterances: int | None = None
    steps: int | None = None
    """Of the optimiser, over all members."""
    minutes: float | None = None
    """Of training, of `train.preserve` and of decoding dev."""
    memory_bytes: float | None = None
    """On a CPU of the whole process; on an accelerator, its own memory."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "base": self.base,
            "weights": self.origin,
            "device": self.device,
            "precision": self.precision,
            "trainable_parameters": self.trainable.trainable,
            "total_parameters": self.trainable.total,
            "learning_rate": self.learning_rate,
            "utterances": self.utterances,
            "steps": self.steps,
            "estimated_minutes": self.minutes,
            "estimated_memory_bytes": self.memory_bytes,
        }

    def lines(self) -> Iterable[tuple[str, str]]:
        """What a person reads."""
        yield "base", f"{self.base}, from the {self.origin}"
        how = f"in {self.precision} on {self.device}, at a learning rate of {self.learning_rate:g}"
        yield "trains", f"{self.trainable} parameters, {how}"
        if self.steps is None or self.minutes is None or self.memory_bytes is None:
            yield "steps", "not known without a corpus (--corpus)"
            return
        yield "steps", f"{self.steps:,} on {self.utterances:,} utterances"
        yield (
            "about",
            f"{self.minutes:.0f} min of training, {self.memory_bytes / 1e9:.1f} GB of memory at most",
        )


def plan(recipe: Recipe, corpus_folder: Path | None) -> Plan:
    """Count parameters from the model; with a corpus, time a few of its batches (about ten seconds) and add up.

    Raises:
        SmallvoiceError: no weights, no such corpus, settings that cannot be right.
    """
    adapt.require_sense(recipe)
    whisper = weights.load(recipe.model.base)
    processes = distributed.start()
    precision = device.training_precision(recipe.train.precision, processes.device)
    facts: dict[str, Any] = {
        "base": whisper.name,
        "origin": whisper.origin,
        "device": device.describe(processes.device),
        "precision": precision,
        "learning_rate": recipe.train.learning_rate or recipe.model.usual_rate,
    }
    if corpus_folder is None:
        count = adapt.count_parameters(adapt.adapt(whisper, recipe.model, recipe.train.seed))
        return Plan(**facts, trainable=count)
    setup = Setup(recipe, open_corpus(corpus_folder), whisper, processes, precision)
    train = recipe.train
    steps = [
        setup.planner.num_steps(train.epochs, train.seed + member, train.max_steps) for member in range(train.members)
    ]
    network = adapt.adapt(whisper, recipe.model, train.seed, steps[0])
    count = adapt.count_parameters(network)
    epoch = calibrate.epoch_plan(setup)
    tokens_per_s = _tokens_per_s(setup)
    with memory.full_as_error(processes.device):
        measured = calibrate.measure(setup, network, epoch, _largest(setup, count, epoch), tokens_per_s)
    config = whisper.network.config
    work_s = sum(measured.of_batch(calibrate.batch_flop(config, batch, tokens_per_s)) for batch in epoch.batches)
    step_s = work_s / epoch.steps + measured.optimizer_s
    dev_s = _decoding_seconds(setup, measured, tokens_per_s)
    made = any(facts_of.afterwards(recipe))  # a result of its own, decoded too; the last for the calibration
    decodings = train.members * train.evaluations + made + 1
    afterwards_s = _preserving_seconds(setup, measured, tokens_per_s)
    return Plan(
        **facts,
        trainable=count,
        utterances=len(setup.planner.ids) - len(setup.left_out),
        steps=sum(steps),
        minutes=(sum(steps) * step_s + decodings * dev_s + afterwards_s) / 60,
        memory_bytes=_peak_bytes(setup, count, measured),
    )


def _tokens_per_s(setup: Setup) -> float:
    """Text tokens in a second of the training audio, from its first texts."""
    rows = setup.corpus.columns("train", ["text", "language", "duration_s"]).slice(0, 500).to_pylist()
    overhead = setup.prefix_length + 1
    tokens: int = sum(len(setup.tokens(row["text"], row["language"])) - overhead for row in rows)
    audio_s: float = sum(row["duration_s"] for row in rows)
    return tokens / max(1.0, audio_s)


def _decoding_seconds(setup: Setup, measured: Measured, tokens_per_s: float) -> float:
    """One decoding of dev: each batch as long as its longest text."""
    recipe, config = setup.recipe, setup.whisper.network.config
    share = len(setup.selection) / max(1, setup.corpus.splits()["dev"])
    durations = sorted(setup.corpus.index("dev")["duration_s"].to_pylist())
    frames = [windows.num_frames(duration_s, recipe.window, setup.max_frames) for duration_s in durations]
    seconds = sum(estimate.forward_flop(config, window, 0) for window in frames) * measured.encode_s_per_flop
    _, most = frames_at_once(setup.processes.device, config)
    start = 0
    while start < len(durations):
        size = max(1, min(recipe.decode.batch_size, most // frames[start]))
        longest_s = durations[start : start + size][-1]
        seconds += measured.token_s * (LONGEST_OF_A_BATCH * tokens_per_s * longest_s + 1)
        start += size
    return share * seconds


MOMENTS_OF_INPUTS = 2
"""How many times a forward pass `train.preserve` takes: a layer's inputs are multiplied by themselves too."""


def _preserving_seconds(setup: Setup, measured: Measured, tokens_per_s: float) -> float:
    """What `train.preserve` hears, an utterance at a time."""
    if setup.speech is None:
        return 0.0
    flop, config = 0.0, setup.whisper.network.config
    for row in setup.corpus.columns("train", ["id", "duration_s"]).to_pylist():
        times = (row["id"] in setup.speech.learned) + len(PRESERVED_RATES) * (row["id"] in setup.speech.preserved)
        frames = windows.num_frames(row["duration_s"], setup.recipe.window, setup.max_frames)
        flop += times * estimate.forward_flop(config, frames, tokens_per_s * row["duration_s"])
    return MOMENTS_OF_INPUTS * flop * measured.encode_s_per_flop


def _largest(setup: Setup, count: adapt.ParameterCount, epoch: EpochPlan) -> Batch:
    """What is encoded at once at most: the largest batch, or the part of one that the CPU's memory allows."""
    limit = None
    if setup.processes.device.type == "cpu":
        limit = memory.predicted_limit(setup.recipe, setup.whisper.network.config, count, setup.planner.largest_batch())
    parts = (batch[: memory.rows_at_once(limit, batch[0].frames, len(batch))] for batch in epoch.batches)
    return max(parts, key=lambda part: (part[0].frames * len(part), part[0].frames))


def _peak_bytes(setup: Setup, count: adapt.ParameterCount, measured: Measured) -> float:
    """What is held before the first step, the moments of Adam and the average, and the largest batch."""
    config = setup.whisper.network.config
    copies = MOMENTS + bool(setup.recipe.train.ema)
    held = measured.before_bytes + 4 * copies * count.trainable
    # A run decodes with the base model too.
    frames = frames_at_once(setup.processes.device, config)
    decoding = estimate.decoding_bytes(config, setup.recipe.decode.batch_size, frames)
    return held + max(REUSE * measured.batch_bytes, decoding)
