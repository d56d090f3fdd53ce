"""What LoRA moves, counted from the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conftest import needs_weights

from smallvoice import recipe_file as recipes
from smallvoice.errors import InputError, RecipeError
from smallvoice.model import adapt, saving, weights
from smallvoice.recipe import ModelRecipe


@needs_weights("openai/whisper-base")
def test_reference_recipe_trains_what_arithmetic_says() -> None:
    recipe = recipes.load(recipes.packaged("reference_quality_lora"))
    network = adapt.adapt(weights.load("base"), recipe.model, seed=0)
    assert str(adapt.count_parameters(network)) == "1,179,648 of 73,773,568 (1.60 %)"


def test_only_lora_factors_can_move(tiny_models: dict[str, Path]) -> None:
    network = adapt.adapt(
        weights.load(str(tiny_models["english"])), ModelRecipe(part="both", targets=["q_proj", "fc1"]), seed=0
    )
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(".lora_" in name and ("q_proj" in name or "fc1" in name) for name in trained)
    assert len(trained) == 2 * (2 + 2 * 2 + 4), "two factors in 2 encoder and 2 decoder layers (self and cross)"


def test_factors_start_from_the_seed_alone(tiny_models: dict[str, Path]) -> None:
    def factors(seed: int) -> torch.Tensor:
        torch.rand(3)
        network = adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(), seed)
        return torch.cat([p.flatten() for n, p in network.named_parameters() if ".lora_A." in n])

    assert torch.equal(factors(1), factors(1))
    assert not torch.equal(factors(1), factors(2))


def test_unknown_target_is_named(tiny_models: dict[str, Path]) -> None:
    with pytest.raises(RecipeError, match=r"qproj.*The model has: .*q_proj"):
        adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(targets=["qproj"]), seed=0)


def test_adapter_names_its_base_and_no_path(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    whisper.name = "openai/whisper-tiny.en"
    saving.save(tmp_path, saving.result_of(adapt.adapt(whisper, ModelRecipe(), seed=0)), whisper)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "openai/whisper-tiny.en"
    assert config["task_type"] is None
    assert str(tiny_models["english"].parent) not in (tmp_path / "adapter_config.json").read_text()


def test_adapter_of_another_model_is_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    saving.save(tmp_path, saving.result_of(adapt.adapt(whisper, ModelRecipe(targets=["fc1"]), seed=0)), whisper)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["nowhere"]}))
    with pytest.raises(InputError, match="does not fit"):
        saving.load(tmp_path, lambda: weights.load(str(tiny_models["english"])))


@pytest.mark.parametrize("damage", ["missing", "left over", "cut off"])
def test_damaged_adapter_is_refused(tiny_models: dict[str, Path], tmp_path: Path, damage: str) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    saving.save(tmp_path, saving.result_of(adapt.adapt(whisper, ModelRecipe(rank=2), seed=0)), whisper)
    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    if damage == "missing":
        tensors.pop(next(iter(tensors)))
    if damage == "left over":
        tensors["base_model.model.model.encoder.layers.9.fc1.lora_A.weight"] = torch.zeros(2, 16)
    save_file(tensors, path)
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="does not fit"):
        saving.load(tmp_path, lambda: weights.load(str(tiny_models["english"])))


def test_adapters_that_would_need_the_hub_or_unpickling_are_refused(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors"):
        saving.load(tmp_path, lambda: whisper)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="type IA3"):
        saving.load(tmp_path, lambda: whisper)
    with pytest.raises(InputError, match="names no base model"):
        saving.base_of(tmp_path)
