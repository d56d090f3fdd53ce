"""Training state on disk: safetensors and JSON only, replaced as a whole.

    checkpoints/member-0/last/      from where a run that was cut off continues
    checkpoints/member-0/best-188/  the adapter of step 188, when `last` says that it is the best on dev so far

Random numbers need no state: every draw is a function of (seed, epoch, utterance) or (seed, step).
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialize

from smallvoice.errors import InputError
from smallvoice.model import adapt
from smallvoice.storage import no_space_as_error, read_json, replacing, write_json
from smallvoice.training.ema import RunningAverage

log = logging.getLogger(__name__)

LAST = "last"
"""In a member's folder, the checkpoint from where it continues."""


@dataclass
class Progress:
    """How far a member has come."""

    key: str
    """Digest of the recipe and the corpus: a checkpoint of another run is not continued."""
    step: int = 0
    threads: int = 0
    best: dict[str, int] | None = None
    """Word errors on dev of the best adapter so far, and its step."""
    best_step: int | None = None
    finished: bool = False
    seconds: float = 0.0
    """Training time so far, over all continuations."""
    peak_memory_bytes: int = 0
    """The most resident memory of the process that wrote checkpoints, over all continuations; 0 where none said."""
    processes: int = 1
    precisions: list[str] = field(default_factory=lambda: ["a precision not recorded"])
    """What its steps were multiplied in, one after the other where a run went on elsewhere."""
    waited: int = 0
    """Decodings of dev since the best."""
    micro_frames: int | None = None
    """Frames of windows that are encoded at once, where whole batches do not fit the memory."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """float16: the state of the loss's scale."""


@dataclass(frozen=True)
class State:
    """What training moves."""

    network: adapt.Adapted
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: RunningAverage | None


def save(folder: Path, state: State, progress: Progress) -> None:
    """Write a checkpoint beside the old one, then swap them.

    Raises:
        ResourceError: the disk is full; the old checkpoint is untouched.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    with no_space_as_error(folder):
        fresh.mkdir(parents=True)
        save_trained(fresh, state.network)
        with replacing(fresh / "optimizer.safetensors") as temporary:
            temporary.write_bytes(serialize(_optimizer_tensors(state.optimizer)))
        if state.average:
            with replacing(fresh / "average.safetensors") as temporary:
                temporary.write_bytes(serialize(state.average.tensors()))
        progress.scaler = state.scaler.state_dict()
        with replacing(fresh / "strategy.safetensors") as temporary:
            temporary.write_bytes(serialize(adapt.strategy_state(state.network)))
        write_json(fresh / "progress.json", asdict(progress))
    replace_folder(fresh, folder)


def best_folder(member: Path, progress: Progress) -> Path:
    """Where the best adapter so far is."""
    return member / f"best-{progress.best_step}"


def remove_outdated(member: Path, progress: Progress) -> None:
    """Remove what was the best before, once `last` knows the new one."""
    for folder in member.glob("best-*"):
        if folder != best_folder(member, progress):
            shutil.rmtree(folder)


def replace_folder(fresh: Path, folder: Path) -> None:
    """Put `fresh` where `folder` was. Cut off between the two renames, the old one is `.FOLDER.old`."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def is_of(folder: Path, key: str) -> bool:
    """Whether a checkpoint stands there that `restore` would continue.

    Raises:
        InputError: the checkpoint is damaged.
    """
    progress = _progress_in(folder)
    return progress is not None and progress.key == key


def _progress_in(folder: Path) -> Progress | None:
    """How far a checkpoint has come; None where there is none. One that was cut off between two renames is mended."""
    old = folder.with_name(f".{folder.name}.old")
    if not folder.exists() and old.exists():
        old.rename(folder)
    if not (folder / "progress.json").is_file():
        return None
    return Progress(**read_json(folder / "progress.json"))


def restore(folder: Path, state: State, key: str) -> Progress | None:
    """Load a checkpoint of this very run into what training moves; None where there is none.

    Raises:
        InputError: the checkpoint is damaged.
    """
    progress = _progress_in(folder)
    if progress is None:
        return None
    if progress.key != key:
        log.warning(
            "The checkpoint at step %d is of other settings or another corpus: training begins anew.", progress.step
        )
        return None
    try:
        load_trained(state.network, folder)
        _load_optimizer(state.optimizer, load_file(folder / "optimizer.safetensors"))
        if state.average:
            state.average.load(load_file(folder / "average.safetensors"))
        adapt.load_strategy_state(state.network, load_file(folder / "strategy.safetensors"))
        if progress.scaler:
            state.scaler.load_state_dict(progress.scaler)
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise InputError(
            f"The checkpoint in {folder} is damaged ({str(error).splitlines()[0]}). Delete that folder to train "
            "from the start."
        ) from None
    return progress


def save_trained(folder: Path, network: torch.nn.Module) -> None:
    """Write only the parameters that training moves.

    Raises:
        ResourceError: the disk is full.
    """
    with replacing(folder / "trained.safetensors") as temporary:
        temporary.write_bytes(serialize(trained_tensors(network)))


def trained_tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The parameters that training moves, by name."""
    return {
        name: parameter.detach().cpu().contiguous()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }


def load_trained(network: torch.nn.Module, folder: Path) -> None:
    """Put back what `save_trained` wrote."""
    tensors = load_file(folder / "trained.safetensors")
    parameters = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    if parameters.keys() != tensors.keys():
        raise KeyError("it holds other parameters than this recipe trains")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    states = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, state in states.items()
        for name, value in state.items()
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    content = optimizer.state_dict()
    states: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        states.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**content, "state": states})
