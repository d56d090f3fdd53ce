"""What fine-tuning must not break: other speech, other windows, other languages.

    smallvoice prepare TELEPHONE --text-rules RULES --language en --split test --out TELEPHONE_CORPUS
    python benchmarks/nothing_broken.py RUN --children "CORPUS:dev:age_years < 18" \\
        --other "CORPUS:dev:age_years >= 18" --other TELEPHONE_CORPUS --out broken.json

RUN is a run, an adapter or a folder. What is decoded is given as FOLDER[:SPLIT[:SELECT]], `test` and everybody if
nothing is said; it must be nobody whom training heard. The base model decodes it at 30 s, the tuned one at its own
window and at 30 s, with the options that the run recorded (the token cap among them). `--other`: the paired change of
normalised WER. `--children`: the tuned model at 30 s against itself at its own window. Then the language of every
clip is guessed: by the base, as smallvoice does for the tuned model (`Model.detect`), and by the tuned weights
themselves; and that of sentences in five languages which espeak-ng speaks (the extra `demo`). `--speakers N` takes the
first N speakers of each. `--work FOLDER` keeps what is done, so that the same command continues.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from smallvoice import machine
from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.espeak import Speech, synthesise
from smallvoice.corpus.utterance import Utterance, open_corpus
from smallvoice.decoding.engine import batches, decode_utterances
from smallvoice.decoding.models import Model, open_model
from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import DecodeRecipe, EvaluateRecipe, WindowRecipe
from smallvoice.scoring.compare import compare
from smallvoice.storage import digest, read_jsonl, write_json, write_jsonl

MOST_POINTS = 0.01
"""The most that normalised WER may rise."""
MOST_CLIPS = 2
"""The most clips of a language that may be taken for another than by the base model."""

SENTENCES: dict[str, tuple[list[str], list[str]]] = {
    "de": (
        ["Das Kind", "Meine Mutter", "Der alte Mann", "Unsere Lehrerin"],
        [
            "liest heute ein Buch im Garten.",
            "trinkt jeden Morgen warme Milch.",
            "geht langsam über die Straße.",
            "hat gestern einen Brief geschrieben.",
            "wartet am Bahnhof auf den Zug.",
        ],
    ),
    "es": (
        ["El niño", "Mi madre", "El hombre viejo", "Nuestra maestra"],
        [
            "lee hoy un libro en el jardín.",
            "bebe leche caliente cada mañana.",
            "cruza despacio la calle.",
            "escribió ayer una carta muy larga.",
            "espera el tren en la estación.",
        ],
    ),
    "fr": (
        ["L'enfant", "Ma mère", "Le vieil homme", "Notre maîtresse"],
        [
            "lit aujourd'hui un livre dans le jardin.",
            "boit du lait chaud tous les matins.",
            "traverse lentement la rue.",
            "a écrit hier une longue lettre.",
            "attend le train à la gare.",
        ],
    ),
    "zh": (
        ["这个孩子", "我的妈妈", "那位老人", "我们的老师"],
        ["今天在花园里看书。", "每天早上喝热牛奶。", "慢慢地走过马路。", "昨天写了一封信。", "在火车站等火车。"],
    ),
    "hi": (
        ["वह बच्चा", "मेरा भाई", "बूढ़ा आदमी", "हमारा शिक्षक"],
        [
            "आज बगीचे में किताब पढ़ रहा है।",
            "हर सुबह गरम दूध पीता है।",
            "धीरे धीरे सड़क पार करता है।",
            "कल एक लंबी चिट्ठी लिख रहा था।",
            "स्टेशन पर गाड़ी का इंतज़ार करता है।",
        ],
    ),
}
VOICES = {"de": "de", "es": "es", "fr": "fr", "zh": "cmn", "hi": "hi"}


def rows_of(model: Model, window: WindowRecipe, system: str, utterances: list[Utterance], decode: DecodeRecipe) -> Any:
    """Hypotheses as `evaluate` writes them, as far as scoring looks at them."""
    engine = TorchEngine(model.whisper, window, decode)
    batches = decode_utterances(utterances, engine, "en", decode.batch_size)
    rows = [
        {
            "id": utterance.id,
            "system": system,
            "split": utterance.split,
            "reference": utterance.text,
            "hypothesis": model.output(decoded.text, decode.output_style, "en"),
            "language": "en",
            "speaker": utterance.speaker,
            "recording": utterance.recording,
            "age_years": utterance.age_years,
            "role": utterance.role,
            "duration_s": utterance.duration_s,
            "capped": decoded.capped,
            "flags": [],
            "error": None,
        }
        for utterance, decoded in itertools.chain.from_iterable(batches)
    ]
    return sorted(rows, key=lambda row: row["id"])


def kept(work: Path | None, name: str, made: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rows that were made before, or now."""
    if work is None:
        return made()
    path = work / f"{name}.jsonl".replace(" ", "_").replace(",", "")
    if not path.is_file():
        work.mkdir(parents=True, exist_ok=True)
        write_jsonl(path, made())
    return read_jsonl(path)


