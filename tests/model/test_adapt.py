"""What LoRA moves, counted from the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tests.conftest import needs_weights
from transformers import WhisperForConditionalGeneration

from smallvoice.errors import InputError, RecipeError
from smallvoice.model import adapt, weights
from smallvoice.recipe import ModelRecipe


@needs_weights("openai/whisper-base")
def test_reference_recipe_trains_what_arithmetic_says() -> None:
    network = adapt.adapt(weights.load("base"), ModelRecipe(rank=16), seed=0)
    assert str(adapt.count_parameters(network)) == "1,179,648 of 73,773,568 (1.60 %)"


def test_only_lora_factors_can_move(tiny_models: dict[str, Path]) -> None:
    network = adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(targets=["q_proj", "fc1"]), seed=0)
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


def test_saved_adapter_gives_the_same_logits_on_the_plain_base(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = tiny_models["multilingual"]
    whisper = weights.load(str(folder))
    network = adapt.adapt(whisper, ModelRecipe(), seed=0)
    for name, parameter in network.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.3)
    inputs = {"input_features": torch.rand(1, 80, 3000), "decoder_input_ids": torch.tensor([[5, 6, 7]])}
    network.eval()
    with torch.no_grad():
        expected = whisper.network(**inputs).logits
        adapt.save_adapter(network, tmp_path / "adapter")
        plain = WhisperForConditionalGeneration.from_pretrained(folder)
        assert not torch.allclose(plain(**inputs).logits, expected, atol=1e-3), "the adapter does something"
        loaded = PeftModel.from_pretrained(plain, str(tmp_path / "adapter"))
        assert torch.allclose(loaded.base_model.model(**inputs).logits, expected, atol=1e-5)
        merged = weights.load(str(folder))
        adapt.load_adapter(merged, tmp_path / "adapter")
        assert torch.allclose(merged.network(**inputs).logits, expected, atol=1e-4)


def test_adapter_names_its_base_and_no_path(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    whisper.name = "openai/whisper-tiny.en"
    adapt.save_adapter(adapt.adapt(whisper, ModelRecipe(), seed=0), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "openai/whisper-tiny.en"
    assert config["task_type"] is None
    assert str(tiny_models["english"].parent) not in (tmp_path / "adapter_config.json").read_text()


def test_adapter_of_another_model_is_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    network = adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(targets=["fc1"]), seed=0)
    adapt.save_adapter(network, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["nowhere"]}))
    with pytest.raises(InputError, match="does not fit"):
        adapt.load_adapter(weights.load(str(tiny_models["english"])), tmp_path)


def test_adapters_that_would_need_the_hub_or_unpickling_are_refused(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors"):
        adapt.load_adapter(whisper, tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="type IA3"):
        adapt.load_adapter(whisper, tmp_path)
    with pytest.raises(InputError, match="names no base model"):
        adapt.base_of(tmp_path)
