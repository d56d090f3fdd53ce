"""The average of what several members of a run do, and what lies between it and the base.

Models that erred differently cancel each other's errors at no cost in decoding (Wortsman et al., 2022, "Model
soups"). What is averaged is what an adapter does, not the numbers that it is made of:

- LoRA and its like add `scaling · B A` to a weight. The average of the products of k adapters of rank r is itself an
  adapter, of rank k·r: the A stacked, the B side by side and divided by k. (The product of averaged factors is
  something else.) AdaLoRA has a rank for each layer, and so has the average.
- DoRA replaces a weight W by `c (W + s B A)`, where c has a value for each row. The average of k of them is
  `c̄ (W + s Σ (c_i / c̄) B_i A_i / k)`, with c̄ the mean of the c_i: DoRA again, of rank k·r, and exact.
- A bottleneck adapter adds `up(gelu(down(y)))`. The average of k of them is one of k times the size.
- Weights that moved themselves are averaged one by one.

A model that lies between the base and the tuned one, weight by weight, keeps most of what was learned and forgets less
(Wortsman et al., 2022, "Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

import copy
import math

import torch

from smallvoice.model.saving import ADAPTER, BOTTLENECK, WEIGHTS, Result, rank_by_layer

Tensors = dict[str, torch.Tensor]


def average(results: list[Result], base: torch.nn.Module) -> Result:
    """The average of what several results of one recipe do.

    Args:
        base: the network that they start from, untouched: DoRA's lengths are those of its rows.
    """
    tensors = [result.tensors for result in results]
    if results[0].file == WEIGHTS:
        return Result(WEIGHTS, {name: _mean([one[name] for one in tensors]) for name in tensors[0]})
    if results[0].file == BOTTLENECK:
        return Result(BOTTLENECK, _side_by_side(tensors, inner=".down.", outer=".up.weight", shared=".up.bias"))
    config = copy.deepcopy(results[0].config)
    if config.rank_pattern:
        return rank_by_layer(average_products(_with_all_layers(tensors)), config)
    if config.use_dora:
        averaged = _average_dora(tensors, base, config.lora_alpha / config.r)
    else:
        averaged = average_products(tensors)
    k = len(results)
    config.r *= k
    config.lora_alpha *= math.sqrt(k) if config.use_rslora else k  # the same scaling
    return Result(ADAPTER, averaged, config)


def interpolate(result: Result, base: torch.nn.Module, share: float) -> Result:
    """The model that lies `share` of the way from the base to a result.

    A bottleneck adapter adds so much of what it added: it is no weight of the base.

    Args:
        base: the network that the result starts from, untouched.

    Raises:
        ValueError: DoRA, whose weights there are not DoRA's.
    """
    if result.file == WEIGHTS:
        start = dict(base.named_parameters())
        moved = {name: torch.lerp(start[name].detach().cpu(), end, share) for name, end in result.tensors.items()}
        return Result(WEIGHTS, moved)
    if result.config is not None and result.config.use_dora:
        raise ValueError("DoRA cannot be interpolated")
    outer = (".lora_B.", ".up.")
    scaled = {name: end * share if any(part in name for part in outer) else end for name, end in result.tensors.items()}
    return Result(result.file, scaled, result.config)


def average_products(members: list[Tensors]) -> Tensors:
    """Average LoRA tensors as `peft.get_peft_model_state_dict` names them.

    Args:
        members: for each adapter its tensors; `lora_A` of shape = (r, in), `lora_B` of shape = (out, r).

    Returns:
        The same names with rank `len(members) · r`.
    """
    return _side_by_side(members, inner=".lora_A.", outer=".lora_B.", shared=None)


def _side_by_side(members: list[Tensors], inner: str, outer: str, shared: str | None) -> Tensors:
    """Several small networks as one: the `inner` rows stacked, the `outer` columns side by side and divided."""
    averaged = {}
    for name in members[0]:
        tensors = [member[name] for member in members]
        if inner in name:
            averaged[name] = torch.cat(tensors, dim=0)
        elif outer in name:
            averaged[name] = torch.cat(tensors, dim=1) / len(members)
        elif shared is not None and shared in name:
            averaged[name] = _mean(tensors)
        else:
            raise ValueError(f"{name} is neither inner nor outer")
    return averaged


def _with_all_layers(members: list[Tensors]) -> list[Tensors]:
    """A member that has no rank left in a layer gets factors of rank 0 there."""
    empty = {
        name: tensor[:0] if ".lora_A." in name else tensor[:, :0] for one in members for name, tensor in one.items()
    }
    return [empty | one for one in members]


def _mean(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(tensors).mean(dim=0)


def _average_dora(members: list[Tensors], base: torch.nn.Module, scaling: float) -> Tensors:
    """DoRA of all ranks together; `lora_magnitude_vector` of shape = (out,) is the length of each row."""
    averaged: Tensors = {}
    for layer in [name.removesuffix(".lora_A.weight") for name in members[0] if name.endswith(".lora_A.weight")]:
        weight = base.get_submodule(layer.removeprefix("base_model.model.")).weight.detach().cpu().float()
        a, b, length = (f"{layer}.{part}" for part in ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector"))
        rows = [one[length] / (weight + scaling * one[b] @ one[a]).norm(dim=1) for one in members]
        mean = _mean(rows)
        averaged[a] = torch.cat([one[a] for one in members])
        averaged[b] = torch.cat(
            [(own / mean)[:, None] * one[b] for own, one in zip(rows, members, strict=True)], dim=1
        ) / len(members)
        averaged[length] = mean * (weight + scaling * averaged[b] @ averaged[a]).norm(dim=1)
    return averaged
