"""Utterances to text through any engine, batched by window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Utterance
from smallvoice.decoding.torch_engine import Decoded

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
    for pool in _pools(utterances):
        buckets: dict[tuple[int, str | None], list[Utterance]] = defaultdict(list)
        for utterance in sorted(pool, key=lambda utterance: (utterance.duration_s, utterance.id)):
            buckets[engine.num_frames(utterance.duration_s), utterance.language or language].append(utterance)
        for (frames, spoken), bucket in buckets.items():
            for start in range(0, len(bucket), batch_size):
                batch = bucket[start : start + batch_size]
                waveforms = [decode_flac(utterance.audio) for utterance in batch]
                yield list(zip(batch, engine.decode(waveforms, frames, spoken), strict=True))


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
