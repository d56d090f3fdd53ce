"""What a user calls a model: a run, what it trained, a folder of weights, or a name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from smallvoice import recipe_file as recipes
from smallvoice.errors import InputError
from smallvoice.model import adapt, device, saving, tuned, weights
from smallvoice.model.prompt import allow_empty_text
from smallvoice.model.weights import Whisper
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import DecodeRecipe, WindowRecipe
from smallvoice.run_folder import RunFolder
from smallvoice.storage import file_digest


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

    @property
    def system(self) -> str:
        """How its files are called."""
        return "tuned" if self.parameters.trainable else "base"

    def output(self, decoded: str, wish: str, language: str | None) -> str:
        """What is scored: the tuned model's text in the corpus's style, any other model's as it is."""
        return self.facts.output(decoded, wish, language) if self.facts else decoded


def open_model(name: str) -> Model:
    """Load a run, an adapter, a Hugging Face or CTranslate2 folder, or a name.

    Raises:
        InputError: a folder that is none of these, or an adapter that does not fit its base.
        WeightsError: the (base) weights cannot be had.
    """
    folder = Path(name).expanduser()
    if folder.is_dir() and (result := _tuned_in(folder)):
        return _tuned(result)
    whisper = weights.load(name)
    parameters = adapt.ParameterCount(0, adapt.count_parameters(whisper.network).total)
    whisper.network.to(device.best_device())
    return Model(whisper, FULL_WINDOW, None, parameters, weights.fingerprint(name), None, None)


def _tuned_in(folder: Path) -> Path | None:
    """The result of training that a folder is, or holds as a run; None for other weights.

    Raises:
        InputError: a run that has none yet.
    """
    run = RunFolder(folder)
    for place in (folder, run.adapter):
        if saving.file_of(place):
            return place
    if run.recipe.is_file():
        raise InputError(f"{folder}: this run has no adapter yet. Train it: smallvoice run {run.recipe} --out {folder}")
    return None


def _tuned(folder: Path) -> Model:
    facts = tuned.read(folder)
    name = facts.base if facts else saving.base_of(folder)
    run = RunFolder(folder.resolve().parent)
    recipe = recipes.load(run.recipe) if run.recipe.is_file() else None

    def base() -> Whisper:
        whisper = weights.load(recipe.model.base if recipe and name == weights.LOCAL else name)
        if whisper.name != name:
            raise InputError(f"{folder}: this adapter belongs to {name}, and its run's recipe names {whisper.name}.")
        return whisper

    whisper, parameters = saving.load(folder, base)
    if facts and facts.knows_silence:
        allow_empty_text(whisper.generation)
    whisper.network.to(device.best_device())
    return Model(
        whisper=whisper,
        window=facts.window if facts else FULL_WINDOW,
        facts=facts,
        parameters=parameters,
        key=file_digest(saving.file_of(folder)),
        run=run.path if recipe else None,
        decode=recipe.decode if recipe else facts.decode if facts else None,
    )
