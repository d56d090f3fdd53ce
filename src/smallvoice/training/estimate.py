"""What a recipe will do on this machine, before it does it: parameters, steps, time, memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import WhisperConfig

from smallvoice import machine
from smallvoice.corpus.utterance import open_corpus
from smallvoice.model import adapt, device, weights
from smallvoice.model import window as windows
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import Recipe

TOKENS_PER_S = 3.0
"""Text tokens in a second of children's speech; speechocean762 has 2.6."""
CPU_EFFICIENCY = 0.66
"""Share of the matrix-product rate that training and encoding reach on a CPU, measured with whisper-base: 6,400
utterances of speechocean762 in 1,420 s at 158 GFLOP/s (2026-11-22)."""
KEPT_VECTORS = 42
"""Vectors of `d_model` that an encoder layer with LoRA keeps for each position until its gradient is known, from the
peak memory of the same run: 3.6 GB."""
GPU_GFLOPS = 20_000.0
"""A cautious guess for training on an accelerator, which is not measured here."""
DECODE_STEP_BYTES_PER_S = 6e9
"""Decoding reads every weight of the decoder for each token of a batch: memory, not arithmetic, sets its pace."""
PROCESS_BYTES = 0.55e9
"""Python, torch and transformers before any weight."""


@dataclass(frozen=True)
class Plan:
    """What a recipe will do."""

    base: str
    origin: str
    device: str
    precision: str
    trainable: adapt.ParameterCount
    utterances: int | None
    steps: int | None
    minutes: float | None
    memory_bytes: float | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "base": self.base,
            "weights": self.origin,
            "device": self.device,
            "precision": self.precision,
            "trainable_parameters": self.trainable.trainable,
            "total_parameters": self.trainable.total,
            "utterances": self.utterances,
            "steps": self.steps,
            "estimated_minutes": self.minutes,
            "estimated_memory_bytes": self.memory_bytes,
        }

    def lines(self) -> Iterable[tuple[str, str]]:
        """What a person reads."""
        yield "base", f"{self.base}, from the {self.origin}"
        yield "trains", f"{self.trainable} parameters, in {self.precision} on {self.device}"
        if self.steps is None or self.minutes is None or self.memory_bytes is None:
            yield "steps", "not known without a corpus (--corpus)"
            return
        yield "steps", f"{self.steps:,} on {self.utterances:,} utterances"
        yield (
            "about",
            f"{self.minutes:.0f} min of training, {self.memory_bytes / 1e9:.1f} GB of memory at most",
        )


def plan(recipe: Recipe, corpus_folder: Path | None) -> Plan:
    """Count parameters from the model and estimate the rest from durations and the machine's speed.

    Raises:
        SmallvoiceError: no weights, no such corpus, targets that the model does not have.
    """
    whisper = weights.load(recipe.model.base)
    where = device.best_device()
    precision = device.training_precision(recipe.train.precision, where)
    count = adapt.count_parameters(adapt.adapt(whisper, recipe.model, recipe.train.seed))
    utterances = steps = minutes = memory = None
    if corpus_folder is not None:
        corpus = open_corpus(corpus_folder)
        durations = {
            split: corpus.index(split)["duration_s"].to_pylist()
            for split in ("train", "dev")
            if split in corpus.splits()
        }
        utterances = len(durations.get("train", []))
        steps = num_steps(utterances, recipe)
        minutes = training_seconds(whisper.network.config, durations, recipe, where.type) / 60
        memory = memory_bytes(whisper.network.config, count, durations, recipe)
    return Plan(
        whisper.name,
        whisper.origin,
        device.describe(where),
        precision,
        count,
        utterances,
        steps,
        minutes,
        memory,
    )


def num_steps(utterances: int, recipe: Recipe) -> int:
    """Steps of the optimiser over all members, up to a few: buckets leave rests."""
    per_epoch = math.ceil(utterances / (recipe.train.batch_size * recipe.train.accumulate))
    steps = recipe.train.epochs * per_epoch
    return recipe.train.members * min(steps, recipe.train.max_steps or steps)


