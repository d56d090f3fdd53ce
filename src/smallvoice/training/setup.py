"""What all members of a training share: the base, which rows are heard, their order and texts, how dev is scored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from smallvoice.corpus.text_style import TextFacts, to_training_text, training_style
from smallvoice.corpus.utterance import Corpus, open_corpus
from smallvoice.decoding.confidence import calibrate
from smallvoice.decoding.engine import decode_utterances
from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.errors import InputError, RecipeError
from smallvoice.model import adapt, device, saving, weights
from smallvoice.model import window as windows
from smallvoice.model.prompt import allow_empty_text, prefix_ids
from smallvoice.model.weights import Whisper
from smallvoice.recipe import Recipe
from smallvoice.scoring.confidence import Calibration
from smallvoice.scoring.normalize import for_language
from smallvoice.scoring.word_errors import ErrorCounts, count_all, total
from smallvoice.training import distributed, memory
from smallvoice.training.batches import Planner
from smallvoice.training.distributed import Processes
from smallvoice.training.labels import token_ids
from smallvoice.training.preserve import AS_RECORDED, PRESERVED_RATES, Moments, Speech, moments, preserve, speech_of


def set_up(recipe: Recipe, corpus_folder: Path) -> Setup:
    """All that training needs, on the best device of this machine; nothing is written.

    Raises:
        SmallvoiceError: the recipe asks for what this corpus, the base or the machine does not have.
    """
    adapt.require_sense(recipe)
    processes = distributed.start()
    precision = device.training_precision(recipe.train.precision, processes.device)
    return Setup(recipe, open_corpus(corpus_folder), weights.load(recipe.model.base), processes, precision)


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
        self.languages = self._languages()
        # As long in every language; each is checked here too, before any work is done.
        self.prefix_length = max(len(prefix_ids(whisper.generation, language)) for language in self.languages)
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
            text_length=self._text_length,
        )
        self.speech = self._speech()

    @cached_property
    def content(self) -> str:
        """What is trained on and chosen by: the same for every member, and read once."""
        return self.corpus.content("train", "dev")

    def fresh_base(self) -> Whisper:
        """Load the base again, as nothing has touched it: what was put on it may have changed its own weights."""
        del self.whisper
        memory.release(self.processes.device)  # adapters refer to themselves: only a search for circles frees them
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

    def _languages(self) -> set[str | None]:
        """Those of what is heard, preserved or chosen by: the base need not have the others of the corpus."""
        train = self.recipe.train
        heard = [part.select for part in train.mix]
        preserved = [train.preserve.select] if heard and train.preserve else []
        chosen_by = [train.select_dev] if train.select_dev else []
        rows = self.corpus.rows("train", ["language"], [*heard, *preserved])
        rows += self.corpus.rows("dev", ["language"], chosen_by)
        return {row["language"] or self.language for row in rows}

    def _text_length(self, text: str, language: str | None) -> int:
        """Token ids of a text, without prefix and end; of one that nobody hears it does not matter."""
        if (language or self.language) not in self.languages:
            return 0
        return len(self.tokens(text, language)) - self.prefix_length - 1

    def _too_long(self) -> Iterator[dict[str, Any]]:
        """Texts that the decoder cannot hold: a ledger, not a crash."""
        positions = self.whisper.network.config.max_target_positions
        rows = self.corpus.columns("train", ["id", "text", "language"]).to_pylist()
        for row in rows:
            if (row["language"] or self.language) not in self.languages:
                continue
            length = len(self.tokens(row["text"], row["language"]))
            if length > positions:
                reason = f"the text has {length} tokens, the decoder holds {positions}"
                yield {"id": row["id"], "fate": "left out of training", "reason": reason}

    def _selection(self) -> list[dict[str, Any]]:
        """The id and speaker of the rows of dev that choose the checkpoint."""
        wish = self.recipe.train.select_dev
        rows = self.corpus.rows("dev", ["id", "speaker"], [wish] if wish else [])
        chosen = [{"id": row["id"], "speaker": row["speaker"]} for row in rows]
        if not chosen:
            raise RecipeError(f"train.select_dev: no row of dev is {self.recipe.train.select_dev}. Choose others.")
        return chosen

    def _speech(self) -> Speech | None:
        """What tells the speech that is learned from the one that is preserved, where the recipe asks for it."""
        kept = self.recipe.train.preserve
        left_out = {row["id"] for row in self.left_out}
        return speech_of(self.corpus, kept, {row["id"] for row in self._heard()}, left_out) if kept else None

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
        """Every utterance that training, `train.preserve` or the choice of a checkpoint saw."""
        heard = list(self._heard())
        for row in heard:
            yield {**row, "used_for": "training"}
        others = (self.speech.preserved if self.speech else frozenset()).difference(row["id"] for row in heard)
        for row in self.corpus.columns("train", ["id", "speaker"]).to_pylist() if others else ():
            if row["id"] in others:
                yield {**row, "used_for": "preserving"}
        for row in self.selection:
            yield {**row, "used_for": "selection"}


def _require_splits(corpus: Corpus) -> None:
    missing = [split for split in ("train", "dev") if not corpus.splits().get(split)]
    if missing:
        raise InputError(
            f"{corpus.path}: no utterances in {' and '.join(missing)}. Training learns from train and chooses by dev; "
            "prepare the corpus with shares for both (corpus.split)."
        )
