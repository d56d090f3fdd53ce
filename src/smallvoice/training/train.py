"""`train`: a recipe and a corpus to an adapter; of each member the checkpoint that is best on dev."""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from smallvoice import recipe_file as recipes
from smallvoice.corpus.select import parse
from smallvoice.corpus.text_style import TextFacts, to_training_text, training_style
from smallvoice.corpus.utterance import Corpus, open_corpus
from smallvoice.decoding.confidence import calibrate
from smallvoice.decoding.engine import decode_utterances
from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.errors import InputError, RecipeError
from smallvoice.model import adapt, device, saving, tuned, weights
from smallvoice.model import window as windows
from smallvoice.model.extract import low_rank
from smallvoice.model.prompt import allow_empty_text, prefix_ids
from smallvoice.model.weights import Whisper
from smallvoice.recipe import Recipe
from smallvoice.run_folder import RunFolder
from smallvoice.scoring.confidence import Calibration
from smallvoice.scoring.normalize import for_language
from smallvoice.scoring.word_errors import ErrorCounts, count_all, total
from smallvoice.storage import digest, no_space_as_error, read_jsonl, write_jsonl
from smallvoice.training import checkpoint, distributed
from smallvoice.training.average import average, interpolate
from smallvoice.training.batches import Planner
from smallvoice.training.distributed import Processes
from smallvoice.training.labels import token_ids
from smallvoice.training.loop import Member, train_member
from smallvoice.training.preserve import AS_RECORDED, PRESERVED_RATES, Moments, Speech, moments, preserve, speech_of
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
    adapt.require_sense(recipe)
    processes = distributed.start()
    precision = device.training_precision(recipe.train.precision, processes.device)
    run = RunFolder(run_folder)
    corpus = open_corpus(corpus_folder)
    setup = Setup(recipe, corpus, weights.load(recipe.model.base), processes, precision)
    if processes.first:
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
        facts = _write_result(run.adapter, setup, result)
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


