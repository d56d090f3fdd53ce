"""`learning-curve`: how much would more data help?

The recipe is trained on 25, 50 and 100 % of the training speakers. Each share holds the ones before it: speakers are
taken evenly from every stratum of the split (gender and age band), in the order of the hash that numbered them.

Every share is trained for the same number of steps, so each model hears the same number of utterances: with equal
epochs the smallest share would get a quarter of the steps, and the curve would show too little training as too
little data. That the small shares hear theirs four times as often is no advantage to the large one: of each training
dev chooses the checkpoint, before it overfits.

    OUT/share-025/               a training of its own: adapter, metrics, hypotheses
    OUT/learning_curve.json      the figures, OUT/learning_curve.svg the plot
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from smallvoice import recipe_file as recipes
from smallvoice import storage
from smallvoice.corpus import split as splitting
from smallvoice.corpus.building import replacing_folder
from smallvoice.corpus.facts import CorpusCounts
from smallvoice.corpus.shards import CorpusWriter
from smallvoice.corpus.utterance import Corpus, open_corpus
from smallvoice.decoding.evaluate import evaluate
from smallvoice.errors import InputError, RecipeError
from smallvoice.model import weights
from smallvoice.recipe import EvaluateRecipe, MixRecipe, Recipe
from smallvoice.run_folder import RunFolder
from smallvoice.scoring import groups, hypotheses, significance, wording
from smallvoice.scoring.scored import Scored
from smallvoice.storage import (
    write_json,
    write_text,
)
from smallvoice.training.outlook import outlook, sentence
from smallvoice.training.train import train

SHARES = (0.25, 0.5, 1.0)

Report = Callable[[dict[str, Any]], None]


def learning_curve(
    recipe: Recipe,
    corpus_folder: Path,
    out: Path,
    *,
    shares: Sequence[float] = SHARES,
    split: str = "dev",
    report: Report = lambda row: None,
) -> dict[str, Any]:
    """Train on growing shares of the training speakers and score each model; the same command continues.

    Args:
        shares: of the training speakers; 1 is added where it is missing.
        split: who is decoded. dev chose the checkpoints too, so its rates are a little low, for all shares alike;
            test must be asked for, and is then no unseen test for choices that the curve leads to.
        report: told every row of metrics, and `{"kind": "share", ...}` before each share.

    Returns:
        The content of `learning_curve.json`.

    Raises:
        RecipeError: a share outside 0 to 1, or only one.
        InputError: too few training speakers for the shares.
        SmallvoiceError: anything a user can mend.
    """
    shares = sorted({*shares, 1.0})
    if len(shares) < 2 or shares[0] <= 0 or shares[-1] > 1:
        raise RecipeError("The shares of a learning curve lie between 0 and 1, such as 0.25 0.5 1.")
    corpus = open_corpus(corpus_folder)
    order = speakers_in_order(corpus, recipe.train.mix)
    sizes = [max(1, round(share * len(order))) for share in shares]
    if len(set(sizes)) < len(sizes):
        raise InputError(f"{corpus_folder}: {len(order)} training speakers are too few for {len(sizes)} shares.")
    out.mkdir(parents=True, exist_ok=True)
    with storage.locked(out):
        curve = _Curve(recipe, corpus, out, split, report)
        # The whole first: how many steps it takes is how many all take.
        whole = curve.share(order, shares[-1], None)
        parts = [curve.share(order[:size], share, whole) for share, size in zip(shares[:-1], sizes[:-1], strict=True)]
        return _write_result(out, [*parts, whole], recipe.evaluate, split)


def speakers_in_order(corpus: Corpus, mix: Sequence[MixRecipe] = ()) -> list[str]:
    """The training speakers (else sessions, recordings), so that every beginning of the list is like the whole.

    Pseudonyms are numbered in the order of a hash (`corpus/pseudonyms.py`), so their own order is that one.
    """
    units = {}
    columns = ["speaker", "session", "recording", "age_years", "gender"]
    for row in corpus.rows("train", columns, [part.select for part in mix]):
        name = row["speaker"] or row["session"] or row["recording"]
        units[name] = splitting.Unit(name=name, order=name, age_years=row["age_years"], gender=row["gender"])
    placed = [
        ((number + 0.5) / len(stratum), unit.order)
        for stratum in splitting.strata(units.values())
        for number, unit in enumerate(stratum)
    ]
    return [name for _, name in sorted(placed)]


@dataclass(frozen=True)
class _Curve:
    """What all shares have in common."""

    recipe: Recipe
    corpus: Corpus
    out: Path
    split: str
    report: Report

    @cached_property
    def content(self) -> str:
        """What is trained on, chosen by and decoded, read once: a copy of the corpus is no reason to train again."""
        return self.corpus.content(*dict.fromkeys(("train", "dev", self.split)))

    @cached_property
    def unheard(self) -> set[str]:
        """Who is in no part of the mix, and stays in every share: `train.preserve` may ask for them."""
        heard = speakers_in_order(self.corpus, self.recipe.train.mix)
        return set(speakers_in_order(self.corpus)).difference(heard)

    def share(self, speakers: list[str], share: float, whole: dict[str, Any] | None) -> dict[str, Any]:
        """Train on some speakers and decode; kept where it was finished before. Returns what is known of it.

        Args:
            whole: what is known of the training on all of them; None for that one.
        """
        folder = RunFolder(self.out / f"share-{round(100 * share):03d}")
        recipe = self._with_steps(speakers, whole) if whole else self.recipe
        key = storage.digest(
            recipes.of_an_adapter(recipe),
            [recipe.decode.beams, recipe.decode.output_style],  # which chose no checkpoint, and write the words
            weights.fingerprint(recipe.model.base),
            recipe.corpus.language or self.corpus.facts["language"],
            self.content,
            speakers,
            self.split,
            recipe.evaluate.select,
        )
        marker = storage.read_marker(folder.path, "share")
        hypotheses_file = folder.hypotheses("tuned", self.split)
        if marker is None or marker["key"] != key or not hypotheses_file.is_file():
            self.report({"kind": "share", "share": share, "speakers": len(speakers), "done": False})
            self._train_and_decode(recipe, speakers, folder, whole=whole is None)
            storage.write_marker(folder.path, "share", key, **self._facts(folder, speakers))
            shutil.rmtree(folder.checkpoints, ignore_errors=True)
        else:
            self.report({"kind": "share", "share": share, "speakers": len(speakers), "done": True})
        known = storage.read_json(folder.path / ".stages" / "share.json")
        return {**known, "share": share, "rows": hypotheses.read(hypotheses_file)}

    def _with_steps(self, speakers: list[str], whole: dict[str, Any]) -> Recipe:
        """The recipe for as many steps as the whole takes; epochs only have to be enough for them.

        Few speakers may say far less than their share: the epochs go by what they say.
        """
        times = math.ceil(whole["utterances"] / max(1, len(self._rows(speakers))))
        epochs = 2 * self.recipe.train.epochs * times + 2
        return replace(self.recipe, train=replace(self.recipe.train, max_steps=whole["of"], epochs=epochs))

    def _train_and_decode(self, recipe: Recipe, speakers: list[str], folder: RunFolder, *, whole: bool) -> None:
        path = self.corpus.path
        if not whole:
            path = folder.path / "corpus"
            write_part(self.corpus, self.unheard.union(speakers), path)
        train(recipe, path, folder.path, self.report)
        language = recipe.corpus.language
        evaluate(
            str(folder.path),
            self.corpus.path,
            folder.path,
            split=self.split,
            select=recipe.evaluate.select,
            decode=recipe.decode,
            language=language,
            replacing=True,
        )
        if not whole:
            shutil.rmtree(path)

    def _rows(self, speakers: list[str]) -> list[dict[str, Any]]:
        """What some speakers say in training, and somebody hears."""
        columns, known = ["speaker", "session", "recording", "duration_s"], set(speakers)
        rows = self.corpus.rows("train", columns, [part.select for part in self.recipe.train.mix])
        return [row for row in rows if (row["speaker"] or row["session"] or row["recording"]) in known]

    def _facts(self, folder: RunFolder, speakers: list[str]) -> dict[str, Any]:
        taken = [row for row in storage.read_jsonl(folder.metrics) if row["kind"] == "step"]
        steps = [row for row in taken if not row["member"]]
        mine = self._rows(speakers)
        return {
            "speakers": len(speakers),
            "utterances": len(mine),
            "hours": sum(row["duration_s"] for row in mine) / 3600,
            "of": steps[-1]["of"],
            "steps": len(steps),
            "utterances_heard": sum(row["utterances"] for row in steps),
            "training_s": sum(row["seconds"] for row in taken),
        }


def write_part(corpus: Corpus, speakers: set[str], path: Path) -> None:
    """A corpus with the training rows of some speakers, and all of dev.

    What is said of the text as a whole stays, so that every share learns to write in one style. One that stands there
    already is kept: this is called again when a training was cut off, and must give it the same corpus.
    """
    key = storage.digest("part", corpus.facts["key"], sorted(speakers))
    if (path / "corpus.json").is_file() and storage.read_json(path / "corpus.json")["key"] == key:
        return
    counts = CorpusCounts()
    with replacing_folder(path.absolute()) as folder:
        with CorpusWriter(folder) as writer:
            for split in ("train", "dev"):
                for row in corpus.utterances(split):
                    if split == "dev" or row.unit in speakers:
                        writer.add(row)
                        counts.add(row)
        facts = {**corpus.facts, "splits": counts.as_dict()["splits"], "made_of": None, "key": key}
        storage.write_json(folder / "corpus.json", facts)


def _write_result(out: Path, parts: list[dict[str, Any]], recipe: EvaluateRecipe, split: str) -> dict[str, Any]:
    from smallvoice.reporting.learning_plot import learning_curve as plot

    decoded = [part.pop("rows") for part in parts]
    table = counts_by_speaker(decoded)
    known = len({row["speaker"] for row in decoded[0]} - {None})
    totals = table.sum(axis=0)
    if not totals[-1]:
        raise InputError(f"{split} has no reference words, so there is no error rate.")
    points = [
        {
            **{name: value for name, value in part.items() if name not in ("stage", "key", "of")},
            "errors": int(errors),
            "words": int(totals[-1]),
            "wer": float(errors / totals[-1]),
            "interval": _ends(significance.rate(table[:, [number, -1]], recipe.confidence)),
        }
        for number, (part, errors) in enumerate(zip(parts, totals, strict=False))
    ]
    trend = outlook([point["speakers"] for point in points], table, known, recipe.confidence)
    said = sentence(points, trend, split, len(table), recipe.confidence)
    result = {
        "split": split,
        "units": len(table),
        "confidence": recipe.confidence,
        "points": points,
        "outlook": trend,
        "sentence": said,
    }
    percent = [[100 * end for end in point["interval"]] if point["interval"] else None for point in points]
    shown: tuple[int, float, list[float]] | None = None
    if trend and trend["shown"]:
        shown = (trend["speakers"], 100 * trend["wer"], [100 * end for end in trend["interval"]])
    speakers = [point["speakers"] for point in points]
    rates = [100 * point["wer"] for point in points]
    write_text(out / "learning_curve.svg", plot(speakers, rates, percent, shown, split, said) + "\n")
    write_json(out / "learning_curve.json", result)
    return result


def counts_by_speaker(models: list[list[groups.Row]]) -> np.ndarray:
    """Normalised errors of each model, then words: shape = (speakers who were decoded, models + 1)."""
    first = sorted(models[0], key=lambda row: str(row["id"]))
    units = groups.units(first)
    index = {unit: number for number, unit in enumerate(sorted(set(units)))}
    table = np.zeros((len(index), len(models) + 1), dtype=np.int64)
    for column, rows in enumerate(models):
        rows = hypotheses.pair(first, rows, ("the first share", f"share {column + 1}"))
        for unit, counts in zip(units, Scored(rows).counts("normalised"), strict=True):
            table[index[unit], column] += counts.errors
            if not column:
                table[index[unit], -1] += counts.words
    return table


def _ends(interval: significance.Interval) -> list[float] | None:
    return list(interval) if interval else None


def line(row: dict[str, Any]) -> str:
    """What is said before a share."""
    kept = ": complete and unchanged" if row["done"] else ""
    return f"{wording.percent(row['share'], 0)}, {wording.count(row['speakers'], 'speaker')}{kept}"


def table(result: dict[str, Any]) -> Table:
    """One line a share, for the terminal."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=result["sentence"], caption_justify="left")
    headings = ("share", "speakers", "utterances", "heard", "hours", f"{result['split']} WER", "interval", "minutes")
    for heading in headings:
        shown.add_column(heading, justify="right")
    for point in result["points"]:
        ends = point["interval"]
        shown.add_row(
            wording.percent(point["share"], 0),
            str(point["speakers"]),
            f"{point['utterances']:,}",
            f"{point['utterances_heard']:,}",
            f"{point['hours']:.2f}",
            wording.percent(point["wer"]),
            " to ".join(wording.percent(end) for end in ends) if ends else wording.NOTHING,
            f"{point['training_s'] / 60:.1f}",
        )
    return shown
