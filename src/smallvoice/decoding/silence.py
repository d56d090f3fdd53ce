"""What a model writes where nobody speaks: a probe that every evaluation makes."""

from __future__ import annotations

from typing import Any

import numpy as np

from smallvoice.decoding.engine import Engine, batches
from smallvoice.model.features import SAMPLE_RATE

DURATIONS_S = (1.0, 3.0, 6.0)
KINDS = ("digital silence", "faint noise", "noise", "hum")
_LEVELS = {"faint noise": 10 ** (-60 / 20), "noise": 10 ** (-35 / 20)}
"""Of the full scale: a quiet room, and a fan near the microphone."""


def clips() -> list[tuple[str, np.ndarray]]:
    """Kind and waveform of every clip, the same each time: float32 at 16 kHz."""
    rng = np.random.default_rng(0)
    found = []
    for kind in KINDS:
        for duration_s in DURATIONS_S:
            size = round(duration_s * SAMPLE_RATE)
            if kind == "hum":  # of the mains, and its first overtone
                time_s = np.arange(size) / SAMPLE_RATE
                sound = 0.01 * np.sin(2 * np.pi * 50 * time_s) + 0.003 * np.sin(2 * np.pi * 100 * time_s)
            else:
                sound = _LEVELS.get(kind, 0.0) * rng.standard_normal(size)
            found.append((kind, sound.astype(np.float32)))
    return found


def probe(engine: Engine, language: str | None, batch_size: int) -> dict[str, Any]:
    """How many clips without speech the model writes words for, and which.

    Returns:
        `clips`, `with_words`, and `written`: kind, duration and text of those.
    """
    written = []
    for batch in batches(clips(), lambda clip: len(clip[1]) / SAMPLE_RATE, engine, batch_size):
        decoded = engine.decode([sound for _, sound in batch], language)
        for (kind, sound), one in zip(batch, decoded, strict=True):
            if any(character.isalnum() for character in one.text):
                written.append({"kind": kind, "duration_s": len(sound) / SAMPLE_RATE, "text": one.text})
    return {"clips": len(KINDS) * len(DURATIONS_S), "with_words": len(written), "written": written}
