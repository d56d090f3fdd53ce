"""Recipes: every packaged one loads, every mistake is named with its line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from smallvoice import recipe_file as recipes
from smallvoice.errors import InputError, RecipeError
from smallvoice.recipe import Recipe

PACKAGED = sorted((Path(recipes.__file__).parent / "recipes").glob("*.yaml"))


def test_the_number_of_recipes() -> None:
    names = ["nursery", "reference_quality_lora", "speechocean762_base", "speechocean762_base_best"]
    names += ["speechocean762_small_gpu"]
    assert [path.stem for path in PACKAGED] == names


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_every_recipe_loads_and_says_how_to_run_it(path: Path) -> None:
    assert recipes.load(path).name == path.stem
    assert f"smallvoice run recipes/{path.name}" in path.read_text()


def test_a_recipe_that_comes_with_smallvoice_needs_no_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    path = Path("recipes/nursery.yaml")
    assert recipes.load(path) == recipes.load(recipes.packaged("nursery"))
    assert len(caplog.messages) == 1 and "comes with smallvoice" in caplog.text
    for missing in ("recipes/none.yaml", "nursery.yaml", "other/nursery.yaml"):
        with pytest.raises(InputError, match="no such file"):
            recipes.load(Path(missing))
    path.parent.mkdir()
    path.write_text("name: mine\n", encoding="utf-8")
    assert recipes.load(path).name == "mine"
    assert len(caplog.messages) == 1


def test_reference_recipe_has_the_reference_settings() -> None:
    recipe = recipes.load(recipes.packaged("reference_quality_lora"))
    assert (recipe.model.rank, recipe.model.alpha, recipe.model.dropout) == (16, 32, 0.05)
    assert recipe.model.targets == ["q_proj", "k_proj", "v_proj", "out_proj"]
    assert (recipe.train.epochs, recipe.train.batch_size, recipe.train.accumulate) == (5, 8, 2)
    assert (recipe.train.learning_rate, recipe.train.warmup, recipe.train.schedule) == (5e-6, 0.15, "cosine")
    assert recipe.window.kind == "full"


def test_round_trip(tmp_path: Path) -> None:
    recipe = recipes.load(recipes.packaged("speechocean762_base"), ["train.learning_rate=1e-4", "model.rank=3"])
    recipes.dump(recipe, tmp_path / "r.yaml")
    again = recipes.load(tmp_path / "r.yaml")
    assert again == recipe
    assert (again.train.learning_rate, again.model.rank) == (1e-4, 3)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corpus:\n  selekt: x", r"mine\.yaml:2: unknown key 'corpus\.selekt'\. Known here: source, select"),
        (
            "train:\n  mix:\n    - {select: x > 1, wieght: 2}",
            r":2: unknown key 'train\.mix\.0\.wieght'\. Known here: select, weight\.",
        ),
        ("train: {preserve: {select: x > 1, wieght: 2}}", r"unknown key .*wieght'\. Known here: select, weight\."),
        ("evaluate: {retention: [{name: a, source: x, langauge: en}]}", r"Known here: name, source, select, language"),
        (
            "evaluate:\n  retention: [{name: a, source: x}, {name: a, source: y}]",
            r":2: evaluate\.retention is .*two sets have one name",
        ),
        ("trian: {}", r":1: unknown key 'trian'\. Known here: name, corpus"),
        ("train:\n  epochs: two", r":2: train\.epochs is 'two': input should be a valid integer"),
        ("train:\n  epochs: 0", r"train\.epochs is 0: input should be greater than or equal to 1"),
        ("train:\n  learning_rate: -1", r"train\.learning_rate is -1"),
        ("train:\n  epochs: 1\n  epochs: 2", r":3: not valid YAML: 'epochs' is given twice"),
        ("model:\n  strategy: magic", r"model\.strategy is 'magic'"),
        ("corpus:\n  split: {train: 0, test: 0}", r"nothing would be prepared"),
        ("corpus: 3", r"corpus is 3"),
        ("- a\n- b", r":1: a recipe is a mapping"),
        ("a: [", r"not valid YAML"),
        ("a: " + 5000 * "[", r"brackets in brackets without end"),
        ("corpus: {tiers: &a [*a]}", r"a value that cannot be written down: Circular reference"),
        (f"train: {{seed: {10**30}}}", r"train\.seed is 1000.* less than 4294967296"),
        (f"train: {{seed: 0x{4200 * 'f'}}}", r"a value that cannot be written down: Exceeds the limit"),
        ("name: ../up", r"name is '\.\./up'"),
        ("train:\n\tepochs: 2", r":2: not valid YAML: .*Indent with spaces, not with tabs\."),
        (f"name: {5000 * '9'}", r"a value that cannot be read: Exceeds the limit"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.load(write(tmp_path, text))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("EN", "en"),
        ("eng", "en"),
        ("en-US", "en"),
        ("nb-NO", "no"),
        ("jv", "jw"),
        ("English", "en"),
        ("Finnish", "fi"),
        ("Haitian Creole", "ht"),
        ('""', None),
        ("fr", "fr"),
    ],
)
def test_a_language_is_as_whisper_calls_it(tmp_path: Path, written: str, meant: str | None) -> None:
    assert recipes.load(write(tmp_path, f"corpus:\n  language: {written}")).corpus.language == meant


def test_a_column_may_be_called_by_its_place(tmp_path: Path) -> None:
    recipe = recipes.load(write(tmp_path, "name: x\n"), ["corpus.columns.audio=1", "corpus.columns.text=Satz"])
    assert recipe.corpus.columns == {"audio": "1", "text": "Satz"}
    assert recipes.load(write(tmp_path, "name: x\n"), ["corpus.columns.start="]).corpus.columns == {"start": ""}
    with pytest.raises(RecipeError, match=r"columns.*audio"):
        recipes.load(write(tmp_path, "name: x\n"), ["corpus.columns.audio=true"])


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load(write(tmp_path, "train:\n  epochs: 0\n  seed: -1\nx: 1"), ["model.rank=0"])
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("override", ["epochs", "=3", "train.epochs.x=3", "train.epochs=[", f"name={5000 * '9'}"])
def test_overrides_that_cannot_be(tmp_path: Path, override: str) -> None:
    path = write(tmp_path, "train:\n  epochs: 2")
    with pytest.raises(RecipeError, match="--set"):
        recipes.load(path, [override])


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        recipes.load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9t\xe9")
    with pytest.raises(InputError, match="not UTF-8"):
        recipes.load(tmp_path / "latin.yaml")


def test_an_empty_recipe_is_the_defaults(tmp_path: Path) -> None:
    assert recipes.load(write(tmp_path, "")) == recipes.build({"name": "mine"})
    assert Recipe().train.learning_rate == 1e-3
    full = recipes.build({"model": {"strategy": "full"}})
    assert full.train.learning_rate == 3e-5
    recipes.dump(full, tmp_path / "run.yaml")
    assert "learning_rate: 3.0e-05" in (tmp_path / "run.yaml").read_text()
    recipes.dump_to_change(full, tmp_path / "mine.yaml")
    assert recipes.load(tmp_path / "mine.yaml", ["model.strategy=lora"]).train.learning_rate == 1e-3
    assert recipes.build({"model": {"strategy": "full"}, "train": {"learning_rate": 1e-4}}).train.learning_rate == 1e-4


def test_a_setting_may_leave_out_its_stage(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("corpus: {source: data}\n")
    recipe = recipes.load(path, ["split.test=0", "epochs=7", "name=other"])
    assert (recipe.corpus.split.test, recipe.train.epochs, recipe.name) == (0, 7, "other")
    with pytest.raises(RecipeError, match=r"seed is in train and evaluate; say train.seed="):
        recipes.load(path, ["seed=1"])
    with pytest.raises(RecipeError, match="unknown key 'epoch'"):
        recipes.load(path, ["epoch=1"])


def test_what_looks_like_a_date_is_a_word(tmp_path: Path) -> None:
    assert recipes.load(write(tmp_path, "name: 2024-31-12")).name == "2024-31-12"
    assert recipes.load(write(tmp_path, ""), ["name=2024-31-12"]).name == "2024-31-12"


def test_a_stage_whose_settings_are_all_notes_is_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "train:\n  # epochs: 2\n")
    assert recipes.load(path).train == Recipe().train
    assert recipes.load(path, ["train.epochs=7"]).train.epochs == 7


def test_a_rate_that_is_the_strategys_own_goes_with_it(tmp_path: Path) -> None:
    """`recipe.yaml` of a run says every setting: 1e-3 there is LoRA's, and would be 33 times too high for another."""
    recipes.dump(Recipe(), tmp_path / "recipe.yaml")
    other = recipes.load(tmp_path / "recipe.yaml", ["model.strategy=full"])
    assert Recipe().train.learning_rate == 1e-3 and other.train.learning_rate == 3e-5
    assert recipes.load(tmp_path / "recipe.yaml", ["model.rank=8"]).train.learning_rate == 1e-3
    given = recipes.load(tmp_path / "recipe.yaml", ["model.strategy=full", "train.learning_rate=1e-4"])
    assert given.train.learning_rate == 1e-4
    assert recipes.load(tmp_path / "recipe.yaml", ["strategy=full"]).train.learning_rate == 3e-5
    chosen = write(tmp_path, "train:\n  learning_rate: 1e-3")  # by hand
    assert recipes.load(chosen, ["model.strategy=full"]).train.learning_rate == 1e-3


