"""How much is encoded at once: chosen before a run on a CPU, halved when an accelerator's memory is full.

The limit is in frames, rows × window: the memory that a batch needs grows with both. The loss is a sum over the
tokens of a step divided by their number, so a batch in parts gives the same gradients, but for rounding.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import torch
from transformers import WhisperConfig

from smallvoice.errors import OutOfMemory
from smallvoice.model import adapt
from smallvoice.model.adapt import ParameterCount
from smallvoice.model.device import describe, no_room_as
from smallvoice.model.features import FRAMES_PER_SECOND
from smallvoice.recipe import Recipe
from smallvoice.training import estimate

SHARE_OF_FREE = 0.5
"""Of the free memory, where the recipe says nothing: other work goes on, and the prediction may be a quarter off."""
GIVEN_BACK_EVERY = 10
"""Steps. 45 of what speechocean762_base_best does, and a decoding of dev, held 3.3 GB at most, where a step by itself
takes 2.4 at most; with memory given back so often 60 steps and dev hold 2.8, and a step takes as long."""


class MemoryFull(Exception):
    """There was no room for a batch."""

    def __init__(self, rows: int, frames: int) -> None:
        super().__init__(f"{rows} utterances of {frames} frames")
        self.rows, self.frames = rows, frames


def noticed(rows: int, frames: int) -> AbstractContextManager[None]:
    """Turn a device's "out of memory" into `MemoryFull` for a batch of so many rows and frames.

    Raises:
        MemoryFull: the work did not fit.
    """
    return no_room_as(MemoryFull(rows, frames))


def full_as_error(device: torch.device) -> AbstractContextManager[None]:
    """Of what no smaller batch would mend.

    Raises:
        OutOfMemory: no room for the weights, for what the optimiser keeps, or for decoding dev.
    """
    return no_room_as(
        OutOfMemory(
            f"Out of memory on {describe(device)}, beside what a batch needs. Move fewer weights (model.strategy: "
            "lora), use a smaller base model, decode less at once (decode.batch_size), or free the device's memory."
        )
    )


def smaller(full: MemoryFull) -> int:
    """The frames to encode at once after a batch that did not fit.

    Raises:
        OutOfMemory: it was a single utterance.
    """
    if full.rows == 1:
        raise OutOfMemory(
            f"Out of memory with a single window of {full.frames / FRAMES_PER_SECOND:g} s. Set "
            "train.gradient_checkpointing: true, use a smaller base model, or end what else uses this device."
        )
    return (full.rows + 1) // 2 * full.frames


def release(device: torch.device) -> None:
    """Give back what a batch that did not fit has left behind."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    else:
        give_back()


def give_back() -> None:
    """Hand freed memory to the system: glibc keeps it, in pieces that the next window's length does not always fit."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def rows_at_once(limit: int | None, frames: int, rows: int) -> int:
    """How many of a batch's rows are encoded at once."""
    return rows if limit is None else max(1, min(rows, limit // frames))


def predicted_limit(
    recipe: Recipe, config: WhisperConfig, count: ParameterCount, largest: tuple[int, int]
) -> int | None:
    """Frames to encode at once on this machine's CPU: the batch halved until its predicted peak fits.

    Halved, and not fitted to the byte, so that a little more or less free memory changes nothing.

    Args:
        largest: rows and frames of the largest batch that training can meet, `Planner.largest_batch`.

    Returns:
        None where whole batches fit.
    """
    train = recipe.train
    whole, frames = largest
    hearings = 2 if train.consistency else 1

    def peak(rows: int) -> float:
        return estimate.memory_bytes(
            config,
            count,
            hearings * rows,
            frames,
            recipe.decode.batch_size,
            copies=adapt.keeps_copies(recipe.model),
            recomputed=train.gradient_checkpointing,
        )

    budget = max(1e9 * train.max_memory_gb if train.max_memory_gb else _usual_budget(), peak(1))
    rows = whole
    while rows > 1 and peak(rows) > budget:
        rows = (rows + 1) // 2
    return None if rows == whole else rows * frames


def _usual_budget() -> float:
    """What this process holds, and its share of half of what is free."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return psutil.Process().memory_info().rss + SHARE_OF_FREE * free_bytes() / processes


def free_bytes() -> int:
    """Memory that this machine, or the container it runs in, has left."""
    free = int(psutil.virtual_memory().available)
    for folder, most, used, cache in _CONTAINER_FILES:
        try:
            limit, held = int((folder / most).read_text()), int((folder / used).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such file; "max": no limit
            continue
        free = min(free, max(0, limit - held + int(stat.get(cache, 0))))
    return free


_CONTAINER_FILES = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Control groups, version 2 and 1: the limit, what is held, and the part of that which is files kept for reading."""
