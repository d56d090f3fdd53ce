"""A running average of the weights in training (Polyak & Juditsky, 1992): it varies less than any of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class RunningAverage:
    """The exponential average of the parameters that training moves."""

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self._average = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1.

        The decay rises to its value, so that the start, before anything was learned, is soon forgotten:
        min(decay, (1 + step) / (10 + step)), as in TensorFlow's ExponentialMovingAverage.
        """
        keep = min(self.decay, (1 + step) / (10 + step))
        for name, average in self._average.items():
            average.lerp_(self._parameters[name], 1.0 - keep)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network with the average as its weights, to decode and to keep; afterwards its own again."""
        own = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._put(self._average)
        try:
            yield
        finally:
            self._put(own)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds of it."""
        return {name: average.cpu().contiguous() for name, average in self._average.items()}

    @torch.no_grad()
    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave.

        Raises:
            KeyError: they are those of other parameters.
        """
        if tensors.keys() != self._average.keys():
            raise KeyError("its running average is of other parameters")
        for name, average in self._average.items():
            average.copy_(tensors[name])

    @torch.no_grad()
    def _put(self, tensors: dict[str, torch.Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(tensors[name])
