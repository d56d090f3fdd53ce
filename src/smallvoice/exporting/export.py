"""`export`: one tuned model to the form of one runtime, through the gate."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from smallvoice.corpus.utterance import Utterance, open_corpus
from smallvoice.decoding.models import Model, open_model
from smallvoice.errors import Finding, InputError, RecipeError, require
from smallvoice.exporting import adapter, card, ctranslate2, ggml, huggingface, onnx, parity
from smallvoice.exporting.card import Loader
from smallvoice.model import tuned
from smallvoice.model.bottleneck import Bottleneck
from smallvoice.model.prompt import prefix_ids
from smallvoice.run_folder import RunFolder
from smallvoice.scoring import wording
from smallvoice.storage import locked, read_json, write_json
from smallvoice.terminal import console
from smallvoice.training.checkpoint import replace_folder

PARITY = "parity.json"
"""In the folder of exports: what the gate found of each."""


@dataclass(frozen=True)
class Format:
    """A form of the model: how it is written, and what hears with it."""

    precisions: tuple[str, ...]
    """The first is the usual one."""
    needs: tuple[str, ...]
    """Packages, all of the extra `export`."""
    write: Callable[[Model, Path, str], None]
    hear: Callable[[Path, str, list[np.ndarray], str | None], list[str]]
    loader: Loader
    """What loads it, for its card."""
    hear_trimmed: Callable[[Path, str, list[np.ndarray], str | None, Model], list[str]] | None = None
    """The same at the model's own window, where the runtime can."""
    file: str | None = None
    """Where it is one file, how it is called in its folder."""


FORMATS = {
    "adapter": Format(
        ("float32",),
        (),
        adapter.write,
        adapter.hear,
        Loader(
            "PEFT: `PeftModel.from_pretrained(BASE, FOLDER)`",
            "peft",
            silence="set `begin_suppress_tokens` of the base's `generation_config` to `[220]`",
        ),
    ),
    "huggingface": Format(
        ("float32", "float16"),
        (),
        huggingface.write,
        huggingface.hear,
        Loader('transformers: `pipeline("automatic-speech-recognition", model=FOLDER)`', "transformers"),
    ),
    "ctranslate2": Format(
        ("float16", "int8", "float32"),
        ("ctranslate2", "faster_whisper"),
        ctranslate2.write,
        ctranslate2.hear,
        Loader("faster-whisper: `WhisperModel(FOLDER)`; smallvoice takes it too", "ctranslate2"),
        hear_trimmed=ctranslate2.hear_trimmed,
    ),
    "ggml": Format(
        tuple(ggml.PRECISIONS),
        ("gguf", "pywhispercpp"),
        ggml.write,
        ggml.hear,
        Loader(
            "whisper.cpp: `whisper-cli -nfa -m ggml-model.bin`",
            for_smallvoice=False,
            silence="set `suppress_blank` of `whisper_full_params` to false",
        ),
        hear_trimmed=ggml.hear_trimmed,
        file="ggml-model.bin",
    ),
    "onnx": Format(
        tuple(onnx.PRECISIONS),
        ("onnx", "onnxruntime"),
        onnx.write,
        onnx.hear,
        Loader(
            "onnxruntime; transformers.js: `pipeline('automatic-speech-recognition', FOLDER)`",
            "transformers.js",
            for_smallvoice=False,
        ),
        hear_trimmed=onnx.hear_trimmed,
    ),
}


def export(
    model_name: str,
    form: str,
    precision: str | None,
    corpus: Path | None,
    out: Path | None,
    accept_drift: bool,
    language: str | None = None,
) -> dict[str, Any]:
    """Write a model for a runtime, decode dev with it there, and keep it if it writes what the model writes.

    Arguments, result and errors are those of `using.export`; the result is the export's block of `parity.json`, and
    `folder`.
    """
    kind, precision = _chosen(form, precision)
    for package in kind.needs:
        require(package, extra="export", why=f"Exporting to {form}")
    model = open_model(model_name)
    if model.converted:
        raise RecipeError(f"{model_name} is an export already: export the run or the adapter that it was made of.")
    if any(isinstance(module, Bottleneck) for module in model.whisper.network.modules()):
        raise RecipeError(
            f"{model_name}: bottleneck adapters do not merge into the model, so no other runtime takes them."
        )
    run = RunFolder(model.run) if model.run else None
    out = out or (run.path / "exports" if run else None)
    if out is None:
        raise RecipeError(f"{model_name} is no run: say where it goes (--out) and what to check it with (--corpus).")
    corpus = corpus or (run.corpus if run and run.corpus.is_dir() else None)
    if corpus is None:
        raise RecipeError(f"{model_name} has no corpus in it: say what to check the export with (--corpus).")
    clips, found = _clips(corpus, model)
    if found and language and found != language:
        raise RecipeError(f"--language {language}: most of the clips are in {found}. Leave it.")
    language = found or language
    prefix_ids(model.whisper.generation, language)  # which says what is missing, before anything is written
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        return _through_the_gate(model, kind, precision, out / f"{form}-{precision}", clips, language, accept_drift)


