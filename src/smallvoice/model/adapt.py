"""An adaptation strategy by name, put on a base model."""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import save as serialize

from smallvoice.errors import InputError, RecipeError
from smallvoice.model.weights import Whisper
from smallvoice.recipe import ModelRecipe
from smallvoice.storage import read_text


@dataclass(frozen=True)
class ParameterCount:
    """Counted from the model, never typed in."""

    trainable: int
    total: int

    @property
    def share(self) -> float:
        return self.trainable / self.total

    def __str__(self) -> str:
        return f"{self.trainable:,} of {self.total:,} ({100 * self.share:.2f} %)"


def adapt(whisper: Whisper, recipe: ModelRecipe, seed: int) -> PeftModel:
    """Put LoRA (Hu et al., 2021) on the linear layers that the recipe names; only it will be trained.

    No task type is given to PEFT: its sequence-to-sequence wrapper passes `input_ids`, which Whisper does not
    take. The factors start from `seed` alone.

    Raises:
        RecipeError: a target that no layer of the model is called.
    """
    layers = {name.split(".")[-1] for name, module in whisper.network.named_modules() if _is_linear(module)}
    layers.discard("proj_out")  # its weight is the token embedding's too: merging would change both
    unknown = [target for target in recipe.targets if target not in layers]
    if unknown or not recipe.targets:
        raise RecipeError(
            f"model.targets: no linear layer is called {', '.join(unknown) or 'nothing'}. "
            f"The model has: {', '.join(sorted(layers))}."
        )
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=recipe.targets,
        base_model_name_or_path=whisper.name,
    )
    whisper.network.name_or_path = whisper.name  # what PEFT writes into adapter_config.json: never a path
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT 0.21 asks transformers 5.23 for a property under its old name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        torch.manual_seed(seed)
        return get_peft_model(whisper.network, config)


def save_adapter(network: PeftModel, folder: Path) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json` as PEFT does, and nothing else.

    PEFT's own saving adds an empty model card, asks the hub whether the base's vocabulary has grown, and hides a
    full disk in an error of another kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = get_peft_model_state_dict(network, save_embedding_layers=False)
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    (folder / "adapter_model.safetensors").write_bytes(serialize(kept, metadata={"format": "pt"}))
    config = copy.copy(network.peft_config["default"])
    config.inference_mode = True
    config.save_pretrained(str(folder))


def load_adapter(whisper: Whisper, folder: Path) -> ParameterCount:
    """Merge an adapter into the base's weights, in float32. Returns what the adapter has.

    Raises:
        InputError: the folder's adapter does not fit the base.
    """
    _require_lora(folder)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            adapted = PeftModel.from_pretrained(whisper.network, str(folder), is_trainable=True)
        count = count_parameters(adapted)
        whisper.network = adapted.merge_and_unload().eval()
    except (RuntimeError, ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise InputError(f"{folder}: this adapter does not fit {whisper.name}: {str(error).splitlines()[0]}") from None
    return count


def base_of(folder: Path) -> str:
    """The base model that an adapter names in its `adapter_config.json`.

    Raises:
        InputError: it names none.
    """
    name = _config(folder).get("base_model_name_or_path")
    if not name:
        raise InputError(f"{folder / 'adapter_config.json'}: names no base model (base_model_name_or_path).")
    return str(name)


def _require_lora(folder: Path) -> None:
    """PEFT would look for a missing file on the hub, and would unpickle `adapter_model.bin`."""
    if not (folder / "adapter_model.safetensors").is_file():
        raise InputError(f"{folder}: no adapter_model.safetensors. Save the adapter with PEFT 0.6 or later.")
    if (kind := _config(folder).get("peft_type")) != "LORA":
        raise InputError(f"{folder}: an adapter of type {kind}; smallvoice reads LORA.")


def _config(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(folder / "adapter_config.json"))
    except json.JSONDecodeError as error:
        raise InputError(f"{folder / 'adapter_config.json'}:{error.lineno}: not valid JSON: {error.msg}.") from None
    return content if isinstance(content, dict) else {}


def count_parameters(network: torch.nn.Module) -> ParameterCount:
    """Each parameter once: Whisper's output projection is its token embedding."""
    parameters = list(network.parameters())
    return ParameterCount(
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        total=sum(parameter.numel() for parameter in parameters),
    )


def _is_linear(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Linear)