def change(before: Any, after: Any) -> dict[str, Any]:
    """The paired change of normalised WER."""
    analysis = compare(before, after, EvaluateRecipe())
    block = analysis["overall"]["normalised"]
    return {
        "utterances": analysis["utterances"],
        "speakers": analysis["speakers"],
        "words": block["a"]["words"],
        "before": block["a"]["wer"],
        "after": block["b"]["wer"],
        "points": block["absolute"]["change"],
        "interval": block["absolute"]["interval"],
    }


def chosen(what: str, num_speakers: int | None) -> list[Utterance]:
    """The rows that FOLDER[:SPLIT[:SELECT]] names, of the first speakers."""
    folder, split, select = [*what.split(":", 2), "", ""][:3]
    rows = list(open_corpus(Path(folder)).utterances(split or "test", select or None))
    speakers = sorted({row.unit for row in rows})[:num_speakers]
    return [row for row in rows if row.unit in speakers]


def guessed(model: Model, window: WindowRecipe | None, clips: Iterable[np.ndarray]) -> list[str]:
    """The language of clips, in order: by the model's own weights at a window, or as smallvoice guesses it (None)."""
    engine = TorchEngine(model.whisper, window or model.window, DecodeRecipe())
    batched = batches(clips, lambda clip: len(clip) / 16_000, engine, 8)
    guess = engine.detect if window else partial(model.detect, own=engine)
    return list(itertools.chain.from_iterable(map(guess, batched)))


def guesses(model: Model, window: WindowRecipe | None, clips: Iterable[np.ndarray]) -> list[dict[str, Any]]:
    return [{"guessed": language} for language in guessed(model, window, clips)]


def spoken() -> dict[str, list[np.ndarray]]:
    """Twenty sentences in each language."""
    speeches = [
        Speech(text=f"{who} {what}", voice=VOICES[language], words_per_minute=140, pitch=50, pitch_range=50, seed=0)
        for language, (people, deeds) in SENTENCES.items()
        for who in people
        for what in deeds
    ]
    rate, samples = synthesise(speeches)
    clips = [soxr.resample(clip.astype(np.float32) / 32_768, rate, 16_000) for clip in samples]
    return {language: clips[20 * index : 20 * index + 20] for index, language in enumerate(SENTENCES)}


