"""Several processes: each takes its share of every step, and what they find is added up.

    torchrun --nproc_per_node 2 -m smallvoice train RECIPE --corpus CORPUS --out RUN

Gradients are summed here, once a step, and not by DistributedDataParallel: the processes then need not encode the
same number of batches, and one that splits a batch for lack of memory disturbs no other.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from accelerate import PartialState
from torch import distributed

from smallvoice.errors import RecipeError
from smallvoice.model.device import best_device
from smallvoice.training.batches import Batch, Step

log = logging.getLogger(__name__)

BUCKET_VALUES = 2**24
"""Gradients are summed in pieces of at least so many values (64 MB), so that full fine-tuning copies no model."""


@dataclass(frozen=True)
class Processes:
    """The processes that train together, and which of them this one is."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def gather(self, values: list[float]) -> list[list[float]]:
        """What each process has found, in the order of ranks. Every process must call it, with as many values."""
        if self.size == 1:
            return [values]
        mine = torch.tensor(values, dtype=torch.float64, device=self.device)
        found = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(found, mine)
        return [row.tolist() for row in found]

    def total(self, *values: float) -> list[float]:
        """The sums over all processes, one for each value."""
        return [sum(column) for column in zip(*self.gather([float(value) for value in values]), strict=True)]

    def wait(self) -> None:
        """Until every process is here."""
        self.gather([0.0])

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Give every process the sum of all processes' gradients: the same bits to each."""
        if self.size == 1:
            return
        for bucket in _buckets(parameters):
            for parameter in bucket:
                if parameter.grad is None:  # it had no utterance
                    parameter.grad = torch.zeros_like(parameter)
            flat = torch.cat([parameter.grad.flatten() for parameter in bucket])
            distributed.all_reduce(flat)
            parts = flat.split([parameter.numel() for parameter in bucket])
            for parameter, part in zip(bucket, parts, strict=True):
                parameter.grad.copy_(part.view_as(parameter))


def _buckets(parameters: Iterable[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    bucket: list[torch.nn.Parameter] = []
    for parameter in parameters:
        bucket.append(parameter)
        if sum(one.numel() for one in bucket) >= BUCKET_VALUES:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


def start() -> Processes:
    """Meet the other processes that `torchrun` or `accelerate launch` started, if any.

    Raises:
        RecipeError: they were asked to share one model's weights between them.
    """
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true":
            raise RecipeError(
                f"Every process holds the whole model here; {name} is not used. Start them with: torchrun "
                "--nproc_per_node N -m smallvoice train RECIPE (or accelerate launch without it)."
            )
    on_cpu = best_device().type == "cpu" or os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
    state = PartialState(cpu=on_cpu)
    processes = Processes(state.device, state.process_index, state.num_processes)
    if processes.size > 1:
        atexit.register(state.destroy_process_group)
        if processes.first:
            log.info("%d processes train together.", processes.size)
    return processes


@dataclass(frozen=True)
class Portion:
    """Utterances of one window that one process encodes."""

    first: int
    """The place of the first of them in the step, the same however many processes there are."""
    batch: Batch


def portions(step: Step, processes: Processes) -> list[Portion]:
    """What this process encodes of a step.

    The step's utterances are laid in a line, long windows first, and cut where the frames are shared out evenly:
    no process is further than one utterance from its fair share, and few batches are cut.
    """
    return _shared_out(step, processes.size)[processes.rank]


def imbalance(step: Step, size: int) -> float:
    """How much more than the mean the busiest process encodes, as a share; 0 is even."""
    loads = [sum(item.frames for one in share for item in one.batch) for share in _shared_out(step, size)]
    return max(loads) * size / sum(loads) - 1.0


def _shared_out(step: Step, size: int) -> list[list[Portion]]:
    places, place = [], 0
    for batch in step:
        places.append((place, batch))
        place += len(batch)
    shares: list[list[Portion]] = [[] for _ in range(size)]
    whole, before = sum(item.frames for batch in step for item in batch), 0
    for place, batch in sorted(places, key=lambda one: (-one[1][0].frames, one[0])):
        owners = []
        for item in batch:
            owners.append(min(size - 1, (2 * before + item.frames) * size // (2 * whole)))
            before += item.frames
        for rank in sorted(set(owners)):
            start, stop = owners.index(rank), owners.index(rank) + owners.count(rank)
            shares[rank].append(Portion(place + start, batch[start:stop]))
    if size == 1:  # the planner's own order
        shares[0].sort(key=lambda portion: portion.first)
    return shares
