"""Batches that do not fit the memory: split, said, kept, and the loss unchanged."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.errors import OutOfMemory, ResourceError
from smallvoice.model import weights
from smallvoice.model.adapt import ParameterCount
from smallvoice.recipe import Recipe
from smallvoice.storage import read_json, read_jsonl
from smallvoice.training import checkpoint, estimate, memory, objective, plan


def make_recipe(model: Path, **train: object) -> Recipe:
    settings = {"epochs": 2, "batch_size": 6, "evaluations": 1, "checkpoint_every": 1, "max_steps": 4}
    settings["precision"] = "float32"  # a batch in parts sums in another order
    return recipes.build(
        {
            "model": {"base": str(model), "rank": 2, "dropout": 0.0},
            "window": {"step_s": 2.0},  # one window for all, so that batches are full
            "train": settings | train,
            "decode": {"tokens_base": 4, "tokens_per_s": 1.0},
        }
    )


def rows(run: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(run / "metrics.jsonl") if row["kind"] == kind]


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in rows(run, "step")]


class Device:
    """Memory for `room` utterances. A batch that is larger fails in the backward pass, half-way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int, error: Exception) -> None:
        self.sizes: list[int] = []
        self.failures = 0
        encode = objective.windows.encode

        def encode_or_fail(network: torch.nn.Module, mel: torch.Tensor) -> Any:
            encoded = encode(network, mel)
            if torch.is_grad_enabled():
                self.sizes.append(len(mel))
                if len(mel) > room:
                    # The decoder's gradients are already there when this one is computed.
                    encoded.last_hidden_state.register_hook(self.fail)
            return encoded

        self.error = error
        monkeypatch.setattr(objective.windows, "encode", encode_or_fail)

    def fail(self, gradient: torch.Tensor) -> None:
        self.failures += 1
        raise self.error


