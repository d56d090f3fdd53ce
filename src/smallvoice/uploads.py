"""What of a folder goes to the hub: only files on a list, and only of a model that somebody can load.

Weights, their configuration, the tokenizer, `smallvoice.json` and the model card go. Whatever else lies there stays:
audio, texts, hypotheses, `trained_on.jsonl`, metrics, provenance, links.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallvoice.errors import InputError
from smallvoice.run_folder import LOCAL_BASE, RunFolder
from smallvoice.storage import file_digest

CARD = "README.md"
ONNX = "onnx"
"""The one subfolder that is looked into."""
ALONE = frozenset({"model.bin", "ggml-model.bin"})
"""Weights that are a model without any other file."""
CONFIGURATIONS = frozenset({"config.json", "adapter_config.json", "smallvoice.json"})
"""Of these, weights in other files need one."""
VOCABULARY = frozenset({"tokenizer.json", "vocab.json", "vocabulary.json", "vocabulary.txt", "merges.txt"})
VOCABULARY |= {"vocab.txt", "added_tokens.json", "normalizer.json"}
TEXTS = VOCABULARY | CONFIGURATIONS | {CARD, "generation_config.json", "model.safetensors.index.json"}
TEXTS |= {"preprocessor_config.json", "processor_config.json", "tokenizer_config.json", "special_tokens_map.json"}
TEXTS |= {"ort_config.json", "quantize_config.json"}


@dataclass(frozen=True)
class Item:
    """A file that would be uploaded."""

    path: str
    """In the repository."""
    source: Path
    size: int
    content: bytes | None
    """Of a text: what was looked through is what is sent."""


def gather(folder: Path) -> tuple[list[Item], list[str]]:
    """What is on the list, and the names of everything else there.

    Raises:
        InputError: it is not a folder with a model, or nothing says what the model is.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder.")
    run = RunFolder(folder)
    inside = run.adapter if run.adapter.is_dir() and not run.adapter.is_symlink() else folder
    chosen: dict[str, Path] = {}
    others = []
    for path in _entries(inside):
        if _is_listed(path, inside):
            chosen[path.relative_to(inside).as_posix()] = path
        else:
            others.append(path)
    if inside != folder:
        card = run.card if _is_listed(run.card, folder) else None
        others += [path for path in sorted(folder.iterdir()) if path not in (inside, card)]
        if card:  # the run's own goes before one that PEFT may have put beside the weights
            others += [chosen[CARD]] if CARD in chosen else []
            chosen[CARD] = card
    if not _is_model(set(chosen)):
        raise InputError(f"{folder}: neither a run with an adapter, nor an adapter, nor an export.")
    if CARD not in chosen:
        chosen[CARD] = _card_of_run(folder)
    items = []
    for name, path in sorted(chosen.items()):
        content = path.read_bytes() if path.name in TEXTS else None
        items.append(Item(name, path, path.stat().st_size if content is None else len(content), content))
    left = [f"{path.relative_to(folder).as_posix()}{'/' if path.is_dir() else ''}" for path in others]
    return items, sorted(left)


def require_usable(folder: Path, items: list[Item]) -> None:
    """See that somebody else can use it, and that it is what the run beside it trained.

    Raises:
        InputError: an adapter whose base nobody else has, or an export of a model that its run has no more.
    """
    base = _fact(items, "adapter_config.json", "base_model_name_or_path")
    if any(item.path == "bottleneck.safetensors" for item in items):
        base = _fact(items, "smallvoice.json", "base")
    if base == LOCAL_BASE:
        raise InputError(
            f"{folder}: the adapter's base is a local folder, which nobody else has. Export it --to huggingface."
        )
    made_of = _fact(items, "smallvoice.json", "adapter_sha256")
    trained = list(RunFolder(folder.absolute().parent.parent).adapter.glob("*.safetensors"))
    if made_of and trained and made_of not in map(file_digest, trained):
        raise InputError(f"{folder}: made of an adapter that its run does not have any more. Export it again.")


def _fact(items: list[Item], file: str, name: str) -> Any:
    content = next((json.loads(item.content or b"null") for item in items if item.path == file), None)
    return content.get(name) if isinstance(content, dict) else None


def _card_of_run(folder: Path) -> Path:
    """The card of the run whose adapter or export a folder is.

    Raises:
        InputError: there is none.
    """
    for parent in folder.absolute().parents[:2]:
        run = RunFolder(parent)
        if run.recipe.is_file() and _is_listed(run.card, parent):
            return run.card
    raise InputError(f"{folder}: no model card ({CARD}). `smallvoice report` and `smallvoice export` write one.")


def _entries(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name == ONNX and path.is_dir() and not path.is_symlink():
            yield from sorted(path.iterdir())
        else:
            yield path


def _is_listed(path: Path, folder: Path) -> bool:
    """Whether a file is one of those that may be uploaded. A link is not: what it leads to may be anything."""
    if path.is_symlink() or not path.is_file():
        return False
    if path.parent != folder:
        return path.suffix in (".onnx", ".onnx_data")
    return path.suffix == ".safetensors" or path.name in ALONE | TEXTS


def _is_model(names: set[str]) -> bool:
    weights = any(name.endswith((".safetensors", ".onnx")) for name in names)
    return bool(names & ALONE) or (weights and bool(names & CONFIGURATIONS))
