"""What training gave, on disk: a folder that loads by smallvoice, and by what else knows its form.

    low-rank adapters    adapter_model.safetensors, adapter_config.json: `PeftModel.from_pretrained(whisper, folder)`
    bottleneck adapters  bottleneck.safetensors: smallvoice alone
    moved weights        model.safetensors, config.json, ...: the whole model, `from_pretrained(folder)`

PiSSA, which changed the base, is kept as plain LoRA of twice the rank on the untouched one; AdaLoRA as LoRA with the
rank that is left in each layer (`rank_pattern`).
"""

from __future__ import annotations

import copy
import errno
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import (
    AdaLoraConfig,
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialize
from transformers import WhisperFeatureExtractor

from smallvoice.errors import InputError
from smallvoice.model import bottleneck, lowrank, tuned, weights
from smallvoice.model.adapt import Adapted, ParameterCount, count_parameters
from smallvoice.model.weights import Whisper
from smallvoice.storage import read_text

ADAPTER, BOTTLENECK, WEIGHTS = tuned.WEIGHT_FILES


@dataclass(frozen=True)
class Result:
    """What training moved, on the CPU, in the form in which it is kept."""

    file: str
    """`ADAPTER`, `BOTTLENECK` or `WEIGHTS`."""
    tensors: dict[str, torch.Tensor]
    config: LoraConfig | None = None
    """PEFT's, of low-rank adapters."""

    @property
    def moved(self) -> list[str]:
        """The base's own weights that are others now."""
        return list(self.tensors) if self.file == WEIGHTS else []

    def count(self, base: int) -> ParameterCount:
        """Args: base: the parameters of the base."""
        own = sum(tensor.numel() for tensor in self.tensors.values())
        return ParameterCount(own, base if self.moved else base + own)


def result_of(network: Adapted) -> Result:
    """A copy of what a network has learned."""
    inner = network.network
    if not isinstance(inner, PeftModel):
        if network.recipe.strategy == "bottleneck":
            return Result(BOTTLENECK, _copied(bottleneck.tensors(inner)))
        return Result(WEIGHTS, _copied({n: p for n, p in inner.named_parameters() if p.requires_grad}))
    config = copy.deepcopy(inner.peft_config["default"])
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)
    if isinstance(config, AdaLoraConfig):
        return _remaining_ranks(inner, config)
    tensors = _copied(get_peft_model_state_dict(inner, save_embedding_layers=False))
    return _without_start(tensors, config, network.taken) if network.taken else Result(ADAPTER, tensors, config)


def _copied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _without_start(tensors: dict[str, torch.Tensor], config: LoraConfig, taken: lowrank.Factors) -> Result:
    """PiSSA: what `B A` is more than the `B A` that was taken out of the base, as one product of twice the rank."""
    for name, (a, b) in taken.items():
        first, second = (f"base_model.model.{name}.lora_{factor}.weight" for factor in "AB")
        tensors[first] = torch.cat([tensors[first], a])
        tensors[second] = torch.cat([tensors[second], -b], dim=1)
    config.r, config.lora_alpha = 2 * config.r, 2 * config.lora_alpha  # the same alpha / r
    return Result(ADAPTER, tensors, config)


def _remaining_ranks(network: PeftModel, adalora: AdaLoraConfig) -> Result:
    """AdaLoRA: the ranks whose value in E is not zero, as LoRA with a rank for each layer, and E in B.

    PEFT 0.21 warns whenever it reads AdaLoRA's own form: it takes the names in its rank pattern for unknown ones.
    """
    factors = {}
    for name, layer in lowrank.adapted_layers(network).items():
        a, b, e = (getattr(layer, f"lora_{factor}")["default"] for factor in "ABE")
        kept = e[:, 0] != 0
        scaling = layer.scaling["default"] / (layer.ranknum["default"] + 1e-5)  # as in PEFT's SVDLinear
        factors[f"base_model.model.{name}.lora_A.weight"] = a[kept]
        factors[f"base_model.model.{name}.lora_B.weight"] = (b * e[:, 0])[:, kept] * scaling
    return rank_by_layer(_copied(factors), adalora)


def rank_by_layer(factors: dict[str, torch.Tensor], like: LoraConfig) -> Result:
    """LoRA with a rank of its own for each layer and a scaling of 1; a layer without any is left out.

    Args:
        like: whose base, targets and dropout these are.
    """
    ranks = {
        name.removeprefix("base_model.model.").removesuffix(".lora_A.weight"): len(tensor)
        for name, tensor in factors.items()
        if name.endswith(".lora_A.weight") and len(tensor)
    }
    if not ranks:
        raise ValueError("an adapter without any rank")
    config = LoraConfig(
        r=max(ranks.values()),
        lora_alpha=max(ranks.values()),
        lora_dropout=like.lora_dropout,
        target_modules=sorted(ranks),
        rank_pattern=ranks,
        alpha_pattern=ranks,
        base_model_name_or_path=like.base_model_name_or_path,
        inference_mode=True,
    )
    config.target_modules = sorted(ranks)  # PEFT makes it a set, which has no order
    return Result(ADAPTER, {name: tensor for name, tensor in factors.items() if tensor.numel()}, config)


