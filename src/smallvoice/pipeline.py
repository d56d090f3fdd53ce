"""The stages in order, each skipped when it is complete and unchanged.

A stage's key is a digest of its part of the recipe, of its inputs' keys and of the schema version; its marker,
written last, holds the key. So a changed learning rate trains again but prepares nothing, and a run that was
cut off continues with the stage at hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from smallvoice import machine, verbs
from smallvoice import recipe as recipes
from smallvoice.errors import RecipeError
from smallvoice.recipe import Recipe
from smallvoice.run_folder import RunFolder
from smallvoice.storage import digest, read_json, read_marker, remove_marker, write_json, write_marker
from smallvoice.terminal import console

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
        recipes.dump(recipe, folder.recipe)
        rate = machine.matmul_gflops()
        prepared = self._prepare()
        split, decode = recipe.evaluate.split, recipes.as_dict(recipe.decode)
        base = self._stage(
            "base",
            digest(prepared, recipe.model.base, split, decode),
            lambda: self._evaluate(recipe.model.base),
            made=(folder.hypotheses("base", split), folder.evaluation(split)),
        )
        trained = self._stage(
            "train",
            digest(prepared, recipe.corpus.language, recipes.that_train(recipe)),
            lambda: verbs.train(recipe, folder.corpus, folder.path),
            made=(folder.adapter / "adapter_model.safetensors", folder.metrics, folder.trained_on),
        )
        tuned = self._stage(
            "tuned",
            digest(trained, split, decode),
            lambda: self._evaluate(str(folder.path)),
            made=(folder.hypotheses("tuned", split), folder.evaluation(split)),
        )
        compared = self._stage(
            "compare",
            digest(base, tuned, recipes.as_dict(recipe.evaluate)),
            lambda: self._compare(),
            made=(folder.comparison,),
        )
        self._machine(rate)
        self._stage("report", digest(compared), lambda: verbs.report(folder.path), made=(folder.report,))
        return read_json(folder.comparison)

    def _prepare(self) -> str:
        """`prepare` knows by itself whether anything changed, for it is the only one that knows the files."""
        console.print("[bold]prepare[/bold]")
        started = time.monotonic()
        names = self.recipe.corpus.source
        facts = verbs.prepare(
            [names] if isinstance(names, str) else names,
            self.folder.corpus,
            recipe=self.recipe.corpus,
            data=self.data,
            rehash=self.rehash,
            force="prepare" in self.force,
        )
        marker = read_marker(self.folder.path, "prepare")
        if marker is None or marker["key"] != facts["key"] or "prepare" in self.force:
            write_marker(self.folder.path, "prepare", facts["key"], seconds=time.monotonic() - started)
        return str(facts["key"])

    def _stage(self, stage: Stage, key: str, work: Callable[[], object], made: tuple[Path, ...]) -> str:
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

    def _evaluate(self, model: str) -> object:
        recipe, folder = self.recipe, self.folder
        return verbs.evaluate(
            model,
            folder.corpus,
            split=recipe.evaluate.split,
            out=folder.path,
            decode=recipe.decode,
            language=recipe.corpus.language,
        )

    def _compare(self) -> object:
        base, tuned = (self.folder.hypotheses(system, self.recipe.evaluate.split) for system in ("base", "tuned"))
        return verbs.compare(base, tuned, out=self.folder.comparison, recipe=self.recipe.evaluate)

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
