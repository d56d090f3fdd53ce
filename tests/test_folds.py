"""Folds: every speaker is tested once, by a model that never heard them; a finished fold is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from smallvoice import folds, machine, pipeline
from smallvoice import recipe_file as recipes
from smallvoice.errors import Finding, InputError, RecipeError
from smallvoice.recipe import Recipe
from smallvoice.run_folder import RunFolder
from smallvoice.storage import read_json, read_jsonl, write_jsonl
from tests import tiny

FOLDS = 3


def make_recipe(model: Path, source: Path) -> Recipe:
    return recipes.build(
        {
            "name": "tiny",
            # Shares do not matter to folds, not even a test share of 0.
            "corpus": {"source": str(source), "language": "en", "split": {"test": 0.0}},
            "model": {"base": str(model), "rank": 2},
            "train": {"epochs": 1, "max_steps": 2, "evaluations": 1, "checkpoint_every": 1},
            "decode": {"tokens_base": 4, "tokens_per_s": 1.0},
            "evaluate": {"resamples": 100, "split": "dev"},
        }
    )


@pytest.fixture(scope="module", autouse=True)
def no_measuring() -> Iterator[None]:
    """The machine's rate is not asked for: it takes a second a fold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "matmul_gflops", lambda: 1.0)
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_kaldi(tmp_path_factory.mktemp("kaldi") / "source", speakers=7, utterances=2)


