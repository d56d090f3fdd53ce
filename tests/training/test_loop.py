"""The loss, the schedule, augmentation, and the average of adapters."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests import tiny

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.corpus.utterance import open_corpus
from smallvoice.errors import InputError, RecipeError, SmallvoiceError
from smallvoice.model import adapt, device, weights
from smallvoice.model import window as windows
from smallvoice.model.prompt import prefix_ids
from smallvoice.recipe import AugmentRecipe, ModelRecipe, Recipe, TrainRecipe
from smallvoice.run_folder import RunFolder
from smallvoice.scoring.word_errors import ErrorCounts
from smallvoice.storage import read_json, read_jsonl
from smallvoice.training import augment, checkpoint, loop, train
from smallvoice.training.average import average_products
from smallvoice.training.ema import RunningAverage
from smallvoice.training.labels import IGNORED, collate, token_ids
from smallvoice.training.objective import TeacherForcing, schedule


def test_schedule() -> None:
    recipe = TrainRecipe(learning_rate=0.5, warmup=0.1, schedule="cosine")
    rates = [schedule(step, 100, recipe) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 0.001
    linear = TrainRecipe(learning_rate=1.0, warmup=0.0, schedule="linear")
    assert [schedule(step, 4, linear) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    constant = TrainRecipe(learning_rate=1.0, warmup=0.0, schedule="constant")
    assert schedule(99, 100, constant) == 1.0


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_loss_does_not_depend_on_the_batch(tiny_models: dict[str, Path], kind: str) -> None:
    whisper = weights.load(str(tiny_models[kind]))
    model = TeacherForcing(adapt.adapt(whisper, ModelRecipe(), seed=0), TrainRecipe()).eval()
    prefix, end = len(prefix_ids(whisper.generation, "en")), whisper.generation.eos_token_id
    sequences = [token_ids(whisper, text, "en") for text in ("a cat", "the dog runs home", "no")]
    mel = windows.features([tiny.tone(1.0, seed) for seed in range(3)], 150, whisper.network)

    def loss(rows: slice) -> float:
        labels = collate(sequences[rows], prefix, end)
        return float(model(mel[None, rows], labels.inputs, labels.targets))

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
        model = TeacherForcing(
            adapt.adapt(whisper, ModelRecipe(), seed=0), TrainRecipe()
        ).eval()  # an adapter that does nothing yet
        assert float(model(mel[None], labels.inputs, labels.targets)) / labels.num_tokens == pytest.approx(
            float(expected)
        )


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


def make_recipe(model: Path, **train: object) -> Recipe:
    settings = {"epochs": 2, "batch_size": 4, "evaluations": 2, "checkpoint_every": 2}
    return recipes.build(
        {
            "model": {"base": str(model), "rank": 2},
            "augment": {"speed": 0.1, "time_masks": 1},
            "train": settings | train,
            "decode": {"tokens_base": 4, "tokens_per_s": 1.0},
        }
    )


def rows(run: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(run / "metrics.jsonl") if row["kind"] == kind]


def weights_of(run: Path) -> bytes:
    return (run / "adapter" / "adapter_model.safetensors").read_bytes()


def test_label_smoothing(tiny_models: dict[str, Path]) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    network = adapt.adapt(whisper, ModelRecipe(), seed=0).eval()
    prefix, end = len(prefix_ids(whisper.generation, "en")), whisper.generation.eos_token_id
    labels = collate([token_ids(whisper, "a cat", "en"), token_ids(whisper, "no", "en")], prefix, end)
    mel = windows.features([tiny.tone(1.0), tiny.tone(1.2)], 150, whisper.network)
    with torch.no_grad():
        hidden = windows.encode(whisper.network, mel).last_hidden_state
        logits = whisper.network.proj_out(
            whisper.network.model.decoder(input_ids=labels.inputs, encoder_hidden_states=hidden).last_hidden_state
        )
        logprobs = logits.log_softmax(-1)[labels.targets != IGNORED]
        targets = labels.targets[labels.targets != IGNORED]
        own, all_of_them = logprobs[range(len(targets)), targets], logprobs.mean(-1)
        expected = -(0.9 * own + 0.1 * all_of_them).sum()
        found = TeacherForcing(network, TrainRecipe(label_smoothing=0.1))(mel[None], labels.inputs, labels.targets)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert abs(float(expected) + float(own.sum())) > 1e-3


def test_two_hearings_are_to_be_written_alike(tiny_models: dict[str, Path]) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    network = adapt.adapt(whisper, ModelRecipe(strategy="full"), seed=0).eval()
    prefix, end = len(prefix_ids(whisper.generation, "en")), whisper.generation.eos_token_id
    labels = collate([token_ids(whisper, "a cat", "en"), token_ids(whisper, "no", "en")], prefix, end)
    mel = torch.stack(
        [windows.features([tiny.tone(1.0, seed), tiny.tone(1.2, seed)], 150, whisper.network) for seed in (0, 1)]
    )
    once = TeacherForcing(network, TrainRecipe())

    def logprobs(hearing: torch.Tensor) -> torch.Tensor:
        hidden = windows.encode(whisper.network, hearing).last_hidden_state
        states = whisper.network.model.decoder(input_ids=labels.inputs, encoder_hidden_states=hidden).last_hidden_state
        return whisper.network.proj_out(states).log_softmax(-1)[labels.targets != IGNORED]

    with torch.no_grad():
        found = TeacherForcing(network, TrainRecipe(consistency=1e5))(mel, labels.inputs, labels.targets)
        said = sum(float(once(one[None], labels.inputs, labels.targets)) for one in mel) / 2
        first, second = (logprobs(one) for one in mel)
    apart = ((first.exp() - second.exp()) * (first - second)).sum() / 2
    assert float(found) > 1.01 * said
    assert float(found) - said == pytest.approx(1e5 * float(apart), rel=0.02)


@pytest.mark.parametrize(
    "settings", [ModelRecipe(), ModelRecipe(strategy="full", part="hearing")], ids=["lora", "hearing"]
)
def test_weights_rounded_beforehand_give_autocasts_own_bits(
    tiny_models: dict[str, Path], settings: ModelRecipe
) -> None:
    whisper = weights.load(str(tiny_models["multilingual"]))
    model = TeacherForcing(adapt.adapt(whisper, settings, seed=0), TrainRecipe(), "bfloat16").train()
    prefix, end = len(prefix_ids(whisper.generation, "en")), whisper.generation.eos_token_id
    labels = collate([token_ids(whisper, "a cat", "en"), token_ids(whisper, "no", "en")], prefix, end)
    mel = windows.features([tiny.tone(1.0), tiny.tone(1.2)], 150, whisper.network)
    batch = (mel[None], labels.inputs, labels.targets)

    def gradients(loss: torch.Tensor) -> list[torch.Tensor]:
        loss.backward()
        found = [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.requires_grad)]
        model.zero_grad()
        return found

    with torch.autocast("cpu", torch.bfloat16):
        plain = model(*batch)
    expected = gradients(plain)
    assert all(torch.equal(one, other) for one, other in zip(gradients(model.loss(*batch)), expected, strict=True))
    plain = TeacherForcing(model.network, TrainRecipe())
    assert float(expected[0]) != float(plain.loss(*batch).detach())  # it was another precision
    moving = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not moving & set(model.rounded)
    assert {name.split(".")[-2] for name in model.rounded} >= {"proj_out", "fc1"}
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_checkpointed_layers_give_the_same_gradients(tiny_models: dict[str, Path]) -> None:
    whisper = weights.load(str(tiny_models["multilingual"]))
    model = TeacherForcing(adapt.adapt(whisper, ModelRecipe(dropout=0.2), seed=0), TrainRecipe()).train()
    prefix, end = len(prefix_ids(whisper.generation, "en")), whisper.generation.eos_token_id
    labels = collate([token_ids(whisper, "a cat", "en")], prefix, end)
    mel = windows.features([tiny.tone(1.0)], 150, whisper.network)
    layers = [*whisper.network.model.encoder.layers, *whisper.network.model.decoder.layers]
    calls = []
    for layer in layers:
        layer.fc1.register_forward_hook(lambda *_: calls.append(1))

    def gradients() -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        model(mel[None], labels.inputs, labels.targets).backward()
        found = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
        model.zero_grad()
        return found

    plain, once = gradients(), len(calls)
    with loop.recomputed(whisper.network, wanted=True):
        again = gradients()
    assert once == len(layers)
    assert len(calls) == 3 * once  # computed a second time for the gradients
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert any(gradient.any() for name, gradient in plain.items() if ".encoder." in name)
    gradients()
    assert len(calls) == 4 * once


def test_two_trainings_give_the_same_bits(tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path) -> None:
    recipe = make_recipe(tiny_models["english"], epochs=1, accumulate=2, gradient_checkpointing=True)
    torch.manual_seed(1)
    verbs.train(recipe, tiny_corpus, tmp_path / "a")
    torch.manual_seed(2)
    verbs.train(recipe, tiny_corpus, tmp_path / "b")
    assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")


def test_two_hearings_are_drawn_apart_and_recorded(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    settings = make_recipe(tiny_models["english"], epochs=1)
    changes = AugmentRecipe(vocal_tract=0.1, time_masks=1)
    once, twice = (
        replace(settings, augment=changes, train=replace(settings.train, consistency=share)) for share in (0.0, 0.5)
    )
    for name, recipe in (("once", once), ("twice", twice), ("again", twice)):
        verbs.train(recipe, tiny_corpus, tmp_path / name)
    assert weights_of(tmp_path / "twice") == weights_of(tmp_path / "again") != weights_of(tmp_path / "once")
    found = {
        name: read_jsonl(tmp_path / name / "checkpoints" / "member-0" / "heard.jsonl") for name in ("once", "twice")
    }
    tracts = [(row["vocal_tract"], row.pop("vocal_tract_again")) for row in found["twice"]]
    assert found["twice"] == found["once"], "the first hearing is what it was"
    assert all(first != second and 0.9 <= second <= 1.1 for first, second in tracts)
    assert "consistency" not in recipes.of_a_member(once)["train"], "what was trained before keeps its key"
    assert recipes.of_a_member(twice)["train"]["consistency"] == 0.5


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_running_average_is_kept_and_continues_to_the_same_bits(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    recipe = make_recipe(tiny_models["english"], ema=0.9, accumulate=2, checkpoint_every=1)
    verbs.train(recipe, tiny_corpus, tmp_path / "whole")
    save = checkpoint.save

    def save_and_stop(folder: Path, state: checkpoint.State, progress: checkpoint.Progress) -> None:
        save(folder, state, progress)
        if progress.step == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        verbs.train(recipe, tiny_corpus, tmp_path / "cut")
    monkeypatch.undo()
    verbs.train(recipe, tiny_corpus, tmp_path / "cut")
    assert weights_of(tmp_path / "cut") == weights_of(tmp_path / "whole")
    last = tmp_path / "whole" / "checkpoints" / "member-0" / "last"
    own, average = (load_file(last / f"{name}.safetensors") for name in ("trained", "average"))
    kept = load_file(tmp_path / "whole" / "adapter" / "adapter_model.safetensors")
    best = load_file(next(last.parent.glob("best-*")) / "trained.safetensors")
    assert own.keys() == average.keys() == best.keys()
    assert {tensor.numpy().tobytes() for tensor in kept.values()} == {t.numpy().tobytes() for t in best.values()}
    assert not any(torch.equal(own[name], best[name]) for name in own if "lora_B" in name)


def test_running_average() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    average = RunningAverage(network, decay=0.5)
    expected = 1.0
    for step in range(1, 21):
        torch.nn.init.constant_(network.weight, float(step))
        average.update(step)
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * step
    with pytest.raises(ZeroDivisionError), average.in_place():
        assert float(network.weight.detach()) == pytest.approx(expected)
        raise ZeroDivisionError
    assert float(network.weight.detach()) == 20.0
    with pytest.raises(KeyError):
        average.load({"other": torch.ones(1)})


@pytest.mark.parametrize(("patience", "ended", "kept"), [(1, 4, 2), (2, 6, 2), (None, 8, 8)])
def test_early_stopping(
    tiny_models: dict[str, Path],
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: int | None,
    ended: int,
    kept: int,
) -> None:
    errors = iter([8, 8, 9, 7])
    monkeypatch.setattr(train.Setup, "dev_errors", lambda self: ErrorCounts(words=10, substitutions=next(errors)))
    recipe = make_recipe(tiny_models["english"], epochs=4, max_steps=8, evaluations=4, patience=patience)
    verbs.train(recipe, tiny_corpus, tmp_path)
    assert rows(tmp_path, "step")[-1]["step"] == ended
    assert [row["step"] for row in rows(tmp_path, "stopped")] == ([] if patience is None else [ended])
    assert (tmp_path / "checkpoints" / "member-0" / f"best-{kept}").is_dir()
    verbs.train(recipe, tiny_corpus, tmp_path)  # it has ended: no decoding is left in `errors`
    assert rows(tmp_path, "step")[-1]["step"] == ended


def test_patience_is_kept_by_a_checkpoint(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([8, 8, 9, 7])
    monkeypatch.setattr(train.Setup, "dev_errors", lambda self: ErrorCounts(words=10, substitutions=next(errors)))
    recipe = make_recipe(tiny_models["english"], epochs=4, max_steps=8, evaluations=4, patience=2)
    save = checkpoint.save

    def save_and_stop(folder: Path, state: checkpoint.State, progress: checkpoint.Progress) -> None:
        save(folder, state, progress)
        if progress.step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.checkpoint, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        verbs.train(recipe, tiny_corpus, tmp_path)
    monkeypatch.setattr(loop.checkpoint, "save", save)
    verbs.train(recipe, tiny_corpus, tmp_path)
    assert rows(tmp_path, "step")[-1]["step"] == 6


def test_some_of_dev_choose(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    source = tiny.write_kaldi(tmp_path / "source")
    shares = {"train": 0.5, "dev": 0.5, "test": 0.0}
    verbs.prepare(
        [str(source)],
        tmp_path / "corpus",
        recipe=recipes.build({"corpus": {"language": "en", "split": shares}}).corpus,
    )
    corpus = open_corpus(tmp_path / "corpus")
    chosen = {row.id: len(row.text.split()) for row in corpus.utterances("dev", 'gender == "f"')}
    assert 0 < len(chosen) < corpus.splits()["dev"]
    recipe = make_recipe(tiny_models["english"], max_steps=1, evaluations=1, select_dev='gender == "f"')
    verbs.train(recipe, tmp_path / "corpus", tmp_path / "run")
    assert rows(tmp_path / "run", "dev")[0]["words"] == sum(chosen.values())
    seen = read_jsonl(tmp_path / "run" / "trained_on.jsonl")
    assert {row["id"] for row in seen if row["used_for"] == "selection"} == set(chosen)
    with pytest.raises(RecipeError, match=r"train.select_dev: no row of dev is age_years > 70"):
        verbs.train(
            make_recipe(tiny_models["english"], select_dev="age_years > 70"), tmp_path / "corpus", tmp_path / "none"
        )


def test_precisions_do_not_disturb_each_other(tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path) -> None:
    wishes = ["float32", "bfloat16", "float32"]
    for number, precision in enumerate(wishes):
        recipe = make_recipe(tiny_models["english"], max_steps=2, evaluations=1, precision=precision)
        verbs.train(recipe, tiny_corpus, tmp_path / str(number))
    first, reduced, again = (rows(tmp_path / str(number), "step")[0]["loss"] for number in range(3))
    assert first == again
    assert weights_of(tmp_path / "0") == weights_of(tmp_path / "2")
    assert reduced != first
    assert reduced == pytest.approx(first, rel=0.02)


def test_a_run_says_in_what_precision_its_parts_were_trained(
    tiny_models: dict[str, Path],
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recipe = make_recipe(tiny_models["english"], max_steps=3, evaluations=1, checkpoint_every=1)

    save = checkpoint.save

    def save_and_stop(folder: Path, state: checkpoint.State, progress: checkpoint.Progress) -> None:
        save(folder, state, progress)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(device, "training_precision", lambda *_: "float32")
        patch.setattr(checkpoint, "save", save_and_stop)
        train.train(recipe, tiny_corpus, tmp_path)
    monkeypatch.setattr(device, "training_precision", lambda *_: "bfloat16")
    assert train.train(recipe, tiny_corpus, tmp_path).precision == "float32, bfloat16"
    assert "Training began with float32 and continues with bfloat16" in caplog.text
    assert train.train(recipe, tiny_corpus, tmp_path).precision == "float32, bfloat16", "nothing is left to do"


def test_only_a_model_that_heard_silence_may_write_nothing(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    from smallvoice.decoding.models import open_model

    base = weights.load(str(tiny_models["multilingual"])).generation
    end = base.eos_token_id
    assert end in base.begin_suppress_tokens
    for silence in (0.0, 0.5):
        settings = {"base": str(tiny_models["multilingual"]), "rank": 2}
        recipe = recipes.build(
            {
                "corpus": {"language": "en"},
                "model": settings,
                "augment": {"silence": silence},
                "train": {"max_steps": 1, "evaluations": 1},
                "decode": {"tokens_base": 4, "tokens_per_s": 1.0},
            }
        )
        run = tmp_path / str(silence)
        verbs.train(recipe, tiny_corpus, run)
        first = open_model(str(run)).whisper.generation.begin_suppress_tokens
        assert (end in first) == (silence == 0)
        assert set(first) | {end} == set(base.begin_suppress_tokens)


def test_a_corpus_prepared_again_of_the_same_is_not_trained_on_again(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    recipe = recipes.build(
        {
            "corpus": {"language": "en"},
            "model": {"base": str(tiny_models["english"]), "rank": 2},
            "train": {"max_steps": 2, "evaluations": 1, "learning_rate": 0.02},
            "decode": {"tokens_base": 6, "tokens_per_s": 2.0},
        }
    )
    source, corpus, run = tmp_path / "source", tmp_path / "corpus", tmp_path / "run"
    tiny.write_kaldi(source)
    verbs.prepare([str(source)], corpus, recipe=recipe.corpus)
    key = open_corpus(corpus).facts["key"]
    verbs.train(recipe, corpus, run)
    trained = (run / "metrics.jsonl").read_bytes()  # with the seconds of each step
    for path in source.rglob("*"):
        os.utime(path, (1, 1))  # as after a copy
    verbs.prepare([str(source)], corpus, recipe=recipe.corpus)
    again = open_corpus(corpus).facts
    assert again["key"] == key and "keep the place" in again["notes"][-1], "made again, and the same"
    verbs.train(recipe, corpus, run)
    assert (run / "metrics.jsonl").read_bytes() == trained
    text = (source / "text").read_text(encoding="utf-8")
    (source / "text").write_text(text.replace("CAT", "DOG"), encoding="utf-8")
    verbs.prepare([str(source)], corpus, recipe=recipe.corpus)
    verbs.train(recipe, corpus, run)
    assert (run / "metrics.jsonl").read_bytes() != trained


def test_another_adapter_does_not_keep_the_scores_of_the_one_before(
    tuned_run: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tuned_run, run.path)
    claims = (run.comparison, run.report, run.card)
    for path in claims:
        path.write_text("of the adapter that is here", encoding="utf-8")
    recipe = recipes.load(run.recipe)
    verbs.train(recipe, tiny_corpus, run.path)
    assert all(path.is_file() for path in claims), "the same adapter: what is said of it holds"
    verbs.train(replace(recipe, train=replace(recipe.train, seed=1)), tiny_corpus, run.path)
    assert not any(path.exists() for path in claims)


def test_a_training_that_fails_leaves_no_adapter_of_another_recipe_in_its_place(
    tuned_run: Path,
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tuned_run, run.path)
    run.report.write_text("of the adapter that is here", encoding="utf-8")
    before, recipe = weights_of(run.path), recipes.load(run.recipe)
    another = replace(recipe, train=replace(recipe.train, learning_rate=0.03))

    def fails(member: loop.Member) -> checkpoint.Progress:
        raise RecipeError("its loss is nan")

    with monkeypatch.context() as patched:
        patched.setattr(train, "train_member", fails)
        for _ in range(2):
            with pytest.raises(RecipeError, match="nan"):
                verbs.train(another, tiny_corpus, run.path)
            assert recipes.load(run.recipe) == another and not run.adapter.exists() and not run.report.exists()
            assert (run.earlier_adapter / "adapter_model.safetensors").read_bytes() == before, "nothing is lost"
    assert caplog.text.count(f"the adapter of before is kept as {run.earlier_adapter}") == 1
    verbs.train(another, tiny_corpus, run.path)
    assert weights_of(run.path) != before and not run.earlier_adapter.exists()


def test_a_finished_training_keeps_its_adapter_in_its_place(
    tuned_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tuned_run, run.path)
    monkeypatch.setattr(train, "_write_result", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        verbs.train(recipes.load(run.recipe), tiny_corpus, run.path)
    assert weights_of(run.path) == weights_of(tuned_run) and not run.earlier_adapter.exists()


def test_told_to_stop_while_dev_is_decoded_after_the_last_step(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = train.Setup.dev_errors

    def interrupted(setup: train.Setup) -> ErrorCounts:
        signal.raise_signal(signal.SIGINT)
        return given(setup)

    recipe = make_recipe(tiny_models["english"], members=2, evaluations=1)
    monkeypatch.setattr(train.Setup, "dev_errors", interrupted)
    with pytest.raises(KeyboardInterrupt):
        verbs.train(recipe, tiny_corpus, tmp_path)
    first = read_json(tmp_path / "checkpoints" / "member-0" / "last" / "progress.json")
    assert first["finished"] and not (tmp_path / "checkpoints" / "member-1").exists()
    monkeypatch.setattr(train.Setup, "dev_errors", given)
    verbs.train(recipe, tiny_corpus, tmp_path)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()


def test_a_finished_loop_is_freed_at_once(tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path) -> None:
    """Its moments and gradients are as large as what moves: no time to wait for a search for circles."""
    kept: list[weakref.ref[loop._Loop]] = []
    begin = loop._Loop.__init__

    def remembered(self: loop._Loop, member: loop.Member) -> None:
        begin(self, member)
        kept.append(weakref.ref(self))

    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop._Loop, "__init__", remembered)
            recipe = make_recipe(tiny_models["english"], consistency=1.0)
            recipe = replace(recipe, augment=replace(recipe.augment, vocal_tract=0.1))
            verbs.train(recipe, tiny_corpus, tmp_path)
        assert kept and kept[0]() is None
    finally:
        gc.enable()
