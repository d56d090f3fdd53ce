"""The loss, the schedule, augmentation, and the average of adapters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import tiny

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.errors import InputError, RecipeError, SmallvoiceError
from smallvoice.model import adapt, weights
from smallvoice.model import window as windows
from smallvoice.model.prompt import prefix_ids
from smallvoice.recipe import AugmentRecipe, ModelRecipe, TrainRecipe
from smallvoice.training import augment, loop
from smallvoice.training.average import average_products
from smallvoice.training.labels import collate, token_ids
from smallvoice.training.loop import TeacherForcing, learning_rate


def test_schedule() -> None:
    recipe = TrainRecipe(learning_rate=1.0, warmup=0.1, schedule="cosine")
    rates = [learning_rate(step, 100, recipe) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 0.001
    linear = TrainRecipe(learning_rate=1.0, warmup=0.0, schedule="linear")
    assert [learning_rate(step, 4, linear) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    constant = TrainRecipe(learning_rate=1.0, warmup=0.0, schedule="constant")
    assert learning_rate(99, 100, constant) == 1.0


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_loss_does_not_depend_on_the_batch(tiny_models: dict[str, Path], kind: str) -> None:
    whisper = weights.load(str(tiny_models[kind]))
    model = TeacherForcing(adapt.adapt(whisper, ModelRecipe(), seed=0)).eval()
    prefix, end = len(prefix_ids(whisper.generation, "en")), whisper.generation.eos_token_id
    sequences = [token_ids(whisper, text, "en") for text in ("a cat", "the dog runs home", "no")]
    mel = windows.features([tiny.tone(1.0, seed) for seed in range(3)], 150, whisper.network)

    def loss(rows: slice) -> float:
        labels = collate(sequences[rows], prefix, end)
        return float(model(mel[rows], labels.inputs, labels.targets))

    with torch.no_grad():
        assert loss(slice(0, 3)) == pytest.approx(sum(loss(slice(i, i + 1)) for i in range(3)), rel=1e-5)


def test_loss_equals_transformers_own(tiny_models: dict[str, Path]) -> None:
    whisper = weights.load(str(tiny_models["multilingual"]))
    ids = token_ids(whisper, "a cat", "en")
    prefix = len(prefix_ids(whisper.generation, "en"))
    labels = collate([ids], prefix, whisper.generation.eos_token_id)
    mel = windows.features([tiny.tone(1.0)], 3000, whisper.network)
    with torch.no_grad():
        expected = whisper.network(input_features=mel, decoder_input_ids=labels.inputs, labels=labels.targets).loss
        model = TeacherForcing(adapt.adapt(whisper, ModelRecipe(), seed=0)).eval()  # an adapter that does nothing yet
        assert float(model(mel, labels.inputs, labels.targets)) / labels.num_tokens == pytest.approx(float(expected))


def test_average_is_that_of_the_products() -> None:
    generator = torch.Generator().manual_seed(0)

    def member() -> dict[str, torch.Tensor]:
        shapes = {"x.lora_A.weight": (2, 5), "x.lora_B.weight": (7, 2)}
        return {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}

    members = [member() for _ in range(3)]
    averaged = average_products(members)
    assert averaged["x.lora_A.weight"].shape == (6, 5)
    product = averaged["x.lora_B.weight"] @ averaged["x.lora_A.weight"]
    expected = torch.stack([m["x.lora_B.weight"] @ m["x.lora_A.weight"] for m in members]).mean(0)
    assert torch.allclose(product, expected, atol=1e-6)


def test_masks_stay_within_the_audio() -> None:
    recipe = AugmentRecipe(time_masks=5, time_mask_share=0.5)
    mel = torch.rand(80, 300)
    before = mel.clone()
    augment.mask_features(mel, 100, recipe, augment.draw(0, 0, "a"))
    assert not torch.equal(mel[:, :100], before[:, :100])
    assert torch.equal(mel[:, 100:], before[:, 100:])


def test_loss_that_is_not_finite_stops_before_the_step(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop.TeacherForcing, "forward", lambda self, mel, *_: mel.sum() * self.first() * torch.nan)
    monkeypatch.setattr(
        loop.TeacherForcing, "first", lambda self: next(p for p in self.parameters() if p.requires_grad).sum(), False
    )
    recipe = recipes.build({"model": {"base": str(tiny_models["english"])}, "train": {"epochs": 1}})
    with pytest.raises(RecipeError, match=r"before step 1: its loss is nan.*look at these utterances: [0-9a-f]{16}"):
        verbs.train(recipe, tiny_corpus, tmp_path)
    assert not (tmp_path / "adapter").exists()


def test_training_needs_train_and_dev(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    source = tiny.write_kaldi(tmp_path / "source")
    verbs.prepare([str(source)], tmp_path / "corpus", split="test")
    recipe = recipes.build({"model": {"base": str(tiny_models["english"])}})
    with pytest.raises(InputError, match="no utterances in train and dev"):
        verbs.train(recipe, tmp_path / "corpus", tmp_path / "run")


def test_damaged_checkpoint_is_named(tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path) -> None:
    settings = {"model": {"base": str(tiny_models["english"])}, "train": {"epochs": 1}, "decode": {"tokens_base": 4}}
    recipe = recipes.build(settings)
    verbs.train(recipe, tiny_corpus, tmp_path)
    path = tmp_path / "checkpoints" / "member-0" / "last" / "trained.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SmallvoiceError, match=r"checkpoint in .* is damaged.*Delete that folder"):
        verbs.train(recipe, tiny_corpus, tmp_path)
