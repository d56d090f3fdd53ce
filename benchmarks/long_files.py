"""A long recording against the same clips one by one: words, loops, memory, and when the first word of each begins.

    python benchmarks/long_files.py RUN CORPUS --hours 2 --out long.json [--split test] [--select "age_years < 18"]

The recording is made of the split's utterances, each cut to its speech by level (half-way between what is soft and what
is loud in it, but at least 15 dB below the loudest: the rooms of this corpus are noisy; a burst shorter than 0.1 s with
silence around it is the click of the button, not speech), in an order drawn from a seed, again and again until it is
long enough, with pauses of 0.3 to 20 s and white noise 10 to 20 dB under the speech. It is transcribed by
`smallvoice.opened(RUN)` in a process of its own, as is its beginning of ten minutes, whose peak memory is the measure
of the other's. A clip's own hypothesis is that of the same transcriber.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from smallvoice import machine, using
from smallvoice.corpus.audio import SAMPLING_RATE, decode_flac, load_16k, to_int16
from smallvoice.corpus.utterance import open_corpus
from smallvoice.scoring.normalize import for_language
from smallvoice.scoring.word_errors import ErrorCounts, count_all, total
from smallvoice.storage import read_json, write_json

LANGUAGE = "en"
PAUSE_S, SNR_DB = (0.3, 20.0), (10.0, 20.0)
SPEECH_DB = -15.0
"""Frames so far below the loudest are not speech, whatever the noise."""
CLICK_FRAMES = 5
"""A burst of fewer frames, of 20 ms, is a click."""
SHORT_S = 600.0
RUN_ON = re.compile(r"\b(\S+ \S+ \S+ \S+)(?: \1){3}\b")


@dataclass(frozen=True)
class Placed:
    """An utterance in the recording."""

    text: str
    start_s: float
    end_s: float


def cut_to_speech(waveform: np.ndarray) -> np.ndarray:
    """Without the silence before and after, and the clicks in it, judged by frames of 20 ms."""
    frames = waveform[: len(waveform) // 320 * 320].reshape(-1, 320)
    level = 10 * np.log10(np.maximum((frames**2).mean(axis=1), 1e-10))
    between = (np.percentile(level, 10) + level.max()) / 2
    loud = np.flatnonzero(level > min(between, level.max() + SPEECH_DB))
    bursts = np.split(loud, np.flatnonzero(np.diff(loud) > CLICK_FRAMES) + 1)
    speech = np.concatenate([burst for burst in bursts if len(burst) >= CLICK_FRAMES] or bursts)
    return waveform[320 * speech[0] : 320 * (speech[-1] + 1)]


def build(options: argparse.Namespace, path: Path) -> list[Placed]:
    """Write the recording, piece by piece; where each utterance lies."""
    rng = np.random.default_rng(0)
    rows = list(open_corpus(options.corpus).utterances(options.split, options.select))
    placed: list[Placed] = []
    position = 0
    with soundfile.SoundFile(path, "w", SAMPLING_RATE, 1, "PCM_16") as file:
        while position < options.hours * 3600 * SAMPLING_RATE:
            for number in rng.permutation(len(rows)):
                clip = cut_to_speech(decode_flac(rows[number].audio))
                noise = float(np.sqrt((clip**2).mean())) / 10 ** (rng.uniform(*SNR_DB) / 20)
                pause = np.zeros(round(SAMPLING_RATE * rng.uniform(*PAUSE_S)), np.float32)
                piece = np.concatenate([pause, clip])
                piece += np.float32(noise) * rng.standard_normal(len(piece), dtype=np.float32)
                start = position + len(pause)
                placed.append(Placed(rows[number].text, start / SAMPLING_RATE, (start + len(clip)) / SAMPLING_RATE))
                file.write(np.clip(piece, -1, 1))
                position += len(piece)
                if position >= options.hours * 3600 * SAMPLING_RATE:
                    break
    return placed


def transcribed(options: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own: the words with their times, seconds, and peak memory."""
    transcriber = using.opened(str(options.run), beams=options.beams)
    samples = load_16k(options.recording).samples
    if options.seconds:
        samples = samples[: round(options.seconds * SAMPLING_RATE)]
    started = time.perf_counter()
    transcript = transcriber.transcribe(samples)
    seconds = time.perf_counter() - started
    segments = [
        {"text": one.text, "words": [[word.text, word.start_s, word.end_s] for word in one.words]}
        for one in transcript.segments
    ]
    return {
        "segments": segments,
        "seconds": seconds,
        "rtfx": transcript.duration_s / seconds,
        "peak_memory_bytes": machine.peak_memory_bytes(),
    }


