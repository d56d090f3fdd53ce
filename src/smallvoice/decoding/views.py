"""Test-time augmentation: an utterance heard in several ways, and one text written from all of them.

Each view moves the formants and the tempo as far as training's augmentation does. At every step the log-probabilities
of the next token are averaged over the views, so all of them read the same words and only one search is made; what one
view mishears, the others outvote. Training averages weights for the same reason: with little speech to learn from,
what is left of the error is largely variance. Each view costs what decoding costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import WhisperForConditionalGeneration

from smallvoice.decoding.decoder import Decoder
from smallvoice.model.features import AS_IT_IS, HOP_LENGTH, View

VIEWS = (
    AS_IT_IS,
    View(warp=1.1, hop=round(1.1 * HOP_LENGTH)),
    View(warp=0.9, hop=round(0.9 * HOP_LENGTH)),
    View(warp=1.08),
    View(warp=0.92),
)
"""As it is, played faster and slower, with a shorter and a longer vocal tract: `decode.views` takes the first."""


def in_window(view: View, frames: int, most: int) -> tuple[View, int]:
    """How an utterance of a window is heard: at a slower tempo it takes more frames.

    Args:
        frames: the window of the utterance as it is.
        most: the model's full window. Who hears that, hears it in every view, and nothing slower, for nothing longer
            has a place in it.

    Returns:
        The view, and its window in frames.
    """
    needed = 2 * math.ceil(frames * HOP_LENGTH / view.hop / 2)
    if needed > most:
        return replace(view, hop=HOP_LENGTH), frames
    return view, most if frames == most else needed


class Averaged(Decoder):
    """Several views of the same utterances as one decoder: what it says is the mean of their log-probabilities."""

    def __init__(self, network: WhisperForConditionalGeneration, states: Sequence[torch.Tensor], views: int) -> None:
        """Args: states: as `Decoder` takes them, all utterances of the first view, then all of the next."""
        super().__init__(network, states)
        self._views = views
        self._utterances = sum(len(part) for part in states) // views

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        logits = super().step(tokens.repeat(self._views, 1, 1))
        return logits.log_softmax(dim=-1).unflatten(0, (self._views, -1)).mean(dim=0)

    def reorder(self, parents: torch.Tensor) -> None:
        super().reorder(parents.repeat(self._views, 1))

    def keep(self, utterances: torch.Tensor) -> None:
        firsts = self._utterances * torch.arange(self._views, device=utterances.device)
        super().keep((firsts[:, None] + utterances).flatten())
        self._utterances = len(utterances)
