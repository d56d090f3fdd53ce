"""The card of an export, `README.md`: that of the model it was made of, and what the gate found of this form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from smallvoice.decoding.models import Model
from smallvoice.exporting.parity import Checked
from smallvoice.run_folder import RunFolder
from smallvoice.storage import write_text

CARD = "README.md"
_RESULTS = "## Results\n\n"
_USE = re.compile(r"(?ms)^## Use\n.*?(?=^## |\Z)")
"""What the model's own card says of its use with smallvoice."""


@dataclass(frozen=True)
class Loader:
    """What loads a form of the model."""

    how: str
    library: str | None = None
    """The hub's name for it."""
    for_smallvoice: bool = True
    """Whether smallvoice takes the form too."""
    silence: str | None = None
    """What to do that a model which learned what silence is may write nothing; None where the form itself says so."""


def write(folder: Path, model: Model, name: str, loader: Loader, split: str, found: Checked) -> None:
    """Write it into the export's folder.

    Args:
        name: of the form and its precision, such as `ggml-q8_0`.
        split: where the clips are from that the gate heard.
    """
    no_test = ", which is no test" if split != "test" else ""
    metadata, body = _of_model(model)
    metadata = {key: value for key, value in {**metadata, "library_name": loader.library}.items() if value is not None}
    metadata.pop("model-index", None)  # a score in torch, at the model's own window
    section = [
        "## This form",
        f"`{name}`, for {loader.how}{'' if loader.for_smallvoice else '; not for smallvoice itself'}.",
        f"What its runtime writes of clips of {split}{no_test}, beside what the model writes in torch and float32:",
        "\n".join(f"- {window.sentence()}" for window in found.windows),
    ]
    if found.refused:
        section.append("**That is outside of what the gate allows, and was accepted all the same.**")
    if loader.silence and model.facts and model.facts.knows_silence:
        section.append(f"The model may write nothing where nobody speaks. For that, {loader.silence}.")
    body = body.replace(_RESULTS, f"{_RESULTS}*Of the model in torch, at its own window.*\n\n")
    if not loader.for_smallvoice:
        body = _USE.sub("", body)
    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    write_text(folder / CARD, "\n\n".join([f"---\n{front}---", body.strip(), *section]) + "\n")


def _of_model(model: Model) -> tuple[dict[str, Any], str]:
    """Metadata and text of the model's card: its run's, or the one beside its adapter; else what is known without."""
    cards = [RunFolder(model.run).card] if model.run else []
    cards += [model.result / CARD] if model.result else []
    for card in cards:
        if card.is_file():
            # What is made of a model is not lost by its card, whatever somebody has written there.
            text = card.read_text(encoding="utf-8-sig", errors="replace")
            front, _, body = text.removeprefix("---\n").partition("\n---\n")
            return (_metadata(front), body) if text.startswith("---\n") and body else ({}, text)
    base = model.whisper.name
    known = {
        "base_model": base if "/" in base else None,  # else it is a folder's, and no name on the hub
        "pipeline_tag": "automatic-speech-recognition",
        "language": model.language,
        "tags": ["whisper", "smallvoice"],
    }
    tuned = ", fine-tuned with smallvoice on speech that is not said here" if model.facts else ""
    return known, f"# {base}{tuned}\n\nIt invents text like every Whisper, and was not measured on other speech."


def _metadata(front: str) -> dict[str, Any]:
    """What stands before a card's text; nothing where it is not what the hub reads."""
    try:
        found = yaml.safe_load(front)
    except Exception:  # PyYAML raises more than its own errors: `date: 2026-13-01` is a ValueError
        return {}
    return found if isinstance(found, dict) else {}
