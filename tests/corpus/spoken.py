"""Small corpora whose rows are given one by one: who says what, how it sounds, in which split."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from corpora import RATE, prepared, rows, write_audio, write_lines
from numpy.typing import NDArray

from smallvoice.corpus.shards import CorpusWriter
from smallvoice.corpus.utterance import Utterance
from smallvoice.recipe import SplitRecipe

_numbers = count()


def voice(duration_s: float = 1.5, seed: int | None = None, loud: float = 3000, quiet: float = 20) -> NDArray[np.int16]:
    """Noise that comes and goes five times a second: like speech, it has a level and a floor. No two are equal."""
    rng = np.random.default_rng(next(_numbers) if seed is None else seed)
    num_samples = round(duration_s * RATE)
    speaks = np.arange(num_samples) // (RATE // 10) % 2 == 0
    samples = rng.normal(0, 1, num_samples) * np.where(speaks, loud, quiet)
    return np.clip(samples, -32_768, 32_767).astype(np.int16)


@dataclass(frozen=True, kw_only=True)
class Said:
    """One utterance of a source."""

    split: str = "train"
    speaker: str = "kid"
    text: str = "THE OWL SLEEPS"
    samples: NDArray[np.int16] = field(default_factory=voice)


def corpus_of(folder: Path, said: list[Said], language: str | None = "en") -> Path:
    """A prepared corpus of these utterances, in the splits that they say."""
    for split in dict.fromkeys(one.split for one in said):
        part = folder / "source" / split
        lines: dict[str, list[str]] = {"text": [], "wav.scp": [], "utt2spk": []}
        for number, one in enumerate(said):
            if one.split == split:
                write_audio(part / f"{number:03d}.wav", one.samples)
                lines["text"].append(f"{number:03d} {one.text}")
                lines["wav.scp"].append(f"{number:03d} {number:03d}.wav")
                lines["utt2spk"].append(f"{number:03d} {one.speaker}")
        for name, content in lines.items():
            write_lines(part / name, content)
    prepared(folder / "source", folder / "corpus", language=language, split=SplitRecipe(dev=0.0))
    return folder / "corpus"


def rewritten(corpus: Path, change: Callable[[Utterance], Utterance]) -> Path:
    """The same corpus with other rows, for what no source can bring about."""
    changed = [change(row) for row in rows(corpus)]
    out = corpus.with_name(f"rewritten-{next(_numbers)}")
    shutil.copytree(corpus, out, ignore=shutil.ignore_patterns("*.parquet", "index.arrow"))
    with CorpusWriter(out) as writer:
        for row in changed:
            writer.add(row)
    return out


def words(number: int) -> str:
    """Five words that no other number gives, more than one word away from the next."""
    names = ["BEAR", "CAT", "DOG", "OWL", "FROG", "LION", "GOOSE", "MOUSE", "HEN", "PIG"]
    return " ".join(f"{names[digit]}{'S' * (number % 2)}" for digit in map(int, f"{number * 7919 % 100_000:05d}"))


def by_kind(findings: Any) -> dict[str, Any]:
    return {finding.kind: finding for finding in findings}
