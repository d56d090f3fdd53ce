"""The order of training: what makes a step, the same for the same (seed, epoch).

Row groups are drawn in a random order into a pool of about 64 MB; inside the pool windows are put into buckets of
one length each. Memory does not grow with the corpus, a run that continues sees the same order, and planning reads
durations and a few columns only.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from smallvoice.corpus.utterance import Corpus, RowGroup, Utterance
from smallvoice.errors import RecipeError
from smallvoice.model import window as windows
from smallvoice.model.features import FRAMES_PER_SECOND
from smallvoice.recipe import Recipe
from smallvoice.training import augment, packing
from smallvoice.training.noise import Sounds
from smallvoice.training.packing import Item, Part, Wanted
from smallvoice.training.sampling import Rows, Sampler, TextLength

POOL_BYTES = 64 * 2**20
MAX_POSITIONS = 448
"""Token ids that Whisper's decoder holds."""
PREFIX_AND_END = 5
"""Token ids of the longest prefix, and the end."""

Batch = list[Item]
"""Items of one window, encoded at once."""
Step = list[Batch]
"""Batches whose gradients are summed before the optimiser moves."""
Counts = NDArray[np.int32]
"""How often each row is heard in an epoch."""


class Planner:
    """Plans epochs from the index of a split.

    Raises:
        InputError: nothing is left to be heard.
        RecipeError: settings of window, mix, balance, augmentation or consistency that cannot be right.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: str,
        recipe: Recipe,
        max_frames: int,
        left_out: set[str],
        text_length: TextLength | None = None,
    ) -> None:
        """`text_length` is needed, and used, for packed windows only: which texts fit the decoder together."""
        _check(recipe)
        self.groups = corpus.row_groups(split)
        self.recipe = recipe
        self.max_frames = max_frames
        self.ids = corpus.index(split)["id"]
        self.starts = [0, *itertools.accumulate(len(group.durations_s) for group in self.groups)]
        """Where each row group begins in the index."""
        self.packed = recipe.window.kind == "packed"
        if self.packed and text_length is None:
            raise ValueError("packed windows need text_length")
        self.rows = Rows(corpus, self.groups, recipe.train.mix, text_length if self.packed else None)
        self.sampler = Sampler(self.rows, self.ids, recipe.train, left_out)
        self.sounds = Sounds(recipe.augment)

    def steps(self, epochs: int, seed: int) -> Iterator[Step]:
        """The steps of all epochs, in order, planned a pool at a time."""
        return (step for epoch in range(epochs) for step in self.epoch(epoch, seed))

    def num_steps(self, epochs: int, seed: int, max_steps: int | None) -> int:
        """How many steps that makes: the rests of buckets differ from epoch to epoch."""
        return sum(1 for _ in itertools.islice(self.steps(epochs, seed), max_steps))

    def epoch(self, epoch: int, seed: int) -> Iterator[Step]:
        """The steps of an epoch, in order."""
        rng = np.random.default_rng([seed, epoch])
        counts = self.sampler.counts(seed, epoch)
        return (step for pool in self._pools(rng, counts) for step in self._steps(pool, counts, epoch, seed, rng))

    def largest_batch(self) -> tuple[int, int]:
        """Rows and log-mel frames of the largest batch that can occur: what memory has to be enough for."""
        longest, step = self._longest_frames(), windows.step_frames(self.recipe.window)
        # Not always of the longest: 40 s hold one window of 30, and two of 20.
        shorter = range(step, longest, step) if self.recipe.window.kind in ("trim", "mixed") else ()
        sizes = [(self._batch_size(frames), frames) for frames in (longest, *shorter)]
        if self.recipe.window.kind == "mixed" and self.recipe.window.full_share:
            sizes.append((1, self.max_frames))
        return max(sizes, key=lambda size: (size[0] * size[1], size[1]))

    def _longest_frames(self) -> int:
        """Of the longest window that can occur, but for the full ones of `mixed`."""
        window, recipe = self.recipe.window, self.recipe.augment
        longest_s = max(max(group.durations_s) for group in self.groups)
        tail_s = recipe.tail_s if recipe.tail else 0.0
        # Pitch leaves the length but for the rounding of the distance between frames.
        slowest = (1 - recipe.speed) * (1 - recipe.tempo) * (1 - 0.01 * bool(recipe.pitch or recipe.tempo))
        return windows.num_frames(longest_s / slowest + tail_s, window, self.max_frames)

    def _pools(self, rng: np.random.Generator, counts: Counts) -> Iterator[list[int]]:
        pool: list[int] = []
        size = 0.0
        for number in rng.permutation(len(self.groups)).tolist():
            share = float(np.count_nonzero(self._counts_of(number, counts))) / len(self.groups[number].durations_s)
            if not share:
                continue
            num_bytes = share * self.groups[number].num_bytes
            if pool and size + num_bytes > POOL_BYTES:
                yield pool
                pool, size = [], 0.0
            pool.append(number)
            size += num_bytes
        if pool:
            yield pool

    def _steps(
        self, pool: list[int], counts: Counts, epoch: int, seed: int, rng: np.random.Generator
    ) -> Iterator[Step]:
        wanted: Wanted = {number: np.flatnonzero(self._counts_of(number, counts)).tolist() for number in pool}
        buckets: dict[int, Batch] = defaultdict(list)
        for item in self._items(pool, counts, epoch, seed):
            buckets[item.frames].append(replace(item, wanted=wanted))
        batches: list[tuple[Batch, float]] = []
        for frames in sorted(buckets):
            bucket = [buckets[frames][index] for index in rng.permutation(len(buckets[frames]))]
            size = self._batch_size(frames)
            # A full window among trimmed ones is as much work as a batch of them, and one of its own.
            rows = 1 if bucket[0].full else size
            cut = (bucket[start : start + rows] for start in range(0, len(bucket), rows))
            batches += [(batch, len(batch) / size) for batch in cut]
        # They and small rests of buckets join the next batch, so that no step has few utterances, and no shape is
        # padded.
        step: Step = []
        filled = 0.0
        for index in rng.permutation(len(batches)):
            batch, share = batches[index]
            step.append(batch)
            filled += share
            if filled >= self.recipe.train.accumulate - 1e-9:
                yield step
                step, filled = [], 0.0
        if step:
            yield step

    def _batch_size(self, frames: int) -> int:
        """Items of this window in a full batch."""
        seconds = self.recipe.train.batch_seconds
        if seconds is None:
            return self.recipe.train.batch_size
        return max(1, int(seconds * FRAMES_PER_SECOND + 0.5) // frames)

    def _items(self, pool: list[int], counts: Counts, epoch: int, seed: int) -> Iterator[Item]:
        """What a pool hears: an item an utterance, or packed ones; then the clips without speech."""

        def change_of(key: str) -> augment.Change:
            return augment.change(self.recipe.augment, seed, epoch, key)

        parts = [part for number in pool for part in self._parts(number, counts)]
        if self.packed:
            packed = packing.pack(parts, self._who, self._num_tokens, change_of, self._room(), (seed, epoch))
            for joined, change, before in packed:
                previous = before if self.recipe.window.previous_text else ()
                yield self._item(Item(joined, epoch, change, 0, previous=previous), seed)
        else:
            for part in parts:
                yield self._item(Item((part,), epoch, change_of(part.key), 0), seed)
        for part in parts:
            item = Item((part,), epoch, augment.NOTHING, 0, silence=True)
            if self.recipe.augment.silence and _share(item, seed, "") < self.recipe.augment.silence:
                yield self._item(item, seed)

    def _item(self, item: Item, seed: int) -> Item:
        """With its window, in which all of it has a place: from text whose end is cut off a model learns to invent."""
        window = self.recipe.window
        if item.duration_s / item.change.pace > self.max_frames / FRAMES_PER_SECOND:
            item = replace(item, change=item.change.no_slower)
        if window.kind == "mixed" and _share(item, seed, "/window") < window.full_share:
            return replace(item, frames=self.max_frames, full=True)
        duration_s = item.duration_s / item.change.pace + item.change.tail_s
        return replace(item, frames=windows.num_frames(duration_s, window, self.max_frames))

    def _parts(self, number: int, counts: Counts) -> Iterator[Part]:
        """What is heard of a row group, in its order."""
        group, start = self.groups[number], self.starts[number]
        ids = self.ids.slice(start, len(group.durations_s)).to_pylist()
        for row, count in enumerate(self._counts_of(number, counts).tolist()):
            for copy in range(count):
                yield Part(number, row, start + row, ids[row], group.durations_s[row], copy)

    def _counts_of(self, number: int, counts: Counts) -> Counts:
        return counts[self.starts[number] : self.starts[number + 1]]

    def _who(self, number: int) -> tuple[int, int]:
        return int(self.rows.codes["unit"][number]), int(self.rows.codes["language"][number])

    def _num_tokens(self, number: int) -> int:
        assert self.rows.num_tokens is not None
        return int(self.rows.num_tokens[number]) + (2 if self.recipe.window.timestamps else 0)

    def _room(self) -> packing.Room:
        seconds = self.max_frames / FRAMES_PER_SECOND - self.recipe.window.margin_s
        return packing.Room(seconds, MAX_POSITIONS - PREFIX_AND_END)


def _share(item: Item, seed: int, purpose: str) -> float:
    return float(augment.draw(seed, item.epoch, item.key + purpose).random())


def _check(recipe: Recipe) -> None:
    window = recipe.window
    problems = [
        f"window.{name} is for packed windows, and window.kind is {window.kind}. Set window.kind: packed, or leave it."
        for name, given in (("timestamps", window.timestamps), ("previous_text", window.previous_text))
        if given and window.kind != "packed"
    ]
    augment = recipe.augment
    differs = augment.vocal_tract or augment.time_masks or augment.mel_masks or recipe.model.dropout
    if recipe.train.consistency and not differs:
        problems.append(
            "train.consistency: both hearings of an utterance would be the same. Set augment.vocal_tract, "
            "augment.time_masks or augment.mel_masks, or leave it."
        )
    if problems:
        raise RecipeError(*problems)


class Reader:
    """Reads the utterances of planned batches, keeping only what the current pool hears."""

    def __init__(self, corpus: Corpus, groups: list[RowGroup]) -> None:
        self.corpus = corpus
        self.groups = groups
        self._wanted: Wanted = {}
        self._loaded: dict[int, dict[int, Utterance]] = {}

    def read(self, batch: Batch) -> list[list[Utterance]]:
        """The utterances of each item."""
        return [self.utterances(item, item.parts) for item in batch]

    def utterances(self, item: Item, parts: tuple[Part, ...]) -> list[Utterance]:
        """Utterances of the pool of an item."""
        if item.wanted is not self._wanted:  # the pool before this one makes way
            self._loaded, self._wanted = {}, item.wanted
        return [self._group(part.group)[part.row] for part in parts]

    def _group(self, number: int) -> dict[int, Utterance]:
        if number not in self._loaded:
            rows = self.corpus.read_row_group(self.groups[number])
            self._loaded[number] = {row: rows[row] for row in self._wanted[number]}
        return self._loaded[number]
