"""The stages in order, each skipped when it is complete and unchanged.

A stage's key is a digest of its part of the recipe, of its inputs' keys and of the schema version; its marker,
written last, holds the key. So a changed learning rate trains again but prepares nothing, and a run that was
cut off continues with the stage at hand.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from smallvoice import judging, machine, verbs
from smallvoice import recipe_file as recipes
from smallvoice.corpus.utterance import open_corpus
from smallvoice.decoding.engine import caps_key
from smallvoice.errors import InputError, RecipeError
from smallvoice.model import tuned, weights
from smallvoice.recipe import CorpusRecipe, EvaluateRecipe, Recipe, RetentionRecipe
from smallvoice.reporting.card import require_own, write_card
from smallvoice.run_folder import FOLDS, RunFolder
from smallvoice.stage_cost import Started, say_where
from smallvoice.storage import (
    digest,
    file_states,
    locked,
    read_json,
    read_marker,
    remove_marker,
    unchanged,
    write_marker,
)
from smallvoice.terminal import console

Stage = Literal["prepare", "base", "train", "tuned", "retention", "compare", "report"]
STAGES: tuple[Stage, ...] = ("prepare", "base", "train", "tuned", "retention", "compare", "report")
BEGUN_AGAIN = "train-begun-again"
"""A marker: hours of training that `--force` began are not thrown away where the same command continues them."""
MULTIPLYING: tuple[Stage, ...] = ("base", "train", "tuned", "retention")
"""Stages whose time means little without the rate of matrix products beside it."""


def run(
    recipe: Recipe,
    out: Path,
    *,
    data: Path | None = None,
    force: tuple[str, ...] = (),
    rehash: bool = False,
    of_several: bool = False,
) -> dict[str, Any]:
    """Prepare, evaluate the base model, train, evaluate the tuned one, compare, report.

    Args:
        out: the run folder; the same command continues it.
        data: where corpora are looked for by name.
        force: stages to do again although they are complete; what depends on them follows.
        rehash: compare source files by content instead of by size and time.
        of_several: the same command has other runs to do; the caller says when all are done (`forget_force`).

    Returns:
        The content of `comparative_analysis.json`; `split`, `utterances` (0) and `why` where nobody is kept for a test.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    unknown = [stage for stage in force if stage not in STAGES]
    if unknown:
        raise RecipeError(f"--force {' '.join(unknown)}: no such stage. Stages: {', '.join(STAGES)}.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError(
            "`smallvoice run` under a launcher of several processes: only training shares its work. Prepare first, "
            "then launch `smallvoice train RECIPE --corpus CORPUS --out RUN`, then `smallvoice run` as one process."
        )
    if (out / FOLDS).exists():
        raise RecipeError(f"{out}: holds a run over folds. Choose another --out.")
    folder = RunFolder(out)
    require_own_folder(folder)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        result = _Run(recipe, folder, data, force, rehash).all()
        if not of_several:
            forget_force(out)
        return result


def require_own_folder(folder: RunFolder) -> None:
    """See that a run writes over nothing of somebody's own.

    Raises:
        RecipeError: a recipe with notes lies there.
        InputError: a README that is no model card.
    """
    recipes.require_no_notes(folder.recipe)
    require_own(folder.card)


def forget_force(out: Path) -> None:
    """All that `--force` asked for is done: asked again, it is done again."""
    remove_marker(out, BEGUN_AGAIN)


