"""Tokens that a model is not to write, as its generation settings list them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import GenerationConfig


@dataclass(frozen=True)
class Banned:
    """Token ids that are not written."""

    always: torch.Tensor
    first: torch.Tensor
    """Not as the first token."""

    @classmethod
    def of(cls, generation: GenerationConfig, device: torch.device) -> Banned:
        ids = (generation.suppress_tokens or [], generation.begin_suppress_tokens or [])
        return cls(*(torch.tensor(listed, dtype=torch.long, device=device) for listed in ids))

    def forbid(self, scores: torch.Tensor, *, first: bool) -> None:
        """Write minus infinity over them; scores of shape = (..., vocabulary)."""
        scores[..., self.always] = -torch.inf
        if first:
            scores[..., self.first] = -torch.inf
