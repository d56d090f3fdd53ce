"""The spectrum of what was learned, made flatter.

Training puts much of a weight's change into a few directions, and they forget more than they teach. With each singular
value raised to a power below 1, and the change as large as before, most of what was lost of other speech comes back for
a small part of what was gained (docs/experiments.md, "a flatter spectrum").

A change D = U diag(s) Vᵀ becomes U diag(c sᵖ) Vᵀ, with c such that its Frobenius norm stays. Power 1 leaves it; near
0 all directions are equally large, as in a step of Muon (Jordan et al., 2024).
"""

from __future__ import annotations

import torch
from torch.nn import functional

from smallvoice.model.saving import ADAPTER, WEIGHTS, Result


def flatten(result: Result, base: torch.nn.Module, power: float) -> Result:
    """The same directions, their sizes raised to a power, each weight's change as large as it was.

    Vectors (norms, biases) stay as they are.

    Args:
        base: the network that the result starts from, untouched.
        power: above 0, to 1.

    Raises:
        ValueError: DoRA or a bottleneck, which add no product of factors to a weight.
    """
    if result.file == WEIGHTS:
        start = {name: weight.detach().cpu() for name, weight in base.named_parameters()}
        moved = {
            name: start[name] + _flatter(end - start[name], power) if end.dim() > 1 else end
            for name, end in result.tensors.items()
        }
        return Result(WEIGHTS, moved)
    if result.file != ADAPTER or result.config is None or result.config.use_dora:
        raise ValueError("only weights that moved and sums of factors have a spectrum")
    factors = {}
    for name, a in result.tensors.items():
        if ".lora_A." in name:
            other = name.replace(".lora_A.", ".lora_B.")
            factors[name], factors[other] = _flatter_product(a, result.tensors[other], power)
    return Result(ADAPTER, factors, result.config)


def _flatter(change: torch.Tensor, power: float) -> torch.Tensor:
    """Of a weight's change of shape = (out, in, ...)."""
    left, sizes, right = torch.linalg.svd(change.flatten(1), full_matrices=False)
    return ((left * _powers(sizes, power)) @ right).view_as(change)


def _flatter_product(a: torch.Tensor, b: torch.Tensor, power: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Of `b a`, with `a` of shape = (r, in) and `b` of shape = (out, r), through a core of r × r at most."""
    b_basis, b_core = torch.linalg.qr(b.float())
    a_basis, a_core = torch.linalg.qr(a.float().T)
    left, sizes, right = torch.linalg.svd(b_core @ a_core.T, full_matrices=False)
    root = _powers(sizes, power).sqrt()
    missing = len(a) - len(root)  # a layer smaller than the rank
    flat_a = functional.pad(root[:, None] * (right @ a_basis.T), (0, 0, 0, missing))
    flat_b = functional.pad((b_basis @ left) * root, (0, missing))
    return flat_a.to(a.dtype).contiguous(), flat_b.to(b.dtype).contiguous()


def _powers(sizes: torch.Tensor, power: float) -> torch.Tensor:
    raised = sizes**power
    norm = torch.linalg.vector_norm(raised)
    return raised * (torch.linalg.vector_norm(sizes) / norm) if float(norm) else raised
