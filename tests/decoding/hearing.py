"""An engine that writes the same text for everything, recordings for it, and what became of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests import tiny

from smallvoice.decoding.engine import Decoded
from smallvoice.decoding.word_times import Word


class Heard:
    """Stands for an engine: it writes the same text for everything, and counts what it is asked."""

    def __init__(self, engine: object, text: str) -> None:
        self.engine, self.text, self.asked = engine, text, 0
        self.told: list[np.ndarray] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    def detect(self, waveforms: list[np.ndarray]) -> list[str]:
        self.told += waveforms
        return ["de" for _ in waveforms]

    def decode(self, waveforms: list[np.ndarray], language: str | None, **how: object) -> list[Decoded]:
        self.asked += len(waveforms)
        words = self.text.split()
        times = [Word(word, 0.1 * place, 0.1 * place + 0.1, 0.9) for place, word in enumerate(words)]
        return [Decoded(self.text, len(words), -0.2, capped=False, words=times) for _ in waveforms]


def record(*paths: Path, seconds: float = 0.5) -> None:
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tiny.tone(seconds + 0.01 * number, number), 16_000)


def made(out: Path) -> dict[str, int]:
    """Each transcript, and when it was written."""
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*.json")}


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())
