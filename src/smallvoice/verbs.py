"""Every verb as a function: what the command line calls, and what Python users call.

Each says on standard error what it does, and returns what `--json` prints.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from smallvoice import recipe_file as recipes
from smallvoice.errors import require
from smallvoice.recipe import CorpusRecipe, DecodeRecipe, EvaluateRecipe, Recipe
from smallvoice.storage import require_no_folder
from smallvoice.terminal import TrainingProgress, console, progress


def prepare(
    sources: list[str],
    out: Path,
    *,
    recipe: CorpusRecipe | None = None,
    split: str | None = None,
    data: Path | None = None,
    rehash: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Recordings and transcripts to one corpus on disk.

    Args:
        sources: folders, or corpora by name.
        out: the corpus folder; prepared again, speakers keep their pseudonyms and their split.
        split: put every row into this split.
        data: where corpora are looked for by name.

    Returns:
        The content of `corpus.json` but for its settings, whose paths stay there.

    Raises:
        SmallvoiceError: anything a user can mend; `out` is then as it was.
    """
    from smallvoice.corpus import ingest
    from smallvoice.corpus import sources as places

    found = [
        replace(source, split=split or source.split)
        for source in places.find_all(sources, data, cache_dir=out.parent, recipe=recipe or CorpusRecipe())
    ]
    with progress("reading") as update:
        result = ingest.prepare(recipe or CorpusRecipe(), found, out, rehash=rehash, force=force, report=update)
    for part in ingest.describe(result):
        console.print(part)
    return {name: value for name, value in result.facts.items() if name != "settings"}


def read(path: Path, *, recipe: CorpusRecipe | None = None, shown: int = 10) -> dict[str, Any]:
    """What the readers understand of a transcript, or of all transcripts in a folder; no audio is opened.

    Args:
        shown: how many segments are printed.

    Returns:
        `files`: counts of each; `segments`: every segment with where, times, speaker, text and flags;
        `rejected`: what became of the rest.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    from smallvoice.corpus import reading

    readings = list(reading.read_transcripts(path, recipe or CorpusRecipe()))
    for part in reading.describe(readings, shown):
        console.print(part)
    return {
        "files": [one.as_dict() for one in readings],
        "segments": [recipes.as_dict(segment) for one in readings for segment in one.segments],
        "rejected": [
            {"where": problem.where, "reason": problem.reason, "detail": problem.detail}
            for one in readings
            for problem in one.problems
        ],
    }


def audit(corpus: Path, *, hypotheses: Path | None = None, apply: Path | None = None) -> dict[str, Any]:
    """Look for leaks between splits, duplicates, and rows whose text or audio cannot be right.

    Args:
        hypotheses: a file that `evaluate` wrote for a split of the corpus.
        apply: a new folder for a corpus without the rows that the findings condemn.

    Returns:
        `findings`: of each kind what it is, how many, which rows, what to do; `leaks`: a sentence each.

    Raises:
        SmallvoiceError: anything a user can mend. Leaks raise nothing: the command line's exit code is 3.
    """
    from smallvoice.corpus import audit as audits

    with progress("reading") as update:
        found = audits.audit(corpus, hypotheses=hypotheses, report=update)
    for part in audits.describe(found):
        console.print(part)
    result = {**found.as_dict(), "leaks": [leak.what for leak in found.leaks]}
    if apply:
        cleaned = audits.apply(corpus, found, apply)
        dropped, flagged = sum(cleaned.dropped.values()), sum(cleaned.flagged.values())
        console.print(f"{apply}: {dropped} rows dropped, {flagged} flagged; the ledger says why.")
        result["applied"] = {"dropped": cleaned.dropped, "flagged": cleaned.flagged}
    return result


def inspect(corpus: Path, *, html: Path | None = None, samples: int = 12, seed: int = 0) -> dict[str, Any]:
    """Durations, ages, speaking rates and words of a corpus.

    Args:
        html: where to write a page with plots, and players of `samples` rows that `seed` draws.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    from smallvoice.corpus import inspect as inspections

    if html:
        require_no_folder(html)
    inspection = inspections.inspect(corpus, samples=samples if html else 0, seed=seed)
    for part in inspections.describe(inspection):
        console.print(part)
    if html:
        from smallvoice.reporting.inspect_page import write_inspection

        write_inspection(inspection, html)
        console.print(f"Page: {html}")
    return inspection.as_dict()


def convert(corpus: Path, to: Literal["kaldi", "lhotse", "nemo"], out: Path) -> dict[str, Any]:
    """A corpus as other tools read it, in a new folder.

    Raises:
        SmallvoiceError: anything a user can mend; `out` is then not there.
    """
    from smallvoice.corpus.interchange import export_corpus

    with progress("writing") as update:
        return export_corpus(corpus, to, out, report=update).as_dict()


