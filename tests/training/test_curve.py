"""The learning curve: nested stratified shares, equal steps, resuming, and what it dares to say."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest

from smallvoice import recipe_file as recipes
from smallvoice.corpus.utterance import Corpus, Utterance, open_corpus
from smallvoice.errors import InputError, RecipeError
from smallvoice.recipe import MixRecipe, PreserveRecipe, Recipe
from smallvoice.reporting.learning_plot import learning_curve as plot
from smallvoice.storage import read_json, read_jsonl, write_json
from smallvoice.training import curve
from smallvoice.training.outlook import outlook, sentence


@pytest.fixture(scope="module")
def recipe(tiny_models: dict[str, Path]) -> Recipe:
    return recipes.build(
        {
            "model": {"base": str(tiny_models["english"]), "rank": 2},
            "train": {"epochs": 2, "batch_size": 4, "evaluations": 2, "checkpoint_every": 1},
            "decode": {"tokens_base": 4, "tokens_per_s": 1.0},
            "evaluate": {"resamples": 100},
        }
    )


@pytest.fixture(scope="module")
def finished(recipe: Recipe, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("curve")
    curve.learning_curve(recipe, tiny_corpus, out)
    return out


class _Corpus(Corpus):
    """30 girls of 6 and 10 boys of 12."""

    def columns(self, split: str, names: list[str]) -> pa.Table:
        rows = [
            {
                "speaker": f"S{number:04d}",
                "session": None,
                "recording": "R1",
                "age_years": 6.0 if number < 30 else 12.0,
                "gender": "f" if number < 30 else "m",
            }
            for number in np.random.default_rng(0).permutation(40).tolist()
        ]
        return pa.Table.from_pylist(rows).select(names)


def test_every_beginning_is_like_the_whole() -> None:
    order = curve.speakers_in_order(_Corpus(Path(), {}))
    assert len(set(order)) == 40
    for size in (10, 20):
        boys = sum(name >= "S0030" for name in order[:size])
        assert abs(boys - size / 4) <= 1
    girls = [name for name in order if name < "S0030"]
    assert girls == sorted(girls), "in the order of the hash that numbered them"


def test_who_is_never_heard_is_no_speaker_of_the_curve(tiny_corpus: Path) -> None:
    corpus = open_corpus(tiny_corpus)
    girls = {
        row["speaker"] for row in corpus.columns("train", ["speaker", "gender"]).to_pylist() if row["gender"] == "f"
    }
    heard = curve.speakers_in_order(corpus, [MixRecipe(select='gender == "f"')])
    assert set(heard) == girls < set(curve.speakers_in_order(corpus))


def test_who_is_only_preserved_is_in_every_share(recipe: Recipe, tiny_corpus: Path, tmp_path: Path) -> None:
    mix, preserve = [MixRecipe(select='gender == "f"')], PreserveRecipe(select='gender == "m"', weight=0.1)
    recipe = replace(recipe, train=replace(recipe.train, epochs=1, evaluations=1, mix=mix, preserve=preserve))
    points = curve.learning_curve(recipe, tiny_corpus, tmp_path, shares=[0.5, 1.0])["points"]
    assert points[0]["speakers"] < points[1]["speakers"] < len(curve.speakers_in_order(open_corpus(tiny_corpus)))


def test_speakers_who_say_little_are_heard_as_often(recipe: Recipe, tiny_corpus: Path, tmp_path: Path) -> None:
    corpus = open_corpus(tiny_corpus)
    quiet = curve.speakers_in_order(corpus)[0]
    said = corpus.columns("train", ["speaker"])["speaker"].to_pylist().count(quiet)
    whole = {"of": 500, "utterances": 100 * said}  # a hundredth of all, be it a tenth of the speakers
    settings = curve._Curve(recipe, corpus, tmp_path, "dev", print)._with_steps([quiet], whole).train
    assert settings.max_steps == 500
    assert settings.epochs * said >= recipe.train.epochs * whole["utterances"]


def test_shares_are_nested_and_hear_as_much(finished: Path, tiny_corpus: Path) -> None:
    points = read_json(finished / "learning_curve.json")["points"]
    assert [point["share"] for point in points] == [0.25, 0.5, 1.0]
    heard = {}
    for point, name in zip(points, ("025", "050", "100"), strict=True):
        rows = read_jsonl(finished / f"share-{name}" / "trained_on.jsonl")
        heard[name] = {row["speaker"] for row in rows if row["used_for"] == "training"}
        assert len(heard[name]) == point["speakers"]
        assert point["steps"] == points[-1]["steps"]
    assert heard["025"] < heard["050"] < heard["100"]
    everyone = {row["speaker"] for row in open_corpus(tiny_corpus).columns("train", ["speaker"]).to_pylist()}
    assert heard["100"] == everyone
    assert all(point["utterances_heard"] >= 0.6 * points[-1]["utterances_heard"] for point in points)
    assert len({point["words"] for point in points}) == 1
    assert not list(finished.glob("share-*/corpus"))
    assert not list(finished.glob("share-*/checkpoints"))


def test_plot_stands_alone_and_has_words(finished: Path) -> None:
    result = read_json(finished / "learning_curve.json")
    root = ElementTree.parse(finished / "learning_curve.svg").getroot()
    texts = ["".join(element.itertext()) for element in root if element.tag.endswith("desc")]
    assert texts == [result["sentence"]]
    assert "--tuned:#" in (finished / "learning_curve.svg").read_text()
    drawn = plot([5, 10, 20], [30, 25, 20], [[25, 35], None, [15, 25]], (40, 16, [12, 20]), "dev", "x")
    assert "if the trend goes on" in drawn


def test_a_finished_share_is_kept_and_another_continues(
    recipe: Recipe, finished: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "the same train and dev in another corpus"
    shutil.copytree(tiny_corpus, copy)
    write_json(copy / "corpus.json", {**read_json(copy / "corpus.json"), "key": "another"})
    before = read_json(finished / "learning_curve.json")
    (finished / "share-050" / ".stages" / "share.json").unlink()
    heard: list[dict[str, Any]] = []
    again = curve.learning_curve(recipe, copy, finished, report=heard.append)
    shares = {row["share"]: row["done"] for row in heard if row["kind"] == "share"}
    assert shares == {0.25: True, 0.5: False, 1.0: True}
    assert [point["errors"] for point in again["points"]] == [point["errors"] for point in before["points"]]
    assert curve.table(again).row_count == 3
    heard.clear()
    other = shutil.copytree(finished, tmp_path / "two beams")
    curve.learning_curve(replace(recipe, decode=replace(recipe.decode, beams=2)), copy, other, report=heard.append)
    assert not any(row["done"] for row in heard if row["kind"] == "share"), "decoded otherwise"
    assert curve.line({"share": 0.25, "speakers": 1, "done": True}) == "25 %, 1 speaker: complete and unchanged"


def test_cut_off_in_training_continues_after_the_last_checkpoint(
    recipe: Recipe, tiny_corpus: Path, finished: Path, tmp_path: Path
) -> None:
    def stop(row: dict[str, Any]) -> None:
        if row["kind"] == "share":
            shares.append(row["share"])
        if row["kind"] == "step" and shares[-1] == 0.25:
            steps.append(row["step"])
            if row["step"] == 3 and len(steps) == 3:
                raise KeyboardInterrupt

    shares: list[float] = []
    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        curve.learning_curve(recipe, tiny_corpus, tmp_path, report=stop)
    result = curve.learning_curve(recipe, tiny_corpus, tmp_path, report=stop)
    assert steps[3] == 3, "step 3 was taken but not kept"
    expected = read_json(finished / "learning_curve.json")["points"]
    assert [point["errors"] for point in result["points"]] == [point["errors"] for point in expected]
    adapters = [folder / "share-025" / "adapter" / "adapter_model.safetensors" for folder in (tmp_path, finished)]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


def test_shares_that_cannot_be(recipe: Recipe, tiny_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too few for 4 shares"):
        curve.learning_curve(recipe, tiny_corpus, tmp_path, shares=(0.2, 0.21, 0.22))
    for shares in ((0.0,), (1.5,), ()):
        with pytest.raises(RecipeError, match="lie between 0 and 1"):
            curve.learning_curve(recipe, tiny_corpus, tmp_path, shares=shares)


def _outlook(errors_of: list[list[int]], speakers: list[int]) -> dict[str, Any] | None:
    """Errors of each model per decoded speaker, each of whom said 100 words."""
    table = np.array([*errors_of, [100] * len(errors_of[0])]).T
    return outlook(speakers, table, len(table), 0.95)


def test_outlook_of_a_power_law() -> None:
    trend = _outlook([[40, 44, 36, 41, 39] * 4, [32, 35, 29, 33, 31] * 4, [26, 28, 23, 26, 25] * 4], [10, 20, 40])
    assert trend is not None
    assert trend["factor"] == pytest.approx(math.sqrt(512 / 800))
    assert trend["speakers"] == 80
    assert trend["wer"] == pytest.approx(trend["factor"] * 0.256)
    assert trend["interval"][0] < trend["wer"] < trend["interval"][1] < 0.256
    assert trend["shown"]
    points = [{"speakers": 10, "wer": 0.4}, {"speakers": 40, "wer": 0.256}]
    said = sentence(points, trend, "dev", 20, 0.95)
    assert "If the next doubling does as much, 80 speakers would bring it to about 20.5 %" in said
    assert "beyond twice the data nothing is said" in said
    assert "160" not in said


def test_outlook_without_an_effect() -> None:
    trend = _outlook([[30, 10, 50, 20, 40], [10, 50, 20, 40, 31], [40, 20, 10, 30, 50]], [10, 20, 40])
    assert trend is not None
    assert not trend["shown"]
    points = [{"speakers": 10, "wer": 0.3}, {"speakers": 40, "wer": 0.3}]
    said = sentence(points, trend, "dev", 5, 0.95)
    assert "no effect of more speakers is shown" in said
    assert "would bring" not in said
    assert "rests on too little" in said


def test_outlook_of_more_errors_with_more_data() -> None:
    trend = _outlook([[10, 12, 11, 9] * 2, [20, 22, 21, 19] * 2, [40, 42, 41, 39] * 2], [10, 20, 40])
    said = sentence([{"speakers": 10, "wer": 0.1}, {"speakers": 40, "wer": 0.4}], trend, "dev", 12, 0.95)
    assert "more of the same did not help" in said


def test_nothing_is_claimed_without_an_interval() -> None:
    assert outlook([10, 20], np.array([[5, 4, 100]]), 1, 0.95) is None
    assert _outlook([[0, 0, 0], [0, 0, 0]], [10, 20]) is None
    said = sentence([{"speakers": 1, "wer": 0.1}, {"speakers": 2, "wer": 0.0}], None, "dev", 1, 0.95)
    assert said.endswith("Nothing is claimed: no interval can be drawn from 1 speaker.")


def test_a_part_of_a_corpus(tiny_corpus: Path, tmp_path: Path) -> None:
    corpus = open_corpus(tiny_corpus)
    speakers = set(curve.speakers_in_order(corpus)[:2])
    curve.write_part(corpus, speakers, tmp_path / "part")
    part = open_corpus(tmp_path / "part")

    def rows(of: Any, split: str) -> list[Utterance]:
        return list(of.utterances(split))

    assert rows(part, "dev") == rows(corpus, "dev")
    assert rows(part, "train") == [row for row in rows(corpus, "train") if row.speaker in speakers]
    assert "test" not in part.splits()
    assert part.facts["text"] == corpus.facts["text"]
    assert part.facts["key"] != corpus.facts["key"]


def test_two_speakers_show_no_effect() -> None:
    trend = _outlook([[40, 44], [32, 35], [26, 28]], [10, 20, 40])
    assert trend is None or not trend["shown"]
    few = {"factor": 0.8, "factor_interval": [0.7, 0.9], "speakers": 80, "wer": 0.2, "interval": [0.1, 0.3]}
    points = [{"speakers": 10, "wer": 0.4}, {"speakers": 40, "wer": 0.256}]
    said = sentence(points, {**few, "shown": False}, "dev", 5, 0.95)
    assert "too few known speakers were asked" in said and "would bring" not in said


def test_recordings_without_a_speaker_show_no_effect() -> None:
    table = np.array([[40, 44, 36, 41, 39] * 4, [32, 35, 29, 33, 31] * 4, [26, 28, 23, 26, 25] * 4, [100] * 20]).T
    known, unknown = (outlook([10, 20, 40], table, number, 0.95) for number in (20, 0))
    assert known is not None and unknown is not None
    assert known["shown"] and not unknown["shown"]
