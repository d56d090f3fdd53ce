"""The frozen base in 8 or 4 bits, by bitsandbytes (Dettmers et al., 2022; QLoRA, 2023)."""

from __future__ import annotations

from typing import Any

import torch

from smallvoice.errors import RecipeError, require
from smallvoice.model.device import best_device
from smallvoice.model.strategies import OUTPUT


def quantize(network: torch.nn.Module, bits: str) -> None:
    """Hold the linear layers of a base that stays frozen in `8bit` (LLM.int8) or `4bit` (NF4), on CUDA.

    The adapter then learns against the rounded base; it is kept, and used, like any other.

    Raises:
        RecipeError: there is no CUDA device.
        MissingDependency: bitsandbytes is not installed.
    """
    if best_device().type != "cuda":
        raise RecipeError(
            f"model.quantize: {bits} needs a CUDA device, and none is found. Use none: the base stays in float32."
        )
    bnb = require("bitsandbytes", extra="quantize", why=f"model.quantize: {bits}")
    layers = [(name, module) for name, module in network.named_modules() if type(module) is torch.nn.Linear]
    for name, linear in layers:
        if name != OUTPUT:
            network.set_submodule(name, _rounded(bnb, linear, bits).to(best_device()))
    setattr(network, f"is_loaded_in_{bits}", True)  # PEFT looks here


def _rounded(bnb: Any, linear: torch.nn.Linear, bits: str) -> torch.nn.Module:
    """The same layer; bitsandbytes rounds its weight when it moves to the device."""
    sizes = (linear.in_features, linear.out_features, linear.bias is not None)
    weight = linear.weight.detach().cpu()
    if bits == "8bit":
        rounded = bnb.nn.Linear8bitLt(*sizes, has_fp16_weights=False, threshold=6.0)
        rounded.weight = bnb.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    else:
        rounded = bnb.nn.Linear4bit(*sizes, quant_type="nf4")
        rounded.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", module=rounded)
    rounded.bias = linear.bias
    return rounded.requires_grad_(False)