def languages(
    base: Model, tuned: Model, corpora: dict[str, list[Utterance]], work: Path | None
) -> list[dict[str, Any]]:
    """How many clips of each kind are taken for their language, by each model and window."""
    kinds = {name: ("en", [decode_flac(row.audio) for row in rows]) for name, rows in corpora.items()}
    kinds |= {f"synthetic {language}": (language, clips) for language, clips in spoken().items()}
    rows = []
    for number, (name, (language, clips)) in enumerate(kinds.items()):
        ways: dict[str, tuple[Model, WindowRecipe | None]] = {
            "base": (base, FULL_WINDOW),
            "tuned": (tuned, None),
            "its own weights": (tuned, tuned.window),
            "its own weights, 30 s": (tuned, FULL_WINDOW),
        }
        right = {
            way: kept(
                work,
                f"language-{number}-{way}-{digest(model.key, window and asdict(window), list(map(len, clips)))[:12]}",
                partial(guesses, model, window, clips),
            )
            for way, (model, window) in ways.items()
        }
        right = {way: sum(row["guessed"] == language for row in found) for way, found in right.items()}
        rows.append({"clips": name, "language": language, "number": len(clips), **right})
        print(rows[-1], file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--children", required=True)
    parser.add_argument("--other", action="append", default=[])
    parser.add_argument("--base", help="of a model that was tuned from a local folder, that folder")
    parser.add_argument("--speakers", type=int)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    tuned = open_model(options.model)
    base = open_model(options.base or (tuned.facts.base if tuned.facts else "openai/whisper-base"))
    decode = replace(tuned.decode or DecodeRecipe(), output_style="model")
    corpora = {Path(what).name: chosen(what, options.speakers) for what in [options.children, *options.other]}
    result: dict[str, Any] = {"changes": [], "machine": machine.facts(), "date": date.today().isoformat()}
    for number, (name, rows) in enumerate(corpora.items()):

        def heard(
            model: Model, window: WindowRecipe, system: str, rows: list[Utterance] = rows, n: int = number
        ) -> Any:
            made = partial(rows_of, model, window, system, rows, decode)
            key = digest(model.key, asdict(window), asdict(decode), [row.id for row in rows])[:12]
            return kept(options.work, f"rows-{n}-{system}-{window.kind}-{key}", made)

        own = heard(tuned, tuned.window, "tuned")
        pairs: dict[str, tuple[Any, Any]] = {}
        before = None
        if name != Path(options.children).name:
            before = heard(base, FULL_WINDOW, "base")
            pairs["tuned against base"] = (before, own)
        full = heard(tuned, FULL_WINDOW, "tuned")
        pairs["tuned at 30 s against its own window"] = (own, full)
        if before is not None:
            pairs["tuned at 30 s against base"] = (before, full)
        for what, (a, b) in pairs.items():
            result["changes"].append({"corpus": name, "what": what, **change(a, b)})
            print(result["changes"][-1], file=sys.stderr)
    result["languages"] = languages(base, tuned, corpora, options.work)
    if options.out:
        write_json(options.out, result)
    print(markdown(result))


def markdown(result: dict[str, Any]) -> str:
    lines = ["| corpus | what | words | before | after | change, points | 95 % interval | |", "|---" * 8 + "|"]
    for row in result["changes"]:
        bounds = "–" if row["interval"] is None else ", ".join(f"{100 * end:+.1f}" for end in row["interval"])
        good = "kept" if row["points"] <= MOST_POINTS else "BROKEN"
        lines.append(
            f"| {row['corpus']} | {row['what']} | {row['words']} | {100 * row['before']:.1f} % "
            f"| {100 * row['after']:.1f} % | {100 * row['points']:+.1f} | [{bounds}] | {good} |"
        )
    lines += ["", "| clips | number | base | tuned | its own weights | its own weights, 30 s | |", "|---" * 7 + "|"]
    for row in result["languages"]:
        allowed = MOST_CLIPS if row["clips"].startswith("synthetic") else 0
        good = "kept" if row["tuned"] >= row["base"] - allowed else "BROKEN"
        counts = (row[name] for name in ("number", "base", "tuned", "its own weights", "its own weights, 30 s"))
        lines.append(f"| {row['clips']} | {' | '.join(map(str, counts))} | {good} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
