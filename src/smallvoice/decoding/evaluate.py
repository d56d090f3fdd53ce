"""`evaluate`: a model and a split of a corpus to hypotheses and scores."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from smallvoice.corpus import signal
from smallvoice.corpus.audio import decode_flac, to_int16
from smallvoice.corpus.select import parse
from smallvoice.corpus.transcripts.segment import NOTHING_LOST
from smallvoice.corpus.utterance import Corpus, Utterance, open_corpus
from smallvoice.decoding import silence
from smallvoice.decoding.engine import Decoded, Engine, caps_key, decode_utterances
from smallvoice.decoding.models import Model, open_model
from smallvoice.errors import InputError
from smallvoice.languages import language_code
from smallvoice.recipe import DecodeRecipe, EvaluateRecipe
from smallvoice.reporting.privacy import source_name
from smallvoice.run_folder import RunFolder
from smallvoice.scoring.scores import score
from smallvoice.storage import (
    digest,
    json_line,
    no_space_as_error,
    read_json,
    read_jsonl,
    recover_jsonl,
    write_json,
    write_jsonl,
)

log = logging.getLogger(__name__)

Report = Callable[[int, int], None]
"""Told how many utterances are done, and of how many."""


def evaluate(
    model_name: str,
    corpus_folder: Path,
    out: Path,
    *,
    split: str = "test",
    decode: DecodeRecipe | None = None,
    language: str | None = None,
    select: str | None = None,
    beams: int | None = None,
    runtime: str | None = None,
    scoring: EvaluateRecipe | None = None,
    replacing: bool = False,
    report: Report = lambda done, total: None,
) -> dict[str, Any]:
    """Decode a split freely, write `hypotheses/<system>.<split>.jsonl`, and score it.

    The prefix, language and task are forced; a tuned model hears the window that it was trained with, any other 30
    seconds. What could not be read when the corpus was prepared counts as deleted words. Cut off, it continues.

    Args:
        model_name: a run, an adapter, a folder of weights, or a name.
        out: gets the hypotheses, and the scores beside those of other models in `evaluation_results.json`.
        language: of rows that do not say theirs.
        select: only the rows for which this holds, such as `age_years < 18`.
        beams: instead of those of `decode`, of the model's run, or of the defaults.
        runtime: what decodes; see `open_model`.
        scoring: columns of the corpus that the hypotheses keep, age bands, confidence; not its split and selection.
        replacing: what another model wrote there may be lost, as in a run that trains again.

    Returns:
        The model's block of `evaluation_results.json`.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    corpus = open_corpus(corpus_folder)
    total = corpus.splits().get(split, 0)
    utterances = corpus.utterances(split, select)
    model = open_model(model_name, runtime)
    decode = _options(decode or model.decode or DecodeRecipe(), beams)
    language = language_code(language or corpus.facts["language"] or model.language or "") or None
    engine = model.engine(decode)
    scoring, run = scoring or EvaluateRecipe(), RunFolder(out)
    path = run.hypotheses(model.system, split)
    if not replacing:
        _require_same_model(model, run, split)
    how = [asdict(decode), asdict(model.window), language, scoring.columns, *caps_key(language)]
    partial = _Partial(path, digest(digest(corpus.facts["key"], split, select, *how), model.key))
    continued, synthetic = bool(partial.rows), corpus.facts["synthetic"]
    left = (utterance for utterance in utterances if utterance.id not in partial.rows)
    report(len(partial.rows), total)
    started = time.monotonic()
    for batch in decode_utterances(left, engine, language, decode.batch_size):
        partial.add([_row(model, *each, decode, language, synthetic, scoring.columns) for each in batch])
        report(len(partial.rows), total)
    seconds = None if continued else time.monotonic() - started
    rows = sorted([*partial.rows.values(), *_undecodable(corpus, split, model, select)], key=lambda row: row["id"])
    if not rows:
        raise InputError(
            f"{corpus_folder}: {f'no utterance of {split} fits {select!r}' if select else f'{split} is empty'}."
        )
    _say_unknown(scoring.columns, rows)
    silent = silence.probe(engine, language or _first_language(rows), decode.batch_size)
    write_jsonl(path, rows)
    partial.remove()
    block = _block(model, engine, corpus, rows, split, select, seconds)
    block |= {**score(rows, evaluate=scoring), "silence": silent}
    _add_result(run.evaluation(split), model.system, split, block)
    return block


