"""How often each row is heard: weights, balance, and what a run leaves of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.training import mixed_corpus

from smallvoice import recipe_file as recipes
from smallvoice.corpus.split import age_band
from smallvoice.corpus.utterance import Corpus, open_corpus
from smallvoice.errors import InputError, RecipeError
from smallvoice.training import batches, heard
from smallvoice.training.batches import Planner, Reader
from smallvoice.training.heard import Heard

CHILDREN, ADULTS = {"select": 'role == "child"'}, {"select": 'source == "adults"'}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_corpus(mixed_corpus.prepare(tmp_path_factory.mktemp("mixed")))


def planner(corpus: Corpus, left_out: frozenset[str] = frozenset(), **train: object) -> Planner:
    settings = {"train": train, "window": train.pop("window", {}), "augment": train.pop("augment", {})}
    return Planner(corpus, "train", recipes.build(settings), 3000, set(left_out))


def counts(corpus: Corpus, epochs: int, **train: object) -> np.ndarray:
    """How often each row is heard in each epoch, shape = (epochs, num_rows)."""
    sampler = planner(corpus, **train).sampler
    return np.array([sampler.counts(7, epoch) for epoch in range(epochs)])


def rows(corpus: Corpus) -> list[dict[str, object]]:
    return corpus.columns("train", ["id", "role", "source", "speaker", "age_years", "duration_s"]).to_pylist()


def is_child(corpus: Corpus) -> np.ndarray:
    return np.array([row["role"] == "child" for row in rows(corpus)])


def test_without_mix_and_balance_every_row_is_heard_once(corpus: Corpus) -> None:
    assert counts(corpus, 1).tolist() == [[1] * corpus.splits()["train"]]


def test_a_part_is_heard_weight_times_rows_drawn_anew_each_epoch(corpus: Corpus) -> None:
    child = is_child(corpus)
    mix = [{**CHILDREN, "weight": 1.5}, {**ADULTS, "weight": 0.25}]
    drawn = counts(corpus, 400, mix=mix)
    assert set(drawn[:, child].ravel()) == {1, 2} and set(drawn[:, ~child].ravel()) == {0, 1}
    totals = drawn[:, child].sum(axis=1), drawn[:, ~child].sum(axis=1)
    assert {int(total) for total in totals[0]} <= {int(1.5 * child.sum()) + n for n in (-1, 0, 1)}
    assert {int(total) for total in totals[1]} <= {int(0.25 * (~child).sum()) + n for n in (0, 1)}
    assert len(set(drawn.sum(axis=1))) == 1, "epochs of one length"
    # Each row by itself: 5 standard errors of a share drawn 400 times.
    assert drawn[:, child].mean(axis=0) == pytest.approx(1.5, abs=5 * 0.5 / 20)
    assert drawn[:, ~child].mean(axis=0) == pytest.approx(0.25, abs=5 * 0.433 / 20)
    assert len({tuple(row) for row in drawn[:20]}) == 20
    assert np.array_equal(drawn[:4], counts(corpus, 4, mix=mix))


def test_rows_of_no_part_are_not_heard_and_of_two_parts_as_often_as_both_say(corpus: Corpus) -> None:
    child = is_child(corpus)
    assert counts(corpus, 1, mix=[CHILDREN]).tolist() == [child.astype(int).tolist()]
    both = [{**CHILDREN, "weight": 2.0}, {"select": "duration_s > 0", "weight": 1.0}]
    assert counts(corpus, 1, mix=both).tolist() == [(1 + 2 * child).tolist()]


@pytest.mark.parametrize("balance", ["speaker", "age", "source"])
def test_balance_hears_each_group_equally_often(corpus: Corpus, balance: str) -> None:
    groups = [
        {"speaker": row["speaker"], "source": row["source"], "age": age_band(row["age_years"])}[balance]  # type: ignore[arg-type]
        for row in rows(corpus)
    ]
    each = len(groups) / len(set(groups))
    drawn = counts(corpus, 300, balance=balance)
    for row in drawn:
        assert row.sum() == len(groups)
        heard_of = Counter(np.repeat(groups, row).tolist())
        assert all(each - 1 < heard_of[group] < each + 1 for group in set(groups)), heard_of
    sizes = Counter(groups)
    expected = np.array([each / sizes[group] for group in groups])
    assert drawn.mean(axis=0) == pytest.approx(expected, abs=5 * 0.5 / np.sqrt(300)), "fair within a group"


def test_balance_keeps_the_mix_within_a_group(corpus: Corpus) -> None:
    mix = [{"select": "duration_s > 0", "weight": 1.0}, {"select": "duration_s < 1", "weight": 1.0}]
    short = np.array([row["duration_s"] < 1 for row in rows(corpus)])  # type: ignore[operator]
    drawn = counts(corpus, 300, mix=mix, balance="source").mean(axis=0)
    child = is_child(corpus)
    assert drawn[child].sum() == pytest.approx(drawn[~child].sum(), rel=0.01)
    for group in (child, ~child):
        assert drawn[group & short].mean() == pytest.approx(2 * drawn[group & ~short].mean(), rel=0.1)


def test_rows_of_unknown_age_are_heard_as_without_balance(corpus: Corpus) -> None:
    plan = planner(corpus)
    plan.rows.codes["age"] = plan.rows.codes["age"].copy()
    plan.rows.codes["age"][:5] = len(plan.rows.names["age"])
    plan.rows.names["age"].append("unknown")
    recipe = recipes.build({"train": {"balance": "age"}}).train
    sampler = batches.Sampler(plan.rows, plan.ids, recipe, set())
    drawn = np.mean([sampler.counts(0, epoch) for epoch in range(200)], axis=0)
    assert drawn[:5] == pytest.approx(1.0)
    plan.rows.codes["age"][:] = len(plan.rows.names["age"]) - 1
    with pytest.raises(RecipeError, match="balance: age, but no utterance that is heard says it"):
        batches.Sampler(plan.rows, plan.ids, recipe, set())


def test_left_out_rows_are_never_drawn(corpus: Corpus) -> None:
    ids = frozenset(str(row["id"]) for row in rows(corpus)[:6])
    plan = planner(corpus, ids, balance="source")
    assert all(plan.sampler.counts(0, epoch)[:6].sum() == 0 for epoch in range(20))
    assert plan.sampler.counts(0, 0).sum() == corpus.splits()["train"] - 6
    with pytest.raises(InputError, match="No training utterance is heard"):
        planner(corpus, frozenset(str(row["id"]) for row in rows(corpus)))


def test_mistakes_in_a_mix_are_named_together(corpus: Corpus) -> None:
    with pytest.raises(RecipeError) as error:
        planner(corpus, mix=[CHILDREN, {"select": 'source == "x"'}, {"select": "age_years > 90"}])
    assert "'source == \"x\"' selects no row" in str(error.value)
    assert "'age_years > 90' selects no row" in str(error.value)
    with pytest.raises(RecipeError, match="no column 'colour'"):
        planner(corpus, mix=[{"select": 'colour == "red"'}])


def test_what_is_drawn_is_what_is_planned_and_read(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    read = Corpus.read_row_group
    monkeypatch.setattr(Corpus, "read_row_group", lambda self, group: loads.append(group.index) or read(self, group))
    monkeypatch.setattr(batches, "POOL_BYTES", 200_000)
    plan = planner(corpus, mix=[{**CHILDREN, "weight": 2.5}, {**ADULTS, "weight": 0.05}], batch_size=4)
    reader = Reader(corpus, plan.groups)
    for epoch in range(3):
        loads.clear()
        items = [item for step in plan.epoch(epoch, 1) for batch in step for item in batch]
        expected = dict(zip(plan.ids.to_pylist(), plan.sampler.counts(1, epoch).tolist(), strict=True))
        assert Counter(item.utterance_id for item in items) == {key: n for key, n in expected.items() if n}
        assert len({item.key for item in items}) == len(items), "each hearing has draws of its own"
        assert [u.id for [u] in reader.read(items)] == [item.utterance_id for item in items]
        assert len(loads) == len(set(loads)), "a row group is read once an epoch"
        pool = items[-1].wanted
        assert {number: sorted(held) for number, held in reader._loaded.items()} == pool, "only what is drawn is held"
    assert len(loads) < len(plan.groups), "row groups of which nothing is drawn are not read"


def test_pools_are_measured_by_what_is_drawn(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    total = sum(group.num_bytes for group in planner(corpus).groups)
    monkeypatch.setattr(batches, "POOL_BYTES", total / 2)

    def pools(**train: object) -> int:
        plan = planner(corpus, **train)
        return len(list(plan._pools(np.random.default_rng(0), plan.sampler.counts(0, 0))))

    assert pools() > 1
    assert pools(mix=[{"select": "duration_s > 0", "weight": 0.2}]) == 1


def test_heard_says_what_was_drawn_and_sums_it_up(corpus: Corpus, tmp_path: Path) -> None:
    augment = {"speed": 0.1, "noise": 0.5, "silence": 0.5}
    plan = planner(corpus, mix=[CHILDREN, {**ADULTS, "weight": 0.5}], augment=augment, window={"kind": "mixed"})
    record = Heard(tmp_path, plan.rows, 0)
    steps = list(plan.steps(2, 3))
    for number, step in enumerate(steps, 1):
        record.add(number, step)
    items = [item for step in steps for batch in step for item in batch]
    written = list(heard._rows(tmp_path / "heard.jsonl"))
    assert [row["id"] for row in written] == [item.utterance_id for item in items]
    for row, item in zip(written, items, strict=True):
        assert ("snr_db" in row) == bool(item.change.noise) and row.get("silence", False) == item.silence
        assert row.get("full", False) == item.full
        assert not {"tempo", "room", "volume_db", "tail_s"} & row.keys(), "only what is on"
        assert row.get("speed", 1.0) == pytest.approx(item.change.speed, abs=1e-4)
    found = heard.summary(tmp_path / "heard.jsonl")
    children = [row for row in rows(corpus) if row["role"] == "child"]
    assert found["by"]["role"]["child"]["heard"] == 2 * len(children)
    hours = 2 * sum(float(row["duration_s"]) for row in children) / 3600  # type: ignore[arg-type]
    assert found["by"]["source"]["children"]["hours"] == pytest.approx(hours, rel=1e-3)
    assert found["by"]["age"]["adult"]["heard"] == 2 * round(0.5 * (len(rows(corpus)) - len(children)))
    assert found["heard"] == sum(not item.silence for item in items)
    assert found["silences"] == sum(item.silence for item in items)
    assert found["changed"]["noise"] == sum(bool(item.change.noise) for item in items)


def test_heard_is_cut_back_to_the_checkpoint(corpus: Corpus, tmp_path: Path) -> None:
    plan = planner(corpus, batch_size=8)
    steps = list(plan.steps(2, 0))

    def write(first: int, last: int, kept: int) -> bytes:
        record = Heard(tmp_path, plan.rows, kept)
        for number in range(first, last + 1):
            record.add(number, steps[number - 1])
        return record.path.read_bytes()

    whole = write(1, len(steps), 0)
    write(1, 7, 0)
    with (tmp_path / "heard.jsonl").open("ab") as file:
        file.write(b'{"schema_version": 1, "step": 8, "id')  # killed while writing
    assert write(6, len(steps), 5) == whole
    assert write(8, 7, 7) == whole[: len(write(1, 7, 0))]
    assert Heard(tmp_path / "other", plan.rows, 0, writes=False).add(1, steps[0]) is None
    assert not (tmp_path / "other").exists()
    with pytest.raises(InputError, match="no such file"):
        heard.summary(tmp_path / "none.jsonl")
