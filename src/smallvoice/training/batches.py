"""The order of training: which utterances make a step, the same for the same (seed, epoch).

Row groups are drawn in a random order into a pool of about 64 MB; inside the pool utterances are put into
buckets of one window each. Memory does not grow with the corpus, a run that continues sees the same order, and
planning reads durations only.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from smallvoice.corpus.utterance import Corpus, RowGroup, Utterance
from smallvoice.model import window as windows
from smallvoice.recipe import Recipe
from smallvoice.training import augment

POOL_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Item:
    """One utterance of one epoch."""

    group: int
    """Which row group of the split."""
    row: int
    utterance_id: str
    epoch: int
    change: augment.Change
    frames: int
    """Its window in log-mel frames, after the change."""


Batch = list[Item]
"""Utterances of one window, encoded at once."""
Step = list[Batch]
"""Batches whose gradients are summed before the optimiser moves."""


class Planner:
    """Plans epochs from the index of a split."""

    def __init__(self, corpus: Corpus, split: str, recipe: Recipe, max_frames: int, left_out: set[str]) -> None:
        self.groups = corpus.row_groups(split)
        self.recipe = recipe
        self.max_frames = max_frames
        self.left_out = left_out
        self.ids = corpus.index(split)["id"]
        self.starts = [0, *itertools.accumulate(len(group.durations_s) for group in self.groups)]
        """Where each row group begins in the index."""

    def steps(self, epochs: int, seed: int) -> Iterator[Step]:
        """The steps of all epochs, in order, planned a pool at a time."""
        return (step for epoch in range(epochs) for step in self.epoch(epoch, seed))

    def num_steps(self, epochs: int, seed: int, max_steps: int | None) -> int:
        """How many steps that makes: the rests of buckets differ from epoch to epoch."""
        return sum(1 for _ in itertools.islice(self.steps(epochs, seed), max_steps))

    def epoch(self, epoch: int, seed: int) -> Iterator[Step]:
        """The steps of an epoch, in order."""
        rng = np.random.default_rng([seed, epoch])
        return (step for pool in self._pools(rng) for step in self._steps(pool, epoch, seed, rng))

    def _pools(self, rng: np.random.Generator) -> Iterator[list[int]]:
        pool: list[int] = []
        size = 0
        for number in rng.permutation(len(self.groups)).tolist():
            if pool and size + self.groups[number].num_bytes > POOL_BYTES:
                yield pool
                pool, size = [], 0
            pool.append(number)
            size += self.groups[number].num_bytes
        if pool:
            yield pool

    def _steps(self, pool: list[int], epoch: int, seed: int, rng: np.random.Generator) -> Iterator[Step]:
        buckets: dict[int, Batch] = defaultdict(list)
        for number in pool:
            for item in self._items(number, epoch, seed):
                buckets[item.frames].append(item)
        batches: list[Batch] = []
        size = self.recipe.train.batch_size
        for frames in sorted(buckets):
            bucket = [buckets[frames][index] for index in rng.permutation(len(buckets[frames]))]
            batches += [bucket[start : start + size] for start in range(0, len(bucket), size)]
        # Small rests of buckets join the next batch, so that no step has few utterances and no shape is padded.
        step: Step = []
        for index in rng.permutation(len(batches)):
            step.append(batches[index])
            if sum(len(batch) for batch in step) >= size * self.recipe.train.accumulate:
                yield step
                step = []
        if step:
            yield step

    def _items(self, number: int, epoch: int, seed: int) -> Iterator[Item]:
        group = self.groups[number]
        for row, (utterance_id, duration_s) in enumerate(zip(self._ids_of(number), group.durations_s, strict=True)):
            if utterance_id in self.left_out:
                continue
            change = augment.change(self.recipe.augment, seed, epoch, utterance_id)
            frames = windows.num_frames(duration_s / change.pace, self.recipe.window, self.max_frames)
            yield Item(number, row, utterance_id, epoch, change, frames)

    def _ids_of(self, number: int) -> list[str]:
        found: list[str] = self.ids.slice(self.starts[number], len(self.groups[number].durations_s)).to_pylist()
        return found


class Reader:
    """Reads the utterances of planned batches, keeping only the row groups of the current pool."""

    def __init__(self, corpus: Corpus, groups: list[RowGroup]) -> None:
        self.corpus = corpus
        self.groups = groups
        self._loaded: dict[int, list[Utterance]] = {}
        self._size = 0

    def read(self, batch: Batch) -> list[Utterance]:
        return [self._group(item.group)[item.row] for item in batch]

    def _group(self, number: int) -> list[Utterance]:
        if number not in self._loaded:
            size = self.groups[number].num_bytes
            if self._size + size > 2 * POOL_BYTES:  # the pool before this one
                self._loaded.clear()
                self._size = 0
            self._loaded[number] = self.corpus.read_row_group(self.groups[number])
            self._size += size
        return self._loaded[number]
