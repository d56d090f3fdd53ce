"""What a recipe will do: operations counted, batches timed, memory watched, and a training that agrees."""

from __future__ import annotations

import mmap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import WhisperConfig

from smallvoice import recipe_file as recipes
from smallvoice.corpus.utterance import open_corpus
from smallvoice.model import weights
from smallvoice.recipe import Recipe
from smallvoice.training import calibrate, distributed, estimate, memory, plan
from smallvoice.training.calibrate import EpochPlan, Measured
from smallvoice.training.setup import Setup
from smallvoice.training.train import train

BASE = WhisperConfig(
    d_model=512, encoder_layers=6, decoder_layers=6, encoder_ffn_dim=2048, decoder_ffn_dim=2048, vocab_size=51_865
)


def make_recipe(model: Path, **train: object) -> Recipe:
    settings = {"epochs": 2, "batch_size": 4, "evaluations": 2}
    return recipes.build(
        {
            "model": {"base": str(model), "rank": 2},
            "train": settings | train,
            "decode": {"tokens_base": 4, "tokens_per_s": 1.0},
        }
    )


def make_setup(recipe: Recipe, corpus: Path) -> Setup:
    whisper = weights.load(recipe.model.base)
    return Setup(recipe, open_corpus(corpus), whisper, distributed.start(), "float32")


def test_operations_of_whisper_base() -> None:
    """The figures of the design: 3.5 s of speech about 10 GFLOP forward, the full window about 98."""
    assert estimate.forward_flop(BASE, 350, 15) == pytest.approx(10e9, rel=0.12)
    assert estimate.forward_flop(BASE, 3000, 15) == pytest.approx(98e9, rel=0.12)


