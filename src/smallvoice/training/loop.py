"""The training loop: one for every strategy and device."""

from __future__ import annotations

import itertools
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.nn import functional

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Corpus, Utterance
from smallvoice.errors import RecipeError
from smallvoice.model import window as windows
from smallvoice.model.weights import Whisper
from smallvoice.recipe import Recipe, TrainRecipe
from smallvoice.scoring.word_errors import ErrorCounts
from smallvoice.storage import json_line, no_space_as_error, recover_jsonl, write_jsonl
from smallvoice.training import augment, checkpoint
from smallvoice.training.batches import Batch, Planner, Reader, Step
from smallvoice.training.labels import IGNORED, Labels, collate

log = logging.getLogger(__name__)


class TeacherForcing(torch.nn.Module):
    """The loss of a batch: cross-entropy of each text token, given the ones before it."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, mel: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum over all tokens of the batch, in nats.

        Args:
            mel: shape = (batch, num_mels, frames).
            inputs: token ids, shape = (batch, positions).
            targets: the next token of each position, or `IGNORED`.
        """
        whisper = self.network.get_base_model()
        encoded = windows.encode(whisper, mel)
        hidden = whisper.model.decoder(
            input_ids=inputs, encoder_hidden_states=encoded.last_hidden_state, use_cache=False
        )
        scored = targets != IGNORED  # the projection to 51,865 tokens only where there is a loss
        logits = whisper.proj_out(hidden.last_hidden_state[scored]).float()
        return functional.cross_entropy(logits, targets[scored], reduction="sum")


@dataclass
class Member:
    """One adapter in training: everything that the loop needs, and where it keeps its state."""

    recipe: Recipe
    corpus: Corpus
    whisper: Whisper
    network: torch.nn.Module
    """The adapted network; `whisper.network` is inside it."""
    accelerator: Accelerator
    planner: Planner
    tokens: Callable[[Utterance], list[int]]
    """Token ids of an utterance: `labels.token_ids` in the run's text style and language."""
    prefix_length: int
    evaluate: Callable[[], ErrorCounts]
    """Decode dev freely and count its word errors."""
    folder: Path
    seed: int
    key: str
    report: Callable[[dict[str, Any]], None] = field(default=lambda row: None)
    """Told every row of metrics, for the progress bar."""


def learning_rate(step: int, num_steps: int, recipe: TrainRecipe) -> float:
    """The learning rate of a step, counted from 0: a linear rise, then the schedule's fall to 0."""
    warmup = round(recipe.warmup * num_steps)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, num_steps - warmup)
    shape = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return recipe.learning_rate * shape[recipe.schedule]


