"""The training loop: one for every strategy and device, in one process or several."""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from smallvoice import machine
from smallvoice.corpus.utterance import Corpus, Utterance
from smallvoice.errors import RecipeError
from smallvoice.model import adapt
from smallvoice.model.weights import Whisper
from smallvoice.recipe import AugmentRecipe, Recipe
from smallvoice.scoring.word_errors import ErrorCounts
from smallvoice.training import augment, checkpoint, memory
from smallvoice.training.batches import Batch, Planner, Reader, Step
from smallvoice.training.distributed import Processes, imbalance, portions
from smallvoice.training.ema import RunningAverage
from smallvoice.training.heard import Heard
from smallvoice.training.labels import Labels
from smallvoice.training.metrics import Metrics, stop_between_steps
from smallvoice.training.objective import TeacherForcing, optimizer_of, schedule
from smallvoice.training.packing import Item
from smallvoice.training.prepare_batch import prepare

log = logging.getLogger(__name__)


@dataclass
class Member:
    """One adapter in training: everything that the loop needs, and where it keeps its state."""

    recipe: Recipe
    corpus: Corpus
    whisper: Whisper
    network: adapt.Adapted
    """`whisper.network` is inside it."""
    processes: Processes
    precision: str
    """`float32`, `bfloat16` or `float16`."""
    planner: Planner
    tokens: Callable[[Utterance], list[int]]
    """Token ids of an utterance: `labels.token_ids` in the run's text style and language."""
    prefix_length: int
    evaluate: Callable[[], ErrorCounts]
    """Decode dev freely and count its word errors, over all processes."""
    folder: Path
    seed: int
    key: str
    report: Callable[[dict[str, Any]], None] = field(default=lambda row: None)
    """Told the metrics of every step and of every decoding of dev, for the progress bar."""


def train_member(member: Member) -> checkpoint.Progress:
    """Train to the end, from the last checkpoint if any; leaves the best adapter in `checkpoint.best_folder`.

    Raises:
        SmallvoiceError: the loss is not finite, the disk or the memory is full, the checkpoint is damaged.
        KeyboardInterrupt: after the step at hand, with a checkpoint written.
    """
    loop = _Loop(member)
    if loop.progress.finished:
        return loop.progress
    with recomputed(member.whisper.network, member.recipe.train.gradient_checkpointing):
        return loop.run()