def test_operations_are_those_that_torch_counts(tiny_models: dict[str, Path]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = weights.load(str(tiny_models["english"])).network
    network.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(input_features=torch.zeros(1, 80, 3000), decoder_input_ids=torch.zeros(1, 12, dtype=torch.long))
    assert estimate.forward_flop(network.config, 3000, 12) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_time_of_a_batch_is_that_of_timed_ones_about_as_large() -> None:
    measured = Measured(flop=[10.0, 100.0], seconds=[2.0, 10.0])
    assert measured.of_batch(10.0) == pytest.approx(2.0)
    assert measured.of_batch(100.0) == pytest.approx(10.0)
    assert measured.of_batch(1000.0) == pytest.approx(100.0)
    assert 2.0 < measured.of_batch(50.0) < 10.0


def test_steps_are_those_of_the_training(tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path) -> None:
    recipe = make_recipe(tiny_models["english"], members=2)
    rows: list[dict[str, Any]] = []
    train(recipe, tiny_corpus, tmp_path, rows.append)
    planned = plan.plan(recipe, tiny_corpus)
    assert planned.steps == sum(row["kind"] == "step" for row in rows)
    assert planned.utterances == open_corpus(tiny_corpus).splits()["train"]
    assert planned.minutes is not None and 0 < planned.minutes < 5
    assert dict(planned.lines())["steps"].startswith(f"{planned.steps} on {planned.utterances}")


def test_time_adds_up(tiny_models: dict[str, Path], tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps at the rate of the timed batches, the optimiser's moves, and every decoding of dev."""
    found = Measured(flop=[1.0], seconds=[1e-9], optimizer_s=2.0, before_bytes=1e9, batch_bytes=1e9)
    monkeypatch.setattr(calibrate, "measure", lambda *_: found)
    recipe = make_recipe(tiny_models["english"])
    planned = plan.plan(recipe, tiny_corpus)
    assert planned.steps and planned.minutes
    setup = make_setup(recipe, tiny_corpus)
    epoch = calibrate.epoch_plan(setup)
    tokens_per_s = plan._tokens_per_s(setup)
    config = setup.whisper.network.config
    work_s = 1e-9 * sum(calibrate.batch_flop(config, batch, tokens_per_s) for batch in epoch.batches)
    assert 60 * planned.minutes == pytest.approx(planned.steps * (work_s / epoch.steps + 2.0))
    found.token_s = 0.5
    decodings = (plan.plan(recipe, tiny_corpus).minutes or 0) - planned.minutes
    found.token_s = 1.0
    assert (plan.plan(recipe, tiny_corpus).minutes or 0) - planned.minutes == pytest.approx(2 * decodings)
    more = replace(recipe, train=replace(recipe.train, evaluations=4))
    found.token_s = 0.5
    # Two decodings became four, and the calibration is one more.
    assert (plan.plan(more, tiny_corpus).minutes or 0) - planned.minutes == pytest.approx(5 / 3 * decodings)


def test_batches_are_timed_across_the_epoch(tiny_models: dict[str, Path], tiny_corpus: Path) -> None:
    from smallvoice.model import adapt

    setup = make_setup(make_recipe(tiny_models["english"]), tiny_corpus)
    epoch = calibrate.epoch_plan(setup)
    network = adapt.adapt(setup.whisper, setup.recipe.model, 0, 10)
    largest = plan._largest(setup, adapt.count_parameters(network), epoch)
    measured = calibrate.measure(setup, network, epoch, largest, 60.0)
    assert measured.flop == sorted(measured.flop)
    assert len(measured.flop) >= 2
    assert all(seconds > 0 for seconds in measured.seconds)
    assert min(measured.optimizer_s, measured.encode_s_per_flop, measured.token_s) > 0
    assert measured.before_bytes > 1e8


def test_quantiles_are_of_operations() -> None:
    batches: list[Any] = [[1], [2], [3], [94]]
    assert calibrate._at_quantile(batches, lambda batch: batch[0], 0.04) == [3]
    assert calibrate._at_quantile(batches, lambda batch: batch[0], 0.5) == [94]
    assert calibrate._at_quantile(batches, lambda batch: batch[0], 1.0) == [94]


def test_a_batch_too_long_for_the_time_is_cut() -> None:
    batch: Any = [1.0] * 8
    assert len(calibrate._within(batch, sum, {1.0: 1.0}, 3.5)) == 3
    assert len(calibrate._within(batch, sum, {1.0: 1.0}, 0.1)) == 1
    assert len(calibrate._within(batch, sum, {1.0: 1.0}, 99.0)) == 8


def test_memory_is_watched_while_it_is_held() -> None:
    with calibrate._watched() as highest:
        before = highest[0]
        # Fresh pages: an array may get memory that the process has already.
        held = mmap.mmap(-1, 200_000_000)
        held.write(b"x" * 200_000_000)
    held.close()
    assert highest[0] - before > 150e6


def test_memory_of_a_plan(tiny_models: dict[str, Path], tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there before, twice what moves for Adam, the average, and the largest batch."""
    found = Measured(flop=[1.0], seconds=[1.0], before_bytes=1e9, batch_bytes=4e9)
    monkeypatch.setattr(calibrate, "measure", lambda *_: found)
    recipe = make_recipe(tiny_models["english"])
    planned = plan.plan(recipe, tiny_corpus)
    moved = planned.trainable.trainable
    assert planned.memory_bytes == pytest.approx(1e9 + 8 * moved + plan.REUSE * 4e9, abs=1)
    averaged = plan.plan(replace(recipe, train=replace(recipe.train, ema=0.99)), tiny_corpus)
    assert averaged.memory_bytes == pytest.approx(planned.memory_bytes + 4 * moved, abs=1)


def test_largest_batch_is_what_the_memory_allows(
    tiny_models: dict[str, Path], tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smallvoice.model import adapt

    setup = make_setup(make_recipe(tiny_models["english"]), tiny_corpus)
    count = adapt.count_parameters(setup.whisper.network)
    epoch = calibrate.epoch_plan(setup)
    most = max(len(batch) * batch[0].frames for batch in epoch.batches)
    monkeypatch.setattr(memory, "predicted_limit", lambda *_: None)
    largest = plan._largest(setup, count, epoch)
    assert len(largest) * largest[0].frames == most
    monkeypatch.setattr(memory, "predicted_limit", lambda *_: 2 * max(batch[0].frames for batch in epoch.batches))
    assert len(plan._largest(setup, count, epoch)) <= 3 < len(largest)


def test_without_a_corpus_only_parameters_are_known(tiny_models: dict[str, Path]) -> None:
    planned = plan.plan(make_recipe(tiny_models["english"]), None)
    assert planned.trainable.trainable == 2 * 32 * 4 * 4 + 2 * 48 * 4
    assert planned.steps is None
    assert dict(planned.lines())["steps"] == "not known without a corpus (--corpus)"


def test_an_epoch_plan_counts_its_steps(tiny_models: dict[str, Path], tiny_corpus: Path) -> None:
    epoch = calibrate.epoch_plan(make_setup(make_recipe(tiny_models["english"]), tiny_corpus))
    assert isinstance(epoch, EpochPlan)
    assert sum(len(batch) for batch in epoch.batches) == open_corpus(tiny_corpus).splits()["train"]
    assert 0 < epoch.steps <= len(epoch.batches)
