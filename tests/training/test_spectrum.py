"""A flatter spectrum: the directions that were learned, their sizes nearer to each other, as much in all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.training.results_made import SETTINGS, member, merged, untouched

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.errors import RecipeError
from smallvoice.model import adapt, weights
from smallvoice.recipe import ModelRecipe
from smallvoice.training.spectrum import flatten

REFUSED = ("dora", "bottleneck")


@pytest.mark.parametrize("strategy", [name for name in SETTINGS if name not in REFUSED])
def test_sizes_are_raised_to_the_power_and_directions_stay(tiny_models: dict[str, Path], strategy: str) -> None:
    folder = tiny_models["multilingual"]
    rank = 4 if strategy == "pissa" else 48  # more than the layers' 16 and 32, which PiSSA does not allow
    result = member(folder, ModelRecipe(strategy=strategy, rank=rank, **SETTINGS[strategy]), seed=0)
    flat = flatten(result, weights.load(str(folder)).network, 0.5)
    assert {name: value.shape for name, value in flat.tensors.items()} == {
        name: value.shape for name, value in result.tensors.items()
    }
    base, before, after = untouched(folder), merged(folder, result), merged(folder, flat)
    changed = 0
    for name, start in base.items():
        if start.dim() == 1:
            assert torch.equal(before[name], after[name]), name
            continue
        change, flatter = ((one[name] - start).detach().flatten(1) for one in (before, after))
        if float(change.norm()) > 1e-3:
            left, sizes, right = torch.linalg.svd(change, full_matrices=False)
            wanted = sizes.sqrt() * sizes.norm() / sizes.sqrt().norm()
            assert torch.allclose((left * wanted) @ right, flatter, atol=2e-3), name
            assert torch.allclose(flatter.norm(), change.norm(), rtol=1e-3), name
            changed += not torch.allclose(change, flatter, atol=1e-2)
    assert changed >= 5


@pytest.mark.parametrize("strategy", REFUSED)
def test_what_has_no_spectrum_is_refused(tiny_models: dict[str, Path], strategy: str) -> None:
    recipe = recipes.build({"model": {"strategy": strategy}, "train": {"spectrum_power": 0.5}})
    with pytest.raises(RecipeError, match=r"train\.spectrum_power: .* 1, or lora"):
        adapt.require_sense(recipe)
    folder = tiny_models["multilingual"]
    result = member(folder, ModelRecipe(strategy=strategy, rank=2, **SETTINGS[strategy]), seed=0)
    with pytest.raises(ValueError, match="spectrum"):
        flatten(result, weights.load(str(folder)).network, 0.5)


def test_what_is_kept_is_flatter_and_other_powers_need_no_training(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def recipe(power: float) -> recipes.Recipe:
        return recipes.build(
            {
                "model": {"base": str(tiny_models["english"]), "strategy": "full", "part": "hearing", "save_rank": 8},
                "train": {"members": 2, "max_steps": 3, "evaluations": 1, "spectrum_power": power},
                "decode": {"tokens_base": 6, "tokens_per_s": 2.0},
            }
        )

    assert verbs.train(recipe(0.5), tiny_corpus, tmp_path)["chosen"] == "average, spectrum ^ 0.5, rank 8"
    trained = (tmp_path / "metrics.jsonl").read_bytes()
    first = (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes()
    assert verbs.train(recipe(1.0), tiny_corpus, tmp_path)["chosen"] == "average, rank 8"
    assert (tmp_path / "metrics.jsonl").read_bytes() == trained
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() != first
