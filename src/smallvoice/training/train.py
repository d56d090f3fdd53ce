"""`train`: a recipe and a corpus to an adapter; of each member the checkpoint that is best on dev."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smallvoice import recipe_file as recipes
from smallvoice.model import adapt, device, saving, tuned, weights
from smallvoice.model.extract import low_rank
from smallvoice.recipe import Recipe
from smallvoice.run_folder import RunFolder
from smallvoice.scoring.word_errors import ErrorCounts
from smallvoice.storage import digest, file_digest, no_space_as_error, read_jsonl, write_jsonl
from smallvoice.training import checkpoint, memory
from smallvoice.training.average import average, interpolate
from smallvoice.training.loop import Member, train_member
from smallvoice.training.setup import Setup, set_up
from smallvoice.training.spectrum import flatten

log = logging.getLogger(__name__)

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrainResult:
    """What training gave: the adapter, or the average of several."""

    trained: adapt.ParameterCount
    """What one member moves."""
    adapter: adapt.ParameterCount
    """What is saved."""
    chosen: str
    dev: dict[str, ErrorCounts]
    """Word errors on dev, normalised, of each candidate."""
    seconds: float
    precision: str
    """What steps were multiplied in; several where members, or parts of one, were trained on different machines."""
    peak_memory_bytes: int
    """The most that a process which wrote checkpoints has held."""
    left_out: list[dict[str, Any]]


def train(recipe: Recipe, corpus_folder: Path, run_folder: Path, report: Report = lambda row: None) -> TrainResult:
    """Fine-tune the recipe's base model on `train`, choosing by free decoding of `dev`; `test` is never read.

    Writes `adapter/`, `metrics.jsonl`, `trained_on.jsonl`, `left_out.jsonl` and `checkpoints/` into the run.
    Called again after it was cut off, it continues, and on the same machine with the same number of threads the
    weights are the same bit for bit.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    run = RunFolder(run_folder)
    recipes.require_no_notes(run.recipe)
    with memory.full_as_error(device.best_device()):
        setup = set_up(recipe, corpus_folder)
        return _train(recipe, setup, run, report)


def _train(recipe: Recipe, setup: Setup, run: RunFolder, report: Report) -> TrainResult:
    processes = setup.processes
    if processes.first:
        _set_aside(setup, run)
        recipes.dump(recipe, run.recipe)
        write_jsonl(run.left_out, setup.left_out)
    members = [_train_member(setup, number, run, report) for number in range(recipe.train.members)]
    dev = {f"member {number + 1}": member.dev for number, member in enumerate(members)}
    chosen, result = _result(setup, [member.result for member in members])
    if chosen not in dev:
        dev[chosen] = _dev_errors_of(setup, result)
    if processes.first:
        _gather_metrics(run, recipe.train.members)
        write_jsonl(run.trained_on, setup.trained_on())
        facts = _write_result(run, setup, result)
    processes.wait()
    if processes.first:  # the others need not wait for it
        saving.put(setup.fresh_base(), result)
        tuned.write(run.adapter, replace(facts, calibration=setup.calibration()))
    return TrainResult(
        trained=members[0].parameters,
        adapter=result.count(setup.base_parameters),
        chosen=chosen,
        dev=dev,
        seconds=sum(member.progress.seconds for member in members),
        precision=", ".join(dict.fromkeys(name for member in members for name in member.progress.precisions)),
        peak_memory_bytes=max(member.progress.peak_memory_bytes for member in members),
        left_out=setup.left_out,
    )


def _result(setup: Setup, members: list[saving.Result]) -> tuple[str, saving.Result]:
    """What becomes of the members, and how it is called.

    Never one of several for its luck on dev: in the first run of speechocean762_base a member tied with the average
    there (16.7 %) and was 5 points worse on test.
    """
    recipe, name, result = setup.recipe, "member 1", members[0]
    if len(members) > 1:
        name, result = "average", average(members, setup.fresh_base().network)
    if recipe.train.preserve:
        name, result = f"{name}, preserving {recipe.train.preserve.select}", setup.preserved(result)
    if (share := recipe.train.interpolate) < 1.0:
        name, result = f"{name}, {share:g} of the way", interpolate(result, setup.fresh_base().network, share)
    if (power := recipe.train.spectrum_power) < 1.0:
        name, result = f"{name}, spectrum ^ {power:g}", flatten(result, setup.fresh_base().network, power)
    if rank := recipe.model.save_rank:
        name, result = f"{name}, rank {rank}", low_rank(result, setup.fresh_base(), rank)
    return name, result


