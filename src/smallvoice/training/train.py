"""`train`: a recipe and a corpus to an adapter; of each member the checkpoint that is best on dev."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

from smallvoice import recipe_file as recipes
from smallvoice.corpus.text_style import TextFacts, to_training_text, training_style
from smallvoice.corpus.utterance import Corpus, open_corpus
from smallvoice.decoding.engine import decode_utterances
from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.errors import InputError
from smallvoice.model import adapt, device, tuned, weights
from smallvoice.model import window as windows
from smallvoice.model.prompt import prefix_ids
from smallvoice.model.weights import Whisper
from smallvoice.recipe import Recipe
from smallvoice.run_folder import RunFolder
from smallvoice.scoring.normalize import for_language
from smallvoice.scoring.word_errors import ErrorCounts, count_all, total
from smallvoice.storage import digest, no_space_as_error, read_jsonl, write_jsonl
from smallvoice.training import checkpoint
from smallvoice.training.average import average_products
from smallvoice.training.batches import Planner
from smallvoice.training.labels import token_ids
from smallvoice.training.loop import Member, train_member

log = logging.getLogger(__name__)

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrainResult:
    """What training gave: the adapter, or the average of several."""

    trained: adapt.ParameterCount
    """What one member moves."""
    adapter: adapt.ParameterCount
    """What the saved adapter has."""
    chosen: str
    dev: dict[str, ErrorCounts]
    """Word errors on dev, normalised, of each candidate."""
    seconds: float
    left_out: list[dict[str, Any]]


def train(recipe: Recipe, corpus_folder: Path, run_folder: Path, report: Report = lambda row: None) -> TrainResult:
    """Fine-tune the recipe's base model on `train`, choosing by free decoding of `dev`; `test` is never read.

    Writes `adapter/`, `metrics.jsonl`, `trained_on.jsonl`, `left_out.jsonl` and `checkpoints/` into the run.
    Called again after it was cut off, it continues, and on the same machine with the same number of threads the
    adapter is the same bit for bit.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    run = RunFolder(run_folder)
    corpus = open_corpus(corpus_folder)
    recipes.dump(recipe, run.recipe)
    whisper = weights.load(recipe.model.base)
    setup = _Setup(recipe, corpus, whisper)
    write_jsonl(run.left_out, setup.left_out)
    accelerator = Accelerator(
        mixed_precision=_PRECISION[device.training_precision(recipe.train.precision, device.best_device())]
    )
    whisper.network.to(accelerator.device)
    members = [_train_member(setup, number, accelerator, run, report) for number in range(recipe.train.members)]
    _gather_metrics(run, recipe.train.members)
    candidates = {f"member {number + 1}": (member.state, member.dev) for number, member in enumerate(members)}
    if len(members) > 1:
        average = average_products([member.state for member in members])
        candidates[AVERAGE] = (average, _dev_errors_of(setup, average, len(members)))
    # Never one member for its luck on dev: in the first run of speechocean762_base a member tied with the average
    # there (16.7 %) and was 5 points worse on test.
    chosen = AVERAGE if len(members) > 1 else "member 1"
    write_jsonl(run.trained_on, setup.trained_on())
    adapter = _write_adapter(run, setup, candidates[chosen][0], len(members) if chosen == AVERAGE else 1)
    return TrainResult(
        trained=members[0].parameters,
        adapter=adapter,
        chosen=chosen,
        dev={name: errors for name, (_, errors) in candidates.items()},
        seconds=sum(member.seconds for member in members),
        left_out=setup.left_out,
    )


AVERAGE = "average"
_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


