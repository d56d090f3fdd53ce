"""Operations of real audio, the machine's rate, memory, and recipes by name: what the benchmarks share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from smallvoice import machine
from smallvoice import recipe_file as recipes
from smallvoice.model import device
from smallvoice.training.estimate import forward_flop


def recipe_path(name: str) -> Path:
    """A recipe by its file, or by the name of one that comes with smallvoice."""
    return Path(name) if name.endswith(".yaml") else recipes.packaged(name)


def step_flop(network: torch.nn.Module, config: Any, duration_s: float, num_tokens: int) -> float:
    """Operations of real audio that a step does for one utterance: no margin, no padding.

    Forward, and the gradient to the inputs: twice a forward pass. A weight of the base that moves costs a third
    product, and what an adapter adds costs three.
    """
    frames = duration_s * 100
    total = 2 * forward_flop(config, frames, num_tokens)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Linear) and module.weight.requires_grad:
            of_encoder = ".encoder." in name or "encoder_attn.k_proj" in name or "encoder_attn.v_proj" in name
            product = 2 * module.in_features * module.out_features * (frames / 2 if of_encoder else num_tokens)
            added = any(part in name for part in ("lora_", "bottleneck", "adapter"))
            total += (3 if added else 1) * product
    return total


def matmul_gflops(precision: str) -> float:
    """The rate of matrix products in a precision, of the device that trains."""
    where = device.best_device()
    if where.type == "cpu" and precision == "float32":
        return machine.matmul_gflops()
    dtype = getattr(torch, precision)
    best = 0.0
    for size in (2048,) if where.type == "cpu" else (2048, 4096, 8192):
        a = torch.ones(size, size, device=where, dtype=dtype)
        for _ in range(10):
            finish(where)
            started = time.perf_counter()
            a @ a
            finish(where)
            best = max(best, 2 * size**3 / (time.perf_counter() - started) / 1e9)
    return best


def finish(where: torch.device) -> None:
    """Wait for an accelerator: it answers before it is done."""
    if where.type == "cuda":
        torch.cuda.synchronize()
    elif where.type == "mps":
        torch.mps.synchronize()


def peak_memory() -> int:
    """Of the accelerator where there is one, else of the process."""
    if device.best_device().type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return machine.peak_memory_bytes()
