"""What weights have learned, as a low-rank adapter: far smaller than the model, and every tool takes it.

The change of each linear layer is cut to its largest directions (Eckart & Young, 1936): of all products `B A` of a rank
it is the nearest. Kept in float16. Norms, biases and convolutions have no low-rank form; the base's own stay.
"""

from __future__ import annotations

import torch
from peft import LoraConfig

from smallvoice.model.saving import ADAPTER, Result
from smallvoice.model.weights import Whisper


def low_rank(result: Result, base: Whisper, rank: int) -> Result:
    """An adapter that does nearly what moved weights do.

    Args:
        result: weights that moved.
        base: what they start from, untouched.
        rank: of every layer's change; a layer that is smaller keeps all of it.

    Raises:
        ValueError: no linear layer is among what moved.
    """
    factors: dict[str, torch.Tensor] = {}
    layers = []
    for name, module in base.network.named_modules():
        moved = result.tensors.get(f"{name}.weight")
        if moved is None or not isinstance(module, torch.nn.Linear):
            continue
        change = moved.float() - module.weight.detach().cpu().float()
        left, sizes, right = torch.linalg.svd(change, full_matrices=False)
        root = sizes[:rank].sqrt()  # half of it in each factor, so that neither leaves float16's range
        a, b = root[:, None] * right[:rank], left[:, :rank] * root
        missing = rank - len(root)
        layers.append(name)
        for factor, tensor in (("A", torch.nn.functional.pad(a, (0, 0, 0, missing))), ("B", _padded(b, missing))):
            factors[f"base_model.model.{name}.lora_{factor}.weight"] = tensor.half().contiguous()
    if not layers:
        raise ValueError("nothing that moved is the weight of a linear layer")
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


def _padded(b: torch.Tensor, missing: int) -> torch.Tensor:
    return torch.nn.functional.pad(b, (0, missing))
