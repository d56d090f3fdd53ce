"""What weights learned as a low-rank adapter: exact where the rank allows it, the nearest where not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.errors import RecipeError
from smallvoice.model import adapt, saving, weights
from smallvoice.model.extract import low_rank
from smallvoice.recipe import ModelRecipe

LINEAR = ["*_proj.weight", "fc[12].weight"]
MATRICES = [*LINEAR, "encoder.conv[12].weight"]


def moved(folder: Path, rank: int) -> saving.Result:
    """Linear layers and convolutions of the encoder that moved by a product of a rank."""
    recipe = ModelRecipe(strategy="full", part="encoder", layers=MATRICES)
    network = adapt.adapt(weights.load(str(folder)), recipe, seed=0)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.requires_grad:
            rows, columns = parameter.flatten(1).shape
            factors = torch.randn(rows, rank, generator=generator), torch.randn(rank, columns, generator=generator)
            parameter.data += 0.1 * (factors[0] @ factors[1]).view_as(parameter)
    return saving.result_of(network)


def weights_of(folder: Path, result: saving.Result) -> dict[str, torch.Tensor]:
    whisper = weights.load(str(folder))
    saving.put(whisper, result)
    return dict(whisper.network.named_parameters())


def test_a_change_of_that_rank_is_kept_whole(tiny_models: dict[str, Path]) -> None:
    folder = tiny_models["multilingual"]
    result = moved(folder, rank=3)
    kept = low_rank(result, weights.load(str(folder)), rank=3)
    assert kept.file == saving.ADAPTER and kept.config.r == 3
    assert len(kept.tensors) == 2 * len(result.tensors) == 2 * 14  # of a convolution its weight and bias
    assert kept.config.modules_to_save == ["model.encoder.conv1", "model.encoder.conv2"]
    found, expected = weights_of(folder, kept), weights_of(folder, result)
    for name, value in found.items():
        assert torch.allclose(value, expected[name], atol=2e-3), name


def test_of_a_larger_change_the_nearest_is_kept(tiny_models: dict[str, Path]) -> None:
    folder = tiny_models["multilingual"]
    result, base = moved(folder, rank=8), dict(weights.load(str(folder)).network.named_parameters())
    name = "model.encoder.layers.0.fc1.weight"
    change = result.tensors[name] - base[name].detach()
    errors = []
    for rank in (1, 4, 8, 40):
        found = weights_of(folder, low_rank(result, weights.load(str(folder)), rank))[name]
        errors.append(float((found.detach() - result.tensors[name]).norm()))
        assert errors[-1] == pytest.approx(float(torch.linalg.svdvals(change)[rank:].norm()), abs=5e-3)
    assert errors[0] > errors[1] > errors[2]


def test_training_keeps_an_adapter_that_peft_reads(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    base = tiny_models["english"]
    model = {"base": str(base), "strategy": "full", "part": "hearing", "layers": MATRICES, "save_rank": 4}
    train = {"members": 2, "max_steps": 2, "evaluations": 1, "learning_rate": 0.01, "interpolate": 0.5}
    recipe = recipes.build({"model": model, "train": train, "decode": {"tokens_base": 6, "tokens_per_s": 2.0}})
    facts = verbs.train(recipe, tiny_corpus, tmp_path)
    assert facts["chosen"] == "average, 0.5 of the way, rank 4"
    block = verbs.evaluate(str(tmp_path), tiny_corpus, split="dev", out=tmp_path / "evaluation", decode=recipe.decode)
    assert block["wer"]["normalised"]["wer"] == facts["dev"][facts["chosen"]]["wer"]
    peft = PeftModel.from_pretrained(weights.load(str(base)).network, str(tmp_path / "adapter"))
    assert sum(".lora_A." in name for name, _ in peft.named_parameters()) == 12 + 2 * 4
    mel = torch.randn(1, 80, 2 * peft.config.max_source_positions, generator=torch.Generator().manual_seed(0))
    heard = {"input_features": mel, "decoder_input_ids": torch.tensor([[3, 4, 5]])}
    untouched = weights.load(str(base)).network
    merged, _ = saving.load(tmp_path / "adapter", lambda: weights.load(str(base)))
    with torch.inference_mode():
        found, expected, before = (one.eval()(**heard).logits for one in (peft, merged.network, untouched))
    assert torch.allclose(found, expected, atol=1e-5) and not torch.allclose(found, before, atol=1e-3)
    assert str(base.parent).encode() not in (tmp_path / "adapter" / "adapter_config.json").read_bytes()


def test_without_a_linear_layer_that_moves_it_is_said_before_the_training(tiny_models: dict[str, Path]) -> None:
    recipe = ModelRecipe(strategy="selective", norms=True, save_rank=4)
    with pytest.raises(RecipeError, match=r"model\.save_rank: no linear layer moves"):
        adapt.adapt(weights.load(str(tiny_models["english"])), recipe, seed=0)


@pytest.mark.parametrize("strategy", ["lora", "bottleneck"])
def test_only_weights_are_cut(strategy: str) -> None:
    with pytest.raises(RecipeError, match=r"model\.save_rank"):
        adapt.require_sense(recipes.build({"model": {"strategy": strategy, "save_rank": 4}}))