def test_what_a_recipe_cannot_hold_is_not_written_over(tmp_path: Path) -> None:
    recipes.dump(recipes.build({"name": "a", "corpus": {"source": "here #1"}}), tmp_path / "dumped.yaml")
    recipes.require_no_notes(tmp_path / "dumped.yaml")
    recipes.require_no_notes(tmp_path / "none.yaml")
    for text in ("train:\n  epochs: 2  # enough\n", "# mine\n", "search: {model.rank: [2, 4]}"):
        with pytest.raises(RecipeError, match="has comments or a search: block"):
            recipes.require_no_notes(write(tmp_path, text))


def test_a_folder_of_noises_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "noises"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"1234")
    recipe = recipes.build({"augment": {"noise": 0.5, "noise_folder": str(folder)}})
    before = recipes.of_a_member(recipe)
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "a.wav").touch()
    copied = recipes.build({"augment": {"noise": 0.5, "noise_folder": str(tmp_path / "copy")}})
    assert recipes.of_a_member(copied) == before
    (folder / ".DS_Store").write_bytes(b"12")
    assert recipes.of_a_member(recipe) == before
    (folder / "b.wav").write_bytes(b"12")
    assert recipes.of_a_member(recipe) != before
    shutil.rmtree(folder)
    with pytest.raises(RecipeError, match=r"augment\.noise_folder: .*no such folder"):
        recipes.of_a_member(recipe)
