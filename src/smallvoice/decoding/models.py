"""What a user calls a model: a run, what it trained, an export, a folder of weights, or a name."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from smallvoice import recipe_file as recipes
from smallvoice.decoding.engine import Engine
from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.errors import InputError, RecipeError, WeightsError, require
from smallvoice.model import adapt, device, saving, tuned, weights
from smallvoice.model.prompt import allow_empty_text
from smallvoice.model.weights import Whisper
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import DecodeRecipe, WindowRecipe
from smallvoice.run_folder import FOLDS, LOCAL_BASE, RunFolder
from smallvoice.storage import file_digest, read_json

log = logging.getLogger(__name__)

TORCH = "torch"
CTRANSLATE2 = "ctranslate2"
RUNTIMES = (TORCH, CTRANSLATE2)
"""What can decode."""


@dataclass
class Model:
    """A model ready to decode, and what to say about it."""

    whisper: Whisper
    window: WindowRecipe
    facts: tuned.TunedFacts | None
    """None for a model that smallvoice did not tune: it hears 30 s, and its text is taken as it is."""
    parameters: adapt.ParameterCount
    key: str
    """What tells it from other models: the sha256 of what was trained, the fingerprint of other weights."""
    run: Path | None
    """The run that trained it."""
    decode: DecodeRecipe | None
    """How its run decodes."""
    result: Path | None = None
    """The folder that training left: an adapter, or weights."""
    converted: Path | None = None
    """The CTranslate2 folder that decodes; else torch does. Then `whisper` has no weights."""
    _base: Engine | None = field(default=None, repr=False)
    """The base model, once it has been asked for the language."""

    @property
    def system(self) -> str:
        """How its files are called."""
        name = "tuned" if self.facts or self.parameters.trainable else "base"
        return f"{name}-{CTRANSLATE2}" if self.converted else name

    @property
    def adapter_sha256(self) -> str | None:
        """Of what training left, in an export too; None for a model that smallvoice did not tune."""
        made_of = self.facts.adapter_sha256 if self.facts else None
        return made_of or (self.key if self.parameters.trainable else None)

    @property
    def language(self) -> str | None:
        """What a tuned model was trained for."""
        return self.facts.language if self.facts else None

    def engine(self, decode: DecodeRecipe) -> Engine:
        """What decodes with it."""
        if self.converted is None:
            return TorchEngine(self.whisper, self.window, decode)
        require("ctranslate2", extra="transcribe", why="Decoding with CTranslate2")
        from smallvoice.decoding.ctranslate2_engine import CTranslate2Engine

        return CTranslate2Engine(self.converted, self.whisper, self.window, decode)

    def detect(self, waveforms: list[np.ndarray], own: Engine) -> list[str]:
        """Guess the language of each utterance as the base model does, at 30 s; a code such as `en`.

        Training with the language given moves the guess of the tuned weights, for nothing holds it: of 20 clips in
        German the base takes 16 for it, whisper-base tuned on English 4 to 9 (docs/results/nothing_broken.md).

        Args:
            own: what decodes with this model; asked where it is no tuned one, or its base's weights cannot be had.

        Raises:
            InputError: the model is English-only.
        """
        if self.facts is None:
            return own.detect(waveforms)
        if self._base is None:
            try:
                whisper = weights.load(self.facts.base)
            except WeightsError as error:
                log.warning("The language is guessed by the tuned weights, which may be worse at it: %s", error)
                return own.detect(waveforms)
            device.to_best_device(whisper.network)
            self._base = TorchEngine(whisper, FULL_WINDOW, own.recipe)
        return self._base.detect(waveforms)

    def output(self, decoded: str, wish: str, language: str | None) -> str:
        """What is scored: the tuned model's text in the corpus's style, any other model's as it is."""
        return self.facts.output(decoded, wish, language) if self.facts else decoded


