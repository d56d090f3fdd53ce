from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from smallvoice.errors import InputError
from smallvoice.reporting.card import require_own, write_card
from smallvoice.run_folder import RunFolder
from smallvoice.storage import read_json, read_jsonl, write_json, write_jsonl

MakeRun = Callable[..., Path]


def test_every_figure_is_from_the_run(make_run: MakeRun) -> None:
    run = make_run()
    text = write_card(run).read_text(encoding="utf-8")
    metadata = yaml.safe_load(text.split("---")[1])
    normalised = read_json(RunFolder(run).comparison)["overall"]["normalised"]
    assert metadata["base_model"] == "openai/whisper-base" and metadata["library_name"] == "peft"
    value = metadata["model-index"][0]["results"][0]["metrics"][0]["value"]
    assert value == round(100 * normalised["b"]["wer"], 2)
    assert f"{100 * normalised['a']['wer']:.1f} % | {100 * normalised['b']['wer']:.1f} %" in text
    assert "Verdict: normalised WER" in text and "saw none of the utterances and none of the speakers" in text
    assert str(run) not in text
    assert "Kept: step 315 of 420 (member 1)." in text


def test_who_is_preserved_is_said(make_run: MakeRun) -> None:
    run = make_run()
    rows = read_jsonl(RunFolder(run).trained_on)
    write_jsonl(RunFolder(run).trained_on, [*rows, {"id": "x", "speaker": "S0900", "used_for": "preserving"}])
    assert "What the base makes of 1 utterance of 1 speaker was to be kept." in write_card(run).read_text(
        encoding="utf-8"
    )


def test_the_base_is_what_training_found(make_run: MakeRun) -> None:
    """Of `models/anna` nobody can tell whether it is a folder when it is not there any more."""
    run = make_run(settings={"model": {"base": "models/anna"}})
    write_json(run / "adapter" / "smallvoice.json", {"base": "local-model"})
    text = write_card(run).read_text(encoding="utf-8")
    assert "anna" not in text and "a local model, fine-tuned with" in text


def test_a_run_without_a_test_has_a_card_without_scores(make_run: MakeRun) -> None:
    run = make_run()
    RunFolder(run).comparison.unlink()
    text = write_card(run).read_text(encoding="utf-8")
    assert "Nobody was kept for a test" in text and "model-index" not in text


def test_a_base_that_is_no_name_on_the_hub_is_not_called_one(make_run: MakeRun) -> None:
    for base in ("tiny.en", "/home/anna/whisper"):
        run = make_run(settings={"model": {"base": base}, "corpus": {"language": "EN-us"}})
        metadata = yaml.safe_load(write_card(run).read_text(encoding="utf-8").split("---")[1])
        assert "base_model" not in metadata and metadata["language"] == "en"


def test_synthetic_speech_gives_no_result_to_index(make_run: MakeRun) -> None:
    text = write_card(make_run(synthetic=True)).read_text(encoding="utf-8")
    assert "Synthetic speech" in text and "model-index" not in text


def test_a_part_of_the_test_is_called_one(make_run: MakeRun) -> None:
    run = make_run(settings={"evaluate": {"select": "age_years < 18"}})
    text = write_card(run).read_text(encoding="utf-8")
    metadata = yaml.safe_load(text.split("---")[1])
    dataset = metadata["model-index"][0]["results"][0]["dataset"]
    assert dataset["name"].endswith(", test of this run, where age_years < 18") and "split" not in dataset
    assert "those where `age_years < 18`; in brackets" in text


def test_names_in_a_recipe_are_not_shown(make_run: MakeRun) -> None:
    named = 'source == "St-Mary" or source == "speechocean762" and age_years < 9'
    settings = {"corpus": {"tiers": ["Anna"]}, "train": {"mix": [{"select": named}], "select_dev": "session != 'Ben'"}}
    text = write_card(make_run(settings=settings)).read_text(encoding="utf-8")
    assert "Anna" not in text and "St-Mary" not in text and "Ben'" not in text
    assert "age_years < 9" in text and "speechocean762" in text


def test_a_readme_that_is_no_card_is_nobodys_to_replace(make_run: MakeRun, tmp_path: Path) -> None:
    require_own(tmp_path / "README.md")
    require_own(write_card(make_run()))
    (tmp_path / "README.md").write_text("# My project", encoding="utf-8")
    with pytest.raises(InputError, match="no model card of smallvoice"):
        require_own(tmp_path / "README.md")
