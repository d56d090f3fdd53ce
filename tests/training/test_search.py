"""Search: the ranges, their mistakes, and a search that is cut off, continued, pruned and resumed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from smallvoice import recipe_file as recipes
from smallvoice.errors import MissingDependency, RecipeError
from smallvoice.recipe import Recipe
from smallvoice.scoring.word_errors import ErrorCounts
from smallvoice.storage import read_json, read_jsonl, write_json
from smallvoice.training import search, search_space, train

RANGES = """\
search:
  train.learning_rate: {low: 1e-4, high: 2e-3, log: true}
  model.rank: [2, 4]
  train.epochs: {low: 1, high: 3}
  model.alpha: {low: 8, high: 64}
  model.dropout: {low: 0, high: 0.3, step: 0.1}
  model.targets: [[q_proj], [q_proj, v_proj]]
train: {evaluations: 4, epochs: 2}
model: {rank: 4, dropout: 0.1, targets: [q_proj]}
"""


def load(folder: Path, text: str, *overrides: str) -> search_space.SearchSpace:
    path = folder / "mine.yaml"
    path.write_text(text)
    return search_space.load(path, overrides)


def test_ranges(tmp_path: Path) -> None:
    space = load(tmp_path, RANGES)
    kinds = {one.path: one.kind for one in space.ranges}
    assert kinds == {
        "train.learning_rate": "float",
        "model.rank": "choice",
        "train.epochs": "int",
        "model.alpha": "float",  # although its ends are whole
        "model.dropout": "float",
        "model.targets": "choice",
    }
    assert space.own_settings() == {
        "train.learning_rate": 1e-3,
        "model.rank": 4,
        "train.epochs": 2,
        "model.alpha": 32.0,
        "model.dropout": 0.1,
        "model.targets": ["q_proj"],
    }
    recipe = space.with_settings({"train.learning_rate": 5e-4, "model.targets": ["q_proj", "v_proj"]})
    assert (recipe.train.learning_rate, recipe.model.targets) == (5e-4, ["q_proj", "v_proj"])
    assert (recipe.name, recipe.model.rank) == ("mine", 4)


def test_the_learning_rate_follows_a_strategy_that_is_searched(tmp_path: Path) -> None:
    space = load(tmp_path, "search: {model.strategy: [lora, full]}\n")
    rates = [space.with_settings({"model.strategy": name}).train.learning_rate for name in ("lora", "full")]
    assert rates == [1e-3, 3e-5]
    fixed = load(tmp_path, "search: {model.strategy: [lora, full]}\ntrain: {learning_rate: 1e-4}\n")
    assert fixed.with_settings({"model.strategy": "full"}).train.learning_rate == 1e-4


def test_own_settings_outside_the_ranges(tmp_path: Path) -> None:
    assert load(tmp_path, RANGES, "model.dropout=0.15").own_settings() is None
    assert load(tmp_path, RANGES, "model.rank=3").own_settings() is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train.rate: [1, 2]", r"mine\.yaml:2: search: unknown key 'train\.rate'\. Known in train: epochs, batch_size"),
        ("trian.epochs: [1, 2]", r"mine\.yaml:2: search: unknown key 'trian\.epochs'\. Known in a recipe: name"),
        ("train.epochs.x: [1, 2]", r"mine\.yaml:2: search: unknown key 'train\.epochs\.x'\.$"),
        ("train: [1, 2]", r"mine\.yaml:2: search\.train: a stage, not a setting"),
        ("train.seed: [1, 2]", r"mine\.yaml:2: .*train\.seed is not searched: that would choose luck"),
        ("decode.beams: [1, 5]", r"decode\.beams is not searched: trials are decoded greedily"),
        ("train.checkpoint_every: [1, 5]", r"is not searched: it changes no score"),
        ("corpus.language: [en, fr]", r"corpus is not searched: all trials are compared on one split"),
        ("model.rank: [8]", r"mine\.yaml:2: search\.model\.rank: a list needs two values"),
        ("model.rank: 8", r"search\.model\.rank is 8: give a list of values, or a range"),
        ("model.rank: [8, 0]", r"mine\.yaml:2: model\.rank is 0: input should be greater than or equal to 1"),
        ("model.rank: [8, big]", r"mine\.yaml:2: model\.rank is 'big'"),
        ("train.epochs: {low: 0, high: 3}", r"mine\.yaml:2: train\.epochs is 0"),
        ("train.epochs: {low: 3, high: 3}", r"low must be the smaller"),
        ("train.epochs: {low: 1, high: 3, stap: 1}", r"unknown key 'stap'\. Known here: high, log, low, step"),
        ("train.epochs: {low: 1, high: x}", r"low, high and step are numbers"),
        ("train.ema: {low: 0, high: 0.9, log: true}", r"with true, low is above 0"),
        ("train.ema: {low: 0.1, high: 0.9, step: 2}", r"step is 2; it must be above 0 and fit"),
    ],
)
def test_mistakes_of_ranges(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, f"search:\n  {line}\n")


def test_all_mistakes_at_once_and_none_without_a_block(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, "search:\n  train.x: [1, 2]\n  model.rank: [0, -1]\n")
    assert len(caught.value.problems) == 2
    with pytest.raises(RecipeError, match="no `search:` block"):
        load(tmp_path, "train: {epochs: 1}")
    with pytest.raises(RecipeError, match=r"mine\.yaml:3: unknown key 'trian'"):
        load(tmp_path, "search:\n  model.rank: [1, 2]\ntrian: {}")


def test_without_optuna(tmp_path: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependency, match=r"A search needs optuna.*smallvoice\[search\]"):
        search.search(load(tmp_path, RANGES), tiny_corpus, tmp_path / "out", trials=1)
    assert not (tmp_path / "out").exists()


@dataclass
class Fake:
    """Training that takes no time: dev error is the distance of the learning rate from 5e-4, in tenths."""

    recipes: list[Recipe] = field(default_factory=list)
    stop_at: int | None = None
    """Ctrl-C after the first evaluation of this call, from 1."""

    def __call__(self, recipe: Recipe, corpus: Path, folder: Path, report: Callable[[dict[str, Any]], None]) -> object:
        self.recipes.append(recipe)
        errors = min(90, round(abs(recipe.train.learning_rate - 5e-4) * 50_000))
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (folder / "adapter").mkdir(exist_ok=True)
        if recipe.model.rank == 2:
            raise RecipeError("Training stopped before step 3: its loss is nan.")
        for number in range(1, recipe.train.evaluations + 1):
            step = {"member": 0, "step": 10 * number, "of": 10 * recipe.train.evaluations}
            report({"kind": "step", **step})
            report({"kind": "dev", "member": 0, "step": 10 * number, "wer": (errors + 10) / 100 - number / 100})
            if self.stop_at == len(self.recipes):
                raise KeyboardInterrupt
        counts = ErrorCounts(words=100, substitutions=errors)
        return type("Done", (), {"dev": {"member 1": counts}, "chosen": "member 1", "seconds": 60.0})()


RATES = "search:\n  train.learning_rate: {low: 1e-4, high: 2e-3, log: true}\ntrain: {learning_rate: 1e-3}\n"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    pytest.importorskip("optuna", reason="no Optuna here: pip install 'smallvoice[search]'")
    training = Fake()
    monkeypatch.setattr(train, "train", training)
    return training


def test_search_finds_prunes_and_keeps_the_best(tmp_path: Path, tiny_corpus: Path, fake: Fake) -> None:
    space = load(tmp_path, RATES)
    result = search.search(space, tiny_corpus, tmp_path / "out", trials=14)
    trials = {trial["number"]: trial for trial in result["trials"]}
    assert len(trials) == 14
    assert trials[1]["settings"] == {"train.learning_rate": 1e-3}, "the recipe as it stands comes first"
    states = [trial["state"] for trial in trials.values()]
    assert states[: search.UNPRUNED_TRIALS] == ["finished"] * search.UNPRUNED_TRIALS
    assert 0 < states.count("pruned") < 10
    best = trials[result["best"]]
    assert best["wer"] == min(trial["wer"] for trial in trials.values() if trial["state"] == "finished")
    assert best["wer"] < trials[1]["wer"]
    assert recipes.load(tmp_path / "out" / "best.yaml").train.learning_rate == best["settings"]["train.learning_rate"]
    assert [path.parent.name for path in (tmp_path / "out").glob("trials/*/adapter")] == [f"{best['number']:03d}"]
    assert not list((tmp_path / "out").glob("trials/*/checkpoints"))
    assert read_json(tmp_path / "out" / "search.json") == result


def test_search_that_was_cut_off_goes_on_as_it_would_have(tmp_path: Path, tiny_corpus: Path, fake: Fake) -> None:
    space = load(tmp_path, RATES)
    whole = search.search(space, tiny_corpus, tmp_path / "whole", trials=9)
    fake.recipes.clear()
    fake.stop_at = max(trial["number"] for trial in whole["trials"] if trial["state"] == "finished")
    assert fake.stop_at > search.UNPRUNED_TRIALS
    with pytest.raises(KeyboardInterrupt):
        search.search(space, tiny_corpus, tmp_path / "cut", trials=9)
    journal = tmp_path / "cut" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"schema_version": 1, "kind": "ev')
    fake.stop_at = None
    again = search.search(space, tiny_corpus, tmp_path / "cut", trials=9)
    assert again == whole
    assert len(fake.recipes) == 9 + 1, "only the trial that was cut off is trained again"
    copy = tmp_path / "the same train and dev in another corpus"
    shutil.copytree(tiny_corpus, copy)
    write_json(copy / "corpus.json", {**read_json(copy / "corpus.json"), "key": "another"})
    more = search.search(space, copy, tmp_path / "cut", trials=10)
    assert more["trials"][:9] == whole["trials"]
    assert len(more["trials"]) == 10


def test_settings_that_fail_are_said_and_others_go_on(tmp_path: Path, tiny_corpus: Path, fake: Fake) -> None:
    space = load(tmp_path, RANGES)
    result = search.search(space, tiny_corpus, tmp_path / "out", trials=8)
    failed = [trial for trial in result["trials"] if trial["state"] == "failed"]
    assert failed
    assert {trial["settings"]["model.rank"] for trial in failed} == {2}
    assert {trial["reason"] for trial in failed} == {"Training stopped before step 3: its loss is nan."}
    rows = read_jsonl(tmp_path / "out" / "journal.jsonl")
    assert sum(row["kind"] == "ended" for row in rows) == 8
    for trial in result["trials"]:
        assert trial["settings"]["model.dropout"] == pytest.approx(round(trial["settings"]["model.dropout"], 1))
        assert isinstance(trial["settings"]["train.epochs"], int)
    with pytest.raises(RecipeError, match="none of 2 trials could be finished"):
        space = load(tmp_path, RATES, "model.rank=2")
        search.search(space, tiny_corpus, tmp_path / "hopeless", trials=2)


def test_another_search_in_the_same_folder_is_refused(tmp_path: Path, tiny_corpus: Path, fake: Fake) -> None:
    search.search(load(tmp_path, RATES), tiny_corpus, tmp_path / "out", trials=1)
    with pytest.raises(RecipeError, match="holds a search of another recipe"):
        search.search(load(tmp_path, RATES, "train.epochs=2"), tiny_corpus, tmp_path / "out", trials=2)


def test_real_trainings(tmp_path: Path, tiny_models: dict[str, Path], tiny_corpus: Path) -> None:
    pytest.importorskip("optuna", reason="no Optuna here: pip install 'smallvoice[search]'")
    text = f"""\