class _Run:
    """One pass over the stages of a run."""

    def __init__(
        self, recipe: Recipe, folder: RunFolder, data: Path | None, force: tuple[str, ...], rehash: bool
    ) -> None:
        self.recipe, self.folder, self.data, self.rehash = recipe, folder, data, rehash
        self.redone: set[str] = set(force)
        """Stages that the user wants done again, and what follows from them."""
        self.worked = False

    def all(self) -> dict[str, Any]:
        """Every stage; the content of `comparative_analysis.json`."""
        recipe, folder = self.recipe, self.folder
        prepared = self._prepare()
        tested = not self._nobody_is_tested()
        others = [self._prepare_retention(one) for one in recipe.evaluate.retention if tested]
        recipes.dump(recipe, folder.recipe)  # not before: where one is refused, that of what is there stays
        rule = recipe.evaluate
        asked = [
            rule.split,
            rule.select,
            rule.columns,
            recipes.as_dict(recipe.decode),
            *caps_key(recipe.corpus.language),
        ]
        model = weights.fingerprint(recipe.model.base, newest=True)
        if not tested:
            self._train_stage(prepared, model)
            return self._untested()
        base = self._stage(
            "base",
            digest(prepared, model, recipe.corpus.language, asked),
            self._base,
            made=(folder.hypotheses("base", rule.split),),
            needs=("prepare",),
        )
        trained = self._train_stage(prepared, model)
        tuned = self._stage(
            "tuned",
            digest(trained, asked),
            lambda: self._evaluate(str(folder.path)),
            made=(folder.hypotheses("tuned", rule.split),),
            needs=("train",),
        )
        retained = self._retention_stage(digest(base, tuned), others)
        compared = self._stage(
            "compare",
            digest(base, tuned, retained, recipes.as_dict(recipe.evaluate)),
            self._compare,
            made=(folder.comparison,),
            needs=("base", "tuned", "retention"),
        )
        if self.worked:
            say_where(self.folder, STAGES)
        self._stage(
            "report",
            digest(compared, recipes.as_dict(recipe)),
            lambda: judging.report(folder.path),
            made=(folder.report, folder.card),
            needs=("compare",),
        )
        return read_json(folder.comparison)

    def _train_stage(self, prepared: str, model: str) -> str:
        folder = self.folder
        of_adapter = (folder.adapter / name for name in tuned.WEIGHT_FILES)  # one of them is there
        made = (folder.adapter / "smallvoice.json", folder.metrics, folder.trained_on, *of_adapter)
        settings = recipes.of_an_adapter(self.recipe)
        key = self._stage(
            "train",
            digest(prepared, model, self.recipe.corpus.language, settings),
            lambda: verbs.train(self.recipe, folder.corpus, folder.path),
            made=made,
            needs=("prepare",),
        )
        if tuned.decode_as(folder.adapter, self.recipe.decode):  # which needs no other training
            marker = read_marker(folder.path, "train") or {}
            write_marker(folder.path, **{**marker, "stage": "train", "key": key, "made": file_states(made)})
        return key

    def _retention_stage(self, models: str, keys: list[str]) -> str:
        if not (sets := self.recipe.evaluate.retention):
            return ""
        return self._stage(
            "retention",
            digest(models, keys, recipes.as_dict(self.recipe.evaluate)),
            lambda: [self._retain(one) for one in sets],
            made=tuple(self.folder.retention(one.name).comparison for one in sets),
            needs=("base", "tuned"),
        )

    def _prepare_retention(self, other: RetentionRecipe) -> str:
        """A set of other speech as a corpus that is only a test: before hours of training. Returns its key."""
        console.print(f"prepare, {other.name}", style="bold")
        folder = self.folder.retention(other.name)
        folder.path.mkdir(parents=True, exist_ok=True)
        names = [other.source] if isinstance(other.source, str) else other.source
        corpus = CorpusRecipe(
            source=other.source,
            select=other.select,
            language=other.language or self.recipe.corpus.language,
            text_rules=other.text_rules,
        )
        facts = verbs.prepare(names, folder.corpus, recipe=corpus, split="test", data=self.data, rehash=self.rehash)
        return str(facts["key"])

    def _retain(self, other: RetentionRecipe) -> None:
        """Both models on speech that fine-tuning was not meant for.

        Raises:
            InputError: training heard some of it.
        """
        folder, recipe = self.folder.retention(other.name), self.recipe
        language = other.language or recipe.corpus.language
        for model in (recipe.model.base, str(self.folder.path)):
            block = verbs.evaluate(
                model, folder.corpus, out=folder.path, decode=recipe.decode, language=language, replacing=True
            )
            if block["seen_in_training"]:
                raise InputError(
                    f"evaluate.retention, {other.name}: training heard {block['seen_in_training']} of its utterances, "
                    "so it does not show what was kept. Select others (evaluate.retention[].select)."
                )
        before, after = (folder.hypotheses(system, "test") for system in ("base", "tuned"))
        judging.compare(before, after, out=folder.comparison, recipe=recipe.evaluate)

    def _nobody_is_tested(self) -> bool:
        """Whether the recipe keeps nobody for the split that is scored: it is a model to use that is wanted."""
        split = self.recipe.evaluate.split
        kept = self.recipe.corpus.split
        share = {"train": kept.train, "dev": kept.dev, "test": kept.test}[split]
        return kept.by != "folds" and share == 0 and not open_corpus(self.folder.corpus).splits().get(split)

    def _untested(self) -> dict[str, Any]:
        """What a run without a test ends with: a model, and no scores but those of dev that chose it."""
        split = self.recipe.evaluate.split
        why = (
            f"Nobody is kept for {split} (corpus.split.{split}: 0), so nothing is scored; what is said of dev above "
            "chose the checkpoints and is no test. Score people whom it has not heard: smallvoice evaluate"
        )
        if self.recipe.evaluate.retention:
            why += ". Sets of other speech (evaluate.retention) are scored only beside a test"
        if self.worked:
            self._forget_scores()
            say_where(self.folder, STAGES)
            write_card(self.folder.path)
        console.print(why)
        return {"split": split, "utterances": 0, "why": why}

    def _forget_scores(self) -> None:
        """Take away what a run that had a test left: those people are trained on now."""
        folder, split = self.folder, self.recipe.evaluate.split
        for stage in set(STAGES) - {"prepare", "train"}:
            remove_marker(folder.path, stage)
        folder.forget_scores(split)

    def _prepare(self) -> str:
        """`prepare` knows by itself whether anything changed, for it is the only one that knows the files."""
        console.print("prepare", style="bold")
        started = Started()
        names = self.recipe.corpus.source
        facts = verbs.prepare(
            [names] if isinstance(names, str) else names,
            self.folder.corpus,
            recipe=self.recipe.corpus,
            data=self.data,
            rehash=self.rehash,
            force="prepare" in self.redone,
        )
        marker = read_marker(self.folder.path, "prepare")
        if marker is None or marker["key"] != facts["key"] or "prepare" in self.redone:
            self._mark("prepare", facts["key"], started.cost(facts), made=())
        return str(facts["key"])

    def _stage(
        self,
        stage: Stage,
        key: str,
        work: Callable[[], object],
        *,
        made: tuple[Path, ...],
        needs: tuple[Stage, ...],
    ) -> str:
        """Do a stage unless it is complete for this key. Returns the key, an input of the stages after it.

        Args:
            made: the files that it leaves; changed by somebody else, it is done again.
            needs: the stages whose redoing makes it be redone.
        """
        marker = read_marker(self.folder.path, stage)
        if not self.redone.isdisjoint(needs):
            self.redone.add(stage)
        again = stage in self.redone and not (stage == "train" and self._begun_again(key))
        if marker and marker["key"] == key and unchanged(marker["made"], made) and not again:
            console.print(f"{stage}: complete and unchanged", style="dim")
            return key
        console.print(stage, style="bold")
        remove_marker(self.folder.path, stage)
        if stage != "report":
            self.folder.forget_claims()  # of another recipe than the one that stands there now
        if again and stage == "train":
            shutil.rmtree(self.folder.checkpoints, ignore_errors=True)
            write_marker(self.folder.path, BEGUN_AGAIN, key)
        started = Started()
        cost = started.cost(work())
        self.redone.add(stage)  # whatever the reason: what others made of it is of what was there before
        if stage in MULTIPLYING:
            cost["matmul_gflops"] = machine.matmul_gflops()
        self._mark(stage, key, cost, made)
        return key

    def _begun_again(self, key: str) -> bool:
        """Whether a training that was to be done again has been begun before, by a run that has not come to its end."""
        begun = read_marker(self.folder.path, BEGUN_AGAIN)
        return begun is not None and begun["key"] == key

    def _mark(self, stage: Stage, key: str, cost: dict[str, float | bool | str], made: tuple[Path, ...]) -> None:
        self.worked = True
        write_marker(self.folder.path, stage, key, **cost, made=file_states(made))

    def _base(self) -> object:
        verbs.check_training(self.recipe, self.folder.corpus)  # not after an hour of decoding
        return self._evaluate(self.recipe.model.base)

    def _evaluate(self, model: str) -> object:
        recipe, rule, folder = self.recipe, self.recipe.evaluate, self.folder
        return verbs.evaluate(
            model,
            folder.corpus,
            split=rule.split,
            select=rule.select,
            out=folder.path,
            decode=recipe.decode,
            language=recipe.corpus.language,
            scoring=EvaluateRecipe(columns=rule.columns),  # other rules do not need another decoding
            replacing=True,
        )

    def _compare(self) -> object:
        base, tuned = (self.folder.hypotheses(system, self.recipe.evaluate.split) for system in ("base", "tuned"))
        recipe, folder = self.recipe.evaluate, self.folder
        retention = {one.name: folder.retention(one.name).comparison for one in recipe.retention}
        return judging.compare(base, tuned, out=folder.comparison, recipe=recipe, retention=retention)