def _require_same_model(model: Model, run: RunFolder, split: str) -> None:
    """See that no other model's hours of decoding are lost.

    Raises:
        InputError: the folder holds what another base, or another tuned model, wrote.
    """
    known = read_json(run.evaluation(split))["models"] if run.evaluation(split).is_file() else {}
    before = known.get(model.system, {}).get("model_key")
    if before not in (None, model.key) and run.hypotheses(model.system, split).is_file():
        raise InputError(
            f"{run.path}: holds what another {model.system} model wrote ({known[model.system]['model']}). "
            "Take another --out, or remove it."
        )


def _say_unknown(columns: Sequence[str], rows: list[dict[str, Any]]) -> None:
    for name in columns:
        if all(row.get(name) is None for row in rows):
            log.warning("No utterance has a column %r of its own.", name)


def _options(decode: DecodeRecipe, beams: int | None) -> DecodeRecipe:
    return replace(decode, beams=beams) if beams else decode


def _first_language(rows: list[dict[str, Any]]) -> str | None:
    """One of the languages that are spoken, where the corpus has several."""
    return next((row["language"] for row in rows if row["language"]), None)


def _row(
    model: Model,
    utterance: Utterance,
    decoded: Decoded,
    decode: DecodeRecipe,
    language: str | None,
    synthetic: bool,
    columns: Sequence[str],
) -> dict[str, Any]:
    spoken = utterance.language or language
    return {
        # Of the user's own columns only those that the recipe names: others may hold names.
        **{name: utterance.extra.get(name) for name in columns},
        "id": utterance.id,
        "system": model.system,
        "split": utterance.split,
        "reference": utterance.text,
        "hypothesis": model.output(decoded.text, decode.output_style, spoken),
        "decoded": decoded.text,
        "language": spoken,
        "speaker": utterance.speaker,
        "recording": utterance.recording,
        "age_years": utterance.age_years,
        "gender": utterance.gender,
        "role": utterance.role,
        "duration_s": utterance.duration_s,
        "snr_db": signal.measure(to_int16(decode_flac(utterance.audio))).snr_db,
        "num_tokens": decoded.num_tokens,
        "avg_logprob": decoded.avg_logprob,
        "capped": decoded.capped,
        "beams": decode.beams,
        "synthetic": synthetic,
        "flags": utterance.extra.get("flags", []),
        "error": None,
    }


def _undecodable(corpus: Corpus, split: str, model: Model, select: str | None) -> list[dict[str, Any]]:
    """Utterances of the split whose audio could not be read: their words count as deleted, for every model."""
    wish = parse(select) if select else None
    lost = [
        {**row, "id": name}
        for row, name in _named(corpus.ledger())
        if row["fate"] == "dropped" and row["split"] == split and row.get("text")
    ]
    if wish:  # what the ledger does not say of a row is unknown, and selects nothing
        lost = [row for row in lost if wish.accepts({**dict.fromkeys(wish.columns), **row})]
    return [
        {
            "id": row["id"],
            "system": model.system,
            "split": split,
            "reference": row["text"],
            "hypothesis": "",
            "decoded": "",
            "language": row.get("language") or corpus.facts["language"],
            "speaker": row.get("speaker"),
            "recording": None,
            "age_years": row.get("age_years"),
            "gender": row.get("gender"),
            "role": row.get("role") or "unknown",
            "duration_s": None,
            "snr_db": None,
            "num_tokens": 0,
            "avg_logprob": None,
            "capped": False,
            "synthetic": corpus.facts["synthetic"],
            "flags": [],
            "error": row["reason"],
        }
        for row in lost
        if not row["reason"].startswith(NOTHING_LOST)
    ]


