"""`run --folds N`: every speaker tested once, by a model that never heard them.

    OUT/fold-1/                      a run of its own (see `run_folder`): fold 1 is test, fold 2 dev, the rest train
    OUT/hypotheses/{base,tuned}.test.jsonl
                                     what all folds wrote for the speakers they had not heard
    OUT/comparative_analysis.json    the pooled comparison, OUT/report.html, OUT/folds.json

A fold is a run, so a finished one is kept and one that was cut off continues. Errors and words of all folds are
summed before they are divided, and whole speakers are drawn for the interval; that the folds' models share most of
their training data is not in it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from smallvoice import judging, pipeline, verbs
from smallvoice import recipe_file as recipes
from smallvoice.corpus.pseudonyms import Pseudonyms
from smallvoice.corpus.utterance import open_corpus
from smallvoice.errors import Finding, InputError, RecipeError
from smallvoice.recipe import Recipe, SplitName
from smallvoice.reporting.facts import num_folds
from smallvoice.run_folder import FOLDS, RunFolder
from smallvoice.scoring import hypotheses, wording
from smallvoice.storage import locked, read_json, read_jsonl, read_marker, write_json, write_jsonl
from smallvoice.terminal import console

SPLIT: SplitName = "test"


def run_folds(
    recipe: Recipe,
    out: Path,
    folds: int,
    *,
    data: Path | None = None,
    force: tuple[str, ...] = (),
    rehash: bool = False,
) -> dict[str, Any]:
    """Run a recipe once a fold, and compare what all folds wrote with what the base model wrote.

    Args:
        out: gets `fold-1/` ... and the pooled result; the same command continues.
        folds: how many, at least 3: one is test, one dev, the others train.
        data, force, rehash: as `pipeline.run` takes them, for each fold.

    Returns:
        The content of the pooled `comparative_analysis.json`.

    Raises:
        RecipeError: fewer than 3 folds, or `out` holds those of another number.
        InputError: the sources bring splits of their own, so that nobody can be tested once.
        Finding: a fold's training saw what it is tested on.
        SmallvoiceError: anything a user can mend.
    """
    if folds < 3:
        raise RecipeError(f"--folds {folds}: at least 3, for one is test, one chooses the checkpoint, and one trains.")
    pooled = RunFolder(out)
    pipeline.require_own_folder(pooled)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        _require_same_kind(out, folds)
        parts = [_of_fold(recipe, fold, folds) for fold in range(1, folds + 1)]
        folders = [RunFolder(out / f"fold-{fold}") for fold in range(1, folds + 1)]
        _prepare_all(parts, folders, data, rehash)
        if not (out / FOLDS).is_file():
            write_json(out / FOLDS, {"number": folds, "folds": []})
        whole = _of_pool(recipe)
        if pooled.recipe.is_file() and recipes.load(pooled.recipe) != whole:
            pooled.forget_claims()  # of another recipe
        for fold, (part, folder) in enumerate(zip(parts, folders, strict=True), 1):
            console.rule(f"fold {fold} of {folds}")
            pipeline.run(part, folder.path, data=data, force=force, rehash=rehash, of_several=True)
            _require_separate(folder)
        result = _pool(whole, pooled, folders)
        for folder in folders:
            pipeline.forget_force(folder.path)
        return result


def _of_fold(recipe: Recipe, fold: int, folds: int) -> Recipe:
    """The recipe of one fold. It is scored on test, whatever the recipe says."""
    split = replace(recipe.corpus.split, by="folds", fold=fold, folds=folds)
    return replace(
        recipe,
        name=f"{recipe.name}-fold-{fold}",
        corpus=replace(recipe.corpus, split=split),
        evaluate=replace(recipe.evaluate, split=SPLIT),
    )


def _of_pool(recipe: Recipe) -> Recipe:
    """What stands beside the pooled result."""
    return replace(recipe, evaluate=replace(recipe.evaluate, split=SPLIT))


def _require_same_kind(out: Path, folds: int) -> None:
    before = num_folds(RunFolder(out))
    if before not in (None, folds):
        raise RecipeError(f"{out}: holds a run of {before} folds, not of {folds}. Choose another --out.")
    if RunFolder(out).recipe.exists() and before is None:
        raise RecipeError(f"{out}: holds a run without folds. Choose another --out.")


def _prepare_all(parts: list[Recipe], folders: list[RunFolder], data: Path | None, rehash: bool) -> None:
    """The corpus of every fold, before the first hour of training: who is tested how often is known then.

    Raises:
        InputError: somebody would be tested never, or more than once.
        RecipeError: a fold has nobody of those whom a selection asks for.
    """
    tested: Counter[str] = Counter()
    everyone: set[str] = set()
    for fold, (part, folder) in enumerate(zip(parts, folders, strict=True), 1):
        console.print(f"prepare, fold {fold} of {len(parts)}", style="bold")
        names = part.corpus.source
        sources = [names] if isinstance(names, str) else names
        verbs.prepare(sources, folder.corpus, recipe=part.corpus, data=data, rehash=rehash)
        _require_tested(part, folder, fold)
        units = _units(folder)
        tested.update(units.get(SPLIT, set()))
        everyone |= set().union(*units.values())
    _require_same_names(folders)
    wrong = sorted(unit for unit in everyone if tested[unit] != 1)
    if wrong:
        raise InputError(
            f"{wording.count(len(wrong), 'speaker')} would not be tested exactly once ({', '.join(wrong[:5])}): the "
            "sources bring splits of their own, which are kept. Give the recordings without train and test folders."
        )
    for part, folder in zip(parts, folders, strict=True):
        if read_marker(folder.path, "train") is None:
            verbs.check_training(part, folder.corpus)  # not after the hours of the folds before


def _require_tested(recipe: Recipe, folder: RunFolder, fold: int) -> None:
    """See that a fold tests somebody of whom scores are wanted."""
    if (select := recipe.evaluate.select) is None:
        return
    if not open_corpus(folder.corpus).rows(SPLIT, ["id"], [select]):
        raise InputError(f"Fold {fold} tests nobody of evaluate.select, {select}: take fewer folds, or select more.")


def _require_same_names(folders: list[RunFolder]) -> None:
    """See that a pseudonym is one person in all folds: one prepared at another time may number newcomers otherwise."""
    names: dict[tuple[str, str, str], str | None] = {}
    for folder in folders:
        known = Pseudonyms.read(folder.corpus / "speakers.csv")
        for person in known.people:
            if names.setdefault(person.key, known.of(*person.key)) != known.of(*person.key):
                raise InputError(
                    f"{folder.path}: was prepared when there were other recordings, so its pseudonyms are not those of "
                    f"{folders[0].path.name}. Remove it and run again; that fold is trained anew."
                )


def _units(folder: RunFolder) -> dict[str, set[str]]:
    """Split → the speakers (else sessions, recordings) with rows in it, from the corpus's split.json."""
    splits = read_json(folder.corpus / "split.json")["splits"]
    return {name: {unit for units in kinds.values() for unit in units} for name, kinds in splits.items()}


