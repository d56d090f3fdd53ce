"""What was learned stays where the learners need it; the base's weights come back where other speech needs them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.training.results_made import SETTINGS, member, merged, untouched

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.corpus.utterance import open_corpus
from smallvoice.errors import RecipeError
from smallvoice.model import adapt, saving, weights
from smallvoice.model.strategies import matrix_names
from smallvoice.recipe import ModelRecipe, PreserveRecipe, WindowRecipe
from smallvoice.training import distributed
from smallvoice.training import setup as training_setup
from smallvoice.training.labels import token_ids
from smallvoice.training.preserve import AS_RECORDED, NUM_UTTERANCES, RIDGE, Moments, moments, preserve, speech_of

REFUSED = ("dora", "bottleneck")
TRIM = WindowRecipe(kind="trim")


def sizes(folder: Path) -> dict[str, int]:
    network = weights.load(str(folder)).network
    return {name: network.get_submodule(name).weight[0].numel() for name in matrix_names(network)}


@pytest.mark.parametrize("strategy", [name for name in SETTINGS if name not in REFUSED])
def test_what_other_speech_uses_goes_back_and_the_rest_stays(tiny_models: dict[str, Path], strategy: str) -> None:
    folder = tiny_models["multilingual"]
    recipe = ModelRecipe(strategy=strategy, rank=4, **SETTINGS[strategy])
    result = member(folder, recipe, seed=0)
    # The learners use every direction of the inputs, the others the first alone.
    learned = {name: torch.eye(size).double() for name, size in sizes(folder).items()}
    others = {name: torch.zeros_like(eye) for name, eye in learned.items()}
    for moment in others.values():
        moment[0, 0] = 30.0
    kept = preserve(result, learned, others, 0.1, weights.load(str(folder)).network)
    assert {name: value.shape for name, value in kept.tensors.items()} == {
        name: value.shape for name, value in result.tensors.items()
    }
    base, before, after = untouched(folder), merged(folder, result), merged(folder, kept)
    layers = {f"{name}.weight" for name in learned}
    changed = 0
    for name, start in base.items():
        change, left = ((one[name] - start).detach() for one in (before, after))
        if name in layers:
            change, left = change.flatten(1), left.flatten(1)
            assert torch.allclose(left[:, 0], change[:, 0] / (1 + 0.1 * 30 + RIDGE), atol=1e-5), name
            assert torch.allclose(left[:, 1:], change[:, 1:] / (1 + RIDGE), atol=1e-5), name
            changed += bool(change[:, 0].abs().max() > 1e-3)
        else:
            assert torch.allclose(left, change / 1.1, atol=1e-5), name
    assert changed >= 5


def read_by(
    whisper: weights.Whisper, result: saving.Result, corpus: Path, rows: slice, rates: tuple[int, ...] = AS_RECORDED
) -> Moments:
    utterances = list(open_corpus(corpus).utterances("train"))[rows]
    return moments(whisper, result, TRIM, utterances, lambda row: token_ids(whisper, row.text, "en"), rates)


def test_no_other_weights_are_nearer_to_both(tiny_models: dict[str, Path], tiny_corpus: Path) -> None:
    folder = tiny_models["multilingual"]
    result = member(folder, ModelRecipe(strategy="full", part="hearing"), seed=0)
    tuned, base = weights.load(str(folder)), weights.load(str(folder))
    saving.put(tuned, result)
    learned = {name: one.double() for name, one in read_by(tuned, result, tiny_corpus, slice(0, 4)).items()}
    others = {name: one.double() for name, one in read_by(base, result, tiny_corpus, slice(4, 8)).items()}
    kept = preserve(result, learned, others, 0.3, base.network)
    start = dict(base.network.named_parameters())

    def distance(name: str, weight: torch.Tensor) -> float:
        """The mean square of what the outputs are away from the tuned model's, and from the base's."""
        away = (weight - result.tensors[f"{name}.weight"]).detach().flatten(1).double()
        moved = (weight - start[f"{name}.weight"]).detach().flatten(1).double()
        return float(((away @ learned[name]) * away).sum() + 0.3 * ((moved @ others[name]) * moved).sum())

    layers = [name for name in learned if f"{name}.weight" in result.tensors]
    assert len(layers) >= 14
    for name in layers:
        weight = f"{name}.weight"
        found = distance(name, kept.tensors[weight])
        between = [start[weight].lerp(result.tensors[weight], share) for share in (0.0, 0.5, 1 / 1.3, 0.9, 1.0)]
        assert found < 0.999 * min(distance(name, other) for other in between), name


def test_moments_are_those_of_the_inputs(tiny_models: dict[str, Path], tiny_corpus: Path) -> None:
    folder = tiny_models["multilingual"]
    whisper, result = weights.load(str(folder)), member(folder, ModelRecipe(strategy="full"), seed=0)
    layer = whisper.network.model.encoder.conv1
    outputs = []
    hook = layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output[0] - layer.bias[:, None]))
    found = read_by(whisper, result, tiny_corpus, slice(0, 2))
    hook.remove()
    assert {name: len(moment) for name, moment in found.items()} == sizes(folder)
    assert all(torch.allclose(moment, moment.T, rtol=1e-5, atol=1e-6) for moment in found.values())
    # The mean squares of a convolution's outputs follow from the moments of what it hears.
    kernel = layer.weight.detach().flatten(1).double()
    expected = torch.cat(outputs, dim=1).detach().double().square().mean(1)
    assert torch.allclose(((kernel @ found["model.encoder.conv1"].double()) * kernel).sum(1), expected, rtol=1e-4)
    assert not layer._forward_pre_hooks
    encoder = member(folder, ModelRecipe(strategy="full", part="encoder"), seed=0)
    assert all(".encoder." in name for name in read_by(whisper, encoder, tiny_corpus, slice(0, 1)))


def test_a_telephone_carries_nothing_above_4_khz(tiny_models: dict[str, Path], tiny_corpus: Path) -> None:
    folder = tiny_models["multilingual"]
    whisper, result = weights.load(str(folder)), member(folder, ModelRecipe(strategy="full"), seed=0)
    wide, narrow, both = (
        read_by(whisper, result, tiny_corpus, slice(0, 3), rates) for rates in (AS_RECORDED, (8_000,), (16_000, 8_000))
    )
    for name, moment in both.items():
        assert torch.allclose(moment, (wide[name] + narrow[name]) / 2, rtol=1e-4, atol=1e-5), name
    # Whisper's first layer hears mel bins; those of the upper half of the frequencies are at the floor, all alike.
    mels = whisper.network.config.num_mel_bins
    now = torch.arange(mels) * 3 + 1  # of the kernel's three frames the middle one
    bins = {name: one["model.encoder.conv1"][now][:, now] for name, one in (("wide", wide), ("narrow", narrow))}
    silent = {name: (one[-4:, -4:].max() - one[-4:, -4:].min()).item() for name, one in bins.items()}
    assert 10 * silent["narrow"] < silent["wide"]
    assert torch.allclose(bins["narrow"][:20, :20], bins["wide"][:20, :20], atol=0.02)


def test_who_is_only_preserved_is_known_to_have_been_used(tiny_models: dict[str, Path], tiny_corpus: Path) -> None:
    """They fix the weights: a score on them is none of other speech."""
    rows = open_corpus(tiny_corpus).columns("train", ["id", "speaker"]).to_pylist()
    someone = rows[0]["speaker"]
    recipe = recipes.build(
        {
            "model": {"base": str(tiny_models["english"]), "strategy": "full"},
            "train": {
                "mix": [{"select": f'speaker != "{someone}"', "weight": 1.0}],
                "preserve": {"select": f'speaker == "{someone}"', "weight": 0.1},
            },
        }
    )
    whisper = weights.load(recipe.model.base)
    setup = training_setup.Setup(recipe, open_corpus(tiny_corpus), whisper, distributed.start(), "float32")
    used = {row["id"]: row["used_for"] for row in setup.trained_on()}
    assert {used[row["id"]] for row in rows if row["speaker"] == someone} == {"preserving"}
    assert {used[row["id"]] for row in rows if row["speaker"] != someone} == {"training"}


def test_both_kinds_are_found(tiny_corpus: Path) -> None:
    corpus = open_corpus(tiny_corpus)
    rows = corpus.columns("train", ["id", "speaker"]).to_pylist()
    someone = rows[0]["speaker"]
    ids = {row["id"] for row in rows}
    speech = speech_of(corpus, PreserveRecipe(select=f'speaker == "{someone}"'), ids, set())
    assert speech.preserved == {row["id"] for row in rows if row["speaker"] == someone}
    assert speech.learned == ids - speech.preserved
    assert len(speech.learned) <= NUM_UTTERANCES
    too_long = min(speech.preserved)
    assert (
        too_long not in speech_of(corpus, PreserveRecipe(select=f'speaker == "{someone}"'), ids, {too_long}).preserved
    )
    with pytest.raises(RecipeError, match="no row of train is age_years > 99"):
        speech_of(corpus, PreserveRecipe(select="age_years > 99"), ids, set())
    with pytest.raises(RecipeError, match="all that is trained on"):
        speech_of(corpus, PreserveRecipe(select="duration_s > 0"), ids, set())


@pytest.mark.parametrize("strategy", REFUSED)
def test_what_is_no_change_of_weights_is_refused(tiny_models: dict[str, Path], strategy: str) -> None:
    recipe = recipes.build({"model": {"strategy": strategy}, "train": {"preserve": {"select": "age_years > 17"}}})
    with pytest.raises(RecipeError, match=r"train\.preserve: .* leave it out"):
        adapt.require_sense(recipe)
    folder = tiny_models["multilingual"]
    result = member(folder, ModelRecipe(strategy=strategy, rank=2, **SETTINGS[strategy]), seed=0)
    with pytest.raises(ValueError, match="can be preserved"):
        preserve(result, {}, {}, 0.1, weights.load(str(folder)).network)


def test_it_follows_training_and_another_weight_needs_none(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    someone = open_corpus(tiny_corpus).columns("train", ["speaker"]).to_pylist()[0]["speaker"]
    wish = f'speaker == "{someone}"'

    def recipe(weight: float) -> recipes.Recipe:
        return recipes.build(
            {
                "model": {"base": str(tiny_models["english"]), "strategy": "full", "part": "hearing", "save_rank": 8},
                "train": {
                    "members": 2,
                    "max_steps": 3,
                    "evaluations": 1,
                    "preserve": {"select": wish, "weight": weight},
                },
                "decode": {"tokens_base": 6, "tokens_per_s": 2.0},
            }
        )

    assert verbs.train(recipe(0.1), tiny_corpus, tmp_path)["chosen"] == f"average, preserving {wish}, rank 8"
    trained = (tmp_path / "metrics.jsonl").read_bytes()
    first = (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes()
    verbs.train(recipe(10.0), tiny_corpus, tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == trained
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() != first
    # What is preserved is heard over a telephone too: without that it is another adapter.
    monkeypatch.setattr(training_setup, "PRESERVED_RATES", AS_RECORDED)
    verbs.train(recipe(0.1), tiny_corpus, tmp_path)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() != first
