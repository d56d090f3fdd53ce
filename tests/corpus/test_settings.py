"""How a corpus was prepared is known when a recipe is made for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.corpus.corpora import noise, prepared, write_audio, write_lines

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.corpus.audit import audit
from smallvoice.corpus.cleaning import apply
from smallvoice.corpus.settings import as_prepared, made_of, unknown
from smallvoice.corpus.sources import find, fingerprint
from smallvoice.recipe import CorpusRecipe
from smallvoice.storage import digest, read_json, write_json


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve visits of a child and a mother, text rules beside them; the working folder is the one above."""
    monkeypatch.chdir(tmp_path)
    header = ["@UTF8", "@Begin", "@Languages:\teng", "@Participants:\tCHI Target_Child, MOT Mother"]
    for number in range(12):
        ids = [f"@ID:\teng|lab|{code}|||||{role}|||" for code, role in (("CHI", "Target_Child"), ("MOT", "Mother"))]
        said = [f"*CHI:\tnoise cat{number} . \x150_900\x15", f"*MOT:\tnoise dog{number} . \x151000_1900\x15"]
        write_lines(tmp_path / "lab" / f"visit{number}.cha", [*header, *ids, *said, "@End"])
        write_audio(tmp_path / "lab" / f"visit{number}.wav", noise(2.0, number))
    write_lines(tmp_path / "rules.yaml", ["rules: [{remove: noise}]"])
    return Path("lab")


def _without_settings(corpus: Path) -> None:
    facts = read_json(corpus / "corpus.json")
    write_json(corpus / "corpus.json", {name: value for name, value in facts.items() if name != "settings"})


def _recipe_of(corpus: Path, **given: Any) -> CorpusRecipe:
    return recipes.build({"corpus": {**as_prepared(corpus), **given}}).corpus


def test_a_recipe_for_a_corpus_prepares_the_same_one(lab: Path, tmp_path: Path) -> None:
    split = {"train": 0.5, "dev": 0.25, "test": 0.25}
    given = recipes.build({"corpus": {"roles": ["child"], "text_rules": "rules.yaml", "split": split}}).corpus
    facts = verbs.prepare([str(lab)], Path("corpus"), recipe=given)
    assert facts["splits"]["train"]["speakers"] == 6
    known = as_prepared(Path("corpus"))
    assert set(known) == {"roles", "text_rules", "split", "language", "select"}, "no default"
    assert known["text_rules"] == "rules.yaml", "as it was given, where it was given"
    recipe = _recipe_of(Path("corpus"), source=str(lab))
    assert unknown(Path("corpus"), recipe) == []
    assert verbs.prepare([str(lab)], Path("again"), recipe=recipe)["key"] == facts["key"]


def test_paths_lead_to_the_same_files_from_elsewhere(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(lab, Path("corpus"), text_rules="rules.yaml", audio=["lab"])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    known = as_prepared(tmp_path / "corpus")
    assert known["text_rules"] == str(tmp_path / "rules.yaml") and known["audio"] == [str(tmp_path / "lab")]


def test_the_settings_stay_in_the_corpus_folder(lab: Path, tmp_path: Path) -> None:
    facts = verbs.prepare([str(lab)], Path("corpus"), recipe=CorpusRecipe(text_rules="rules.yaml"))
    assert "settings" in read_json(Path("corpus/corpus.json"))
    assert "settings" not in facts and str(tmp_path) not in str(facts)
    verbs.convert(Path("corpus"), "lhotse", Path("converted"))
    verbs.inspect(Path("corpus"), html=Path("page.html"))
    written = [path for path in (*Path("converted").rglob("*"), Path("page.html")) if path.is_file()]
    assert len(written) > 2 and not any(b"rules.yaml" in path.read_bytes() for path in written)


def test_a_corpus_without_an_audits_rows_says_how_it_was_prepared(lab: Path) -> None:
    prepared(lab, Path("corpus"), roles=["child"])
    apply(Path("corpus"), audit(Path("corpus")), Path("cleaned"))
    assert as_prepared(Path("cleaned"))["roles"] == ["child"]


def test_what_a_corpus_is_made_of_has_the_digest_that_it_had(lab: Path) -> None:
    recipe = CorpusRecipe(source=str(lab), roles=["child"])
    settings = {name: value for name, value in recipes.as_dict(recipe).items() if name != "source"}
    before = digest("prepare", settings, fingerprint(find(lab), recipe))
    assert made_of(recipe, find(lab)) == before == prepared(lab, Path("corpus"), roles=["child"]).facts["made_of"]
    _without_settings(Path("corpus"))
    assert prepared(lab, Path("corpus"), roles=["child"]).unchanged


def test_settings_that_only_a_digest_tells_are_asked_for(lab: Path) -> None:
    prepared(lab, Path("corpus"), roles=["child"])
    _without_settings(Path("corpus"))
    [said] = unknown(Path("corpus"), _recipe_of(Path("corpus"), source=str(lab)))
    assert said == "corpus: prepared with settings that are not known here; give them with --set."
    assert unknown(Path("corpus"), _recipe_of(Path("corpus"), source=str(lab), roles=["child"])) == []
    assert len(unknown(Path("corpus"), _recipe_of(Path("corpus")))) == 1, "no source to compare with"


def test_a_split_for_every_row_is_no_setting_of_a_recipe(lab: Path) -> None:
    verbs.prepare([str(lab)], Path("corpus"), split="train")
    [said] = unknown(Path("corpus"), _recipe_of(Path("corpus"), source=str(lab)))
    assert "--split train" in said
