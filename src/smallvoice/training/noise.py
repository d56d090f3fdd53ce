"""Noise and rooms, recorded or synthesised. Waveforms are float32 at 16 kHz, shape = (num_samples,)."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smallvoice.corpus.audio import as_float, load_16k
from smallvoice.errors import RecipeError
from smallvoice.model.features import SAMPLE_RATE
from smallvoice.recipe import AugmentRecipe
from smallvoice.recipe_file import sounds_in

Wave = NDArray[np.float32]

CACHE_BYTES = 64 * 2**20
"""Of one folder's recordings, held in memory at once."""
LOWEST_HZ = 100.0
"""Coloured noise has its slope above this: below, Whisper's filters hear next to nothing."""
DIRECT_TO_REVERBERANT_DB = (0.0, 12.0)
"""From a metre or two away in a classroom to next to the mouth."""
BEFORE_REFLECTIONS_S = (0.001, 0.01)
"""Between the direct sound and the first reflection: detours of 0.3 to 3.4 m."""
QUIET_DBFS = (-75.0, -35.0)
"""Levels of a clip without speech."""


class Recordings:
    """A folder of recordings, of which a bounded part is held in memory."""

    def __init__(self, folder: str, setting: str) -> None:
        self.files = sounds_in(folder, setting)
        self._held: OrderedDict[Path, NDArray[np.int16]] = OrderedDict()

    def draw(self, rng: np.random.Generator) -> NDArray[np.int16]:
        """One of the recordings.

        Raises:
            AudioError: it cannot be read.
        """
        path = self.files[int(rng.integers(len(self.files)))]
        samples = self._held.pop(path, None)
        if samples is None:
            samples = load_16k(path).samples
        self._held[path] = samples
        while len(self._held) > 1 and sum(held.nbytes for held in self._held.values()) > CACHE_BYTES:
            self._held.popitem(last=False)
        return samples


class Sounds:
    """The noises and rooms of a recipe."""

    def __init__(self, recipe: AugmentRecipe) -> None:
        least, most = recipe.noise_snr_db
        if not (math.isfinite(least) and math.isfinite(most) and least <= most):
            raise RecipeError(
                f"augment.noise_snr_db: [{least}, {most}]: give the least, then the most, such as [5, 25]."
            )
        self.noises = Recordings(recipe.noise_folder, "augment.noise_folder") if recipe.noise_folder else None
        self.rooms = Recordings(recipe.room_folder, "augment.room_folder") if recipe.room_folder else None

    def noise(self, num_samples: int, rng: np.random.Generator) -> Wave:
        """Part of a recording, repeated where it is short; without recordings, coloured noise."""
        if self.noises is None:
            return coloured(num_samples, rng.uniform(0.0, 2.0), rng)
        samples = self.noises.draw(rng)
        start = int(rng.integers(max(1, len(samples) - num_samples + 1)))
        return as_float(np.resize(samples[start : start + num_samples], num_samples))

    def response(self, rt60_s: float, rng: np.random.Generator) -> Wave:
        """A room response that begins with its direct sound, of amplitude 1."""
        if self.rooms is None:
            return room_response(rt60_s, rng)
        response = as_float(self.rooms.draw(rng))
        direct = int(np.argmax(np.abs(response)))
        peak = response[direct] or np.float32(1.0)
        return response[direct : direct + SAMPLE_RATE] / peak

    def silence(self, num_samples: int, rng: np.random.Generator) -> Wave:
        """A clip in which nobody speaks: noise of a low level."""
        return at_level(self.noise(num_samples, rng), 10 ** (rng.uniform(*QUIET_DBFS) / 20))


def rms(samples: Wave) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def at_level(samples: Wave, level: float) -> Wave:
    """Scaled to an RMS; digital silence stays."""
    found = rms(samples)
    return samples * np.float32(level / found) if found else samples


def coloured(num_samples: int, exponent: float, rng: np.random.Generator) -> Wave:
    """Noise whose power falls with frequency as 1 / f^exponent (0: white, 1: pink, 2: brown), flat below 100 Hz."""
    size = 1 << max(1, num_samples - 1).bit_length()  # a power of two: the transform of other sizes is slow
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum *= np.maximum(frequencies / LOWEST_HZ, 1.0) ** (-exponent / 2)
    return np.fft.irfft(spectrum, size)[:num_samples].astype(np.float32)


def babble(waveform: Wave, rng: np.random.Generator) -> Wave:
    """Voices that say nothing: three to six copies of the utterance, backwards, each begun at another place."""
    voices = np.zeros_like(waveform)
    for _ in range(int(rng.integers(3, 7))):
        shift = int(rng.integers(max(1, len(waveform))))
        voices += np.float32(rng.uniform(0.5, 1.0)) * np.roll(waveform[::-1], shift)
    return voices


def add_noise(waveform: Wave, noise: Wave, snr_db: float) -> Wave:
    """The noise so far below the waveform, both by their power over the whole of it."""
    return waveform + at_level(noise, rms(waveform) / 10 ** (snr_db / 20))


def room_response(rt60_s: float, rng: np.random.Generator) -> Wave:
    """The direct sound, then noise that falls by 60 dB in `rt60_s` (Polack, 1988)."""
    times = np.arange(max(2, round(rt60_s * SAMPLE_RATE))) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / rt60_s)
    tail[times < rng.uniform(*BEFORE_REFLECTIONS_S)] = 0.0
    tail *= 10 ** (-rng.uniform(*DIRECT_TO_REVERBERANT_DB) / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail.astype(np.float32)


def reverberate(waveform: Wave, response: Wave) -> Wave:
    """The waveform in a room, as long and as loud as before; `response` begins with the direct sound."""
    size = 1 << (len(waveform) + len(response)).bit_length()
    heard = np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(response, size), size)[: len(waveform)]
    return at_level(heard.astype(np.float32), rms(waveform))


def pause(waveform: Wave, num_samples: int, rng: np.random.Generator) -> Wave:
    """What is heard when the speaker of `waveform` pauses: white noise as loud as its quietest tenth."""
    frames = waveform[: len(waveform) // 320 * 320].reshape(-1, 320)
    floor = float(np.quantile(np.sqrt(np.mean(frames**2, axis=1)), 0.1)) if len(frames) else 0.0
    return np.float32(floor) * rng.standard_normal(num_samples, dtype=np.float32)
