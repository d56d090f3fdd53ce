"""Text to the token ids that the decoder reads and the ones that it learns to write."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from smallvoice.model.prompt import prefix_ids
from smallvoice.model.weights import Whisper

IGNORED = -100
"""A position without loss, as `torch.nn.functional.cross_entropy` has it."""
SECONDS_PER_TIMESTAMP = 0.02
LAST_TIMESTAMP = 1500
"""30 seconds."""


@dataclass(frozen=True)
class Labels:
    """Token ids of a batch, shape = (batch, positions)."""

    inputs: torch.Tensor
    """Prompt, prefix and text: what the decoder reads."""
    targets: torch.Tensor
    """The next token of each position: text and the end token; `IGNORED` before the text and after the end."""

    @property
    def num_tokens(self) -> int:
        return int((self.targets != IGNORED).sum())


def token_ids(whisper: Whisper, text: str, language: str | None) -> list[int]:
    """Prefix, text, end token. Whisper writes a space before the first word, so the text has one here."""
    text_ids = whisper.tokenizer(f" {text}", add_special_tokens=False)["input_ids"] if text else []
    return [*prefix_ids(whisper.generation, language), *text_ids, whisper.generation.eos_token_id]


def join(
    whisper: Whisper,
    sequences: Sequence[list[int]],
    prefix_length: int,
    times_s: Sequence[tuple[float, float]] | None = None,
    previous: Sequence[int] = (),
) -> tuple[list[int], int]:
    """The token ids of several utterances in one window, as Whisper writes segments (Radford et al., 2022, §2.3).

    Args:
        sequences: of `token_ids`, one an utterance, all in one language.
        times_s: when each begins and ends; then the text says so, and `<|notimestamps|>` is left out.
        previous: token ids of what was said before, given as prompt; cut at its beginning where it does not fit.

    Returns:
        The token ids, and how many of them come before what is learned.
    """
    prefix = sequences[0][:prefix_length]
    texts = [sequence[prefix_length:-1] for sequence in sequences]
    if times_s is not None:
        prefix = prefix[:-1]
        texts = [
            [_timestamp(whisper, begin_s), *text, _timestamp(whisper, end_s)]
            for text, (begin_s, end_s) in zip(texts, times_s, strict=True)
        ]
    written = [*itertools.chain.from_iterable(texts), whisper.generation.eos_token_id]
    positions = whisper.network.config.max_target_positions
    room = min(positions // 2, positions - len(prefix) - len(written)) - 1  # as Whisper's own transcribe()
    prompt: list[int] = []
    if previous and room > 0:
        prompt = [whisper.tokenizer.convert_tokens_to_ids("<|startofprev|>"), *previous[-room:]]
    return [*prompt, *prefix, *written], len(prompt) + len(prefix)


def _timestamp(whisper: Whisper, seconds: float) -> int:
    """Timestamps come after `<|notimestamps|>`, `<|0.00|>` first."""
    place = min(LAST_TIMESTAMP, round(seconds / SECONDS_PER_TIMESTAMP))
    return int(whisper.generation.no_timestamps_token_id) + 1 + place


def collate(sequences: list[list[int]], prefix_length: int | Sequence[int], padding: int) -> Labels:
    """Sequences to one batch; a padded position is neither heard by others nor scored.

    Args:
        prefix_length: how many token ids come before what is learned, of all sequences or of each.
    """
    prefixes = [prefix_length] * len(sequences) if isinstance(prefix_length, int) else prefix_length
    length = max(len(sequence) for sequence in sequences) - 1
    inputs = torch.full((len(sequences), length), padding)
    targets = torch.full((len(sequences), length), IGNORED)
    for row, (sequence, prefix) in enumerate(zip(sequences, prefixes, strict=True)):
        inputs[row, : len(sequence) - 1] = torch.tensor(sequence[:-1])
        targets[row, prefix - 1 : len(sequence) - 1] = torch.tensor(sequence[prefix:])
    return Labels(inputs, targets)