@pytest.fixture(scope="module")
def finished(tiny_models: dict[str, Path], source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folds, the second cut off after its first step and continued."""
    out = tmp_path_factory.mktemp("folds")
    recipe = make_recipe(tiny_models["english"], source)
    run = pipeline.run

    def stop_in_fold_2(part: Recipe, folder: Path, **options: object) -> object:
        if part.corpus.split.fold == 2:
            raise KeyboardInterrupt
        return run(part, folder, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "run", stop_in_fold_2)
        with pytest.raises(KeyboardInterrupt):
            folds.run_folds(recipe, out, FOLDS)
    assert not RunFolder(out).comparison.exists()
    kept = RunFolder(out / "fold-1").adapter / "adapter_config.json"
    before = kept.stat().st_mtime_ns
    folds.run_folds(recipe, out, FOLDS)
    assert kept.stat().st_mtime_ns == before
    return out


def test_everybody_is_tested_once_and_by_a_model_that_never_heard_them(finished: Path) -> None:
    pooled = read_jsonl(RunFolder(finished).hypotheses("tuned", "test"))
    assert len({row["id"] for row in pooled}) == len(pooled) == 14
    assert len({row["speaker"] for row in pooled}) == 7
    for fold in range(1, FOLDS + 1):
        folder = RunFolder(finished / f"fold-{fold}")
        tested = {row["speaker"] for row in read_jsonl(folder.hypotheses("tuned", "test"))}
        assert tested
        assert not tested & {row["speaker"] for row in read_jsonl(folder.trained_on)}


def test_pooled_errors_are_the_sum_over_folds(finished: Path) -> None:
    pooled = read_json(RunFolder(finished).comparison)
    rows = read_json(finished / "folds.json")["folds"]
    block = pooled["overall"]["normalised"]
    assert pooled["speakers"] == sum(row["speakers"] for row in rows) == 7
    for side, system in (("a", "base"), ("b", "tuned")):
        assert block[side]["errors"] == sum(row[system]["errors"] for row in rows) > 0
    assert pooled["bootstrap"]["units"] == 7


def test_pooled_result_has_a_report(finished: Path) -> None:
    page = RunFolder(finished).report.read_text(encoding="utf-8")
    assert "7 speakers" in page
    assert "anna" not in page
    card = RunFolder(finished).card.read_text(encoding="utf-8")
    for text in (page, card):
        assert "saw none of the utterances" in " ".join(text.split())
        assert f"smallvoice run recipe.yaml --folds {FOLDS}" in text
    assert "holds no model" in card and "THIS_FOLDER" not in card
    assert "The run holds no provenance" not in page and "Versions and machine" in page and "Time by stage" in page
    times = [
        read_json(finished / f"fold-{fold}" / "provenance.json")["stages"]["train"]["seconds"] for fold in (1, 2, 3)
    ]
    assert read_json(finished / "provenance.json")["stages"]["train"]["seconds"] == pytest.approx(sum(times))


def test_a_second_call_trains_nothing(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = recipes.load(finished / "recipe.yaml")
    folds.run_folds(recipe, finished, FOLDS)
    said = capsys.readouterr().err
    assert said.count("train: complete and unchanged") == FOLDS
    with pytest.raises(RecipeError, match="holds a run of 3 folds, not of 4"):
        folds.run_folds(recipe, finished, 4)


def test_a_test_that_training_saw_is_a_finding(finished: Path, tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(finished / "fold-1", tmp_path / "fold-1"))
    tested = read_jsonl(folder.hypotheses("tuned", "test"))[0]
    seen = {"id": "another", "speaker": tested["speaker"], "used_for": "selection"}
    write_jsonl(folder.trained_on, [*read_jsonl(folder.trained_on), seen])
    with pytest.raises(Finding, match="training saw 0 utterances and 1 speaker"):
        folds._require_separate(folder)


def test_sources_with_their_own_split_cannot_be_folded(
    tiny_models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        shutil.copytree(source, tmp_path / "data" / split)
    recipe = make_recipe(tiny_models["english"], source)
    recipe = replace(recipe, corpus=replace(recipe.corpus, source=[str(source), str(tmp_path / "data")]))
    with pytest.raises(InputError, match="7 speakers would not be tested exactly once"):
        folds.run_folds(recipe, tmp_path / "out", FOLDS)
    assert not (tmp_path / "out" / "fold-1" / "adapter").exists()


def test_a_run_and_a_run_over_folds_keep_apart(
    finished: Path, tiny_models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(tiny_models["english"], source)
    with pytest.raises(RecipeError, match="holds a run over folds"):
        pipeline.run(recipe, finished)
    recipes.dump(recipe, RunFolder(tmp_path).recipe)
    with pytest.raises(RecipeError, match="holds a run without folds"):
        folds.run_folds(recipe, tmp_path, FOLDS)


def test_more_folds_than_speakers_leave_nothing_in_the_way(
    tiny_models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(tiny_models["english"], source)
    with pytest.raises(InputError, match=r"Too few speakers for 9 folds: 7.*--folds"):
        folds.run_folds(recipe, tmp_path, 9)
    assert not (tmp_path / "folds.json").exists()
    folds._require_same_kind(tmp_path, FOLDS)


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        ("evaluate", {"select": "age_years < 6"}, r"Fold \d tests nobody of evaluate.select, age_years < 6"),
        ("train", {"select_dev": 'gender == "x"'}, r"train\.select_dev"),
    ],
)
def test_a_fold_without_anybody_who_is_wanted_is_refused_first(
    part: str, settings: dict[str, str], message: str, tiny_models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(tiny_models["english"], source)
    recipe = replace(recipe, **{part: replace(getattr(recipe, part), **settings)})
    with pytest.raises((InputError, RecipeError), match=message):
        folds.run_folds(recipe, tmp_path, FOLDS)
    assert not list(tmp_path.glob("fold-*/hypotheses")) and not list(tmp_path.glob("fold-*/adapter"))


def test_folds_whose_pseudonyms_are_others_are_refused(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    table = out / "fold-2" / "corpus" / "speakers.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("S0001", "S").replace("S0002", "S0001").replace("S,", "S0002,"), encoding="utf-8")
    assert table.read_text(encoding="utf-8") != text
    with pytest.raises(InputError, match=r"fold-2: was prepared when .* not those of fold-1"):
        folds.run_folds(recipes.load(out / "recipe.yaml"), out, FOLDS)


def test_too_few_folds(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="at least 3"):
        folds.run_folds(Recipe(), tmp_path, 2)


def test_other_speech_is_heard_by_the_model_of_every_fold(finished: Path, tmp_path: Path) -> None:
    """Added to finished folds: nothing is trained again, and the three models' words on it are pooled."""
    out = tmp_path / "folds"
    shutil.copytree(finished, out)
    others = tiny.write_kaldi(tmp_path / "others", speakers=2, utterances=2)
    said = (others / "text").read_text(encoding="utf-8").splitlines()
    (others / "text").write_text("".join(f"{line} AGAIN\n" for line in said), encoding="utf-8")
    recipe = recipes.load(finished / "recipe.yaml")
    kept = recipes.build({"evaluate": {"retention": [{"name": "others", "source": str(others), "language": "en"}]}})
    evaluate = replace(recipe.evaluate, retention=kept.evaluate.retention)
    block = folds.run_folds(replace(recipe, evaluate=evaluate), out, FOLDS)["retention"]["others"]
    each = [read_json(RunFolder(out / f"fold-{n}").retention("others").comparison) for n in range(1, FOLDS + 1)]
    assert {block["words"]} == {one["overall"]["normalised"]["a"]["words"] for one in each}, "as many as were said"
    errors = [one["overall"]["normalised"]["b"]["errors"] for one in each]
    assert block["utterances"] == 4 and block["b"]["errors"] == sum(errors) > 0
    assert block["b"]["words"] == FOLDS * each[0]["overall"]["normalised"]["b"]["words"]
    assert "Other speech" in RunFolder(out).report.read_text(encoding="utf-8")


def test_folds_trained_anew_are_kept_when_the_command_is_cut_off(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(finished, tmp_path / "out", copy_function=shutil.copy2)
    recipe, run = recipes.load(finished / "recipe.yaml"), pipeline.run

    def stop_in_fold_3(part: Recipe, folder: Path, **options: object) -> object:
        if part.corpus.split.fold == 3:
            raise KeyboardInterrupt
        return run(part, folder, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "run", stop_in_fold_3)
    with pytest.raises(KeyboardInterrupt):
        folds.run_folds(recipe, out, FOLDS, force=("train",))
    monkeypatch.setattr(pipeline, "run", run)
    capsys.readouterr()
    folds.run_folds(recipe, out, FOLDS, force=("train",))
    assert capsys.readouterr().err.count("train: complete and unchanged") == 2
    assert not list(out.glob("fold-*/.stages/train-begun-again.json"))


def test_nothing_of_somebodys_own_is_written_over(tiny_models: dict[str, Path], source: Path, tmp_path: Path) -> None:
    recipe = make_recipe(tiny_models["english"], source)
    (tmp_path / "README.md").write_text("# Mine", encoding="utf-8")
    with pytest.raises(InputError, match="no model card"):
        folds.run_folds(recipe, tmp_path, FOLDS)
    assert not list(tmp_path.glob("fold-*"))