def _require_separate(folder: RunFolder) -> None:
    """See that a fold is tested on nothing and nobody that its training or the choice of its checkpoint saw."""
    trained_on = read_jsonl(folder.trained_on)
    tested = read_jsonl(folder.hypotheses("tuned", SPLIT))
    ids = {row["id"] for row in trained_on} & {row["id"] for row in tested}
    voices = ({row["speaker"] for row in trained_on} & {row["speaker"] for row in tested}) - {None}
    if ids or voices:
        raise Finding(
            f"{folder.path}: training saw {wording.count(len(ids), 'utterance')} and "
            f"{wording.count(len(voices), 'speaker')} of the test. This fold is not a test; look at its split.json."
        )


def _pool(recipe: Recipe, pooled: RunFolder, folders: list[RunFolder]) -> dict[str, Any]:
    """All folds' hypotheses as one test set: compared, tabled and reported."""
    for system in ("base", "tuned"):
        rows = [row for folder in folders for row in hypotheses.read(folder.hypotheses(system, SPLIT))]
        write_jsonl(pooled.hypotheses(system, SPLIT), sorted(rows, key=lambda row: str(row["id"])))
    recipes.dump(recipe, pooled.recipe)
    console.rule(f"{len(folders)} folds, every speaker tested once")
    write_json(pooled.path / FOLDS, {"number": len(folders), "folds": [_row(folder) for folder in folders]})
    console.print(table(read_json(pooled.path / FOLDS)))
    retention = {one.name: _pool_retention(recipe, one.name, pooled, folders) for one in recipe.evaluate.retention}
    base, tuned = (pooled.hypotheses(system, SPLIT) for system in ("base", "tuned"))
    analysis = judging.compare(base, tuned, out=pooled.comparison, recipe=recipe.evaluate, retention=retention)
    write_json(pooled.provenance, _provenance([read_json(folder.provenance) for folder in folders]))
    judging.report(pooled.path)
    return analysis


