"""Every strategy: what moves and nothing else, and that what is saved does what was trained."""

from __future__ import annotations

import copy
import errno
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file, save_file
from safetensors.torch import save as serialize
from tests.conftest import needs_weights
from tests.model.training_steps import Steps, inputs, logits, take_steps
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from smallvoice.corpus.text_style import TextFacts
from smallvoice.decoding.models import open_model
from smallvoice.errors import InputError, RecipeError
from smallvoice.model import adapt, lowrank, quantize, saving, tuned, weights
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import ModelRecipe, Recipe, TrainRecipe

ATTENTION = r"model\.(encoder|decoder)\.layers\.\d\.(self|encoder)_attn\.(q|k|v|out)_proj\."
FACTORS = ATTENTION + r"lora_[AB]\.default\.weight"
NORM = r"layer_norm\.(weight|bias)"
TOP = r"model\.decoder\.layers\.1\."
ALL_BUT_POSITIONS = r"(?!model\.encoder\.embed_positions).*"


def on_attention(part: str = "both", **settings: Any) -> ModelRecipe:
    return ModelRecipe(part=part, targets=["q_proj", "k_proj", "v_proj", "out_proj"], **settings)


# d = 16, inner 32, two layers on either side: 2 encoder attentions and 4 decoder attentions, of 4 linear layers each.
CASES: dict[str, tuple[ModelRecipe, str, int]] = {
    "lora": (on_attention(rank=2), FACTORS, 24 * 2 * 32),
    "lora, feed-forward too": (
        ModelRecipe(rank=2, part="both", targets=["q_proj", "v_proj", "fc1", "fc2"]),
        r".*\.(q_proj|v_proj|fc1|fc2)\.lora_[AB]\.default\.weight",
        12 * 2 * 32 + 8 * 2 * 48,
    ),
    "lora, hearing": (
        ModelRecipe(rank=2),
        r"model\.(encoder|decoder\.layers\.\d\.encoder_attn)\..*\.lora_[AB]\.default\.weight",
        16 * 2 * 32 + 4 * 2 * 48,
    ),
    "lora, encoder": (
        on_attention(rank=2, part="encoder"),
        r"model\.encoder\..*\.lora_[AB]\.default\.weight",
        8 * 2 * 32,
    ),
    "lora, decoder": (
        on_attention(rank=2, part="decoder"),
        r"model\.decoder\..*\.lora_[AB]\.default\.weight",
        16 * 2 * 32,
    ),
    "lora, chosen layers": (
        on_attention(rank=2, layers=["encoder.layers.[1-9]", "decoder.layers.0.encoder_attn.q_proj"]),
        r"model\.(encoder\.layers\.1\..*|decoder\.layers\.0\.encoder_attn\.q_proj)\.lora_[AB]\.default\.weight",
        5 * 2 * 32,
    ),
    "rslora": (on_attention(strategy="rslora", rank=2), FACTORS, 24 * 2 * 32),
    "dora": (
        on_attention(strategy="dora", rank=2),
        ATTENTION + r"lora_([AB]|magnitude_vector)\.default\.weight",
        24 * (2 * 32 + 16),
    ),
    "pissa": (on_attention(strategy="pissa", rank=2), FACTORS, 24 * 2 * 32),
    "adalora": (on_attention(strategy="adalora", rank=2), ATTENTION + r"lora_[ABE]\.default", 24 * 3 * 33),
    "bottleneck": (
        ModelRecipe(strategy="bottleneck", bottleneck=4, part="both"),
        r".*\.(out_proj|fc2)\.(down|up)\.(weight|bias)",
        10 * (2 * 4 * 16 + 4 + 16),
    ),
    "bottleneck, decoder": (
        ModelRecipe(strategy="bottleneck", bottleneck=4, part="decoder"),
        r"model\.decoder\..*\.(out_proj|fc2)\.(down|up)\.(weight|bias)",
        6 * (2 * 4 * 16 + 4 + 16),
    ),
    "selective, top encoder layer": (
        ModelRecipe(strategy="selective", top_encoder_layers=1),
        r"model\.encoder\.layers\.1\..*",
        4 * 256 + 3 * 16 + 2 * 32 + 2 * 512 + 48,
    ),
    "selective, top decoder layer and norms": (
        ModelRecipe(strategy="selective", top_decoder_layers=1, norms=True),
        rf"{TOP}.*|.*{NORM}",
        2 * (4 * 256 + 3 * 16) + 3 * 32 + 2 * 512 + 48 + 9 * 32,
    ),
    "selective, norms": (ModelRecipe(strategy="selective", norms=True), rf".*{NORM}", 12 * 32),
    "selective, biases": (ModelRecipe(strategy="selective", biases=True), r".*\.bias", 304 + 400),
    "selective, layers": (
        ModelRecipe(strategy="selective", layers=["conv?"]),
        r"model\.encoder\.conv[12]\.(weight|bias)",
        80 * 16 * 3 + 16 * 16 * 3 + 32,
    ),
    "full": (ModelRecipe(strategy="full"), ALL_BUT_POSITIONS, 9_088 + 843_664),
    "full, encoder": (ModelRecipe(strategy="full", part="encoder"), r"model\.encoder\.(?!embed_positions).*", 9_088),
    "full, decoder": (ModelRecipe(strategy="full", part="decoder"), r"model\.decoder\..*", 843_664),
}
KINDS = ["lora", "lora, chosen layers", "rslora", "dora", "pissa", "adalora"]
"""Those that PEFT loads."""
OTHERS = ["bottleneck", "selective, top decoder layer and norms", "selective, biases", "full"]


