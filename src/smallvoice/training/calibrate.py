"""How fast and how large a training is, from a few of its own batches: measured anew each time, kept nowhere.

Batches are taken from the first epoch's own plan and go through everything that a step does: audio is decoded and
changed, features are computed, the adapted network runs forward and back, the optimiser moves. Time is then spread over
all batches by their operations (`estimate.forward_flop`).
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import torch
from transformers import WhisperConfig

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Utterance
from smallvoice.decoding.banned import Banned
from smallvoice.decoding.decoder import Decoder
from smallvoice.decoding.engine import frames_at_once
from smallvoice.decoding.torch_engine import greedy
from smallvoice.model import adapt
from smallvoice.model import window as windows
from smallvoice.model.device import best_device
from smallvoice.model.prompt import prefix_ids
from smallvoice.scoring.word_errors import ErrorCounts
from smallvoice.training import estimate, loop, memory
from smallvoice.training.batches import Batch, Reader
from smallvoice.training.loop import Member
from smallvoice.training.objective import TeacherForcing, optimizer_of
from smallvoice.training.prepare_batch import prepare
from smallvoice.training.setup import Setup

BUDGET_S = 8.0
"""About how long the timed work may take. A first batch always runs, however long."""
MOST_STEPS_PLANNED = 2_000
"""Of a large corpus the first so many steps stand for the epoch."""
QUANTILES = (0.5, 0.1, 0.9)
"""Which batches are timed: half of an epoch's operations are in batches smaller than the first, and so on."""
SLOW_S_PER_FLOP = 1 / 40e9
"""Seconds for an operation of the forward pass, back included, before anything is timed."""
DECODED_TOKENS = 8
"""So many steps of the decoder are timed."""


@dataclass
class Measured:
    """Seconds and bytes of this training on this machine."""

    flop: list[float] = field(default_factory=list)
    """Forward operations of each timed batch, rising; `seconds` has its time, forward, back and audio."""
    seconds: list[float] = field(default_factory=list)
    optimizer_s: float = 0.0
    """One move of the optimiser."""
    encode_s_per_flop: float = 0.0
    """Decoding dev: audio, features and encoder."""
    token_s: float = 0.0
    """Decoding dev: one step of the decoder for a batch."""
    before_bytes: float = 0.0
    """Held before the first batch: on a CPU by the whole process."""
    batch_bytes: float = 0.0
    """How much more at the peak of the largest batch, gradients of what moves included."""

    def of_batch(self, flop: float) -> float:
        """Seconds of a batch: the rate of the timed batches about as large."""
        rates = [seconds / done for seconds, done in zip(self.seconds, self.flop, strict=True)]
        return flop * float(np.interp(flop, self.flop, rates))


@dataclass(frozen=True)
class EpochPlan:
    """The batches of an epoch, and how many steps they make."""

    batches: list[Batch]
    steps: int


def measure(setup: Setup, network: adapt.Adapted, epoch: EpochPlan, largest: Batch, tokens_per_s: float) -> Measured:
    """Measure the largest batch's memory, and time others until `BUDGET_S` is spent.

    Args:
        network: its weights move: use it no more.
        epoch: the batches that occur.
        largest: what is encoded at once at most.
        tokens_per_s: of text, in a second of audio.
    """
    member = _member(setup, network)
    reader = Reader(setup.corpus, setup.planner.groups)
    model = TeacherForcing(network, setup.recipe.train, setup.precision)
    timed: dict[float, float] = {}
    found = Measured()
    started = time.perf_counter()
    config = setup.whisper.network.config

    def flop_of(batch: Batch) -> float:
        return batch_flop(config, batch, tokens_per_s)

    with loop.recomputed(setup.whisper.network, setup.recipe.train.gradient_checkpointing):
        # Before anything else: memory that was used and freed would hide what the batch needs.
        affordable = math.floor(BUDGET_S / 3 / (SLOW_S_PER_FLOP * flop_of(largest[:1])))
        found.before_bytes, found.batch_bytes = _peak(member, model, reader, largest, max(1, affordable))
        chosen = [_at_quantile(epoch.batches, flop_of, quantile) for quantile in QUANTILES]
        for batch in chosen:
            part = _within(batch, flop_of, timed, BUDGET_S / 4)
            if not timed or time.perf_counter() - started < 0.7 * BUDGET_S:
                part, seconds = _that_fits(part, lambda fits: _seconds(member, model, reader, fits))
                timed[flop_of(part)] = seconds
    found.flop = sorted(timed)
    found.seconds = [timed[flop] for flop in found.flop]
    found.optimizer_s = _optimizer_seconds(member)
    _measure_decoding(setup, found)
    return found


def epoch_plan(setup: Setup) -> EpochPlan:
    """The first epoch; the beginning of a long one stands for it."""
    steps = list(itertools.islice(setup.planner.epoch(0, setup.recipe.train.seed), MOST_STEPS_PLANNED))
    return EpochPlan([batch for step in steps for batch in step], len(steps))


def batch_flop(config: WhisperConfig, batch: Batch, tokens_per_s: float) -> float:
    """Forward operations of a batch at its window, the silence in it included: the time that it takes."""
    frames = batch[0].frames
    return sum(estimate.forward_flop(config, frames, tokens_per_s * item.duration_s + 4) for item in batch)