def train_member(member: Member) -> checkpoint.Progress:
    """Train to the end, from the last checkpoint if any; leaves the best adapter in `checkpoint.best_folder`.

    Raises:
        SmallvoiceError: the loss is not finite, the disk is full, the checkpoint is damaged.
        KeyboardInterrupt: after the step at hand, with a checkpoint written.
    """
    recipe = member.recipe.train
    optimizer = torch.optim.AdamW(
        [parameter for parameter in member.network.parameters() if parameter.requires_grad],
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
    model, optimizer = member.accelerator.prepare(TeacherForcing(member.network), optimizer)
    last = member.folder / "last"
    progress = checkpoint.restore(last, member.network, optimizer, member.key) or checkpoint.Progress(member.key)
    if progress.finished:
        return progress
    if progress.step:
        _say_continued(progress)
    progress.threads = torch.get_num_threads()
    metrics = _Metrics(member.folder / "metrics.jsonl", progress.step, member.report)
    num_steps = member.planner.num_steps(recipe.epochs, member.seed, recipe.max_steps)
    evaluations = {round(num_steps * (number + 1) / recipe.evaluations) for number in range(recipe.evaluations)}
    reader = Reader(member.corpus, member.planner.groups)
    started = time.monotonic() - progress.seconds

    def save() -> None:
        progress.seconds = time.monotonic() - started
        checkpoint.save(last, member.network, optimizer, progress)
        checkpoint.remove_outdated(member.folder, progress)

    with _stop_between_steps() as stopped:
        steps = itertools.islice(member.planner.steps(recipe.epochs, member.seed), progress.step, num_steps)
        for number, step in enumerate(steps, progress.step):
            rate = learning_rate(number, num_steps, recipe)
            for group in optimizer.param_groups:
                group["lr"] = rate
            row = _take_step(member, model, optimizer, reader, step, number)
            progress.step = number + 1
            metrics.add({"kind": "step", "step": progress.step, "of": num_steps, "learning_rate": rate, **row})
            if progress.step in evaluations:
                _evaluate(member, progress, metrics)
            if progress.step == num_steps:
                break
            if progress.step % recipe.checkpoint_every == 0 or progress.step in evaluations or stopped.is_set():
                save()
            if stopped.is_set():
                raise KeyboardInterrupt
    progress.finished = True
    save()
    return progress


def _take_step(
    member: Member, model: torch.nn.Module, optimizer: Any, reader: Reader, step: Step, number: int
) -> dict[str, Any]:
    """One step of the optimiser. Returns what `metrics.jsonl` holds of it."""
    started = time.monotonic()
    model.train()
    prepared = [_prepare(member, reader, batch) for batch in step]
    num_tokens = sum(labels.num_tokens for _, labels in prepared)
    loss_sum = 0.0
    for index, (mel, labels) in enumerate(prepared):
        # Dropout draws from here, so a continued run repeats it without any saved state.
        torch.manual_seed(((member.seed << 40) + (number << 10) + index) % 2**63)
        last = index == len(prepared) - 1
        with nullcontext() if last else member.accelerator.no_sync(model):
            with member.accelerator.autocast():
                loss = model(mel, labels.inputs.to(mel.device), labels.targets.to(mel.device))
            member.accelerator.backward(loss / num_tokens)
        loss_sum += float(loss.detach())
    norm = float(member.accelerator.clip_grad_norm_(model.parameters(), member.recipe.train.clip_norm))
    if not math.isfinite(loss_sum) or (not math.isfinite(norm) and member.accelerator.scaler is None):
        ids = ", ".join(item.utterance_id for batch in step for item in batch)
        raise RecipeError(
            f"Training stopped before step {number + 1}: its loss is {loss_sum}, its gradient {norm}. "
            f"Lower train.learning_rate, or look at these utterances: {ids}."
        )
    optimizer.step()
    optimizer.zero_grad()
    num_utterances = sum(len(batch) for batch in step)
    seconds = time.monotonic() - started
    return {
        "epoch": step[0][0].epoch,
        "loss": loss_sum / num_tokens,
        "gradient_norm": norm,
        "tokens": num_tokens,
        "utterances": num_utterances,
        "utterances_per_s": num_utterances / seconds,
        "seconds": seconds,
    }


def _prepare(member: Member, reader: Reader, batch: Batch) -> tuple[torch.Tensor, Labels]:
    """Features, shape = (batch, num_mels, frames), and labels of a batch, augmented."""
    recipe = member.recipe.augment
    utterances = reader.read(batch)
    waveforms = [
        augment.change_speed(decode_flac(utterance.audio), item.change.resample)
        for item, utterance in zip(batch, utterances, strict=True)
    ]
    views = [item.change.view for item in batch]
    mel = windows.features(waveforms, batch[0].frames, member.whisper.network, views)
    if recipe.time_masks or recipe.mel_masks:
        for row, item, waveform in zip(mel, batch, waveforms, strict=True):
            rng = augment.draw(member.seed, item.epoch, f"{item.utterance_id}/masks")
            num_frames = len(waveform) // item.change.view.hop
            augment.mask_features(row, min(mel.shape[-1], num_frames), recipe, rng)
    sequences = [member.tokens(utterance) for utterance in utterances]
    padding = member.whisper.generation.eos_token_id
    return mel, collate(sequences, member.prefix_length, padding)


def _evaluate(member: Member, progress: checkpoint.Progress, metrics: _Metrics) -> None:
    """Decode dev; keep the adapter where it is the best so far."""
    started = time.monotonic()
    member.network.eval()
    counts = member.evaluate()
    best = progress.best is None or counts.errors < ErrorCounts(**progress.best).errors
    seconds = time.monotonic() - started
    metrics.add({"kind": "dev", "step": progress.step, "best": best, **counts.as_dict(), "seconds": seconds})
    if best:
        progress.best, progress.best_step = asdict(counts), progress.step
        checkpoint.save_trained(checkpoint.best_folder(member.folder, progress), member.network)


class _Metrics:
    """Rows of `metrics.jsonl`; what was written after the checkpoint that training continues from is dropped."""

    def __init__(self, path: Path, step: int, report: Callable[[dict[str, Any]], None]) -> None:
        rows = recover_jsonl(path) if step else []
        write_jsonl(path, [row for row in rows if row["step"] <= step])
        self.path = path
        self.report = report

    def add(self, row: dict[str, Any]) -> None:
        with no_space_as_error(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json_line(row))
        self.report(row)


def _say_continued(progress: checkpoint.Progress) -> None:
    log.info("Training continues after step %d.", progress.step)
    if progress.threads != torch.get_num_threads():
        log.warning(
            "Training began with %d threads and continues with %d: the result may differ in the last bits.",
            progress.threads,
            torch.get_num_threads(),
        )


@contextmanager
def _stop_between_steps() -> Iterator[threading.Event]:
    """Ctrl-C ends training after the step at hand; a second one ends it at once."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(*_: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        log.warning("Stopping after this step; press Ctrl-C again to stop at once.")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