@dataclass(frozen=True)
class _Trained:
    """One member, trained: the best of its checkpoints on dev."""

    result: saving.Result
    dev: ErrorCounts
    parameters: adapt.ParameterCount
    progress: checkpoint.Progress


def _train_member(setup: Setup, number: int, run: RunFolder, report: Report) -> _Trained:
    recipe = setup.recipe
    seed = recipe.train.seed + number
    whisper = setup.fresh_base() if number else setup.whisper
    num_steps = setup.planner.num_steps(recipe.train.epochs, seed, recipe.train.max_steps)
    network = adapt.adapt(whisper, recipe.model, seed, num_steps)
    member = Member(
        recipe=recipe,
        corpus=setup.corpus,
        whisper=whisper,
        network=network,
        processes=setup.processes,
        precision=setup.precision,
        planner=setup.planner,
        tokens=lambda utterance: setup.tokens(utterance.text, utterance.language),
        prefix_length=setup.prefix_length,
        evaluate=setup.dev_errors,
        folder=_member_folder(run, number),
        seed=seed,
        key=_member_key(setup, number),
        report=lambda row: report({"member": number, **row}),
    )
    progress = train_member(member)
    checkpoint.load_trained(network, checkpoint.best_folder(member.folder, progress))
    return _Trained(
        result=saving.result_of(network),
        dev=ErrorCounts(**progress.best),
        parameters=adapt.count_parameters(network),
        progress=progress,
    )


def _member_key(setup: Setup, number: int) -> str:
    """What a member's checkpoints depend on: with another one they are not continued."""
    return digest(
        recipes.of_a_member(setup.recipe),
        weights.fingerprint(setup.recipe.model.base),
        setup.language,
        setup.style,
        # Not the corpus's key, which holds when its sources were written: a copy is no reason to train again.
        setup.content,
        setup.recipe.train.seed + number,
        setup.whisper.tokenizer.backend_tokenizer.to_str(),
    )


def _set_aside(setup: Setup, run: RunFolder) -> None:
    """Where another training begins, take the adapter of the one before out of its place: should this one not come to
    its end, it would be taken for that of the recipe which stands there now."""
    members = range(setup.recipe.train.members)
    if not run.adapter.exists() or all(
        checkpoint.is_of(_last(run, number), _member_key(setup, number)) for number in members
    ):
        return
    shutil.rmtree(run.earlier_adapter, ignore_errors=True)
    run.adapter.rename(run.earlier_adapter)
    run.forget_claims()
    log.warning("Another training begins: the adapter of before is kept as %s until there is one.", run.earlier_adapter)


def _dev_errors_of(setup: Setup, result: saving.Result) -> ErrorCounts:
    saving.put(setup.fresh_base(), result)
    return setup.dev_errors()


def _write_result(run: RunFolder, setup: Setup, result: saving.Result) -> tuned.TunedFacts:
    """Put the result in its place; the scores and the card of another that stood there go."""
    folder = run.adapter
    facts = tuned.TunedFacts(
        base=setup.whisper.name,
        window=setup.recipe.window,
        language=setup.language,
        text_style=setup.style,
        corpus_text=setup.facts,
        knows_silence=setup.recipe.augment.silence > 0,
        decode=setup.recipe.decode,
        moved=result.moved,
    )
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    with no_space_as_error(folder):
        saving.save(fresh, result, setup.whisper)
        tuned.write(fresh, facts)
    before = saving.file_of(folder)
    if before and not (before.is_file() and file_digest(before) == file_digest(fresh / result.file)):
        run.forget_claims()
    checkpoint.replace_folder(fresh, folder)
    shutil.rmtree(run.earlier_adapter, ignore_errors=True)
    return facts


def _member_folder(run: RunFolder, number: int) -> Path:
    return run.checkpoints / f"member-{number}"


def _last(run: RunFolder, number: int) -> Path:
    return _member_folder(run, number) / checkpoint.LAST


def _gather_metrics(run: RunFolder, members: int) -> None:
    rows = (
        {"member": n, **row} for n in range(members) for row in read_jsonl(_member_folder(run, n) / "metrics.jsonl")
    )
    write_jsonl(run.metrics, rows)
