"""The average of members is that of what they do; every strategy from training to an evaluation."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from tests.training.results_made import SETTINGS, member, merged, untouched

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.errors import RecipeError
from smallvoice.model import adapt, saving, weights
from smallvoice.model.bottleneck import Bottleneck
from smallvoice.recipe import ModelRecipe
from smallvoice.storage import read_jsonl
from smallvoice.training.average import average, interpolate

RANKS = {"lora": 6, "rslora": 6, "dora": 6, "pissa": 12}
"""Of three members of rank 2."""


@pytest.mark.parametrize("strategy", [name for name in SETTINGS if name not in ("bottleneck", "dora")])
def test_weights_lie_between_the_base_and_the_tuned_ones(tiny_models: dict[str, Path], strategy: str) -> None:
    folder = tiny_models["multilingual"]
    result = member(folder, ModelRecipe(strategy=strategy, rank=2, **SETTINGS[strategy]), seed=0)
    found = merged(folder, interpolate(result, weights.load(str(folder)).network, 0.25))
    base, tuned = untouched(folder), merged(folder, result)
    for name, value in found.items():
        assert torch.allclose(value, 0.75 * base[name] + 0.25 * tuned[name], atol=1e-5), name
    assert sum(not torch.allclose(value, base[name], atol=1e-3) for name, value in found.items()) >= 15


def test_a_bottleneck_adds_a_share_of_what_it_added(tiny_models: dict[str, Path]) -> None:
    folder = tiny_models["multilingual"]
    result = member(folder, ModelRecipe(strategy="bottleneck", bottleneck=4, part="both"), seed=0)
    hidden = torch.randn(5, 32)
    whole, part = (
        added(folder, one, hidden) for one in (result, interpolate(result, weights.load(str(folder)).network, 0.25))
    )
    assert float(whole.abs().max()) > 0.1
    assert torch.allclose(part, 0.25 * whole, atol=1e-6)


def test_dora_is_not_interpolated(tiny_models: dict[str, Path]) -> None:
    recipe = recipes.build({"model": {"strategy": "dora"}, "train": {"interpolate": 0.5}})
    with pytest.raises(RecipeError, match=r"train\.interpolate: .* DoRA"):
        adapt.require_sense(recipe)
    result = member(tiny_models["multilingual"], ModelRecipe(strategy="dora", rank=2), seed=0)
    with pytest.raises(ValueError, match="DoRA"):
        interpolate(result, weights.load(str(tiny_models["multilingual"])).network, 0.5)


@pytest.mark.parametrize("strategy", [name for name in SETTINGS if name != "bottleneck"])
def test_weights_are_the_mean_of_the_members_weights(tiny_models: dict[str, Path], strategy: str) -> None:
    folder = tiny_models["multilingual"]
    recipe = ModelRecipe(strategy=strategy, rank=2, **SETTINGS[strategy])
    results = [member(folder, recipe, seed) for seed in range(3)]
    averaged = average(results, weights.load(str(folder)).network)
    members, base = [merged(folder, result) for result in results], untouched(folder)
    found = merged(folder, averaged)
    assert found.keys() == base.keys()
    for name, value in found.items():
        assert torch.allclose(value, torch.stack([one[name] for one in members]).mean(0), atol=1e-5), name
    assert sum(not torch.allclose(value, base[name], atol=1e-3) for name, value in found.items()) >= 20
    if strategy in RANKS:
        assert averaged.config.r == RANKS[strategy]


def added(folder: Path, result: saving.Result, hidden: torch.Tensor) -> torch.Tensor:
    """What a bottleneck adds to a layer's output."""
    whisper = weights.load(str(folder))
    saving.put(whisper, copy.deepcopy(result))
    block = whisper.network.get_submodule("model.decoder.layers.1.fc2")
    assert isinstance(block, Bottleneck)
    return (block(hidden) - block.linear(hidden)).detach()


def test_bottlenecks_add_the_mean_of_what_the_members_add(tiny_models: dict[str, Path]) -> None:
    folder = tiny_models["multilingual"]
    recipe = ModelRecipe(strategy="bottleneck", bottleneck=4, part="both")
    results = [member(folder, recipe, seed) for seed in range(3)]
    averaged = average(results, weights.load(str(folder)).network)
    hidden = torch.randn(5, 32)
    members = torch.stack([added(folder, result, hidden) for result in results])
    assert float(members.abs().max()) > 0.1
    assert torch.allclose(added(folder, averaged, hidden), members.mean(0), atol=1e-5)
    assert averaged.count(0).trainable == 10 * (2 * 12 * 16 + 12 + 16)


@pytest.mark.parametrize("strategy", SETTINGS)
def test_every_strategy_from_training_to_evaluation(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, strategy: str
) -> None:
    share = 1.0 if strategy == "dora" else 0.5
    recipe = recipes.build(
        {
            "model": {"base": str(tiny_models["english"]), "strategy": strategy, "rank": 2, **SETTINGS[strategy]},
            "train": {"members": 2, "max_steps": 3, "evaluations": 1, "learning_rate": 0.02, "interpolate": share},
            "decode": {"tokens_base": 6, "tokens_per_s": 2.0},
        }
    )
    facts = verbs.train(recipe, tiny_corpus, tmp_path)
    assert facts["chosen"] == ("average" if strategy == "dora" else "average, 0.5 of the way")
    assert {row["member"] for row in read_jsonl(tmp_path / "metrics.jsonl")} == {0, 1}
    block = verbs.evaluate(str(tmp_path), tiny_corpus, split="dev", out=tmp_path / "evaluation", decode=recipe.decode)
    assert block["wer"]["normalised"]["wer"] == facts["dev"][facts["chosen"]]["wer"]
    assert block["trainable_parameters"] > 0
    assert block["adapter_sha256"]
    for path in (tmp_path / "adapter").iterdir():
        assert str(tiny_models["english"].parent).encode() not in path.read_bytes(), path.name
    whole = strategy in ("selective", "full")
    assert (tmp_path / "adapter" / "model.safetensors").is_file() == whole