def _member(setup: Setup, network: adapt.Adapted) -> Member:
    """What preparing a batch needs to know; nothing is written."""

    def tokens(utterance: Utterance) -> list[int]:
        return setup.tokens(utterance.text, utterance.language)

    return Member(
        recipe=setup.recipe,
        corpus=setup.corpus,
        whisper=setup.whisper,
        network=network,
        processes=setup.processes,
        precision=setup.precision,
        planner=setup.planner,
        tokens=tokens,
        prefix_length=setup.prefix_length,
        evaluate=ErrorCounts,
        folder=Path(),
        seed=setup.recipe.train.seed,
        key="",
    )


def _at_quantile(batches: list[Batch], flop_of: Callable[[Batch], float], quantile: float) -> Batch:
    ordered = sorted(batches, key=flop_of)
    sums = list(itertools.accumulate(map(flop_of, ordered)))
    return ordered[min(len(ordered) - 1, bisect_left(sums, quantile * sums[-1]))]


def _within(batch: Batch, flop_of: Callable[[Batch], float], timed: dict[float, float], seconds: float) -> Batch:
    """So much of a batch as takes about so long, by what was timed before; the first by a slow machine's rate."""
    rate = max((second / flop for flop, second in timed.items()), default=SLOW_S_PER_FLOP)
    one = flop_of(batch[:1])
    return batch[: max(1, min(len(batch), math.floor(seconds / (rate * one))))]


def _that_fits(batch: Batch, work: Callable[[Batch], float]) -> tuple[Batch, float]:
    """Some work on as much of a batch as the device has room for: training halves it too."""
    while True:
        try:
            with memory.noticed(len(batch), batch[0].frames):
                return batch, work(batch)
        except memory.MemoryFull as full:
            memory.smaller(full)
        batch = batch[: (len(batch) + 1) // 2]
        memory.release(best_device())


def _seconds(member: Member, model: TeacherForcing, reader: Reader, batch: Batch) -> float:
    """Decode, prepare, forward, back."""
    started = time.perf_counter()
    loss = _loss(member, model.train(), reader, batch)
    loss.backward()
    _finish(member.processes.device)
    return time.perf_counter() - started


def _loss(member: Member, model: TeacherForcing, reader: Reader, batch: Batch) -> torch.Tensor:
    mel, labels = prepare(member, reader, batch)
    device = member.processes.device
    return model.loss(mel, labels.inputs.to(device), labels.targets.to(device)) / max(1, labels.num_tokens)


def _optimizer_seconds(member: Member) -> float:
    optimizer = optimizer_of(member.network, member.recipe.train)
    optimizer.step()  # makes its state
    started = time.perf_counter()
    optimizer.step()
    optimizer.zero_grad()
    _finish(member.processes.device)
    return time.perf_counter() - started


def _peak(member: Member, model: TeacherForcing, reader: Reader, batch: Batch, most: int) -> tuple[float, float]:
    """Bytes held before a batch, and how much more at its peak; of utterances beyond `most` by proportion."""
    part = batch[:most]

    def work(fits: Batch) -> float:
        return _seconds(member, model, reader, fits)

    if member.processes.device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        part, _ = _that_fits(part, work)
        more = torch.cuda.max_memory_allocated() - before
    else:
        before = psutil.Process().memory_info().rss
        with _watched() as highest:
            part, _ = _that_fits(part, work)
        more = highest[0] - before
    return before, more * len(batch) / len(part)


@contextmanager
def _watched() -> Iterator[list[int]]:
    """The most resident memory inside the block; what the system keeps of a process's peak may be older."""
    process, done = psutil.Process(), threading.Event()
    highest = [process.memory_info().rss]

    def watch() -> None:
        while not done.wait(0.005):
            highest[0] = max(highest[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield highest
    finally:
        done.set()
        watcher.join()
        highest[0] = max(highest[0], process.memory_info().rss)


@torch.inference_mode()
def _measure_decoding(setup: Setup, found: Measured) -> None:
    """Encode some utterances of dev, and let the decoder write a fixed number of tokens for them."""
    network, window = setup.whisper.network.eval(), setup.recipe.window
    first = next(iter(setup.corpus.row_groups("dev")))
    rows = sorted(setup.corpus.read_row_group(first), key=lambda row: row.duration_s)
    middle = max(0, len(rows) // 2 - setup.recipe.decode.batch_size // 2)
    batch = rows[middle:][: setup.recipe.decode.batch_size]
    frames = max(windows.num_frames(row.duration_s, window, setup.max_frames) for row in batch)
    batch = batch[-max(1, frames_at_once(network.device, network.config)[0] // frames) :]
    started = time.perf_counter()
    mel = windows.features([decode_flac(row.audio) for row in batch], frames, network)
    encoded = windows.encode(network, mel)
    _finish(network.device)
    encode_s = time.perf_counter() - started
    found.encode_s_per_flop = encode_s / (len(batch) * estimate.forward_flop(network.config, frames, 0))
    never_ends = Banned(*[torch.tensor([network.generation_config.eos_token_id], device=network.device)] * 2)
    prefix = prefix_ids(setup.whisper.generation, batch[0].language or setup.language)
    started = time.perf_counter()
    greedy(Decoder(network, [encoded.last_hidden_state]), prefix, [DECODED_TOKENS] * len(batch), never_ends)
    _finish(network.device)
    found.token_s = (time.perf_counter() - started) / DECODED_TOKENS


def _finish(device: torch.device) -> None:
    """Wait for an accelerator: it answers before it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