search: {{train.learning_rate: [0.001, 0.01], model.rank: {{low: 2, high: 4}}}}
model: {{base: "{tiny_models["english"]}", rank: 2}}
train: {{epochs: 1, max_steps: 2, evaluations: 2}}
decode: {{tokens_base: 4, tokens_per_s: 1.0}}
"""
    heard: list[dict[str, Any]] = []
    result = search.search(load(tmp_path, text), tiny_corpus, tmp_path / "out", trials=2, report=heard.append)
    assert [trial["state"] for trial in result["trials"]] == ["finished", "finished"]
    assert all(len(trial["dev"]) == 2 and trial["words"] > 0 for trial in result["trials"])
    assert [row["state"] for row in heard if row["kind"] == "trial"] == ["running", "finished"] * 2
    assert search.table(result).row_count == 2
    said = [search.line(row) for row in heard if row["kind"] == "trial"]
    assert said[0] == "trial 1: train.learning_rate 0.001, model.rank 2"
    assert said[1].startswith("trial 1: dev WER ")


def test_settings_that_were_tried_are_not_trained_again(tmp_path: Path, tiny_corpus: Path, fake: Fake) -> None:
    result = search.search(load(tmp_path, "search:\n  train.epochs: [1, 2]\n"), tiny_corpus, tmp_path / "out", trials=8)
    assert len(fake.recipes) == len({recipe.train.epochs for recipe in fake.recipes}) <= 2
    again = [trial for trial in result["trials"] if trial["reason"]]
    assert len(again) == 8 - len(fake.recipes) and "not trained again" in again[0]["reason"]
    assert {trial["wer"] for trial in again} <= {trial["wer"] for trial in result["trials"] if not trial["reason"]}
    assert (tmp_path / "out" / "trials" / f"{result['best']:03d}" / "adapter").is_dir()


def test_a_base_that_is_not_there_fails_its_trial_alone(
    tmp_path: Path, tiny_models: dict[str, Path], tiny_corpus: Path
) -> None:
    pytest.importorskip("optuna", reason="no Optuna here: pip install 'smallvoice[search]'")
    bases = [str(tiny_models["english"]), "nobody/nothing"]
    text = f"search:\n  model.base: {bases}\nmodel: {{base: nobody/nothing, rank: 2}}\n"
    text += "train: {max_steps: 1, evaluations: 1}\n"
    result = search.search(load(tmp_path, text), tiny_corpus, tmp_path / "out", trials=6)
    assert {trial["state"] for trial in result["trials"]} == {"failed", "finished"}