def _named(ledger: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each row with an id: where it stands, which several may share in a file without line breaks."""
    before: Counter[tuple[str, str]] = Counter()
    for row in ledger:
        place = row["source"], row["where"]
        number = before[place]
        yield row, (digest(*place, number) if number else digest(*place))[:16]
        before[place] += 1


def _block(
    model: Model,
    engine: Engine,
    corpus: Corpus,
    rows: list[dict[str, Any]],
    split: str,
    select: str | None,
    seconds: float | None,
) -> dict[str, Any]:
    """What `evaluation_results.json` holds of one model."""
    audio_s = sum(row["duration_s"] or 0.0 for row in rows)
    seen = _seen_in_training(model, rows)
    if seen:
        _say_seen(seen, len(rows))
    return {
        "model": model.whisper.name,
        "weights": model.whisper.origin,
        "adapter_sha256": model.adapter_sha256,
        "model_key": model.key,
        "trainable_parameters": model.parameters.trainable,
        "total_parameters": model.parameters.total,
        "split": split,
        "select": select,
        "corpus": {
            "sources": [source_name(source["name"]) for source in corpus.facts["sources"]],
            "synthetic": corpus.facts["synthetic"],
            "key": corpus.facts["key"],
        },
        "decoding": {
            **asdict(engine.recipe),
            "search": "greedy" if engine.recipe.beams == 1 else f"{engine.recipe.beams} beams",
            "timestamps": False,
            "window": asdict(model.window),
            **engine.facts(),
        },
        "audio_s": audio_s,
        "decode_s": seconds,
        "rtfx": audio_s / seconds if seconds else None,
        "seen_in_training": None if seen is None else seen.total(),
    }


def _seen_in_training(model: Model, rows: list[dict[str, Any]]) -> Counter[str] | None:
    """For what training used how many of the utterances: `training`, `preserving`, `selection` (the choice of its
    checkpoint). None where nobody knows."""
    trained_on = RunFolder(model.run).trained_on if model.run else None
    if trained_on is None or not trained_on.is_file():
        return None
    uses = {row["id"]: row["used_for"] for row in read_jsonl(trained_on)}
    return Counter(uses[row["id"]] for row in rows if row["id"] in uses)


def _say_seen(seen: Counter[str], total: int) -> None:
    chose = seen["selection"]
    if heard := seen.total() - chose:
        log.warning("%d of these %d utterances were seen in training: this is not a test.", heard, total)
    if chose:
        log.warning("%d of these %d utterances are of dev and chose the checkpoint: this is not a test.", chose, total)


def _add_result(path: Path, system: str, split: str, block: dict[str, Any]) -> None:
    """Put a model beside the others on the same corpus; what was measured on another one makes way."""
    before = read_json(path)["models"] if path.is_file() else {}
    models = {name: other for name, other in before.items() if other["corpus"]["key"] == block["corpus"]["key"]}
    write_json(path, {"split": split, "models": {**models, system: block}})


class _Partial:
    """Rows decoded so far, kept beside the hypotheses so that a run that was cut off continues."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path.with_name(f".{path.name}.{key[:12]}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rows = {row["id"]: row for row in recover_jsonl(self.path)}
        for other in path.parent.glob(f".{path.name}.*.part"):
            if other != self.path:
                other.unlink()

    def add(self, rows: list[dict[str, Any]]) -> None:
        with no_space_as_error(self.path), self.path.open("a", encoding="utf-8") as file:
            file.writelines(json_line(row) for row in rows)
        self.rows |= {row["id"]: row for row in rows}

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