def _through_the_gate(
    model: Model,
    kind: Format,
    precision: str,
    folder: Path,
    clips: list[Utterance],
    language: str | None,
    accept_drift: bool,
) -> dict[str, Any]:
    """Write the export beside its folder, check it, and put it there."""
    out = folder.parent
    _require_ours(folder, out / PARITY)
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    written = fresh / kind.file if kind.file else fresh
    try:
        kind.write(model, written, precision)
        if model.facts:
            made_of = {"decode": model.decode, "adapter_sha256": model.adapter_sha256}
            tuned.write(fresh, replace(model.facts, **made_of))
        trimmed = partial(kind.hear_trimmed, written, precision) if kind.hear_trimmed else None
        texts = parity.references(model, clips, language, out / "parity_reference.json")
        found = parity.check(model, clips, texts, partial(kind.hear, written, precision), trimmed, precision, language)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    stands = _stands(folder, model)
    block = {
        **found.full.as_dict(),
        "at_own_window": found.own.as_dict() if found.own else None,
        "window_cost": found.window_cost,
        "kept": not found.refused,
        "accepted": not found.refused or accept_drift or stands,
    }
    _keep_block(out / PARITY, folder.name, block)
    for window in found.windows:
        _print(f"  {window.sentence()}")
    if found.refused and not accept_drift:
        shutil.rmtree(fresh)
        if not stands:  # of another model: `parity.json` says nothing of it any more
            shutil.rmtree(folder, ignore_errors=True)
        raise _refusal(folder.name, found.refused, out / PARITY)
    card.write(fresh, model, folder.name, kind.loader, clips[0].split, found)
    replace_folder(fresh, folder)
    return {**block, "folder": str(folder)}


def _stands(folder: Path, model: Model) -> bool:
    """Whether an export of this very adapter is there, which passed the gate or was accepted all the same."""
    try:
        facts = tuned.read(folder)
    except InputError:
        return False
    return facts is not None and facts.adapter_sha256 is not None and facts.adapter_sha256 == model.adapter_sha256


def _require_ours(folder: Path, report: Path) -> None:
    """See that nothing is taken away but an export: its name is in `parity.json`, and its card in the folder.

    Raises:
        InputError: something else lies where the export is to be.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    known = read_json(report).get("exports", {}) if report.is_file() else {}
    if folder.name not in known or not (folder / card.CARD).is_file():
        raise InputError(f"{folder}: is there, and smallvoice has not written it. Take another --out.")


def _refusal(name: str, refused: list[parity.Parity], report: Path) -> Finding:
    """Show the first clips that differ at each window; the rest is in the report."""
    for window in refused:
        _print(f"At {window.window}, {wording.count(len(window.differing), 'clip')} with other words:")
        for line in window.examples():
            _print(line)
    allowed = refused[0].limits
    return Finding(
        f"{name} is not kept: at {' and at '.join(window.window for window in refused)} it is farther from the model "
        f"than {100 * allowed.points:g} points of WER, or {100 * allowed.words:g} % of the words. Every clip that "
        f"differs is in {report}; --accept-drift keeps it all the same."
    )


def _print(line: str) -> None:
    console.print(line, soft_wrap=True)


def _chosen(form: str, precision: str | None) -> tuple[Format, str]:
    if form not in FORMATS:
        raise RecipeError(f"--to {form}: not known. There are: {', '.join(FORMATS)}.")
    kind = FORMATS[form]
    if precision is not None and precision not in kind.precisions:
        raise RecipeError(f"--precision {precision}: {form} has {', '.join(kind.precisions)}.")
    return kind, precision or kind.precisions[0]


def _clips(corpus: Path, model: Model) -> tuple[list[Utterance], str | None]:
    """What the gate hears: clips of dev, or of whatever the corpus has, in the language that most of them have."""
    opened = open_corpus(corpus)
    splits = opened.splits()
    split = next((name for name in ("dev", "test", "train") if splits.get(name)), None)
    if split is None:
        raise InputError(f"{corpus}: no utterances to check an export with.")
    rows = opened.columns(split, ["speaker", "session", "recording", "language"]).to_pylist()
    language = Counter(row["language"] for row in rows).most_common(1)[0][0]
    units = {
        place: row["speaker"] or row["session"] or row["recording"]
        for place, row in enumerate(rows)
        if row["language"] == language
    }
    chosen = parity.over_speakers(units, parity.MOST_CLIPS)
    # One row group is in memory at a time, and of it what was chosen stays.
    clips = [clip for place, clip in enumerate(opened.utterances(split)) if place in chosen]
    return clips, language or opened.facts["language"] or model.language


def _keep_block(path: Path, name: str, block: dict[str, Any]) -> None:
    before = read_json(path) if path.is_file() else {}
    write_json(path, {"exports": {**before.get("exports", {}), name: block}})