class _Setup:
    """What all members share: texts, order, dev scores."""

    def __init__(self, recipe: Recipe, corpus: Corpus, whisper: Whisper) -> None:
        _require_splits(corpus)
        self.recipe, self.corpus, self.whisper = recipe, corpus, whisper
        self.language = recipe.corpus.language or corpus.facts["language"]
        self.facts = TextFacts(**corpus.facts["text"])
        self.style = training_style(recipe.train.text_style, self.facts)
        languages = set(corpus.columns("train", ["language"])["language"].unique().to_pylist())
        # As long in every language; a row's own is checked here too, before any work is done.
        self.prefix_length = max(
            len(prefix_ids(whisper.generation, language or self.language)) for language in languages
        )
        self.left_out = list(self._too_long())
        if len(self.left_out) == corpus.splits()["train"]:
            raise InputError("No training utterance can be used: each text is longer than Whisper's decoder.")
        self.max_frames = windows.max_frames(whisper.network)
        self.planner = Planner(corpus, "train", recipe, self.max_frames, {row["id"] for row in self.left_out})

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

    def dev_errors(self) -> ErrorCounts:
        """Word errors of free decoding on dev, normalised, with the network as it is now."""
        engine = TorchEngine(self.whisper, self.recipe.window, dataclasses.replace(self.recipe.decode, beams=1))
        decoded = decode_utterances(self.corpus.utterances("dev"), engine, self.language, self.recipe.decode.batch_size)
        references, heard = [], []
        for utterance, hypothesis in itertools.chain.from_iterable(decoded):
            normalise = for_language(utterance.language or self.language)
            references.append(normalise.words(utterance.text))
            heard.append(normalise.words(hypothesis.text))
        return total(count_all(references, heard))

    def trained_on(self) -> Iterator[dict[str, Any]]:
        """Every utterance that training or the choice of a checkpoint saw."""
        left_out = {row["id"] for row in self.left_out}
        for split, use in (("train", "training"), ("dev", "selection")):
            for row in self.corpus.columns(split, ["id", "speaker"]).to_pylist():
                if split == "dev" or row["id"] not in left_out:
                    yield {"id": row["id"], "speaker": row["speaker"], "used_for": use}


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

    state: dict[str, torch.Tensor]
    dev: ErrorCounts
    parameters: adapt.ParameterCount
    seconds: float


def _train_member(setup: _Setup, number: int, accelerator: Accelerator, run: RunFolder, report: Report) -> _Trained:
    recipe = setup.recipe
    seed = recipe.train.seed + number
    network = adapt.adapt(setup.whisper, recipe.model, seed)
    member = Member(
        recipe=recipe,
        corpus=setup.corpus,
        whisper=setup.whisper,
        network=network,
        accelerator=accelerator,
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
            setup.corpus.facts["key"],
            seed,
        ),
        report=lambda row: report({"member": number, **row}),
    )
    progress = train_member(member)
    checkpoint.load_trained(network, checkpoint.best_folder(member.folder, progress))
    trained = _Trained(
        state={
            name: tensor.cpu().clone()
            for name, tensor in get_peft_model_state_dict(network, save_embedding_layers=False).items()
        },
        dev=ErrorCounts(**progress.best),
        parameters=adapt.count_parameters(network),
        seconds=progress.seconds,
    )
    network.unload()  # the base again, for the next member
    return trained


def _dev_errors_of(setup: _Setup, state: dict[str, torch.Tensor], ranks: int) -> ErrorCounts:
    network = _with_state(setup, state, ranks)
    network.eval()
    errors = setup.dev_errors()
    network.unload()
    return errors


def _with_state(setup: _Setup, state: dict[str, torch.Tensor], ranks: int) -> PeftModel:
    """The base with given LoRA factors, of `ranks` times the recipe's rank."""
    model = setup.recipe.model
    wide = dataclasses.replace(model, rank=ranks * model.rank, alpha=ranks * model.alpha)  # the same alpha / rank
    network = adapt.adapt(setup.whisper, wide, seed=0)
    set_peft_model_state_dict(network, state)
    return network


def _write_adapter(run: RunFolder, setup: _Setup, state: dict[str, torch.Tensor], ranks: int) -> adapt.ParameterCount:
    network = _with_state(setup, state, ranks)
    count = adapt.count_parameters(network)
    facts = tuned.TunedFacts(
        base=setup.whisper.name,
        window=setup.recipe.window,
        language=setup.language,
        text_style=setup.style,
        corpus_text=setup.facts,
    )
    fresh = run.path / ".adapter.new"
    shutil.rmtree(fresh, ignore_errors=True)
    with no_space_as_error(run.adapter):
        adapt.save_adapter(network, fresh)
        tuned.write(fresh, facts)
    checkpoint.replace_folder(fresh, run.adapter)
    return count


def _member_folder(run: RunFolder, number: int) -> Path:
    return run.checkpoints / f"member-{number}"


def _gather_metrics(run: RunFolder, members: int) -> None:
    rows = (
        {"member": n, **row} for n in range(members) for row in read_jsonl(_member_folder(run, n) / "metrics.jsonl")
    )
    write_jsonl(run.metrics, rows)