def _provenance(folds: list[dict[str, Any]]) -> dict[str, Any]:
    """Versions and machine of all folds, with each that differs; the time of a stage is the sum of the folds'."""
    stages: dict[str, dict[str, float]] = {}
    for fold in folds:
        for name, cost in fold["stages"].items():
            so_far = stages.setdefault(name, {"seconds": 0.0})
            so_far["seconds"] += cost.get("seconds", 0.0)
    return {
        "versions": _merged([fold["versions"] for fold in folds]),
        "machine": _merged([fold["machine"] for fold in folds]),
        "stages": stages,
        "peak_memory_bytes": max(fold["peak_memory_bytes"] for fold in folds),
    }


def _merged(dicts: list[dict[str, Any]]) -> dict[str, Any]:
    """What several say; where they differ, all of it."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for one in dicts for key in one):
        values = [one[key] for one in dicts if key in one]
        different = [value for number, value in enumerate(values) if value not in values[:number]]
        found[key] = different[0] if len(different) == 1 else " / ".join(str(value) for value in different)
    return found


def _pool_retention(recipe: Recipe, name: str, pooled: RunFolder, folders: list[RunFolder]) -> Path:
    """A set of other speech, which every fold's model was asked about: pooled as seeds of one training are."""
    comparison = pooled.retention(name).comparison
    comparison.parent.mkdir(parents=True, exist_ok=True)
    base, *tuned = (
        folders[0].retention(name).hypotheses("base", SPLIT),
        *(folder.retention(name).hypotheses("tuned", SPLIT) for folder in folders),
    )
    console.print(f"{name}, other speech")
    judging.compare(base, tuned[0], seeds=tuned[1:], out=comparison, recipe=recipe.evaluate)
    return comparison


def _row(folder: RunFolder) -> dict[str, Any]:
    """What one fold gave."""
    comparison = read_json(folder.comparison)
    block = comparison["overall"]["normalised"]
    marker = read_marker(folder.path, "train") or {}
    return {
        "fold": int(folder.path.name.removeprefix("fold-")),
        "speakers": comparison["speakers"],
        "utterances": comparison["utterances"],
        "words": block["a"]["words"],
        "base": {"errors": block["a"]["errors"], "wer": block["a"]["wer"]},
        "tuned": {"errors": block["b"]["errors"], "wer": block["b"]["wer"], "interval": block["b"]["interval"]},
        "training_s": marker.get("seconds"),
    }


def table(content: dict[str, Any]) -> Any:
    """One line a fold, for the terminal; `content` is that of `folds.json`."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Normalised WER of each fold", title_justify="left")
    for heading in ("fold", "speakers", "words", "base", "tuned", "minutes of training"):
        shown.add_column(heading, justify="right")
    for row in content["folds"]:
        seconds = row["training_s"]
        shown.add_row(
            str(row["fold"]),
            str(row["speakers"]),
            f"{row['words']:,}",
            wording.percent(row["base"]["wer"]),
            wording.percent(row["tuned"]["wer"]),
            f"{seconds / 60:.1f}" if seconds is not None else wording.NOTHING,
        )
    return shown
