"""Utterances to text through any engine: what all of them share, and the batches that they are given."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from transformers import WhisperConfig

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Utterance
from smallvoice.decoding.word_times import Word
from smallvoice.languages import tokens_beside_english
from smallvoice.model.features import SAMPLE_RATE
from smallvoice.recipe import DecodeRecipe

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")
POOL_BYTES = 64 * 2**20
CPU_FRAMES = (4_000, 12_000)
GPU_FRAMES = 96_000
GPU_BYTES = 4 * 2**30
"""Where nobody says how much a GPU has."""


def frames_at_once(device: torch.device, config: WhisperConfig) -> tuple[int, int]:
    """Log-mel frames that are encoded at once, and those of a batch.

    On a CPU few are encoded, so that what lies between two layers stays in its cache. Of a batch the keys and values of
    the audio are kept: 0.15 GB for 12,000 frames of whisper-base, 2 GB of large-v3. On a GPU they take a quarter of
    all that it has, so that batches do not depend on what else is in it, but have room for one full window.
    """
    if device.type == "cpu":
        return CPU_FRAMES
    known = device.type == "cuda" and torch.cuda.is_available()
    room = torch.cuda.get_device_properties(device).total_memory // 4 if known else GPU_BYTES
    kept = 4 * config.decoder_layers * config.d_model  # bytes a frame: keys and values in float32, of half a position
    most = min(GPU_FRAMES, max(2 * config.max_source_positions, room // kept))
    return most, most


@dataclass(frozen=True)
class Decoded:
    """What the model wrote for one utterance."""

    text: str
    num_tokens: int
    avg_logprob: float
    """Mean natural-log probability of the tokens, the end token included."""
    capped: bool
    """The token cap ended it: the model would have gone on."""
    full: bool = False
    """And that cap was all that the decoder holds."""
    words: list[Word] | None = None
    """Where they were asked for; times in seconds from the start of the audio."""


def token_cap(
    duration_s: float, recipe: DecodeRecipe, max_positions: int, prefix: int, language: str | None = None
) -> int:
    """New tokens allowed: they grow with duration, so that a loop in a short clip ends soon."""
    rate = recipe.tokens_per_s * tokens_beside_english(language)
    return min(recipe.tokens_base + math.ceil(rate * duration_s), max_positions - prefix)


def caps_key(language: str | None) -> list[float]:
    """What a key of decoding says of the cap on tokens: nothing where it is what it always was."""
    return [factor for factor in [tokens_beside_english(language)] if factor != 1.0]


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


def by_window(waveforms: list[np.ndarray], engine: Engine, most_frames: int) -> list[list[int]]:
    """Places of utterances that can be encoded together: of one window, and no more than `most_frames` of it."""
    of_window: dict[int, list[int]] = defaultdict(list)
    for place, waveform in enumerate(waveforms):
        of_window[engine.num_frames(len(waveform) / SAMPLE_RATE)].append(place)
    parts = []
    for frames, found in of_window.items():
        size = max(1, most_frames // frames)
        parts += [found[start : start + size] for start in range(0, len(found), size)]
    return parts


def in_order(found: Sequence[_Found], places: list[list[int]]) -> list[_Found]:
    """What was found of each utterance, in the order in which they were given."""
    flat = [place for part in places for place in part]
    return [one for _, one in sorted(zip(flat, found, strict=True), key=lambda pair: pair[0])]


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
