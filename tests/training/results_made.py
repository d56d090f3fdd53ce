"""What training leaves, made without training: every moved value a little elsewhere."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from smallvoice.model import adapt, saving, weights
from smallvoice.recipe import ModelRecipe

SETTINGS = {
    "lora": {},
    "rslora": {},
    "dora": {},
    "pissa": {},
    "adalora": {},
    "bottleneck": {"bottleneck": 4},
    "selective": {"top_decoder_layers": 1, "biases": True},
    "full": {},
}


def member(base: Path, recipe: ModelRecipe, seed: int) -> saving.Result:
    """What a network has learned whose every moved value is a little elsewhere."""
    network = adapt.adapt(weights.load(str(base)), recipe, seed, num_steps=9)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
        if ".lora_E." in name:
            parameter.data *= torch.rand(parameter.shape, generator=generator) < 0.6
    return saving.result_of(network)


def untouched(folder: Path) -> dict[str, torch.Tensor]:
    return dict(weights.load(str(folder)).network.named_parameters())


def merged(folder: Path, result: saving.Result) -> dict[str, torch.Tensor]:
    """The weights of a base that does what was learned."""
    whisper = weights.load(str(folder))
    saving.put(whisper, copy.deepcopy(result))
    return dict(whisper.network.named_parameters())
