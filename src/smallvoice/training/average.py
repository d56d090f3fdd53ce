"""The average of what several LoRA adapters do.

LoRA adds `scaling · B A` to a weight. The average of the products of k adapters of rank r is itself an adapter, of
rank k·r: the A stacked, the B side by side and divided by k. (The product of averaged factors is something
else.) Models that erred differently then cancel each other's errors at no cost in decoding, since the result is
merged: Wortsman et al., 2022, "Model soups".
"""

from __future__ import annotations

import torch


def average_products(members: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Average LoRA tensors as `peft.get_peft_model_state_dict` names them.

    Args:
        members: for each adapter its tensors; `lora_A` of shape = (r, in), `lora_B` of shape = (out, r).

    Returns:
        The same names with rank `len(members) · r`.
    """
    averaged = {}
    for name in members[0]:
        tensors = [member[name] for member in members]
        if ".lora_A." in name:
            averaged[name] = torch.cat(tensors, dim=0)
        elif ".lora_B." in name:
            averaged[name] = torch.cat(tensors, dim=1) / len(members)
        else:
            raise ValueError(f"{name} is not a LoRA factor")
    return averaged
