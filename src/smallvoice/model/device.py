"""The device that computes, and the precision it computes in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from smallvoice.errors import RecipeError, ResourceError
from smallvoice.scoring import wording


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


def to_best_device(network: torch.nn.Module) -> None:
    """Move a network to where it computes fastest.

    Raises:
        ResourceError: it does not fit there.
    """
    place = best_device()
    with no_room_as_error(place):
        network.to(place)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether there was no room: torch has an error of its own for CUDA; MPS, CTranslate2 and the CPU say so."""
    said = ("out of memory", "can't allocate")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in said)


@contextmanager
def no_room_as(meant: Exception) -> Iterator[None]:
    """Raise an error instead of torch's own that there was no room."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise meant from None


def no_room_as_error(place: torch.device) -> AbstractContextManager[None]:
    """Raises: ResourceError: an accelerator's memory is full, most often of another process."""
    other = ", or compute on the CPU: CUDA_VISIBLE_DEVICES= before the command" if place.type == "cuda" else ""
    return no_room_as(ResourceError(f"No room for the model on {describe(place)}. Free its memory{other}."))


def training_precision(wish: str, device: torch.device) -> str:
    """`float32`, `bfloat16` or `float16`. `auto`: bfloat16 where the device multiplies faster in it, else float32.

    Raises:
        RecipeError: float16 on a CPU.
    """
    if wish == "float16" and device.type == "cpu":
        raise RecipeError("train.precision: float16 needs a GPU, and none is found; use float32 or auto.")
    if wish != "auto":
        return wish
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device.type == "cpu" and _cpu_has_bfloat16()
    return "bfloat16" if fast else "float32"


def _cpu_has_bfloat16() -> bool:
    """Instructions for it (AVX512-BF16, AMX), which are twice as fast as float32's; without them it is slower."""
    return any(getattr(torch.cpu, f"_is_{name}_supported", lambda: False)() for name in ("avx512_bf16", "amx_tile"))


def describe(device: torch.device) -> str:
    """The device in words, without any name of the machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"CPU, {wording.count(torch.get_num_threads(), 'thread')}"
