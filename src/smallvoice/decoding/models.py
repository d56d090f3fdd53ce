"""What a user calls a model: a run, an adapter, a folder of weights, or a name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from smallvoice import recipe as recipes
from smallvoice.errors import InputError
from smallvoice.model import adapt, device, tuned, weights
from smallvoice.model.weights import Whisper
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import WindowRecipe
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
    adapter_sha256: str | None
    run: Path | None
    """The run that the adapter belongs to."""

    @property
    def system(self) -> str:
        """How its files are called."""
        return "tuned" if self.adapter_sha256 else "base"

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
    return Model(whisper, FULL_WINDOW, None, parameters, None, None)


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
    run = RunFolder(folder.resolve().parent)
    in_run = run.recipe.is_file()
    named = facts.base if facts else adapt.base_of(folder)
    # A run's base may be a folder, of which the adapter knows only the name.
    whisper = weights.load(recipes.load(run.recipe).model.base if in_run else named)
    parameters = adapt.load_adapter(whisper, folder)
    whisper.network.to(device.best_device())
    window = facts.window if facts else FULL_WINDOW
    sha256 = file_digest(folder / "adapter_model.safetensors")
    return Model(whisper, window, facts, parameters, sha256, run.path if in_run else None)
