"""What a tuned model needs to be used as it was trained; it travels with its weights as `smallvoice.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from smallvoice.corpus.text_style import TextFacts, to_corpus_style
from smallvoice.errors import InputError
from smallvoice.recipe import DecodeRecipe, WindowRecipe
from smallvoice.scoring.confidence import Calibration
from smallvoice.storage import read_json, write_json

FILE = "smallvoice.json"
WEIGHT_FILES = ("adapter_model.safetensors", "bottleneck.safetensors", "model.safetensors")
"""Beside it, one of them: of low-rank adapters, of bottleneck adapters, of weights that moved."""


@dataclass(frozen=True)
class TunedFacts:
    """How a model was tuned, as far as its use depends on it."""

    base: str
    """The base model's hub id."""
    window: WindowRecipe
    language: str | None
    text_style: str
    """What the model learned to write: `corpus`, `lower` or `whisper`."""
    corpus_text: TextFacts
    """How the corpus writes."""
    moved: list[str] = field(default_factory=list)
    """The base's own weights that training changed; none where there is an adapter."""
    knows_silence: bool = False
    """It was trained on silence with empty text, so it may write nothing."""
    decode: DecodeRecipe | None = None
    """How its run decodes; None in folders of before this was recorded."""
    adapter_sha256: str | None = None
    """In an export: of what training left, from which it was made."""
    calibration: Calibration | None = None
    """How often its words are right, told from their probability; None where dev was too small to tell."""

    def output(self, decoded: str, wish: str, language: str | None) -> str:
        """Decoded text in the style asked for: `model`, `corpus`, or `auto` (`corpus` where training left it)."""
        if wish == "model" or (wish == "auto" and self.text_style == "corpus"):
            return decoded
        return to_corpus_style(decoded, self.corpus_text, language)


def write(folder: Path, facts: TunedFacts) -> None:
    write_json(folder / FILE, asdict(facts))


def decode_as(folder: Path, decode: DecodeRecipe) -> bool:
    """Let a description say how its run decodes now, for whoever is given the model.

    Returns:
        Whether it said otherwise.
    """
    facts = read(folder)
    if facts is None or facts.decode == decode:
        return False
    write(folder, replace(facts, decode=decode))
    return True


def read(folder: Path) -> TunedFacts | None:
    """Read `smallvoice.json`; None where an adapter was made by something else and has none.

    Raises:
        InputError: it is not what `write` wrote.
    """
    if not (folder / FILE).is_file():
        return None
    content: dict[str, Any] = read_json(folder / FILE)
    try:
        content["window"] = WindowRecipe(**content["window"])
        content["corpus_text"] = TextFacts(**content["corpus_text"])
        if content.get("decode"):
            content["decode"] = DecodeRecipe(**content["decode"])
        if content.get("calibration"):
            content["calibration"] = Calibration(**content["calibration"])
        return TunedFacts(**content)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / FILE}: not a description of a tuned model: {error}.") from None