def in_a_process(options: argparse.Namespace, recording: Path, seconds: float, out: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, str(options.run), str(options.corpus), "--recording", str(recording)]
    command += ["--seconds", str(seconds), "--beams", str(options.beams), "--out", str(out)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return read_json(out)


def one_by_one(options: argparse.Namespace, recording: Path, placed: list[Placed]) -> ErrorCounts:
    """The same transcriber on each clip of the recording, noise and all, cut where it begins and ends."""
    transcriber = using.opened(str(options.run), beams=options.beams)
    samples = load_16k(recording).samples
    rules = for_language(LANGUAGE)
    said, heard = [], []
    for one in placed:
        clip = samples[round(one.start_s * SAMPLING_RATE) : round(one.end_s * SAMPLING_RATE)]
        transcript = transcriber.transcribe(to_int16(np.asarray(clip, np.float32) / 32_768))
        said.append(rules.words(one.text))
        heard.append(rules.words(" ".join(segment.text for segment in transcript.segments)))
    return total(count_all(said, heard))


def starts(placed: list[Placed], words: list[list[Any]]) -> Iterator[float]:
    """How far from its beginning the first word of each utterance that was heard begins, in seconds."""
    for before, one, after in zip([None, *placed], placed, [*placed[1:], None], strict=False):
        low = (before.end_s + one.start_s) / 2 if before else 0.0
        high = (one.end_s + after.start_s) / 2 if after else one.end_s
        inside = [start for _, start, end in words if low <= (start + end) / 2 <= high]
        if inside:
            yield abs(min(inside) - one.start_s)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="long-files-") as temporary:
        recording = Path(temporary, "long.flac")
        placed = build(options, recording)
        whole = in_a_process(options, recording, 0.0, Path(temporary, "whole.json"))
        short = in_a_process(options, recording, SHORT_S, Path(temporary, "short.json"))
        rules = for_language(LANGUAGE)
        reference = [word for one in placed for word in rules.words(one.text)]
        hypothesis = [word for one in whole["segments"] for word in rules.words(one["text"])]
        counts = total(count_all([reference], [hypothesis]))
        clips = one_by_one(options, recording, placed)
    words = [word for one in whole["segments"] for word in one["words"]]
    offsets = sorted(starts(placed, words))
    return {
        "hours": options.hours,
        "utterances": len(placed),
        "wer": counts.rate,
        "wer_one_by_one": clips.rate,
        "points": (counts.rate or 0.0) - (clips.rate or 0.0),
        "run_on": sorted(set(RUN_ON.findall(" ".join(hypothesis))) - set(RUN_ON.findall(" ".join(reference)))),
        "rtfx": whole["rtfx"],
        "peak_memory_bytes": whole["peak_memory_bytes"],
        "peak_memory_of_ten_minutes": short["peak_memory_bytes"],
        "heard": len(offsets),
        "start_median_s": statistics.median(offsets),
        "start_90_percent_s": offsets[int(0.9 * len(offsets))],
        "matmul_gflops": machine.matmul_gflops(),
        "date": date.today().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--select")
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--recording", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    content = transcribed(options) if options.recording else measured(options)
    if options.out:
        write_json(options.out, content)
    if not options.recording:
        print(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
