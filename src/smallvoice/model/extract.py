"""What weights have learned, as a low-rank adapter: far smaller than the model, and every tool takes it.

The change of each linear layer is cut to its largest directions (Eckart & Young, 1936): of all products `B A` of a rank
it is the nearest. So is that of each convolution, as the matrix of shape = (out, in · kernel) that it is: A then
convolves, B mixes. Kept in float16. Norms and biases have no low-rank form; the base's own stay.
"""

from __future__ import annotations

import torch
from peft import LoraConfig
from torch.nn import functional

from smallvoice.model.saving import ADAPTER, Result
from smallvoice.model.strategies import matrix_names
from smallvoice.model.weights import Whisper


def low_rank(result: Result, base: Whisper, rank: int) -> Result:
    """An adapter that does nearly what moved weights do.

    Args:
        result: weights that moved, some of linear layers or convolutions (`adapt` sees to it).
        base: what they start from, untouched.
        rank: of every layer's change; a layer that is smaller keeps all of it.
    """
    factors: dict[str, torch.Tensor] = {}
    layers = [name for name in matrix_names(base.network) if f"{name}.weight" in result.tensors]
    for name in layers:
        weight = base.network.get_submodule(name).weight.detach().cpu()
        change = (result.tensors[f"{name}.weight"] - weight).flatten(1)
        left, sizes, right = torch.linalg.svd(change, full_matrices=False)
        root = sizes[:rank].sqrt()  # half of it in each factor, so that neither leaves float16's range
        missing = rank - len(root)
        a = functional.pad(root[:, None] * right[:rank], (0, 0, 0, missing))
        b = functional.pad(left[:, :rank] * root, (0, missing))
        if weight.dim() == 3:
            a, b = a.view(rank, *weight.shape[1:]), b[:, :, None]
        for factor, tensor in (("A", a), ("B", b)):
            factors[f"base_model.model.{name}.lora_{factor}.weight"] = tensor.half().contiguous()
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        target_modules=layers,
        base_model_name_or_path=base.name,
        inference_mode=True,
    )
    config.target_modules = layers  # PEFT makes it a set, which has no order
    return Result(ADAPTER, factors, config)
