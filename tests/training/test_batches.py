"""The order of training: every utterance once an epoch, one window a batch, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from tests import tiny

from smallvoice import recipe_file as recipes
from smallvoice.corpus.utterance import open_corpus
from smallvoice.model import weights
from smallvoice.model import window as windows
from smallvoice.model.prompt import prefix_ids
from smallvoice.recipe import WindowRecipe
from smallvoice.training import augment as changes
from smallvoice.training import batches
from smallvoice.training.batches import Planner, Reader
from smallvoice.training.labels import IGNORED, token_ids
from smallvoice.training.prepare_batch import hear, prepare
from smallvoice.training.train import train


def planner(corpus: Path, left_out: frozenset[str] = frozenset(), **settings: Any) -> Planner:
    window = {"margin_s": 0.4, "step_s": 0.5, **settings.pop("window", {})}
    augment = settings.pop("augment", {"speed": 0.2})
    recipe = recipes.build({"train": {"batch_size": 4, **settings}, "augment": augment, "window": window})
    return Planner(open_corpus(corpus), "train", recipe, 3000, set(left_out))


def items_of(plan: Planner, epoch: int, seed: int) -> list[batches.Item]:
    return [item for step in plan.epoch(epoch, seed) for batch in step for item in batch]


def epoch_of(plan: Planner, epoch: int, seed: int) -> list[batches.Step]:
    return list(plan.epoch(epoch, seed))


def test_every_utterance_once_in_batches_of_one_window(tiny_corpus: Path) -> None:
    corpus = open_corpus(tiny_corpus)
    plan = planner(tiny_corpus)
    for epoch in range(3):
        steps = epoch_of(plan, epoch, seed=1)
        items = [item for step in steps for batch in step for item in batch]
        assert Counter(item.utterance_id for item in items) == Counter(corpus.index("train")["id"].to_pylist())
        for step in steps:
            assert all(len({item.frames for item in batch}) == 1 and len(batch) <= 4 for batch in step)
        assert all(sum(len(batch) for batch in step) >= 4 for step in steps[:-1])


def test_windows_fit_the_changed_speed(tiny_corpus: Path) -> None:
    plan = planner(tiny_corpus)
    reader = Reader(open_corpus(tiny_corpus), plan.groups)
    speeds = set()
    for step in epoch_of(plan, 0, seed=1):
        for batch in step:
            for item, [utterance] in zip(batch, reader.read(batch), strict=True):
                assert utterance.id == item.utterance_id
                expected = windows.num_frames(utterance.duration_s / item.change.pace, plan.recipe.window, 3000)
                assert item.frames == expected
                speeds.add(item.change.speed)
    assert len(speeds) > 5
    assert all(0.8 <= speed <= 1.2 for speed in speeds)


def test_what_fills_the_window_is_not_slowed_down(tiny_corpus: Path) -> None:
    plan = planner(tiny_corpus, augment={"speed": 0.1, "tempo": 0.1})
    part = next(plan._parts(0, np.ones(len(plan.ids), int)))
    slow, fast = changes.Change(speed=0.92, tempo=0.95, volume_db=3.0), changes.Change(speed=1.05)
    for duration_s, drawn, speed, tempo in (
        (29.5, slow, 1.0, 1.0),
        (29.5, fast, 1.05, 1.0),
        (5.0, slow, 0.92, 0.95),
    ):
        item = plan._item(batches.Item((replace(part, duration_s=duration_s),), 0, drawn, 0), 0)
        assert (item.change.speed, item.change.tempo, item.change.volume_db) == (speed, tempo, drawn.volume_db)
        assert item.frames / 100 >= duration_s / item.change.pace


def test_order_is_that_of_seed_and_epoch(tiny_corpus: Path) -> None:
    assert epoch_of(planner(tiny_corpus), 1, seed=3) == epoch_of(planner(tiny_corpus), 1, seed=3)
    assert epoch_of(planner(tiny_corpus), 1, seed=3) != epoch_of(planner(tiny_corpus), 2, seed=3)
    assert epoch_of(planner(tiny_corpus), 1, seed=3) != epoch_of(planner(tiny_corpus), 1, seed=4)


def test_left_out_utterances_are_not_planned(tiny_corpus: Path) -> None:
    ids = open_corpus(tiny_corpus).index("train")["id"].to_pylist()
    plan = planner(tiny_corpus, frozenset(ids[:3]))
    planned = {item.utterance_id for step in epoch_of(plan, 0, 0) for batch in step for item in batch}
    assert planned == set(ids[3:])


def test_accumulation_makes_larger_steps(tiny_corpus: Path) -> None:
    steps = epoch_of(planner(tiny_corpus, accumulate=2), 0, 0)
    assert all(sum(len(batch) for batch in step) >= 8 for step in steps[:-1])


def test_small_pools_still_hold_every_utterance(tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "POOL_BYTES", 1)
    plan = planner(tiny_corpus)
    reader = Reader(open_corpus(tiny_corpus), plan.groups)
    seen = [row.id for step in epoch_of(plan, 0, 0) for batch in step for [row] in reader.read(batch)]
    assert sorted(seen) == sorted(open_corpus(tiny_corpus).index("train")["id"].to_pylist())


def test_mixed_windows_are_full_for_a_share_of_utterances(tiny_corpus: Path) -> None:
    plan = planner(tiny_corpus, window={"kind": "mixed", "full_share": 0.2})
    items = [item for epoch in range(100) for item in items_of(plan, epoch, 0)]
    full = np.array([item.frames == 3000 for item in items])
    assert full.mean() == pytest.approx(0.2, abs=5 * 0.4 / np.sqrt(len(items)))
    assert [item.full for item in items] == full.tolist()
    by_utterance = Counter(item.utterance_id for item in items if item.full)
    assert len(by_utterance) == len(plan.ids), "others in each epoch"
    trimmed = planner(tiny_corpus)
    changes = {item.key: item.change for item in items_of(trimmed, 3, 0)}
    assert {item.key: item.change for item in items_of(plan, 3, 0)} == changes, "the augmentation is what it was"
    assert plan.largest_batch() == (1, 3000)
    assert trimmed.largest_batch()[0] == plan.recipe.train.batch_size


def test_full_windows_are_spread_over_the_steps(tiny_corpus: Path) -> None:
    """One is as much work as a batch of trimmed ones; steps of nothing but full windows would see few utterances."""
    plan = planner(tiny_corpus, batch_size=4, window={"kind": "mixed", "full_share": 0.2})
    for epoch in range(20):
        steps = epoch_of(plan, epoch, 0)
        assert all(len(batch) == 1 for step in steps for batch in step if batch[0].full)
        assert all(sum(len(batch) for batch in step) >= 4 for step in steps[:-1])


def test_mixed_models_are_decoded_trimmed_and_packed_ones_at_the_full_window() -> None:
    assert windows.num_frames(1.0, WindowRecipe(kind="mixed"), 3000) == 120
    assert windows.num_frames(1.0, WindowRecipe(kind="packed"), 3000) == 3000


def test_batches_by_seconds(tiny_corpus: Path) -> None:
    plan = planner(tiny_corpus, batch_seconds=6.0, window={"kind": "mixed", "full_share": 0.2}, accumulate=2)
    for epoch in range(5):
        steps = epoch_of(plan, epoch, 0)
        every = [batch for step in steps for batch in step]
        sizes = {(batch[0].frames, len(batch)) for batch in every}
        assert all(size == 1 or frames * size <= 600 for frames, size in sizes)
        assert (150, 4) in sizes and (3000, 1) in sizes and not any(size > 1 for f, size in sizes if f == 3000)
        share = [[len(batch) / max(1, 600 // batch[0].frames) for batch in step] for step in steps]
        assert all(sum(step) >= 2 - 1e-6 and sum(step[:-1]) < 2 for step in share[:-1]), "as full as two batches"
    assert len({item.utterance_id for batch in every for item in batch}) == len(plan.ids)


def test_tails_enlarge_the_window(tiny_corpus: Path) -> None:
    plan = planner(tiny_corpus, augment={"tail": 0.5, "tail_s": 4.0})
    durations = dict(zip(plan.ids.to_pylist(), (d for g in plan.groups for d in g.durations_s), strict=True))
    items = [item for epoch in range(20) for item in items_of(plan, epoch, 0)]
    for item in items:
        heard_s = durations[item.utterance_id] + item.change.tail_s
        assert item.frames == windows.num_frames(heard_s, plan.recipe.window, 3000)
    assert max(item.frames for item in items) > 400 and min(item.frames for item in items) <= 200
    assert max(item.frames for item in items) <= plan.largest_batch()[1]


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_silence_is_heard_with_empty_text(tiny_models: dict[str, Path], tiny_corpus: Path, kind: str) -> None:
    plan = planner(tiny_corpus, augment={"silence": 0.5})
    without = planner(tiny_corpus, augment={})
    found = [items_of(plan, epoch, 0) for epoch in range(40)]
    spoken = Counter(item.key for item in found[0] if not item.silence)
    assert spoken == Counter(item.key for item in items_of(without, 0, 0))
    number = sum(item.silence for items in found for item in items)
    assert number / 40 / len(plan.ids) == pytest.approx(0.5, abs=0.1)
    whisper = weights.load(str(tiny_models[kind]))
    reader = Reader(plan_corpus := open_corpus(tiny_corpus), plan.groups)
    assert plan_corpus.splits()["train"] == len(plan.ids)
    prefix = prefix_ids(whisper.generation, "en")
    member: Any = SimpleNamespace(
        recipe=plan.recipe,
        planner=plan,
        seed=0,
        whisper=whisper,
        prefix_length=len(prefix),
        tokens=lambda utterance: token_ids(whisper, utterance.text, "en"),
    )
    silent = [item for item in found[0] if item.silence and item.frames == found[0][0].frames]
    silent = silent or [next(item for item in found[0] if item.silence)]
    _, labels = prepare(member, reader, silent)
    assert labels.targets[labels.targets != IGNORED].tolist() == [whisper.generation.eos_token_id] * len(silent)
    assert labels.inputs.tolist() == [prefix] * len(silent)
    samples = hear(silent[0], [], plan.sounds, 0)
    assert len(samples) == round(silent[0].duration_s * 16_000)
    assert 1e-4 < float(np.sqrt(np.mean(samples**2))) < 0.02
    assert np.array_equal(samples, hear(silent[0], [], plan.sounds, 0))
    assert not np.array_equal(samples, hear(silent[0], [], plan.sounds, 1))


def test_a_run_that_was_cut_off_hears_the_same(tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path) -> None:
    settings = {
        "model": {"base": str(tiny_models["english"])},
        "window": {"kind": "mixed", "full_share": 0.05},
        "augment": {
            "speed": 0.1,
            "volume_db": 6,
            "noise": 0.7,
            "room": 0.7,
            "tail": 0.3,
            "silence": 0.2,
            "mel_masks": 1,
        },
        "train": {
            "epochs": 1,
            "batch_seconds": 6.0,
            "checkpoint_every": 3,
            "evaluations": 1,
            "balance": "age",
            "mix": [{"select": "age_years < 8", "weight": 1.5}, {"select": "age_years >= 8", "weight": 0.7}],
        },
        "decode": {"tokens_base": 4, "tokens_per_s": 1.0},
    }
    recipe = recipes.build(settings)

    def cut_off(row: dict[str, Any]) -> None:
        if row["step"] == 5:
            raise OSError("killed")

    train(recipe, tiny_corpus, tmp_path / "whole")
    with pytest.raises(OSError, match="killed"):
        train(recipe, tiny_corpus, tmp_path / "cut", cut_off)
    train(recipe, tiny_corpus, tmp_path / "cut")
    whole, cut = ((tmp_path / name / "checkpoints/member-0/heard.jsonl").read_text() for name in ("whole", "cut"))
    assert whole == cut and '"step": 1,' in whole and '"room": "synthesised"' in whole
    adapters = [load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("whole", "cut")]
    assert all(np.array_equal(adapters[0][name], adapters[1][name]) for name in adapters[0])


def test_the_largest_batch_by_seconds_is_not_always_of_the_longest_window(tiny_corpus: Path) -> None:
    plan = planner(tiny_corpus, batch_seconds=40.0, window={"kind": "full"})
    assert plan.largest_batch() == (1, 3000)
    plan = planner(tiny_corpus, batch_seconds=40.0)
    plan._longest_frames = lambda: 3000  # type: ignore[method-assign]
    assert plan.largest_batch() == (2, 2000)