def forward_flop(config: WhisperConfig, frames: int, tokens: float) -> float:
    """Operations of one forward pass, 2 for each multiply-add: encoder, cross keys and values, decoder, output.

    Args:
        frames: log-mel frames of the window.
        tokens: of prefix and text.
    """
    d, positions = config.d_model, frames / 2
    conv = 2 * 3 * d * (frames * config.num_mel_bins + positions * d)
    encoder_layer = 8 * positions * d**2 + 4 * positions**2 * d + 4 * positions * d * config.encoder_ffn_dim
    self_attention = 8 * tokens * d**2 + 4 * tokens**2 * d
    cross_attention = 4 * tokens * d**2 + 4 * positions * d**2 + 4 * tokens * positions * d
    decoder_layer = self_attention + cross_attention + 4 * tokens * d * config.decoder_ffn_dim
    output = 2 * tokens * d * config.vocab_size
    return conv + config.encoder_layers * encoder_layer + config.decoder_layers * decoder_layer + output


def training_seconds(
    config: WhisperConfig, durations: dict[str, list[float]], recipe: Recipe, device_type: str
) -> float:
    """Time of all steps and of all decodings of dev. The base is frozen: a step is two forward passes' work."""
    gflops = machine.matmul_gflops() * CPU_EFFICIENCY if device_type == "cpu" else GPU_GFLOPS
    full = 2 * config.max_source_positions
    train, dev = durations.get("train", []), durations.get("dev", [])
    flop = sum(_flop(config, duration_s, recipe, full) for duration_s in train)
    seen = recipe.train.epochs * len(train)
    if recipe.train.max_steps:
        seen = min(seen, recipe.train.max_steps * recipe.train.batch_size * recipe.train.accumulate)
    epochs = seen / max(1, len(train))
    encode = sum(_flop(config, duration_s, recipe, full) for duration_s in dev) / gflops / 1e9
    decoder_bytes = 4 * config.d_model * (config.vocab_size + 16 * config.d_model * config.decoder_layers)
    tokens = sum(TOKENS_PER_S * duration_s + 4 for duration_s in dev)
    decode = tokens / recipe.decode.batch_size * decoder_bytes / DECODE_STEP_BYTES_PER_S
    return recipe.train.members * (epochs * 2 * flop / gflops / 1e9 + recipe.train.evaluations * (encode + decode))


def memory_bytes(
    config: WhisperConfig, count: adapt.ParameterCount, durations: dict[str, list[float]], recipe: Recipe
) -> float:
    """The most memory that training needs: weights, optimiser, and what a step keeps for its gradients.

    The encoder's share of that is `KEPT_VECTORS` for each position; the logits are kept three times.
    """
    full = 2 * config.max_source_positions
    longest = max((_frames(duration_s, recipe, full) for duration_s in durations.get("train", [0.0])), default=full)
    kept = KEPT_VECTORS * 4 * config.d_model * config.encoder_layers * longest / 2
    logits = 3 * 4 * config.vocab_size * TOKENS_PER_S * longest / 100
    whole = windows.num_frames(30.0, FULL_WINDOW, full)
    base_decoding = recipe.decode.batch_size * whole / 2 * config.encoder_ffn_dim * 4 * 3
    return (
        PROCESS_BYTES
        + 4 * count.total
        + 16 * count.trainable
        + max(recipe.train.batch_size * (kept + logits), base_decoding)
    )


def _flop(config: WhisperConfig, duration_s: float, recipe: Recipe, full: int) -> float:
    return forward_flop(config, _frames(duration_s, recipe, full), TOKENS_PER_S * duration_s + 4)


def _frames(duration_s: float, recipe: Recipe, full: int) -> int:
    return windows.num_frames(duration_s, recipe.window, full)
