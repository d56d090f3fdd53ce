"""What training minimises, and how fast."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from smallvoice.model import window as windows
from smallvoice.recipe import TrainRecipe
from smallvoice.training.labels import IGNORED


class TeacherForcing(torch.nn.Module):
    """The loss of a batch: cross-entropy of each text token, given the ones before it."""

    def __init__(self, network: torch.nn.Module, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.label_smoothing = label_smoothing

    def forward(self, mel: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum over all tokens of the batch, in nats.

        With label smoothing e, a token's target is 1 - e for itself and e shared by the whole vocabulary
        (Szegedy et al., 2016).

        Args:
            mel: shape = (batch, num_mels, frames).
            inputs: token ids, shape = (batch, positions).
            targets: the next token of each position, or `IGNORED`.
        """
        whisper = self.network.get_base_model()
        encoded = windows.encode(whisper, mel)
        hidden = whisper.model.decoder(
            input_ids=inputs, encoder_hidden_states=encoded.last_hidden_state, use_cache=False
        )
        scored = targets != IGNORED  # the projection to 51,865 tokens only where there is a loss
        logits = whisper.proj_out(hidden.last_hidden_state[scored]).float()
        return functional.cross_entropy(logits, targets[scored], reduction="sum", label_smoothing=self.label_smoothing)


def schedule(step: int, num_steps: int, recipe: TrainRecipe) -> float:
    """The share of the learning rate that a step has, counted from 0: a linear rise, then the schedule's fall to 0."""
    warmup = round(recipe.warmup * num_steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, num_steps - warmup)
    shape = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return shape[recipe.schedule]