class _Loop:
    """A member's training: what changes from step to step."""

    def __init__(self, member: Member) -> None:
        recipe = member.recipe.train
        self.member, self.processes = member, member.processes
        self.model = TeacherForcing(member.network, recipe, member.precision)
        self.parameters = [parameter for parameter in member.network.parameters() if parameter.requires_grad]
        self.optimizer = optimizer_of(member.network, recipe)
        self.rate = recipe.learning_rate or member.recipe.model.usual_rate
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        """Of each group at its fastest."""
        self.scaler = torch.amp.GradScaler(self.processes.device.type, enabled=member.precision == "float16")
        self.average = RunningAverage(member.network, recipe.ema) if recipe.ema else None
        self.state = checkpoint.State(member.network, self.optimizer, self.scaler, self.average)
        self.progress = self._restored() or self._begun()
        self.scaler.scale(torch.zeros((), device=self.processes.device))  # begins: a process may have no part of a step
        if not self.progress.finished and member.precision not in self.progress.precisions[-1:]:
            self.progress.precisions.append(member.precision)
        self.metrics = Metrics(
            member.folder / "metrics.jsonl", self.progress.step, member.report, writes=self.processes.first
        )
        # No method of this loop: a circle would keep its memory until Python looks for circles.
        again = partial(_tract_again, member.recipe.augment, member.seed) if recipe.consistency else None
        self.heard = Heard(
            member.folder, member.planner.rows, self.progress.step, again=again, writes=self.processes.first
        )
        self.num_steps = member.planner.num_steps(recipe.epochs, member.seed, recipe.max_steps)
        self.reader = Reader(member.corpus, member.planner.groups)
        self.started = time.monotonic() - self.progress.seconds

    def run(self) -> checkpoint.Progress:
        """All steps that are left."""
        recipe, progress = self.member.recipe.train, self.progress
        evaluations = {round(self.num_steps * (done + 1) / recipe.evaluations) for done in range(recipe.evaluations)}
        planned = self.member.planner.steps(recipe.epochs, self.member.seed)
        with stop_between_steps(at_once=self.processes.size == 1) as stopped:
            if progress.step == 0 or recipe.max_memory_gb is not None:  # it may be less than when training began
                self._choose_limit()
            for number, step in enumerate(itertools.islice(planned, progress.step, self.num_steps), progress.step):
                stopping = self._take_step(step, number, stopped)
                if progress.step in evaluations:
                    self._evaluate()
                if progress.step == self.num_steps or self._waited_enough():
                    break
                if progress.step % recipe.checkpoint_every == 0 or progress.step in evaluations or stopping:
                    self._save()
                if stopping:
                    self.processes.wait()  # a launcher ends all when one has ended: not while the first still writes
                    raise KeyboardInterrupt
            progress.finished = True
            self._save()
            if any(row[0] for row in self.processes.gather([float(stopped.is_set())])):
                raise KeyboardInterrupt  # told while dev was decoded after the last step
        return progress

    def _restored(self) -> checkpoint.Progress | None:
        """The last checkpoint, if it is of this run. The first process looks first: it may have to mend it."""
        last, progress = self.member.folder / checkpoint.LAST, None
        if self.processes.first:
            progress = checkpoint.restore(last, self.state, self.member.key)
        self.processes.wait()
        if not self.processes.first:
            progress = checkpoint.restore(last, self.state, self.member.key)
        if progress and not progress.finished and self.processes.first:
            _say_continued(progress, self.processes, self.member.precision)
        return progress

    def _begun(self) -> checkpoint.Progress:
        threads, size = torch.get_num_threads(), self.processes.size
        return checkpoint.Progress(self.member.key, threads=threads, processes=size, precisions=[self.member.precision])

    def _choose_limit(self) -> None:
        """On a CPU, the micro-batch that will fit; an accelerator says by itself when one does not."""
        member = self.member
        if self.processes.device.type != "cpu":
            return
        count = adapt.count_parameters(member.network)
        limit = memory.predicted_limit(
            member.recipe, member.whisper.network.config, count, member.planner.largest_batch()
        )
        self._lower_limit(min(row[0] for row in self.processes.gather([limit or math.inf])), "predicted memory")

    def _lower_limit(self, frames: float, why: str) -> None:
        """Encode at most so many frames at once from now on; said, and kept for a continued run."""
        if frames >= (self.progress.micro_frames or math.inf):
            return
        self.progress.micro_frames = int(frames)
        if self.processes.first:
            twice = ", each heard twice" if self.member.recipe.train.consistency else ""
            log.warning("At most %g s of windows are encoded at once from now on%s: %s.", frames / 100, twice, why)
        row = {"kind": "memory", "step": self.progress.step, "micro_frames": int(frames), "why": why}
        self.metrics.add(row)

    def _take_step(self, step: Step, number: int, stopped: threading.Event) -> bool:
        """One step of the optimiser, and its row in `metrics.jsonl`. Returns whether a process was told to stop."""
        started = time.monotonic()
        share = schedule(number, self.num_steps, self.member.recipe.train)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = share * rate
        self.model.train()
        parts = [_Part(one.first, *self._prepare(one.batch)) for one in portions(step, self.processes)]
        num_tokens = int(self.processes.total(sum(part.labels.num_tokens for part in parts))[0])
        loss, limit = self._gradients_that_fit(parts, num_tokens, number)
        self.processes.sum_gradients(self.parameters)
        found = self.processes.gather([loss, limit or math.inf, float(stopped.is_set())])
        loss_sum = sum(row[0] for row in found)
        norm = self._move(step, number, loss_sum)
        self.progress.step = number + 1
        self._lower_limit(min(row[1] for row in found), "out of memory")
        seconds = time.monotonic() - started
        num_utterances = sum(len(batch) for batch in step)
        row = {
            "kind": "step",
            "step": number + 1,
            "of": self.num_steps,
            "learning_rate": share * self.rate,
            "epoch": step[0][0].epoch,
            "loss": loss_sum / num_tokens,
            "gradient_norm": norm if math.isfinite(norm) else None,  # in float16 one that overflows skips a step
            "tokens": num_tokens,
            "utterances": num_utterances,
            "utterances_per_s": num_utterances / seconds,
            "seconds": seconds,
        }
        if self.processes.size > 1:
            row["imbalance"] = imbalance(step, self.processes.size)
        self.metrics.add(row)
        self.heard.add(number + 1, step)
        if self.progress.step % memory.GIVEN_BACK_EVERY == 0:
            memory.give_back()
        return any(row[2] for row in found)

    def _prepare(self, batch: Batch) -> tuple[torch.Tensor, Labels]:
        return prepare(self.member, self.reader, batch)

    def _gradients_that_fit(self, parts: list[_Part], num_tokens: int, number: int) -> tuple[float, int | None]:
        """The gradients of this process's part of a step, begun again with smaller batches where memory is full.

        Returns:
            The sum of the loss, and the frames that may be encoded at once.
        """
        limit = self.progress.micro_frames
        while True:
            try:
                return self._gradients(parts, num_tokens, number, limit), limit
            except memory.MemoryFull as full:
                limit = memory.smaller(full)
            self.optimizer.zero_grad()  # what a part of the batches has left there
            memory.release(self.processes.device)

    def _gradients(self, parts: list[_Part], num_tokens: int, number: int, limit: int | None) -> float:
        device, loss_sum = self.processes.device, 0.0
        for part in parts:
            frames = part.mel.shape[-1]
            rows = memory.rows_at_once(limit, frames, part.mel.shape[1])
            for start in range(0, part.mel.shape[1], rows):
                chosen = slice(start, start + rows)
                inputs, targets = part.labels.inputs[chosen].to(device), part.labels.targets[chosen].to(device)
                # Dropout draws from here, so a continued run repeats it without any saved state.
                torch.manual_seed(((self.member.seed << 40) + (number << 16) + part.first + start) % 2**63)
                with memory.noticed(len(inputs), frames):
                    loss = self.model.loss(part.mel[:, chosen], inputs, targets)
                    self.scaler.scale(loss / num_tokens).backward()
                loss_sum += float(loss.detach())
        extra = adapt.extra_loss(self.member.network)
        if isinstance(extra, torch.Tensor):
            self.scaler.scale(extra / self.processes.size).backward()
        return loss_sum

    def _move(self, step: Step, number: int, loss_sum: float) -> float:
        """The optimiser's step, if loss and gradient are finite. Returns the gradient's norm before clipping."""
        self.scaler.unscale_(self.optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.member.recipe.train.clip_norm))
        # In float16 a gradient that overflows only skips a step: the scaler sees to it.
        if not math.isfinite(loss_sum) or not (math.isfinite(norm) or self.scaler.is_enabled()):
            ids = ", ".join(item.utterance_id for batch in step for item in batch)
            raise RecipeError(
                f"Training stopped before step {number + 1}: its loss is {loss_sum}, its gradient {norm}. "
                f"Lower train.learning_rate, or look at these utterances: {ids}."
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        adapt.after_step(self.member.network, number + 1)
        self.optimizer.zero_grad()
        if self.average:
            self.average.update(number + 1)
        return norm

    def _evaluate(self) -> None:
        """Decode dev; keep the adapter where it is the best so far."""
        started, progress = time.monotonic(), self.progress
        with self.average.in_place() if self.average else nullcontext():
            self.member.network.eval()
            memory.give_back()
            counts = self.member.evaluate()
            memory.give_back()
            best = progress.best is None or counts.errors < ErrorCounts(**progress.best).errors
            progress.waited = 0 if best else progress.waited + 1
            if best:
                progress.best, progress.best_step = asdict(counts), progress.step
                if self.processes.first:
                    folder = checkpoint.best_folder(self.member.folder, progress)
                    checkpoint.save_trained(folder, self.member.network)
        row = {"kind": "dev", "step": progress.step, "best": best, **counts.as_dict()}
        if ranks := adapt.live_ranks(self.member.network):
            row["ranks"] = ranks
        self.metrics.add({**row, "seconds": time.monotonic() - started})

    def _waited_enough(self) -> bool:
        """Early stopping: dev has not become better for so many evaluations."""
        patience = self.member.recipe.train.patience
        if patience is None or self.progress.waited < patience:
            return False
        if self.processes.first:
            log.info("Dev has not become better %d times: training ends at step %d.", patience, self.progress.step)
        self.metrics.add({"kind": "stopped", "step": self.progress.step, "best_step": self.progress.best_step})
        return True

    def _save(self) -> None:
        self.progress.seconds = time.monotonic() - self.started
        self.progress.peak_memory_bytes = max(self.progress.peak_memory_bytes, machine.peak_memory_bytes())
        self.progress.threads, self.progress.processes = torch.get_num_threads(), self.processes.size
        if self.processes.first:
            checkpoint.save(self.member.folder / checkpoint.LAST, self.state, self.progress)
            checkpoint.remove_outdated(self.member.folder, self.progress)
        if self.progress.finished:
            self.processes.wait()  # the others read the best adapter next


def _tract_again(recipe: AugmentRecipe, seed: int, item: Item) -> float:
    return augment.vocal_tract_again(recipe, seed, item.epoch, item.key)


@dataclass(frozen=True)
class _Part:
    """Utterances of one window that this process encodes in a step."""

    first: int
    """Their place in the step: what their dropout is drawn from."""
    mel: torch.Tensor
    """Shape = (hearings, batch, num_mels, frames)."""
    labels: Labels


@contextmanager
def recomputed(network: torch.nn.Module, wanted: bool) -> Iterator[None]:
    """Layers keep only their inputs, and compute the rest again for the gradients."""
    if not wanted:
        yield
        return
    # transformers 5.23 calls "activation" what earlier ones call "gradient" checkpointing.
    name = "activation" if hasattr(network, "activation_checkpointing_enable") else "gradient"
    # The non-reentrant kind: with a frozen base no input of the first layers asks for a gradient.
    getattr(network, f"{name}_checkpointing_enable")({"use_reentrant": False})
    try:
        yield
    finally:
        getattr(network, f"{name}_checkpointing_disable")()


def _say_continued(progress: checkpoint.Progress, processes: Processes, precision: str) -> None:
    log.info("Training continues after step %d.", progress.step)
    last_bits = "the result may differ in the last bits"
    pairs = [
        (f"{progress.threads} threads", f"{torch.get_num_threads()} threads", last_bits),
        (f"{progress.processes} processes", f"{processes.size} processes", last_bits),
        (progress.precisions[-1], precision, "the result will differ a little"),
    ]
    for then, now, differs in pairs:
        if then != now:
            log.warning("Training began with %s and continues with %s: %s.", then, now, differs)