def open_model(name: str, runtime: str | None = None) -> Model:
    """Load a run, an adapter, a Hugging Face or CTranslate2 folder, or a name.

    Args:
        runtime: `torch`, or `ctranslate2` for a CTranslate2 folder; by itself an export of smallvoice's to CTranslate2
            decodes there, everything else in torch.

    Raises:
        InputError: a folder that is none of these, or an adapter that does not fit its base.
        RecipeError: a runtime that is not known, or not this model's.
        WeightsError: the (base) weights cannot be had.
    """
    if runtime not in (None, *RUNTIMES):
        raise RecipeError(f"--runtime {runtime}: not known. There are: {', '.join(RUNTIMES)}.")
    folder = weights.folder_of(name)
    converted = folder is not None and (folder / "model.bin").is_file()
    if runtime == CTRANSLATE2 and not converted:
        raise RecipeError(
            f"{name} is no CTranslate2 folder. Make one: smallvoice export {name} --to ctranslate2 --precision int8"
        )
    if folder and not converted and (result := _tuned_in(folder)):
        return _tuned(result)
    whisper = weights.load(str(folder or name))
    parameters = adapt.ParameterCount(0, adapt.count_parameters(whisper.network).total)
    facts = tuned.read(folder) if folder and converted else None
    there = converted and runtime != TORCH and (runtime == CTRANSLATE2 or facts is not None)
    if there:
        whisper.network.to("meta")
    else:
        device.to_best_device(whisper.network)
    return Model(
        whisper=replace(whisper, name=facts.base) if facts else whisper,
        window=facts.window if facts else FULL_WINDOW,
        facts=facts,
        parameters=parameters,
        key=f"{CTRANSLATE2 if there else ''}{weights.fingerprint(name)}",
        run=None,
        decode=facts.decode if facts else None,
        converted=folder if there else None,
    )


def _tuned_in(folder: Path) -> Path | None:
    """The result of training that a folder is, or holds as a run; None for other weights.

    Raises:
        InputError: a run that has none yet, or one over folds, which has several.
    """
    run = RunFolder(folder)
    for place in (folder, run.adapter):
        if saving.file_of(place):
            return place
    if (folder / FOLDS).is_file():
        raise InputError(_folds_in(run))
    if run.recipe.is_file():
        raise InputError(f"{folder}: this run has no adapter yet. Train it: smallvoice run {run.recipe} --out {folder}")
    return None


def _folds_in(run: RunFolder) -> str:
    """Which models a run over folds has, and how to get one of all speakers."""
    number = read_json(run.path / FOLDS)["number"]
    recipe = run.recipe if run.recipe.is_file() else "RECIPE"
    return (
        f"{run.path}: a run over folds has one model a fold, {run.path / 'fold-1'} to {run.path / f'fold-{number}'}, "
        "each of a part of the speakers: give one of these. For a model of all speakers: "
        f"smallvoice run {recipe} --set corpus.split.test=0 --out {run.path}-all"
    )


def _tuned(folder: Path) -> Model:
    facts = tuned.read(folder)
    name = facts.base if facts else saving.base_of(folder)
    run = RunFolder(folder.resolve().parent)
    recipe = recipes.load(run.recipe) if run.recipe.is_file() else None

    def base() -> Whisper:
        whisper = weights.load(recipe.model.base if recipe and name == LOCAL_BASE else name)
        if recipe and whisper.name != name:
            raise InputError(f"{folder}: this adapter belongs to {name}, and its run's recipe names {whisper.name}.")
        return whisper

    whisper, parameters = saving.load(folder, base)
    if facts and facts.knows_silence:
        allow_empty_text(whisper.generation)
    device.to_best_device(whisper.network)
    return Model(
        whisper=whisper,
        window=facts.window if facts else FULL_WINDOW,
        facts=facts,
        parameters=parameters,
        key=file_digest(saving.file_of(folder)),
        run=run.path if recipe else None,
        decode=recipe.decode if recipe else facts.decode if facts else None,
        result=folder,
    )
