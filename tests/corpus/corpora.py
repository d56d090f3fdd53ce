"""Sources made on the spot: what the tests of `prepare` run on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from smallvoice.corpus.ingest import PrepareResult, prepare
from smallvoice.corpus.sources import Source, find
from smallvoice.corpus.utterance import Corpus, Utterance, open_corpus
from smallvoice.recipe import CorpusRecipe
from smallvoice.storage import read_jsonl

RATE = 16_000
WORDS = ["BEARS", "CATS", "DOGS", "OWLS", "FROGS", "LIONS", "GEESE", "MICE", "HENS", "PIGS"]


def noise(duration_s: float, seed: int = 0, rate: int = RATE) -> NDArray[np.int16]:
    """16-bit noise that no other seed gives."""
    samples = np.random.default_rng(seed).normal(0, 3000, round(duration_s * rate))
    return np.clip(samples, -32_768, 32_767).astype(np.int16)


def write_audio(path: Path, samples: NDArray[Any], rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


def write_lines(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_kaldi(
    folder: Path, speakers: dict[str, tuple[float | None, str | None]], per_speaker: int = 2, duration_s: float = 0.3
) -> Path:
    """A Kaldi folder: speaker -> (age in years, gender), `per_speaker` utterances of noise each."""
    text, scp, utt2spk = [], [], []
    for number, speaker in enumerate(speakers):
        for take in range(per_speaker):
            utterance = f"{speaker}-{take}"
            seed = 1000 * number + take + sum(map(ord, folder.name))
            write_audio(folder / "wav" / speaker / f"{take}.wav", noise(duration_s, seed))
            text.append(f"{utterance} {WORDS[seed % len(WORDS)]} AND {WORDS[seed // 10 % len(WORDS)]}")
            scp.append(f"{utterance} wav/{speaker}/{take}.wav")
            utt2spk.append(f"{utterance} {speaker}")
    write_lines(folder / "text", text)
    write_lines(folder / "wav.scp", scp)
    write_lines(folder / "utt2spk", utt2spk)
    write_lines(folder / "spk2age", [f"{name}\t{age}" for name, (age, _) in speakers.items() if age is not None])
    write_lines(folder / "spk2gender", [f"{name} {gender}" for name, (_, gender) in speakers.items() if gender])
    return folder


def children(number: int, prefix: str = "kid") -> dict[str, tuple[float | None, str | None]]:
    return {f"{prefix}{index:03d}": (5.0 + index % 10, "fm"[index % 2]) for index in range(number)}


def prepared(source: Path | list[Source], out: Path, **settings: Any) -> PrepareResult:
    found = find(source) if isinstance(source, Path) else source
    return prepare(CorpusRecipe(**settings), found, out)


def rows(path: Path) -> list[Utterance]:
    """Every utterance of a prepared corpus."""
    corpus: Corpus = open_corpus(path)
    return [row for split in corpus.splits() for row in corpus.utterances(split)]


def ledger(path: Path) -> list[dict[str, Any]]:
    return read_jsonl(path / "ledger.jsonl")


def dropped(path: Path) -> dict[str, str]:
    """Reason of each line of the ledger that is not kept, by where it is."""
    return {entry["where"]: entry["reason"] for entry in ledger(path) if entry["fate"] == "dropped"}
