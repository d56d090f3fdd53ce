"""The card of an export, `README.md`: that of the model it was made of, and what the gate found of this form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from smallvoice.decoding.models import Model
from smallvoice.exporting.parity import Checked
from smallvoice.run_folder import RunFolder
from smallvoice.storage import write_text

CARD = "README.md"


def write(folder: Path, model: Model, name: str, library: str | None, loads: str, split: str, found: Checked) -> None:
    """Write it into the export's folder.

    Args:
        name: of the form and its precision, such as `ggml-q8_0`.
        library: the hub's name for what loads it; None where it has none.
        loads: what loads it, and how.
        split: where the clips are from that the gate heard.
    """
    no_test = ", which is no test" if split != "test" else ""
    metadata, body = _of_model(model)
    metadata = {key: value for key, value in {**metadata, "library_name": library}.items() if value is not None}
    section = [
        "## This form",
        f"`{name}`, for {loads}.",
        f"What its runtime writes of clips of {split}{no_test}, beside what the model writes in torch and float32:",
        "\n".join(f"- {window.sentence()}" for window in found.windows),
    ]
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