@pytest.fixture(scope="module")
def whole(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[float]]:
    """The losses where everything fits."""
    out = tmp_path_factory.mktemp("whole")
    verbs.train(make_recipe(tiny_models["english"]), tiny_corpus, out)
    assert not rows(out, "memory")
    yield losses(out)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("MPS backend out of memory (MPS allocated")]
)
def test_batch_that_does_not_fit_is_split(
    tiny_models: dict[str, Path],
    tiny_corpus: Path,
    tmp_path: Path,
    whole: list[float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    device = Device(monkeypatch, room=2, error=error)
    save = checkpoint.save

    def save_and_stop(folder: Path, state: checkpoint.State, progress: checkpoint.Progress) -> None:
        save(folder, state, progress)
        if progress.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    recipe = make_recipe(tiny_models["english"])
    with pytest.raises(KeyboardInterrupt):
        verbs.train(recipe, tiny_corpus, tmp_path)
    assert device.failures == 2  # six utterances, then three; two fit
    limit = 2 * 200
    assert [(row["step"], row["micro_frames"]) for row in rows_so_far(tmp_path)] == [(1, limit)]
    assert [record.message for record in caplog.records if "encoded at once" in record.message] == [
        "At most 4 s of windows are encoded at once from now on: out of memory."
    ]
    last = tmp_path / "checkpoints" / "member-0" / "last" / "progress.json"
    assert read_json(last)["micro_frames"] == limit

    monkeypatch.setattr(checkpoint, "save", save)
    device.sizes.clear()
    verbs.train(recipe, tiny_corpus, tmp_path)
    assert device.failures == 2
    assert max(device.sizes) == 2
    assert losses(tmp_path) == pytest.approx(whole, rel=1e-5)
    assert whole[3] != pytest.approx(whole[0], rel=1e-4)  # it has learned


def rows_so_far(run: Path) -> list[dict[str, Any]]:
    found = read_jsonl(run / "checkpoints" / "member-0" / "metrics.jsonl")
    return [row for row in found if row["kind"] == "memory"]


def test_one_utterance_that_does_not_fit_is_an_error(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Device(monkeypatch, room=0, error=torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(ResourceError, match=r"single window of 2 s.*gradient_checkpointing"):
        verbs.train(make_recipe(tiny_models["english"]), tiny_corpus, tmp_path)


def test_other_errors_are_not_taken_for_it(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(monkeypatch, room=0, error=RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        verbs.train(make_recipe(tiny_models["english"]), tiny_corpus, tmp_path)
    assert device.failures == 1


def test_cpu_chooses_before_the_run(
    tiny_models: dict[str, Path],
    tiny_corpus: Path,
    tmp_path: Path,
    whole: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = Device(monkeypatch, room=99, error=RuntimeError())
    monkeypatch.setattr(estimate, "memory_bytes", lambda config, count, rows, *of, **how: 1e9 * rows)
    verbs.train(make_recipe(tiny_models["english"], max_memory_gb=2.5), tiny_corpus, tmp_path)
    assert set(device.sizes) == {1, 2}  # six halved to three, then to two
    assert [(row["step"], row["micro_frames"], row["why"]) for row in rows(tmp_path, "memory")] == [
        (0, 400, "predicted memory")
    ]
    assert losses(tmp_path) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "free", "limit"),
    [
        ({"max_memory_gb": 8.0}, 0, None),
        ({"max_memory_gb": 7.9}, 0, 4 * 400),
        ({"max_memory_gb": 0.1}, 0, 400),  # one at a time, and hope
        ({}, 40e9, None),
        ({}, 2e9, 400),
    ],
)
def test_predicted_limit(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, float], free: float, limit: int | None
) -> None:
    from transformers import WhisperConfig

    monkeypatch.setattr(estimate, "memory_bytes", lambda config, count, rows, *of, **how: 1e9 * rows)
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    monkeypatch.setattr(memory.psutil.Process, "memory_info", lambda self: type("Info", (), {"rss": 0})())
    recipe = recipes.build({"train": {"batch_size": 8, **settings}})
    assert memory.predicted_limit(recipe, WhisperConfig(), ParameterCount(1, 2), (8, 400)) == limit


def test_a_container_has_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = memory.free_bytes()
    assert machine > 0
    (tmp_path / "most").write_text("1000000\n")
    (tmp_path / "used").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ncache 300000\n")
    monkeypatch.setattr(memory, "_CONTAINER_FILES", ((tmp_path, "most", "used", "cache"),))
    assert memory.free_bytes() == 400_000
    (tmp_path / "most").write_text("max\n")
    assert memory.free_bytes() > 1_000_000


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc keeps freed memory"
)
def test_freed_memory_goes_back_to_the_system() -> None:
    """Pieces too small to be mapped by themselves, with one at the end that stays."""
    libc, process = ctypes.CDLL(None), psutil.Process()
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    pieces = [libc.malloc(50_000) for _ in range(4_000)]
    for piece in pieces:
        ctypes.memset(piece, 1, 50_000)
    for piece in pieces[:-1]:
        libc.free(piece)
    kept = process.memory_info().rss
    memory.give_back()
    assert kept - process.memory_info().rss > 150e6
    libc.free(pieces[-1])


def test_training_gives_memory_back(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every so many steps, before and after dev is decoded, and before the base is loaded again."""
    given = []
    monkeypatch.setattr(memory, "GIVEN_BACK_EVERY", 2)
    monkeypatch.setattr(memory, "give_back", lambda: given.append(True))
    verbs.train(make_recipe(tiny_models["english"]), tiny_corpus, tmp_path)
    assert len(given) == 4 // 2 + 2 + 1


def test_no_room_for_what_the_optimiser_keeps_is_an_error(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(OutOfMemory, match="beside what a batch needs"):
        verbs.train(make_recipe(tiny_models["english"]), tiny_corpus, tmp_path)


def test_measuring_takes_as_much_of_a_batch_as_fits(
    tiny_models: dict[str, Path], tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(monkeypatch, room=2, error=torch.OutOfMemoryError("CUDA out of memory."))
    assert plan.plan(make_recipe(tiny_models["english"]), tiny_corpus).minutes
    assert device.failures


def test_recomputed_layers_keep_less(tiny_models: dict[str, Path]) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    count = ParameterCount(trainable=1, total=2)
    whole, recomputed = (
        estimate.memory_bytes(whisper.network.config, count, 64, 3000, 1, recomputed=recomputed)
        for recomputed in (False, True)
    )
    assert recomputed < whole