def save(folder: Path, result: Result, whisper: Whisper) -> None:
    """Write a result, and nothing else: no model card, no question to the hub.

    Args:
        whisper: the base; its network takes on weights that moved.

    Raises:
        OSError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if result.moved:
        _save_weights(folder, result, whisper)
        return
    (folder / result.file).write_bytes(serialize(result.tensors, metadata={"format": "pt"}))
    if result.config:
        result.config.save_pretrained(str(folder))


def _save_weights(folder: Path, result: Result, whisper: Whisper) -> None:
    whisper.network.load_state_dict(result.tensors, strict=False)
    write_whole_model(folder, whisper)


def write_whole_model(folder: Path, whisper: Whisper) -> None:
    """Everything that `transformers` needs: weights, settings of generation, tokenizer, feature extractor.

    Raises:
        OSError: the disk is full.
    """
    try:
        whisper.network.save_pretrained(folder)
    except SafetensorError as error:  # it hides a full disk
        if "os error 28" in str(error) or "No space left" in str(error):
            raise OSError(errno.ENOSPC, "No space left on device") from None
        raise
    whisper.tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=whisper.network.config.num_mel_bins).save_pretrained(folder)


def file_of(folder: Path) -> Path | None:
    """The file of a result's weights; None where a folder is no result of training."""
    if (folder / "adapter_config.json").is_file():
        return folder / ADAPTER
    if not (folder / tuned.FILE).is_file():
        return None
    return folder / (BOTTLENECK if (folder / BOTTLENECK).is_file() else WEIGHTS)


def load(folder: Path, base: Callable[[], Whisper]) -> tuple[Whisper, ParameterCount]:
    """Load any result; low-rank adapters are merged into the base's weights, in float32.

    Args:
        base: gives the base's weights, on the CPU; not called for a folder that holds the whole model.

    Returns:
        The model, and how many of its parameters training moved.

    Raises:
        InputError: the folder is damaged, or does not fit the base.
        WeightsError: the weights cannot be had.
    """
    file = file_of(folder)
    if file is not None and file.name == WEIGHTS:
        return _load_weights(folder)
    if file is None or not file.is_file():
        raise InputError(f"{folder}: no {ADAPTER}. Save the adapter with PEFT 0.6 or later.")
    whisper = base()
    total = count_parameters(whisper.network).total
    try:
        config = _adapter_config(folder) if file.name == ADAPTER else None
        result = Result(file.name, load_file(file), config)
        put(whisper, result)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, OSError, SafetensorError) as error:
        raise InputError(f"{folder}: this adapter does not fit {whisper.name}: {str(error).splitlines()[0]}") from None
    return whisper, result.count(total)


def put(whisper: Whisper, result: Result) -> None:
    """Let a base do what was learned; its network is changed, and is a plain Whisper but for bottleneck adapters.

    Raises:
        AttributeError, KeyError, RuntimeError, ValueError: the result is not this base's.
    """
    if result.file == WEIGHTS:
        _, unknown = whisper.network.load_state_dict(result.tensors, strict=False)
    elif result.file == BOTTLENECK:
        unknown = bottleneck.load(whisper.network, result.tensors)
    else:
        unknown = _merge(whisper, result)
    if unknown:
        raise KeyError(f"no place for {unknown[0]}")


def _merge(whisper: Whisper, result: Result) -> list[str]:
    """Merge low-rank adapters into the base. Returns the names of tensors without a place."""
    config = copy.deepcopy(result.config)
    config.inference_mode = True
    config.base_model_name_or_path = whisper.network.name_or_path = whisper.name
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        network = get_peft_model(whisper.network, config)
    outcome = set_peft_model_state_dict(network, dict(result.tensors))
    if missing := [name for name in outcome.missing_keys if ".lora_" in name or ".modules_to_save." in name]:
        raise KeyError(f"{missing[0]} is missing")
    whisper.network = network.merge_and_unload().eval()
    return list(outcome.unexpected_keys)


def _adapter_config(folder: Path) -> LoraConfig:
    """Raises: InputError: an adapter of another type. ValueError, TypeError: settings that PEFT refuses."""
    if (kind := _config(folder).get("peft_type")) != "LORA":
        raise InputError(f"{folder}: an adapter of type {kind}; smallvoice reads LORA.")
    return PeftConfig.from_pretrained(str(folder))


def _load_weights(folder: Path) -> tuple[Whisper, ParameterCount]:
    facts = tuned.read(folder)
    whisper = weights.load(str(folder))
    parameters = dict(whisper.network.named_parameters())
    if unknown := [name for name in facts.moved if name not in parameters]:
        raise InputError(f"{folder / tuned.FILE}: the model has no weight {unknown[0]}.")
    whisper.name = facts.base
    moved = sum(parameters[name].numel() for name in facts.moved)
    return whisper, ParameterCount(moved, count_parameters(whisper.network).total)


def base_of(folder: Path) -> str:
    """The base model that an adapter names in its `adapter_config.json`.

    Raises:
        InputError: it names none.
    """
    name = _config(folder).get("base_model_name_or_path")
    if not name:
        raise InputError(f"{folder / 'adapter_config.json'}: names no base model (base_model_name_or_path).")
    return str(name)


def _config(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(folder / "adapter_config.json"))
    except json.JSONDecodeError as error:
        raise InputError(f"{folder / 'adapter_config.json'}:{error.lineno}: not valid JSON: {error.msg}.") from None
    return content if isinstance(content, dict) else {}
