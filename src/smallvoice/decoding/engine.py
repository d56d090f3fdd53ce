"""Utterances to text through any engine, batched by window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import numpy as np

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Utterance
from smallvoice.decoding.torch_engine import Decoded

_Item = TypeVar("_Item")
_Kind = TypeVar("_Kind")
POOL_BYTES = 64 * 2**20


class Engine(Protocol):
    """Turns waveforms of one window into text."""

    def num_frames(self, duration_s: float) -> int:
        """The window of an utterance, in log-mel frames."""
        ...

    def decode(self, waveforms: list[np.ndarray], frames: int, language: str | None) -> list[Decoded]:
        """Decode utterances of one window."""
        ...


def decode_utterances(
    utterances: Iterable[Utterance], engine: Engine, language: str | None, batch_size: int
) -> Iterator[list[tuple[Utterance, Decoded]]]:
    """Decode a stream of utterances, batch by batch, in pools of about 64 MB.

    A batch holds utterances of one window and one language, in order of duration: they end at about the same
    step. `language` is that of rows that do not say theirs.
    """

    def kind(utterance: Utterance) -> tuple[int, str | None]:
        return engine.num_frames(utterance.duration_s), utterance.language or language

    for pool in _pools(utterances):
        ordered = sorted(pool, key=lambda utterance: (utterance.duration_s, utterance.id))
        for (frames, spoken), batch in batches(ordered, kind, batch_size):
            waveforms = [decode_flac(utterance.audio) for utterance in batch]
            yield list(zip(batch, engine.decode(waveforms, frames, spoken), strict=True))


def batches(items: Iterable[_Item], kind: Callable[[_Item], _Kind], size: int) -> Iterator[tuple[_Kind, list[_Item]]]:
    """Items of one kind, such as a window, at most `size` at once and in their order; kinds as they first come."""
    buckets: dict[_Kind, list[_Item]] = defaultdict(list)
    for item in items:
        buckets[kind(item)].append(item)
    for found, bucket in buckets.items():
        for start in range(0, len(bucket), size):
            yield found, bucket[start : start + size]


def _pools(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    pool: list[Utterance] = []
    size = 0
    for utterance in utterances:
        pool.append(utterance)
        size += len(utterance.audio)
        if size > POOL_BYTES:
            yield pool
            pool, size = [], 0
    if pool:
        yield pool
