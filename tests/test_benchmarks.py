"""The benchmarks' own commands, from end to end, on a tiny random Whisper and synthetic speech."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from smallvoice.storage import read_json, write_json

FOLDER = Path(__file__).parent.parent / "benchmarks"


def told(name: str, *arguments: object, fails: str = "") -> str:
    """What a benchmark prints; where it fails in part, it says `fails`, without a traceback."""
    command = [sys.executable, str(FOLDER / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == bool(fails), done.stderr
    assert fails in done.stderr and "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def adult_recipe(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that names adults, of whom the tiny corpus has none."""
    path = tmp_path_factory.mktemp("recipe") / "adults.yaml"
    path.write_text(
        f"""
model: {{base: {tiny_models["multilingual"]}, rank: 2}}
train:
  members: 2
  mix: [{{select: age_years < 18, weight: 1.0}}, {{select: age_years >= 18, weight: 0.3}}]
  preserve: {{select: age_years >= 18, weight: 0.1}}
decode: {{tokens_base: 4, tokens_per_s: 1.0}}
""",
        encoding="utf-8",
    )
    return path


@pytest.mark.slow
def test_strategies_asks_for_nobody_whom_the_corpus_lacks(
    adult_recipe: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    arguments = [tiny_corpus, "--out", tmp_path, "--recipe", adult_recipe, "--epochs", 1, "--only"]
    first = told("strategies.py", *arguments, "norms-biases")
    assert re.search(r"\| layer norms and biases \| 0\.001 \| [\d,]+ \| .* \| [\d.]+ % \|$", first.strip())
    row = read_json(tmp_path / "norms-biases" / "row.json")
    assert row["utterances"] and row["dev"]["words"] and row["dev_full"]["words"] == row["dev"]["words"]
    write_json(tmp_path / "norms-biases" / "row.json", row | {"trainable": 7})
    assert "| 7 |" in told("strategies.py", *arguments, "norms-biases"), "what is done is not done again"


@pytest.mark.slow
def test_train_cost_keeps_what_could_be_measured(
    adult_recipe: Path, tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    short = ["--steps", 2, "--warmup", 1, "--steps-full", 1, "--warmup-full", 1, "--batch", 2, "--recipe", adult_recipe]
    out = tmp_path / "cost.json"
    arguments = [tiny_corpus, "--model", tiny_models["multilingual"], "--out", out, *short]
    table = told("train_cost.py", *arguments, fails="(c) is left out: train.")
    assert "(a) Seq2SeqTrainer" in table and "(b) smallvoice, trim" in table and "(c)" not in table
    rows = read_json(out)["results"]
    assert all(row["utterances"] and row["seconds"] > 0 and 0 < row["share_of_matmul"] < 1 for row in rows.values())


def test_decode_cost_of_one_recogniser(tuned_run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "row.json"
    only = ["--only", "smallvoice, float32, greedy", "--split", "test", "--out", out]
    told("decode_cost.py", tuned_run, tiny_corpus, tmp_path, *only)
    row = read_json(out)
    assert row["clips"] and row["words"] and row["seconds"] > 0 and row["times_ideal"] > 0
    assert sum(errors for errors, _ in row["by_speaker"].values()) == row["errors"]


@pytest.mark.slow
def test_nothing_broken_counts_words_and_languages(
    tuned_run: Path, tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip("espeakng_loader")
    out = tmp_path / "broken.json"
    arguments = ["--children", f"{tiny_corpus}:test", "--other", f"{tiny_corpus}:dev", "--out", out]
    told("nothing_broken.py", tuned_run, "--base", tiny_models["multilingual"], *arguments)
    found = read_json(out)
    assert len(found["changes"]) == 4 and all(row["words"] for row in found["changes"])
    assert [row["number"] for row in found["languages"][-5:]] == 5 * [20]