class Setup:
    """What all members share: texts, order, dev scores."""

    def __init__(self, recipe: Recipe, corpus: Corpus, whisper: Whisper, processes: Processes, precision: str) -> None:
        _require_splits(corpus)
        self.recipe, self.corpus = recipe, corpus
        self.processes, self.precision = processes, precision
        self.whisper = self._ready(whisper)
        self.base_parameters = adapt.count_parameters(whisper.network).total
        self.selection = self._selection()
        self.language = recipe.corpus.language or corpus.facts["language"]
        self.facts = TextFacts(**corpus.facts["text"])
        self.style = training_style(recipe.train.text_style, self.facts, self.language)
        languages = set(corpus.columns("train", ["language"])["language"].unique().to_pylist())
        # As long in every language; a row's own is checked here too, before any work is done.
        self.prefix_length = max(
            len(prefix_ids(whisper.generation, language or self.language)) for language in languages
        )
        self.left_out = list(self._too_long())
        if len(self.left_out) == corpus.splits()["train"]:
            raise InputError("No training utterance can be used: each text is longer than Whisper's decoder.")
        self.max_frames = windows.max_frames(whisper.network)
        self.planner = Planner(
            corpus,
            "train",
            recipe,
            self.max_frames,
            {row["id"] for row in self.left_out},
            text_length=lambda text, language: len(self.tokens(text, language)) - self.prefix_length - 1,
        )
        self.speech = self._speech()

    @cached_property
    def content(self) -> str:
        """What is trained on and chosen by: the same for every member, and read once."""
        return self.corpus.content("train", "dev")

    def fresh_base(self) -> Whisper:
        """Load the base again, as nothing has touched it: what was put on it may have changed its own weights."""
        self.whisper = self._ready(weights.load(self.recipe.model.base))
        return self.whisper

    def _ready(self, whisper: Whisper) -> Whisper:
        whisper.network.to(self.processes.device)
        if self.recipe.augment.silence:
            allow_empty_text(whisper.generation)
        return whisper

    def tokens(self, text: str, language: str | None) -> list[int]:
        spoken = language or self.language
        return token_ids(self.whisper, to_training_text(text, self.style, spoken), spoken)

    def _too_long(self) -> Iterator[dict[str, Any]]:
        """Texts that the decoder cannot hold: a ledger, not a crash."""
        positions = self.whisper.network.config.max_target_positions
        rows = self.corpus.columns("train", ["id", "text", "language"]).to_pylist()
        for row in rows:
            length = len(self.tokens(row["text"], row["language"]))
            if length > positions:
                reason = f"the text has {length} tokens, the decoder holds {positions}"
                yield {"id": row["id"], "fate": "left out of training", "reason": reason}

    def _selection(self) -> list[dict[str, Any]]:
        """The id and speaker of the rows of dev that choose the checkpoint."""
        wish = parse(self.recipe.train.select_dev) if self.recipe.train.select_dev else None
        columns = sorted({"id", "speaker"} | (wish.columns if wish else frozenset()))
        rows = self.corpus.columns("dev", columns).to_pylist()
        chosen = [{"id": row["id"], "speaker": row["speaker"]} for row in rows if wish is None or wish.accepts(row)]
        if not chosen:
            raise RecipeError(f"train.select_dev: no row of dev is {self.recipe.train.select_dev}. Choose others.")
        return chosen

    def _speech(self) -> Speech | None:
        """What tells the speech that is learned from the one that is preserved, where the recipe asks for it."""
        kept = self.recipe.train.preserve
        return speech_of(self.corpus, kept, {row["id"] for row in self._heard()}) if kept else None

    def preserved(self, result: saving.Result) -> saving.Result:
        """The result with the base's weights where the other speech needs them."""
        assert self.speech is not None and self.recipe.train.preserve is not None

        def moments_of(whisper: Whisper, ids: frozenset[str], rates: Sequence[int] = AS_RECORDED) -> Moments:
            rows = (row for row in self.corpus.utterances("train") if row.id in ids)
            window = self.recipe.window
            return moments(whisper, result, window, rows, lambda row: self.tokens(row.text, row.language), rates)

        saving.put(self.fresh_base(), result)
        learned = moments_of(self.whisper, self.speech.learned)
        preserved = moments_of(self.fresh_base(), self.speech.preserved, PRESERVED_RATES)
        return preserve(result, learned, preserved, self.recipe.train.preserve.weight, self.whisper.network)

    def dev_errors(self) -> ErrorCounts:
        """Word errors of free decoding on dev, normalised, with the network as it is now; over all processes."""
        engine = TorchEngine(self.whisper, self.recipe.window, replace(self.recipe.decode, beams=1))
        rows = self.corpus.utterances("dev", self.recipe.train.select_dev)
        mine = itertools.islice(rows, self.processes.rank, None, self.processes.size)
        decoded = decode_utterances(mine, engine, self.language, self.recipe.decode.batch_size)
        references, heard = [], []
        for utterance, hypothesis in itertools.chain.from_iterable(decoded):
            normalise = for_language(utterance.language or self.language)
            references.append(normalise.reference(utterance.text))
            heard.append(normalise.tokens(hypothesis.text))
        counts = astuple(total(count_all(references, heard)))
        return ErrorCounts(*(int(count) for count in self.processes.total(*counts)))

    def calibration(self) -> Calibration | None:
        """How often the words of the network as it is now are right, decoded greedily."""
        engine = TorchEngine(self.whisper, self.recipe.window, replace(self.recipe.decode, beams=1))
        return calibrate(engine, self.corpus.utterances("dev", self.recipe.train.select_dev), self.language)

    def _heard(self) -> Iterator[dict[str, Any]]:
        """The id and speaker of the rows that training hears."""
        left_out = {row["id"] for row in self.left_out}
        rows = self.corpus.columns("train", ["id", "speaker"]).to_pylist()
        for row, weight in zip(rows, self.planner.rows.weights.tolist(), strict=True):
            if row["id"] not in left_out and weight > 0:
                yield row

    def trained_on(self) -> Iterator[dict[str, Any]]:
        """Every utterance that training or the choice of a checkpoint saw."""
        for row in self._heard():
            yield {**row, "used_for": "training"}
        for row in self.selection:
            yield {**row, "used_for": "selection"}


def _require_splits(corpus: Corpus) -> None:
    missing = [split for split in ("train", "dev") if not corpus.splits().get(split)]
    if missing:
        raise InputError(
            f"{corpus.path}: no utterances in {' and '.join(missing)}. Training learns from train and chooses by dev; "
            "prepare the corpus with shares for both (corpus.split)."
        )


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
        key=digest(
            recipes.of_a_member(recipe),
            weights.fingerprint(recipe.model.base),
            setup.language,
            setup.style,
            # Not the corpus's key, which holds when its sources were written: a copy is no reason to train again.
            setup.content,
            seed,
            setup.whisper.tokenizer.backend_tokenizer.to_str(),
        ),
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


def _dev_errors_of(setup: Setup, result: saving.Result) -> ErrorCounts:
    saving.put(setup.fresh_base(), result)
    return setup.dev_errors()


def _write_result(folder: Path, setup: Setup, result: saving.Result) -> tuned.TunedFacts:
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
    checkpoint.replace_folder(fresh, folder)
    return facts


def _member_folder(run: RunFolder, number: int) -> Path:
    return run.checkpoints / f"member-{number}"


def _gather_metrics(run: RunFolder, members: int) -> None:
    rows = (
        {"member": n, **row} for n in range(members) for row in read_jsonl(_member_folder(run, n) / "metrics.jsonl")
    )
    write_jsonl(run.metrics, rows)
