"""What transcribing children's clips costs: other recognisers and smallvoice, the same clips and model in one go.

    smallvoice export RUN --to ctranslate2 --precision int8 --out EXPORTS --corpus CORPUS
    smallvoice export RUN --to huggingface --out EXPORTS --corpus CORPUS
    smallvoice export RUN --to ggml --out EXPORTS --corpus CORPUS
    python benchmarks/decode_cost.py RUN CORPUS EXPORTS --out cost.json [--split test] [--clips 100]

Each recogniser runs in a process of its own and is given one clip at a time, as its users do; smallvoice gets them all.
RTFx is seconds of audio decoded in a second, loading left out; memory is the peak of that process with those clips,
read before torch is loaded to count operations where the recogniser itself does without. faster-whisper as it comes
(five beams, temperature fallback) and its batched pipeline; transformers' pipeline, whisper.cpp and OpenAI's whisper as
they come, greedy; the language is forced everywhere. "× ideal": how often the time that the operations of the audio
itself take at the rate of float32 matrix products measured before and after: no margin, no padding. `--only NAME` runs
one in this process; what is not installed is left out (`pip install --no-deps openai-whisper tiktoken numba llvmlite`
for the last).
"Bars met": at least 8 times the RTFx of faster-whisper as it comes, and 4 times that of its batched pipeline called for
each clip, both at no higher WER; float32 within 1.8 × ideal. Below the table how the WER of smallvoice differs from
those two, with its 95 % interval over speakers.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from smallvoice import machine
from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Utterance, open_corpus
from smallvoice.scoring import wording
from smallvoice.scoring.normalize import for_language
from smallvoice.scoring.significance import change
from smallvoice.scoring.word_errors import ErrorCounts, count_all, total
from smallvoice.storage import read_json, write_json

LANGUAGE = "en"
GAP_S = 0.5
"""Silence between clips that are joined into one recording."""


def clips_of(options: argparse.Namespace) -> list[Utterance]:
    rows = open_corpus(options.corpus).utterances(options.split, options.select)
    return list(itertools.islice(rows, options.clips))


def faster_whisper(options: argparse.Namespace) -> Callable[[np.ndarray], str]:
    from faster_whisper import WhisperModel

    model = WhisperModel(str(options.exports / "ctranslate2-int8"), device="cpu", compute_type="int8")
    return lambda clip: " ".join(segment.text for segment in model.transcribe(clip, language=LANGUAGE)[0])


def faster_whisper_batched(options: argparse.Namespace) -> Callable[[np.ndarray], str]:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(str(options.exports / "ctranslate2-int8"), device="cpu", compute_type="int8")
    batched = BatchedInferencePipeline(model)
    return lambda clip: " ".join(segment.text for segment in batched.transcribe(clip, language=LANGUAGE)[0])


def transformers(options: argparse.Namespace) -> Callable[[np.ndarray], str]:
    from transformers import pipeline

    recogniser = pipeline("automatic-speech-recognition", model=str(options.exports / "huggingface-float32"))
    forced = {"language": LANGUAGE, "task": "transcribe"}
    return lambda clip: recogniser({"raw": clip, "sampling_rate": 16_000}, generate_kwargs=forced)["text"]


def whisper_cpp(options: argparse.Namespace) -> Callable[[np.ndarray], str]:
    from pywhispercpp.model import Model

    model = Model(str(options.exports / "ggml-f16" / "ggml-model.bin"), print_progress=False, print_realtime=False)
    return lambda clip: " ".join(segment.text for segment in model.transcribe(clip, language=LANGUAGE))


def openai_whisper(options: argparse.Namespace) -> Callable[[np.ndarray], str]:
    from whisper.model import ModelDimensions, Whisper

    from smallvoice.decoding.models import open_model
    from smallvoice.exporting.ggml import named_as_openai

    network = open_model(str(options.run)).whisper.network
    config = network.config
    model = Whisper(
        ModelDimensions(
            n_mels=config.num_mel_bins,
            n_audio_ctx=config.max_source_positions,
            n_audio_state=config.d_model,
            n_audio_head=config.encoder_attention_heads,
            n_audio_layer=config.encoder_layers,
            n_vocab=config.vocab_size,
            n_text_ctx=config.max_target_positions,
            n_text_state=config.d_model,
            n_text_head=config.decoder_attention_heads,
            n_text_layer=config.decoder_layers,
        )
    )
    model.load_state_dict(dict(named_as_openai(network)))
    model.eval()
    return lambda clip: str(model.transcribe(clip, language=LANGUAGE, fp16=False)["text"])


SEQUENTIAL = "faster-whisper, int8"
BATCHED = "faster-whisper, int8, batched"
ONE_BY_ONE = {
    SEQUENTIAL: faster_whisper,
    BATCHED: faster_whisper_batched,
    "transformers": transformers,
    "whisper.cpp, f16": whisper_cpp,
    "openai-whisper": openai_whisper,
}
PACKAGES = {
    "faster-whisper": "faster_whisper",
    "whisper.cpp": "pywhispercpp",
    "openai-whisper": "whisper",
    "smallvoice, int8": "ctranslate2",
}
JOINED = f"{BATCHED}, all clips joined"
BOTH = ("greedy", "5 beams")
"""How both precisions search, so that they can be compared."""
OURS = [f"smallvoice, int8, {search}" for search in ("greedy", "2 beams", "3 beams", "5 beams")]
OURS += [f"smallvoice, float32, {search}" for search in BOTH]
BARS = (("sequential", SEQUENTIAL, 8), ("batched", BATCHED, 4))
"""So many times their RTFx, at no higher WER."""
TIMES_IDEAL = 1.8
"""The bar of float32."""


def smallvoice(options: argparse.Namespace, clips: list[Utterance]) -> tuple[list[str], float]:
    from smallvoice.decoding.engine import decode_utterances
    from smallvoice.decoding.models import open_model
    from smallvoice.recipe import DecodeRecipe

    model = open_model(str(options.exports / "ctranslate2-int8" if "int8" in options.only else options.run))
    search = options.only.rpartition(", ")[2]
    decode = replace(model.decode or DecodeRecipe(), beams=1 if search == "greedy" else int(search.split()[0]))
    engine = model.engine(decode)
    size = options.batch or decode.batch_size
    list(decode_utterances(clips[:size], engine, LANGUAGE, size))  # as the others' first clip: not timed
    started = time.perf_counter()
    decoded = decode_utterances(clips, engine, LANGUAGE, size)
    texts = {utterance.id: one.text for utterance, one in itertools.chain.from_iterable(decoded)}
    return [texts[clip.id] for clip in clips], time.perf_counter() - started


def heard(options: argparse.Namespace) -> tuple[list[str], float]:
    """What one recogniser writes of every clip, and how long it took."""
    clips = clips_of(options)
    if options.only.startswith("smallvoice"):
        return smallvoice(options, clips)
    waveforms = [decode_flac(clip.audio) for clip in clips]
    if options.only == JOINED:
        recognise = faster_whisper_batched(options)
        pause = np.zeros(round(16_000 * GAP_S), np.float32)
        whole = np.concatenate([part for waveform in waveforms for part in (waveform, pause)])
        recognise(waveforms[0])
        started = time.perf_counter()
        return [recognise(whole)], time.perf_counter() - started
    recognise = ONE_BY_ONE[options.only](options)
    recognise(waveforms[0])
    started = time.perf_counter()
    texts = [recognise(waveform) for waveform in waveforms]
    return texts, time.perf_counter() - started


def operations(options: argparse.Namespace, clips: list[Utterance], texts: list[str]) -> float:
    """Of the audio itself and of what was written: 2 for each multiplication and addition."""
    from smallvoice.decoding.models import open_model
    from smallvoice.training.estimate import forward_flop

    whisper = open_model(str(options.run)).whisper
    written = [*texts, *[""] * (len(clips) - len(texts))]
    return sum(
        forward_flop(whisper.network.config, 100 * clip.duration_s, len(whisper.tokenizer(text).input_ids))
        for clip, text in zip(clips, written, strict=True)
    )


def by_speaker(clips: list[Utterance], each: list[ErrorCounts]) -> dict[str, list[int]]:
    """Errors and words of each speaker."""
    found: dict[str, ErrorCounts] = defaultdict(ErrorCounts)
    for clip, counts in zip(clips, each, strict=True):
        found[clip.unit] += counts
    return {unit: [counts.errors, counts.words] for unit, counts in sorted(found.items())}


def one(options: argparse.Namespace) -> dict[str, Any]:
    before = machine.matmul_gflops()
    texts, seconds = heard(options)
    clips = clips_of(options)
    rules = for_language(LANGUAGE)
    audio_s = sum(clip.duration_s for clip in clips)
    peak = machine.peak_memory_bytes()  # before torch is loaded to count operations
    rates = [before, machine.matmul_gflops()]
    ideal_s = operations(options, clips, texts) / 1e9 / statistics.mean(rates)
    said = [rules.words(clip.text) for clip in clips]
    if len(texts) == 1:
        said = [list(itertools.chain.from_iterable(said))]
    each = count_all(said, [rules.words(text) for text in texts])
    return {
        "clips": len(clips),
        "audio_s": audio_s,
        "seconds": seconds,
        "rtfx": audio_s / seconds,
        **total(each).as_dict(),
        "by_speaker": by_speaker(clips, each) if len(each) == len(clips) else None,
        "peak_memory_bytes": peak,
        "matmul_gflops": rates,
        "times_ideal": seconds / ideal_s,
    }


def names() -> Iterator[str]:
    for name in (*ONE_BY_ONE, JOINED, *OURS):
        if all(find_spec(package) for start, package in PACKAGES.items() if name.startswith(start)):
            yield name
        else:
            print(f"{name}: not installed", file=sys.stderr)


def bars_met(name: str, rows: dict[str, Any]) -> str:
    """Of a row of smallvoice, the bars that it meets; the others have none."""
    if name not in OURS:
        return ""
    row = rows[name]
    met = [
        f"{times} × {short}"
        for short, other, times in BARS
        if other in rows and row["rtfx"] >= times * rows[other]["rtfx"] and row["wer"] <= rows[other]["wer"]
    ]
    met += [f"{TIMES_IDEAL} × ideal"] if "float32" in name and row["times_ideal"] <= TIMES_IDEAL else []
    return ", ".join(met) or "none"


def int8_to_float32(rows: dict[str, Any]) -> str:
    """How many times as fast eight bits are."""
    pairs = {search: [f"smallvoice, {precision}, {search}" for precision in ("int8", "float32")] for search in BOTH}
    ratios = [
        f"{rows[int8]['rtfx'] / rows[float32]['rtfx']:.2f} ({search})"
        for search, (int8, float32) in pairs.items()
        if int8 in rows and float32 in rows
    ]
    return f"RTFx of smallvoice in int8 as a ratio to float32: {', '.join(ratios) or 'not measured'}"


def differences(rows: dict[str, Any]) -> Iterator[str]:
    """How much higher the WER of each row of smallvoice is than of those that the bars name."""
    for name, (_, other, _) in itertools.product(OURS, BARS):
        if name in rows and other in rows:
            theirs, ours = (rows[one]["by_speaker"] for one in (other, name))
            table = np.array([[*theirs[unit], *ours[unit]] for unit in theirs])
            found = change(table, resamples=1, seed=0, confidence=0.95)
            yield (
                f"- {name}, against {other}: {wording.points(found.absolute)} points "
                f"{wording.interval(found.absolute_interval, 1)}, {len(table)} speakers"
            )


def markdown(content: dict[str, Any]) -> str:
    rows = content["results"]
    first = rows.get(SEQUENTIAL)
    rates = [rate for row in rows.values() for rate in row["matmul_gflops"]]
    lines = [
        f"{next(iter(rows.values()))['clips']} clips, float32 products of {min(rates):.0f} to {max(rates):.0f} GFLOP/s "
        f"(median {statistics.median(rates):.0f}), {content['date']}",
        "",
        "| | RTFx | × faster-whisper | × ideal | WER | ins, del, sub | peak memory | bars met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        times = f"{row['rtfx'] / first['rtfx']:.1f}" if first else "–"
        errors = f"{row['insertions']}, {row['deletions']}, {row['substitutions']}"
        lines.append(
            f"| {name} | {row['rtfx']:.1f} | {times} | {row['times_ideal']:.2f} | {100 * row['wer']:.1f} % | {errors} "
            f"| {row['peak_memory_bytes'] / 1e9:.2f} GB | {bars_met(name, rows)} |"
        )
    return "\n".join([*lines, "", int8_to_float32(rows), "", *differences(rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("exports", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--select")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--batch", type=int, help="clips that smallvoice decodes at once, if not as many as usual")
    parser.add_argument("--only", choices=[*ONE_BY_ONE, JOINED, *OURS])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.only:
        row = one(options)
        if options.out:
            write_json(options.out, row)
        else:
            print(markdown({"results": {options.only: row}, "date": date.today().isoformat()}))
        return
    results = {}
    with tempfile.TemporaryDirectory(prefix="decode-cost-") as temporary:
        for name in names():
            out = Path(temporary, "row.json")
            places = [str(path) for path in (options.run, options.corpus, options.exports)]
            command = [sys.executable, __file__, *places, "--split", options.split, "--clips", str(options.clips)]
            command += ["--only", name, "--out", str(out)]
            command += ["--batch", str(options.batch)] if options.batch else []
            command += ["--select", options.select] if options.select else []
            subprocess.run(command, check=True, stdout=sys.stderr)
            results[name] = read_json(out)
            print(f"{name}: {results[name]['rtfx']:.1f}", file=sys.stderr)
    content = {"results": results, "machine": machine.facts(), "date": date.today().isoformat()}
    if options.out:
        write_json(options.out, content)
    print(markdown(content))


if __name__ == "__main__":
    main()
