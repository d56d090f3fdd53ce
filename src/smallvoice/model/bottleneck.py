"""Bottleneck adapters: a small network with a skip connection behind each block (Houlsby et al., 2019).

They stand behind the output of every attention and feed-forward block, before it is added to the residual. They are
not linear, so they cannot be merged; PEFT has no form for them.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from smallvoice.model.strategies import linear_layers
from smallvoice.recipe import ModelRecipe

BEHIND = ["out_proj", "fc2"]
"""The last linear layer of an attention block, and of a feed-forward block."""


class Bottleneck(torch.nn.Module):
    """A linear layer and the adapter behind it: y + up(gelu(down(y))). It begins as the layer alone."""

    def __init__(self, linear: torch.nn.Module, features: int, size: int, dropout: float) -> None:
        super().__init__()
        self.linear = linear
        self.down = torch.nn.Linear(features, size)
        self.up = torch.nn.Linear(size, features)
        self.dropout = torch.nn.Dropout(dropout)
        torch.nn.init.zeros_(self.down.bias)
        torch.nn.init.zeros_(self.up.weight)
        torch.nn.init.zeros_(self.up.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Args: hidden: shape = (..., in). Returns: shape = (..., out)."""
        output = self.linear(hidden)
        return output + self.up(self.dropout(functional.gelu(self.down(output))))


def put(network: torch.nn.Module, recipe: ModelRecipe, seed: int) -> None:
    """Put adapters into the recipe's part and layers, from `seed` alone; only they may move.

    Raises:
        RecipeError: none of the blocks is in them.
    """
    network.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name in linear_layers(network, recipe, BEHIND):
            _insert(network, name, recipe.bottleneck, recipe.dropout)


def tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What the adapters hold: for each, by its layer's name, `down.weight` of shape = (size, features) and so on."""
    return {
        f"{name}.{own}": value
        for name, module in network.named_modules()
        if isinstance(module, Bottleneck)
        for own, value in module.state_dict().items()
        if not own.startswith("linear.")
    }


def load(network: torch.nn.Module, saved: dict[str, torch.Tensor]) -> list[str]:
    """Put adapters with these tensors into a base. Returns the names of tensors without a place.

    Raises:
        AttributeError, KeyError, RuntimeError: they are not this base's.
    """
    for name in [key.removesuffix(".down.weight") for key in saved if key.endswith(".down.weight")]:
        _insert(network, name, len(saved[f"{name}.down.weight"]), dropout=0.0)
    missing = tensors(network).keys() - saved.keys()
    if missing:
        raise KeyError(f"{min(missing)} is missing")
    return list(network.load_state_dict(saved, strict=False).unexpected_keys)


def _insert(network: torch.nn.Module, name: str, size: int, dropout: float) -> None:
    linear = network.get_submodule(name)
    adapter = Bottleneck(linear, linear.out_features, size, dropout)
    network.set_submodule(name, adapter.to(linear.weight.device).train(network.training))