@pytest.mark.parametrize("name", CASES)
def test_exactly_what_should_move_moves(tiny_models: dict[str, Path], name: str) -> None:
    recipe, pattern, number = CASES[name]
    whisper = weights.load(str(tiny_models["multilingual"]))
    network = adapt.adapt(whisper, recipe, seed=0, num_steps=20)
    before = {name: parameter.detach().clone() for name, parameter in whisper.network.named_parameters()}
    take_steps(network, 2)
    after = dict(whisper.network.named_parameters())
    expected = {name for name in before if re.fullmatch(pattern, name)}
    assert expected
    assert {name for name in before if not torch.equal(before[name], after[name])} == expected
    assert adapt.count_parameters(network).trainable == number == sum(before[name].numel() for name in expected)


@pytest.mark.parametrize("name", CASES)
def test_what_begins_does_not_depend_on_what_was_drawn_before(tiny_models: dict[str, Path], name: str) -> None:
    def begun(seed: int) -> torch.Tensor:
        torch.rand(3)
        network = adapt.adapt(weights.load(str(tiny_models["multilingual"])), CASES[name][0], seed, num_steps=20)
        return torch.cat([p.detach().flatten() for p in network.parameters() if p.requires_grad])

    assert torch.equal(begun(1), begun(1))


@pytest.mark.parametrize("name", CASES)
def test_training_begins_at_the_base(tiny_models: dict[str, Path], name: str) -> None:
    whisper = weights.load(str(tiny_models["multilingual"]))
    expected = logits(whisper.network)
    adapt.adapt(whisper, CASES[name][0], seed=0, num_steps=20)
    assert torch.allclose(logits(whisper.network), expected, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_peft_loads_it_onto_the_untouched_base(tiny_models: dict[str, Path], tmp_path: Path, name: str) -> None:
    _, expected = trained(tiny_models["multilingual"], CASES[name][0], tmp_path / "result")
    plain = WhisperForConditionalGeneration.from_pretrained(tiny_models["multilingual"])
    assert not torch.allclose(logits(plain), expected, atol=1e-2), "it has learned something"
    loaded = PeftModel.from_pretrained(plain, str(tmp_path / "result"))
    assert torch.allclose(logits(loaded.base_model.model), expected, atol=1e-5)
    config = json.loads((tmp_path / "result" / "adapter_config.json").read_text())
    assert config["task_type"] is None
    assert config["init_lora_weights"] is True, "loading begins with nothing that changes the base"


@pytest.mark.parametrize("name", [*KINDS, *OTHERS])
def test_smallvoice_loads_it(tiny_models: dict[str, Path], tmp_path: Path, name: str) -> None:
    recipe = CASES[name][0]
    _, expected = trained(tiny_models["multilingual"], recipe, tmp_path / "result")
    loaded, count = saving.load(tmp_path / "result", lambda: weights.load(str(tiny_models["multilingual"])))
    assert torch.allclose(logits(loaded.network), expected, atol=1e-5)
    assert not loaded.network.training
    own = {"pissa": 2 * CASES[name][2], "adalora": None}.get(recipe.strategy, CASES[name][2])
    assert own is None or count.trainable == own
    base = 24_000 + 9_088 + 843_664
    assert count.total == base + (count.trainable if recipe.strategy not in ("selective", "full") else 0)


@pytest.mark.parametrize("name", OTHERS[1:])
def test_plain_transformers_loads_it(tiny_models: dict[str, Path], tmp_path: Path, name: str) -> None:
    _, expected = trained(tiny_models["multilingual"], CASES[name][0], tmp_path / "result")
    plain = WhisperForConditionalGeneration.from_pretrained(tmp_path / "result")
    assert torch.allclose(logits(plain), expected, atol=1e-5)
    base = WhisperForConditionalGeneration.from_pretrained(tiny_models["multilingual"])
    assert plain.generation_config.to_dict() == base.generation_config.to_dict()
    processor = WhisperProcessor.from_pretrained(tmp_path / "result")
    assert processor.tokenizer.decode(processor.tokenizer("a cat").input_ids, skip_special_tokens=True) == "a cat"
    assert processor.feature_extractor.feature_size == 80
    facts = tuned.read(tmp_path / "result")
    assert re.fullmatch(CASES[name][1], facts.moved[0])
    for path in (tmp_path / "result").iterdir():
        assert str(tiny_models["multilingual"].parent).encode() not in path.read_bytes(), path.name


def test_moved_weights_need_no_base_and_no_run(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    trained(tiny_models["multilingual"], CASES["full"][0], tmp_path / "result")
    model = open_model(str(tmp_path / "result"))
    assert (model.whisper.name, model.system, model.window) == ("some/whisper", "tuned", FULL_WINDOW)
    assert model.parameters.trainable == CASES["full"][2]
    content = json.loads((tmp_path / "result" / tuned.FILE).read_text())
    (tmp_path / "result" / tuned.FILE).write_text(json.dumps(content | {"moved": ["model.nowhere"]}))
    with pytest.raises(InputError, match=r"no weight model\.nowhere"):
        open_model(str(tmp_path / "result"))


def test_full_disk_is_told_from_other_failures(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    result = saving.result_of(adapt.adapt(whisper, ModelRecipe(strategy="full"), seed=0))

    def fail(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(whisper.network, "save_pretrained", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        saving.save(tmp_path, result, whisper)
    assert caught.value.errno == errno.ENOSPC


def test_bottleneck_adapters_of_another_model_are_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    trained(tiny_models["multilingual"], CASES["bottleneck"][0], tmp_path)
    tensors = load_file(tmp_path / saving.BOTTLENECK)
    layer = "model.encoder.layers.0.fc2"
    for change in (
        {f"{layer}.up.bias": torch.zeros(7)},
        {"model.encoder.layers.9.fc2.down.weight": torch.zeros(4, 16)},
    ):
        save_file(tensors | change, tmp_path / saving.BOTTLENECK)
        with pytest.raises(InputError, match="does not fit"):
            saving.load(tmp_path, lambda: weights.load(str(tiny_models["english"])))
    tensors.pop(f"{layer}.up.bias")
    save_file(tensors, tmp_path / saving.BOTTLENECK)
    with pytest.raises(InputError, match=r"up\.bias is missing"):
        saving.load(tmp_path, lambda: weights.load(str(tiny_models["english"])))


def test_adalora_ranks_fall_where_they_matter_least(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    whisper = weights.load(str(tiny_models["multilingual"]))
    network = adapt.adapt(whisper, on_attention(strategy="adalora", rank=2), seed=0, num_steps=20)
    steps, seen = Steps(network, TrainRecipe(learning_rate=0.01)), []
    for step in range(1, 21):
        steps.take(step, step)
        seen.append(adapt.live_ranks(network))
    assert set(seen[0]) == {name.removeprefix("model.") for name in linear_names(whisper)}
    totals = [sum(ranks.values()) for ranks in seen]
    assert totals[:2] == [24 * 3] * 2, "as it begins: 1.5 times the rank"
    assert totals[2:10] == sorted(totals[2:10], reverse=True)
    assert totals[9:] == [24 * 2] * 11, "on average the rank asked for"
    assert len(set(seen[-1].values())) > 1, "not the same everywhere"
    assert seen[9] == seen[-1]
    result = saving.result_of(network)
    live = {name: rank for name, rank in seen[-1].items() if rank}
    assert {name.removeprefix("model."): rank for name, rank in result.config.rank_pattern.items()} == live
    assert result.count(0).trainable == sum(live.values()) * 32


def test_adalora_layer_without_any_rank_left_is_kept(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    whisper = weights.load(str(tiny_models["multilingual"]))
    network = adapt.adapt(whisper, ModelRecipe(strategy="adalora", rank=2), seed=0, num_steps=8)
    take_steps(network, 8, TrainRecipe(learning_rate=0.02))
    emptied = next(p for name, p in network.named_parameters() if name.endswith("0.self_attn.q_proj.lora_E.default"))
    torch.nn.init.zeros_(emptied)
    expected = logits(whisper.network)
    saving.save(tmp_path, saving.result_of(network), whisper)
    plain = WhisperForConditionalGeneration.from_pretrained(tiny_models["multilingual"])
    loaded = PeftModel.from_pretrained(plain, str(tmp_path))
    assert torch.allclose(logits(loaded.base_model.model), expected, atol=1e-5)


def test_adalora_continues_as_if_it_had_not_stopped(tiny_models: dict[str, Path]) -> None:
    recipe = ModelRecipe(strategy="adalora", rank=2)

    def begin() -> Steps:
        network = adapt.adapt(weights.load(str(tiny_models["multilingual"])), recipe, seed=0, num_steps=14)
        return Steps(network, TrainRecipe(learning_rate=0.01))

    whole = begin()
    whole.take(1, 14)
    for stop in (4, 9):
        before, after = begin(), begin()
        before.take(1, stop)
        after.network.load_state_dict(before.network.state_dict())
        after.optimizer.load_state_dict(before.optimizer.state_dict())
        state = load_bytes(serialize(adapt.strategy_state(before.network)))
        adapt.load_strategy_state(after.network, state)
        after.take(stop + 1, 14)
        for name, parameter in whole.network.named_parameters():
            assert torch.equal(parameter, dict(after.network.named_parameters())[name]), (stop, name)


def test_orthogonality_is_that_of_the_paper(tiny_models: dict[str, Path]) -> None:
    network = adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(strategy="adalora"), 0, num_steps=9)
    distances = []
    for name, parameter in network.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            factor = parameter if ".lora_A." in name else parameter.T
            distances.append(float((factor @ factor.T - torch.eye(24)).square().sum().sqrt().detach()))
    assert float(adapt.extra_loss(network).detach()) == pytest.approx(0.5 * sum(distances) / len(distances), rel=1e-5)
    assert adapt.extra_loss(adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(), 0)) is None


def test_pissa_begins_with_the_largest_directions(tiny_models: dict[str, Path]) -> None:
    plain = weights.load(str(tiny_models["english"])).network
    network = adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(strategy="pissa", rank=3), seed=0)
    name = "model.decoder.layers.1.encoder_attn.v_proj"
    left, values, right = torch.linalg.svd(plain.get_submodule(name).weight)
    a, b = network.taken[name]
    assert torch.allclose(2 * 32 / 6 * b @ a, (left[:, :3] * values[:3]) @ right[:3], atol=1e-4)


@pytest.mark.parametrize("name", ["lora", "rslora", "pissa", "lora, hearing"])
def test_lora_computes_what_peft_computes(tiny_models: dict[str, Path], name: str) -> None:
    """`lowrank._forward` stands in for the forward pass of PEFT's own layer."""
    recipe = replace(CASES[name][0], dropout=0.3)
    network = adapt.adapt(weights.load(str(tiny_models["multilingual"])), recipe, seed=0)
    take_steps(network, 2)
    layers = lowrank.adapted_layers(network.network).values()

    def computed() -> tuple[torch.Tensor, list[torch.Tensor]]:
        network.train()
        torch.manual_seed(5)  # the same dropout
        output = network.get_base_model()(**inputs(3)).logits
        output.square().mean().backward()
        gradients = [p.grad.clone() for p in network.parameters() if p.requires_grad]
        network.zero_grad()
        return output.detach(), gradients

    ours, our_gradients = computed()
    for layer in layers:
        assert "forward" in vars(layer)
        del layer.forward
    theirs, their_gradients = computed()
    assert (ours - theirs).abs().max() < 1e-5
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-7)


def test_lora_plus_and_decay(tiny_models: dict[str, Path]) -> None:
    recipe = TrainRecipe(learning_rate=0.5, lora_plus=16.0, weight_decay=0.1)
    network = adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(strategy="dora"), seed=0)
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = {
        (group["lr"], group["weight_decay"]): {names[p].split(".lora_")[1].split(".")[0] for p in group["params"]}
        for group in adapt.parameter_groups(network, recipe)
    }
    assert groups == {(0.5, 0.1): {"A"}, (8.0, 0.1): {"B"}, (0.5, 0.0): {"magnitude_vector"}}
    plain = adapt.adapt(weights.load(str(tiny_models["english"])), on_attention(), seed=0)
    (group,) = adapt.parameter_groups(plain, TrainRecipe())
    assert len(group["params"]) == 2 * 24
    full = adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(strategy="full"), seed=0)
    decayed, kept = adapt.parameter_groups(full, TrainRecipe(weight_decay=0.1))
    assert {p.ndim for p in kept["params"]} == {1}
    assert {p.ndim for p in decayed["params"]} == {2, 3}
    with pytest.raises(RecipeError, match=r"lora_plus: full has no B"):
        adapt.parameter_groups(full, recipe)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layers": ["encoder.layers.7"]}, r"Nothing of the model moves.*encoder\.layers\.7"),
        ({"layers": ["encoder.layers"], "part": "decoder"}, "Nothing of the model moves"),
        ({"strategy": "selective"}, "needs to know what moves"),
        ({"strategy": "selective", "top_encoder_layers": 3}, "3 asked for, the model has 2"),
        ({"strategy": "selective", "top_decoder_layers": 1, "part": "encoder"}, "none of them moves"),
        ({"strategy": "lora", "norms": True}, r"model\.norms: only model\.strategy: selective"),
        ({"strategy": "lora", "initial_rank": 9}, "only model.strategy: adalora"),
        ({"strategy": "adalora", "initial_rank": 16}, "must begin above"),
        ({"strategy": "pissa", "rank": 17}, "17 is more than"),
        ({"strategy": "full", "quantize": "8bit"}, "full changes the base's own weights"),
        ({"strategy": "dora", "quantize": "8bit"}, "Use 4bit"),
        ({"strategy": "lora", "quantize": "4bit"}, "needs a CUDA device"),
    ],
)
def test_what_cannot_be_right_is_refused(
    tiny_models: dict[str, Path], settings: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "best_device", lambda: torch.device("cpu"))
    with pytest.raises(RecipeError, match=said):
        adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(**settings), seed=0)


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ({}, 1e-3),
        ({"strategy": "bottleneck"}, 1e-3),
        ({"strategy": "selective", "norms": True, "biases": True}, 1e-3),
        ({"strategy": "selective", "norms": True, "top_encoder_layers": 1}, 3e-5),
        ({"strategy": "selective", "layers": ["encoder.layers.1"]}, 3e-5),
        ({"strategy": "selective", "layers": ["encoder.layers.1"], "norms": True}, 1e-3),
        ({"strategy": "pissa", "rank": 2}, 3e-4),
        ({"strategy": "full"}, 3e-5),
    ],
)
def test_a_strategy_has_its_learning_rate(
    tiny_models: dict[str, Path], settings: dict[str, object], rate: float
) -> None:
    network = adapt.adapt(weights.load(str(tiny_models["english"])), ModelRecipe(**settings), seed=0)
    assert {group["lr"] for group in adapt.parameter_groups(network, TrainRecipe())} == {rate}
    assert {group["lr"] for group in adapt.parameter_groups(network, TrainRecipe(learning_rate=0.5))} == {0.5}


