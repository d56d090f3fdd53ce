"""Text to the token ids that the decoder reads and the ones that it learns to write."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from smallvoice.model.prompt import prefix_ids
from smallvoice.model.weights import Whisper

IGNORED = -100
"""A position without loss, as `torch.nn.functional.cross_entropy` has it."""


@dataclass(frozen=True)
class Labels:
    """Token ids of a batch, shape = (batch, positions)."""

    inputs: torch.Tensor
    """Prefix and text: what the decoder reads."""
    targets: torch.Tensor
    """The next token of each position: text and the end token; `IGNORED` before the text and after the end."""

    @property
    def num_tokens(self) -> int:
        return int((self.targets != IGNORED).sum())


def token_ids(whisper: Whisper, text: str, language: str | None) -> list[int]:
    """Prefix, text, end token. Whisper writes a space before the first word, so the text has one here."""
    text_ids = whisper.tokenizer(f" {text}", add_special_tokens=False)["input_ids"]
    return [*prefix_ids(whisper.generation, language), *text_ids, whisper.generation.eos_token_id]


def collate(sequences: list[list[int]], prefix_length: int, padding: int) -> Labels:
    """Sequences of `token_ids` to one batch; a padded position is neither heard by others nor scored."""
    length = max(len(sequence) for sequence in sequences) - 1
    inputs = torch.full((len(sequences), length), padding)
    targets = torch.full((len(sequences), length), IGNORED)
    for row, sequence in enumerate(sequences):
        inputs[row, : len(sequence) - 1] = torch.tensor(sequence[:-1])
        targets[row, prefix_length - 1 : len(sequence) - 1] = torch.tensor(sequence[prefix_length:])
    return Labels(inputs, targets)
