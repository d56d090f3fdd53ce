"""The device that computes, and the precision it computes in."""

from __future__ import annotations

import torch


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def training_precision(wish: str, device: torch.device) -> str:
    """`float32`, `bfloat16` or `float16`. `auto`: bfloat16 on CUDA where the device has it, else float32."""
    if wish != "auto":
        return wish
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return "bfloat16"
    return "float32"


def describe(device: torch.device) -> str:
    """The device in words, without any name of the machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"CPU, {torch.get_num_threads()} threads"
