"""What a user calls a model: a run, an adapter, a folder of weights, or a name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from smallvoice import recipe_file as recipes
from smallvoice.errors import InputError
from smallvoice.model import adapt, device, tuned, weights
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
    """What tells it from other models: the sha256 of an adapter, the fingerprint of other weights."""
    run: Path | None
    """The run that an adapter belongs to."""
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
    if folder.is_dir() and (adapter := _adapter_in(folder)):
        return _tuned(adapter)
    whisper = weights.load(name)
    parameters = adapt.ParameterCount(0, adapt.count_parameters(whisper.network).total)
    whisper.network.to(device.best_device())
    return Model(whisper, FULL_WINDOW, None, parameters, weights.fingerprint(name), None, None)


def _adapter_in(folder: Path) -> Path | None:
    """The adapter that a folder is, or holds as a run; None for weights.

    Raises:
        InputError: a run that has no adapter yet.
    """
    run = RunFolder(folder)
    if (folder / "adapter_config.json").is_file():
        return folder
    if (run.adapter / "adapter_config.json").is_file():
        return run.adapter
    if run.recipe.is_file():
        raise InputError(f"{folder}: this run has no adapter yet. Train it: smallvoice run {run.recipe} --out {folder}")
    return None


def _tuned(folder: Path) -> Model:
    facts = tuned.read(folder)
    name = facts.base if facts else adapt.base_of(folder)
    run = RunFolder(folder.resolve().parent)
    recipe = recipes.load(run.recipe) if run.recipe.is_file() else None
    whisper = weights.load(recipe.model.base if recipe and name == weights.LOCAL else name)
    if whisper.name != name:
        raise InputError(f"{folder}: this adapter belongs to {name}, and its run's recipe names {whisper.name}.")
    parameters = adapt.load_adapter(whisper, folder)
    whisper.network.to(device.best_device())
    return Model(
        whisper=whisper,
        window=facts.window if facts else FULL_WINDOW,
        facts=facts,
        parameters=parameters,
        key=file_digest(folder / "adapter_model.safetensors"),
        run=run.path if recipe else None,
        decode=recipe.decode if recipe else None,
    )
