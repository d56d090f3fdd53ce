"""Several processes: the same losses as one, an even share for each, one of them writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.processes import STOP_AT

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.corpus.utterance import open_corpus
from smallvoice.errors import RecipeError
from smallvoice.recipe import Recipe
from smallvoice.storage import read_jsonl
from smallvoice.training import distributed
from smallvoice.training.batches import Planner
from smallvoice.training.distributed import Processes, imbalance, portions

CPU = torch.device("cpu")


def make_recipe(model: Path, **train: object) -> Recipe:
    settings = {"epochs": 60, "batch_size": 2, "accumulate": 2, "evaluations": 1, "checkpoint_every": 50, "ema": 0.9}
    settings["precision"] = "float32"  # sums in another order differ more in bfloat16
    return recipes.build(
        {
            "model": {"base": str(model), "strategy": "full"},
            "augment": {"speed": 0.1, "time_masks": 1},
            "train": settings | train,
            "decode": {"tokens_base": 2, "tokens_per_s": 1.0},
        }
    )


def rows(run: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(run / "metrics.jsonl") if row["kind"] == kind]


@pytest.mark.slow
def test_two_processes_do_what_one_does(tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path) -> None:
    recipe = make_recipe(tiny_models["english"], max_steps=100, learning_rate=5e-3)
    short = make_recipe(tiny_models["english"], max_steps=12, seed=3)
    recipes.dump(recipe, tmp_path / "long.yaml")
    recipes.dump(short, tmp_path / "short.yaml")
    verbs.train(recipe, tiny_corpus, tmp_path / "one")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    told = [tmp_path / "long.yaml", tmp_path / "short.yaml", tiny_corpus, tmp_path / "two"]
    done = subprocess.run(
        [*launch, str(Path(__file__).with_name("processes.py")), *map(str, told)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    one, two = rows(tmp_path / "one", "step"), rows(tmp_path / "two" / "long", "step")
    assert [row["step"] for row in two] == list(range(1, 101))
    for name in ("utterances", "tokens", "epoch", "learning_rate"):
        assert [row[name] for row in one] == [row[name] for row in two]
    losses, shared = ([row["loss"] for row in found] for found in (one, two))
    assert shared[:10] == pytest.approx(losses[:10], rel=1e-5)
    assert shared[99] == pytest.approx(losses[99], rel=1e-3)
    assert min(losses) < 0.9 * losses[0]  # the weights have moved
    assert [row["words"] for row in rows(tmp_path / "two" / "long", "dev")] == [
        row["words"] for row in rows(tmp_path / "one", "dev")
    ]
    assert all(0 <= row["imbalance"] <= 1 for row in two)

    cut, whole = tmp_path / "two" / "cut", tmp_path / "two" / "whole"
    assert f"stopped after step {STOP_AT + 1}" in done.stderr
    assert [row["loss"] for row in rows(cut, "step")] == [row["loss"] for row in rows(whole, "step")]
    name = Path("adapter") / "model.safetensors"
    assert (cut / name).read_bytes() == (whole / name).read_bytes()


def planned(corpus: Path, **train: object) -> list[Any]:
    recipe = recipes.build({"train": train, "window": {"step_s": 0.1}})
    return list(Planner(open_corpus(corpus), "train", recipe, 3000, set()).steps(3, seed=0))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_utterance_has_one_process(tiny_corpus: Path, size: int) -> None:
    for step in planned(tiny_corpus, batch_size=4, accumulate=2):
        found = Counter()
        for rank in range(size):
            for portion in portions(step, Processes(CPU, rank, size)):
                assert len({item.frames for item in portion.batch}) == 1
                found.update(range(portion.first, portion.first + len(portion.batch)))
                flat = [item for batch in step for item in batch]
                assert portion.batch == flat[portion.first : portion.first + len(portion.batch)]
        assert found == Counter(range(sum(map(len, step))))


def test_shares_are_within_one_utterance(tiny_corpus: Path) -> None:
    for size in (2, 4):
        for step in planned(tiny_corpus, batch_size=8):
            frames = [item.frames for batch in step for item in batch]
            allowed = max(frames) / (sum(frames) / size)
            assert imbalance(step, size) <= allowed
    assert imbalance(planned(tiny_corpus, batch_size=8)[0], 1) == 0


def test_one_long_window_is_balanced_by_many_short_ones() -> None:
    class Item:
        def __init__(self, frames: int) -> None:
            self.frames = frames

    step: Any = [[Item(300)] * 2, [Item(3000)], [Item(300)] * 8]
    assert imbalance(step, 2) == 0
    [portion] = portions(step, Processes(CPU, 0, 2))
    assert (portion.first, [item.frames for item in portion.batch]) == (2, [3000])


def test_batches_of_a_real_mix_are_balanced() -> None:
    """Durations as children's are: log-normal about 3.5 s; four processes, 32 utterances a step."""

    class Item:
        def __init__(self, frames: int) -> None:
            self.frames = frames

    rng = np.random.default_rng(0)
    windows = 50 * np.ceil(rng.lognormal(np.log(350), 0.4, 6400) / 50).astype(int)
    steps = [[[Item(int(frames))] * 8 for frames in rng.choice(windows, 4)] for _ in range(200)]
    assert np.mean([imbalance(step, 4) for step in steps]) < 0.07
    assert np.mean([imbalance(step, 2) for step in steps]) < 0.03


def test_sharded_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(RecipeError, match=r"FSDP is not used.*torchrun"):
        distributed.start()


def test_one_process_is_alone() -> None:
    processes = distributed.start()
    assert (processes.rank, processes.size, processes.first) == (0, 1, True)
    assert processes.gather([1.0, 2.0]) == [[1.0, 2.0]]
    assert processes.total(3, 4) == [3, 4]
