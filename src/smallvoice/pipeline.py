"""The stages in order, each skipped when it is complete and unchanged.

A stage's key is a digest of its part of the recipe, of its inputs' keys and of the schema version; its marker,
written last, holds the key. So a changed learning rate trains again but prepares nothing, and a run that was
cut off continues with the stage at hand.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from smallvoice import machine, recipe as recipes
from smallvoice.corpus import ingest, sources
from smallvoice.errors import RecipeError
from smallvoice.recipe import Recipe
from smallvoice.run_folder import RunFolder
from smallvoice.storage import digest, read_json, read_marker, remove_marker, write_json, write_marker
from smallvoice.terminal import TrainingProgress, console, progress

log = logging.getLogger(__name__)

Stage = Literal["prepare", "base", "train", "tuned", "compare", "report"]
STAGES: tuple[Stage, ...] = ("prepare", "base", "train", "tuned", "compare", "report")


def run(
    recipe: Recipe,
    out: Path,
    *,
    data: Path | None = None,
    force: tuple[str, ...] = (),
    rehash: bool = False,
) -> dict[str, Any]:
    """Prepare, evaluate the base model, train, evaluate the tuned one, compare, report.

    Args:
        out: the run folder; the same command continues it.
        data: where corpora are looked for by name.
        force: stages to do again although they are complete; what depends on them follows.
        rehash: compare source files by content instead of by size and time.

    Returns:
        The content of `comparative_analysis.json`.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    unknown = [stage for stage in force if stage not in STAGES]
    if unknown:
        raise RecipeError(f"--force {' '.join(unknown)}: no such stage. Stages: {', '.join(STAGES)}.")
    return _Run(recipe, RunFolder(out), data, force, rehash).all()


class _Run:
    """One pass over the stages of a run."""

    def __init__(
        self, recipe: Recipe, folder: RunFolder, data: Path | None, force: tuple[str, ...], rehash: bool
    ) -> None:
        self.recipe, self.folder, self.data, self.force, self.rehash = recipe, folder, data, force, rehash

    def all(self) -> dict[str, Any]:
        recipe, folder = self.recipe, self.folder
        found = sources.find_all(recipe.corpus.source, self.data, folder.path)
        recipes.dump(recipe, folder.recipe)
        rate = machine.matmul_gflops()
        prepared = self._stage(
            "prepare",
            digest(recipes.as_dict(recipe.corpus), sources.fingerprint(found, rehash=self.rehash)),
            lambda: prepare(recipe.corpus, found, folder.corpus),
            made=(folder.corpus / "corpus.json",),
        )
        split, decode = recipe.evaluate.split, recipes.as_dict(recipe.decode)
        base = self._stage(
            "base",
            digest(prepared, recipe.model.base, split, decode),
            lambda: evaluate(recipe.model.base, recipe, folder, "base model, 30 s window"),
            made=(folder.hypotheses("base", split), folder.evaluation(split)),
        )
        trained = self._stage(
            "train",
            digest(prepared, *(recipes.as_dict(part) for part in _that_train(recipe))),
            lambda: train(recipe, folder.corpus, folder.path),
            made=(folder.adapter / "adapter_model.safetensors", folder.metrics, folder.trained_on),
        )
        tuned = self._stage(
            "tuned",
            digest(trained, split, decode),
            lambda: evaluate(str(folder.path), recipe, folder, f"tuned model, {recipe.window.kind} window"),
            made=(folder.hypotheses("tuned", split), folder.evaluation(split)),
        )
        compared = self._stage(
            "compare",
            digest(base, tuned, recipes.as_dict(recipe.evaluate)),
            lambda: compare(folder, recipe),
            made=(folder.comparison,),
        )
        self._machine(rate)
        self._stage("report", digest(compared), lambda: report(folder), made=(folder.report,))
        return read_json(folder.comparison)

    def _stage(self, stage: Stage, key: str, work: Callable[[], None], made: tuple[Path, ...]) -> str:
        """Do a stage unless it is complete for this key. Returns the key, an input of the stages after it."""
        marker = read_marker(self.folder.path, stage)
        complete = marker is not None and marker["key"] == key and all(path.exists() for path in made)
        if complete and stage not in self.force:
            console.print(f"[dim]{stage}: complete and unchanged[/dim]")
            return key
        console.print(f"[bold]{stage}[/bold]")
        remove_marker(self.folder.path, stage)
        started = time.monotonic()
        work()
        write_marker(self.folder.path, stage, key, seconds=time.monotonic() - started)
        return key

    def _machine(self, rate: float) -> None:
        """What times and figures of this run must be read beside."""
        markers = {stage: read_marker(self.folder.path, stage) for stage in STAGES}
        before = read_json(self.folder.provenance) if self.folder.provenance.is_file() else {}
        write_json(
            self.folder.provenance,
            {
                "versions": machine.versions(),
                "machine": machine.facts(),
                "stages": {stage: {"seconds": marker["seconds"]} for stage, marker in markers.items() if marker},
                "peak_memory_bytes": max(machine.peak_memory_bytes(), before.get("peak_memory_bytes", 0)),
                "matmul_gflops": {"before": rate, "after": machine.matmul_gflops()},
            },
        )


def _that_train(recipe: Recipe) -> tuple[Any, ...]:
    return recipe.model, recipe.window, recipe.augment, recipe.train, recipe.decode
