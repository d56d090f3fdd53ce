"""Utterances to text through any engine, batched by window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Utterance
from smallvoice.decoding.torch_engine import Decoded
from smallvoice.recipe import DecodeRecipe

_Item = TypeVar("_Item")
POOL_BYTES = 64 * 2**20


class Engine(Protocol):
    """Turns waveforms into text."""

    recipe: DecodeRecipe
    batch_frames: int
    """The most log-mel frames of a batch."""

    def facts(self) -> dict[str, Any]:
        """What decodes: `runtime`, `device`, `precision`."""
        ...

    def num_frames(self, duration_s: float) -> int:
        """The window of an utterance, in log-mel frames."""
        ...

    def detect(self, waveforms: list[np.ndarray]) -> list[str]:
        """Guess the language of each utterance."""
        ...

    def decode(
        self, waveforms: list[np.ndarray], language: str | None, *, words: bool = False, temperature: float = 0.0
    ) -> list[Decoded]:
        """Decode utterances, each at its own window; with `words`, when each word was said."""
        ...


def decode_utterances(
    utterances: Iterable[Utterance], engine: Engine, language: str | None, batch_size: int, *, words: bool = False
) -> Iterator[list[tuple[Utterance, Decoded]]]:
    """Decode a stream of utterances, batch by batch, in pools of about 64 MB.

    A batch holds utterances of one language, in order of duration: they end at about the same step. `language` is that
    of rows that do not say theirs. With `words` it is found out when each was said.
    """
    for pool in _pools(utterances):
        spoken: dict[str | None, list[Utterance]] = defaultdict(list)
        for utterance in sorted(pool, key=lambda utterance: (utterance.duration_s, utterance.id)):
            spoken[utterance.language or language].append(utterance)
        for code, rows in spoken.items():
            for batch in batches(rows, lambda row: row.duration_s, engine, batch_size):
                waveforms = [decode_flac(utterance.audio) for utterance in batch]
                yield list(zip(batch, engine.decode(waveforms, code, words=words), strict=True))


def batches(
    items: Iterable[_Item], duration_s: Callable[[_Item], float], engine: Engine, size: int
) -> Iterator[list[_Item]]:
    """Items in their order, at most `size` at once and no more than `engine.batch_frames` of window."""
    batch: list[_Item] = []
    widest = 0
    for item in items:
        frames = engine.num_frames(duration_s(item))
        if batch and (len(batch) == size or max(widest, frames) * (len(batch) + 1) > engine.batch_frames):
            yield batch
            batch, widest = [], 0
        batch.append(item)
        widest = max(widest, frames)
    if batch:
        yield batch


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
