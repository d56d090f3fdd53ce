"""The device that computes, and the precision it computes in."""

from __future__ import annotations

import torch

from smallvoice.errors import RecipeError


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        # cuDNN's attention plans anew for each shape that it has not seen, and here nearly every batch has its own
        # lengths of audio and text: it was most of a step of whisper-base on an H200.
        torch.backends.cuda.enable_cudnn_sdp(False)
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def training_precision(wish: str, device: torch.device) -> str:
    """`float32`, `bfloat16` or `float16`. `auto`: bfloat16 on CUDA where the device has it, else float32.

    Raises:
        RecipeError: float16 on a CPU.
    """
    if wish == "float16" and device.type == "cpu":
        raise RecipeError("train.precision: float16 needs a GPU, and none is found; use float32 or auto.")
    if wish != "auto":
        return wish
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    return "float32"


def describe(device: torch.device) -> str:
    """The device in words, without any name of the machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"CPU, {torch.get_num_threads()} threads"