def test_training_that_does_not_go_with_the_strategy_is_refused() -> None:
    with pytest.raises(RecipeError, match="lora_plus: bottleneck has no B"):
        adapt.require_sense(Recipe(model=ModelRecipe(strategy="bottleneck"), train=TrainRecipe(lora_plus=4.0)))
    with pytest.raises(RecipeError, match="brings back the ranks"):
        adapt.require_sense(Recipe(model=ModelRecipe(strategy="adalora"), train=TrainRecipe(ema=0.9)))


@needs_weights("openai/whisper-base")
def test_whisper_base_counts() -> None:
    """By arithmetic: d = 512, inner 2,048, six layers on either side."""
    top = 4 * 512**2 + 3 * 512 + 2 * 1024 + 2 * 512 * 2048 + 2048 + 512
    expected = [
        (on_attention(strategy="dora"), 1_179_648 + 72 * 512),
        (on_attention(strategy="adalora"), 72 * 24 * 1025),
        (ModelRecipe(strategy="bottleneck", part="both"), 30 * (2 * 512 * 64 + 512 + 64)),
        (ModelRecipe(strategy="selective", top_encoder_layers=2), 2 * top),
        (ModelRecipe(), 48 * 16 * 1024 + 12 * 16 * 2560),
        (ModelRecipe(strategy="full"), 72_593_920 - 1500 * 512),
    ]
    base = weights.load("base")
    for recipe, number in expected:
        adapted = adapt.adapt(copy.deepcopy(base), recipe, seed=0)
        assert adapt.count_parameters(adapted).trainable == number, recipe


def linear_names(whisper: weights.Whisper) -> list[str]:
    names = (name for name, module in whisper.network.named_modules() if hasattr(module, "lora_E"))
    return [name for name in names if re.fullmatch(ATTENTION, f"{name}.")]


def trained(base: Path, recipe: ModelRecipe, folder: Path) -> tuple[weights.Whisper, torch.Tensor]:
    """Take a few large steps and save; the model and its logits."""
    whisper = weights.load(str(base))
    whisper.name = "some/whisper"
    network = adapt.adapt(whisper, recipe, seed=0, num_steps=8)
    take_steps(network, 8, TrainRecipe(learning_rate=0.02))
    expected = logits(whisper.network)
    result = saving.result_of(network)
    saving.save(folder, result, whisper)
    facts = tuned.TunedFacts(whisper.name, FULL_WINDOW, "en", "corpus", TextFacts("mixed", True, True), result.moved)
    tuned.write(folder, facts)
    return whisper, expected
