"""What weights have learned, as a low-rank adapter: far smaller than the model, and every tool takes it.

The change of each linear layer is cut to its largest directions (Eckart & Young, 1936): of all products `B A` of a rank
it is the nearest. A convolution that moved is kept whole beside them: transformers' encoder asks each for its stride,
which PEFT's adapter around a convolution does not have. Kept in float16. Norms and biases have no low-rank form; the
base's own stay.
"""

from __future__ import annotations

import torch
from peft import LoraConfig
from torch.nn import functional

from smallvoice.model.saving import ADAPTER, Result
from smallvoice.model.strategies import linear_names, matrix_names
from smallvoice.model.weights import Whisper


def low_rank(result: Result, base: Whisper, rank: int) -> Result:
    """An adapter that does nearly what moved weights do.

    Args:
        result: weights that moved, some of linear layers (`adapt` sees to it).
        base: what they start from, untouched.
        rank: of every layer's change; a layer that is smaller keeps all of it.
    """
    moved = [name for name in matrix_names(base.network) if f"{name}.weight" in result.tensors]
    linear = set(linear_names(base.network))
    layers = [name for name in moved if name in linear]
    convolutions = [name for name in moved if name not in linear]
    tensors: dict[str, torch.Tensor] = {}
    for name in layers:
        change = result.tensors[f"{name}.weight"] - base.network.get_submodule(name).weight.detach().cpu()
        left, sizes, right = torch.linalg.svd(change, full_matrices=False)
        root = sizes[:rank].sqrt()  # half of it in each factor, so that neither leaves float16's range
        missing = rank - len(root)
        tensors[f"{name}.lora_A.weight"] = functional.pad(root[:, None] * right[:rank], (0, 0, 0, missing))
        tensors[f"{name}.lora_B.weight"] = functional.pad(left[:, :rank] * root, (0, missing))
    for name in convolutions:
        tensors[f"{name}.weight"] = result.tensors[f"{name}.weight"]
        tensors[f"{name}.bias"] = base.network.get_submodule(name).bias.detach().cpu()
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        target_modules=layers,
        modules_to_save=convolutions or None,
        base_model_name_or_path=base.name,
        inference_mode=True,
    )
    config.target_modules = layers  # PEFT makes it a set, which has no order
    kept = {f"base_model.model.{name}": tensor.half().contiguous() for name, tensor in tensors.items()}
    return Result(ADAPTER, kept, config)