def train(recipe: Recipe, corpus: Path, out: Path) -> dict[str, Any]:
    """Fine-tune the recipe's base model; the same command continues a training that was cut off.

    Returns:
        Parameters, dev scores, time.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    require("torch", extra="train", why="Training")
    from smallvoice.training.train import train as run_training

    with progress("training") as update:
        result = run_training(recipe, corpus, out, TrainingProgress(update, recipe.train.members))
    for row in result.left_out:
        console.print(f"  left out: {row['id']}: {row['reason']}")
    how = f"{result.trained} parameters in {result.precision}"
    console.print(f"  trained {how} in {result.seconds / 60:.1f} min; took {result.chosen}")
    return {
        "trainable_parameters": result.trained.trainable,
        "total_parameters": result.trained.total,
        "chosen": result.chosen,
        "dev": {name: errors.as_dict() for name, errors in result.dev.items()},
        "seconds": result.seconds,
        "precision": result.precision,
        "peak_memory_bytes": result.peak_memory_bytes,
        "left_out": len(result.left_out),
    }


def check_training(recipe: Recipe, corpus: Path) -> None:
    """Refuse what training would refuse: a selection of nobody, a strategy that this base or machine does not have.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    require("torch", extra="train", why="Training")
    from smallvoice.training.setup import set_up

    set_up(recipe, corpus)


def evaluate(
    model: str,
    corpus: Path,
    *,
    split: str = "test",
    out: Path = Path("evaluation"),
    decode: DecodeRecipe | None = None,
    language: str | None = None,
    select: str | None = None,
    beams: int | None = None,
    runtime: str | None = None,
    scoring: EvaluateRecipe | None = None,
    replacing: bool = False,
) -> dict[str, Any]:
    """Decode a split of a corpus with a model, and score it.

    Args:
        model: a run, an adapter, a Hugging Face or CTranslate2 folder, or a name.
        runtime: `torch` or `ctranslate2`; exports to CTranslate2 decode there, everything else in torch.
        scoring: columns that the hypotheses keep, age bands, confidence.
        out: gets `hypotheses/<system>.<split>.jsonl` and `evaluation_results.json`.
        replacing: what another model wrote there may be lost.

    Returns:
        The model's block of `evaluation_results.json`.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    require("torch", extra="train", why="Decoding")
    from smallvoice.decoding.evaluate import evaluate as run_evaluation

    with progress("decoding") as update:
        block = run_evaluation(
            model,
            corpus,
            out,
            split=split,
            decode=decode,
            language=language,
            select=select,
            beams=beams,
            runtime=runtime,
            scoring=scoring,
            replacing=replacing,
            report=update,
        )
    rates = {form: block["wer"][form]["wer"] for form in ("raw", "lower_cased", "normalised")}
    shown = ", ".join(f"{form.replace('_', '-')} {_percent(rate)}" for form, rate in rates.items())
    speed = f"{block['rtfx']:.1f} × real time" if block["rtfx"] else "nothing decoded"
    size = f"{block['utterances']} utterances, {block['speakers']} speakers, {block['wer']['raw']['words']} words"
    console.print(f"  {size}: WER {shown} ({speed})")
    return block


def run(
    recipe: Recipe,
    out: Path,
    *,
    data: Path | None = None,
    force: tuple[str, ...] = (),
    rehash: bool = False,
    folds: int | None = None,
) -> dict[str, Any]:
    """Prepare, evaluate, train, evaluate again, compare and report; each stage skipped when it is complete.

    Args:
        folds: run once for each part of the speakers, so that everyone is tested once, and pool the scores.

    Returns:
        The content of `comparative_analysis.json`.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    require("torch", extra="train", why="A run")
    require("peft", extra="train", why="A run")
    from smallvoice.folds import run_folds
    from smallvoice.pipeline import run as run_pipeline

    if folds is not None:
        return run_folds(recipe, out, folds, data=data, force=force, rehash=rehash)
    return run_pipeline(recipe, out, data=data, force=force, rehash=rehash)


def demo(out: Path) -> dict[str, Any]:
    """The whole job on the synthetic nursery with whisper-tiny.en.

    Returns:
        The content of `comparative_analysis.json`.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    import os

    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # its weights come with the extra
    require("torch", extra="demo", why="The demo")
    require("espeakng_loader", extra="demo", why="The demo's synthetic speakers")
    return run(recipes.load(recipes.packaged("nursery")), out, data=out)


def doctor() -> dict[str, Any]:
    """Look at this machine and say what works and what to do about what does not."""
    from smallvoice.doctor import examine

    return examine()


def configure(
    out: Path, *, corpus: Path | None = None, start: Path | None = None, overrides: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Write a recipe with every setting, and say what it will do on this machine.

    Args:
        out: the recipe to write. One that is there and says the same stays as it is, with its comments.
        corpus: a prepared corpus, from which steps, time and memory are estimated; a new recipe takes up how it was
            prepared.
        start: a recipe to begin with; else `out`, where it is there; else defaults.
        overrides: `key.path=value`.

    Returns:
        Parameters, steps, estimated time and memory, origin of the weights.

    Raises:
        RecipeError: `out` was edited by hand and would be written anew.
        SmallvoiceError: anything a user can mend.
    """
    from smallvoice.corpus import settings as preparation

    start = start or (out if out.exists() else None)
    if start:
        recipe = recipes.load(start, overrides)
    else:
        content = {"name": recipes.name_of(out), "corpus": preparation.as_prepared(corpus) if corpus else {}}
        recipe = recipes.build(recipes.apply_overrides(content, overrides))
        for sentence in preparation.unknown(corpus, recipe.corpus) if corpus else ():
            console.print(sentence)
    changed = not out.exists() or recipes.load(out) != recipe
    if changed:
        recipes.require_unedited(out)
    require("torch", extra="train", why="Counting a model's parameters")
    from smallvoice.training.plan import plan

    planned = plan(recipe, corpus)
    if changed:
        recipes.dump_to_change(recipe, out)
    for name, value in planned.lines():
        console.print(f"  {name}: {value}")
    return planned.as_dict()


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.1f} %"
