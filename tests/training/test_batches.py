"""The order of training: every utterance once an epoch, one window a batch, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from smallvoice import recipe_file as recipes
from smallvoice.corpus.utterance import open_corpus
from smallvoice.model import window as windows
from smallvoice.training import batches
from smallvoice.training.batches import Planner, Reader


def planner(corpus: Path, left_out: frozenset[str] = frozenset(), **settings: object) -> Planner:
    recipe = recipes.build({"train": {"batch_size": 4, **settings}, "augment": {"speed": 0.2}})
    return Planner(open_corpus(corpus), "train", recipe, 3000, set(left_out))


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
            for item, utterance in zip(batch, reader.read(batch), strict=True):
                assert utterance.id == item.utterance_id
                expected = windows.num_frames(utterance.duration_s / item.change.pace, plan.recipe.window, 3000)
                assert item.frames == expected
                speeds.add(item.change.speed)
    assert len(speeds) > 5
    assert all(0.8 <= speed <= 1.2 for speed in speeds)


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
    seen = [row.id for step in epoch_of(plan, 0, 0) for batch in step for row in reader.read(batch)]
    assert sorted(seen) == sorted(open_corpus(tiny_corpus).index("train")["id"].to_pylist())
