"""A synthetic "nursery" corpus for people without data: made-up sentences in made-up, child-like voices.

Everything is seeded: the same machine writes the same files. The voices are espeak-ng's, raised in pitch and
formants, in a synthetic room with synthetic noise. They are not children, and no number measured on them is
evidence about children: the corpus shows that the whole job runs, and what its report looks like.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from smallvoice.corpus.audio import SAMPLING_RATE, encode_flac
from smallvoice.corpus.espeak import Speech, synthesise
from smallvoice.storage import replacing, write_text

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Speaker:
    """A synthetic speaker: no child, no age, no gender."""

    name: str
    split: str
    voice: str
    """espeak-ng's accent and variant."""
    pitch: int
    """espeak-ng's, 0 to 100, before `tract` raises it further."""
    pitch_range: int
    words_per_minute: int
    tract: float
    """Formants and pitch are this many times those of the voice, as those of a shorter vocal tract are."""


_VOICES = (
    # voice, pitch, pitch_range, words a minute, tract
    ("train", "en-us+f1", 55, 60, 165, 1.24),
    ("train", "en-us+f2", 50, 70, 160, 1.20),
    ("train", "en-us+f5", 50, 60, 165, 1.26),
    ("train", "en-us+m1", 60, 60, 160, 1.34),
    ("train", "en-us+m2", 55, 70, 165, 1.30),
    ("train", "en-us+m6", 60, 60, 165, 1.28),
    ("train", "en-us+Alex", 55, 60, 165, 1.24),
    ("train", "en-us+linda", 50, 60, 165, 1.18),
    ("train", "en-us+adam", 60, 60, 160, 1.32),
    ("train", "en+m3", 55, 60, 165, 1.22),
    ("train", "en-us-nyc+m3", 55, 60, 165, 1.26),
    ("train", "en-gb-x-gbclan+f3", 50, 60, 160, 1.22),
    ("train", "en-029+f4", 50, 60, 160, 1.20),
    ("train", "en-gb-scotland+m8", 60, 60, 160, 1.28),
    ("dev", "en-us+steph", 50, 60, 165, 1.22),
    ("dev", "en-us-nyc+f1", 55, 60, 160, 1.24),
    ("dev", "en-us+m7", 60, 60, 160, 1.26),
    ("test", "en-us+f3", 55, 60, 165, 1.24),
    ("test", "en-us-nyc+f4", 50, 70, 165, 1.20),
    ("test", "en-us+m4", 60, 60, 165, 1.28),
    ("test", "en-us+michel", 55, 60, 160, 1.30),
    ("test", "en+caleb", 55, 60, 165, 1.22),
    ("test", "en-us+m8", 60, 60, 160, 1.32),
)
SPEAKERS = tuple(Speaker(f"synthetic-{number:02d}", *settings) for number, settings in enumerate(_VOICES, 1))
UTTERANCES = {"train": 13, "dev": 8, "test": 9}
"""Of each speaker: 182, 24 and 54."""

_SNR_DB = (12.0, 24.0)
_REVERBERATION_S = (0.15, 0.35)
_WET = (0.01, 0.08)

_ANIMALS = "dog cat duck cow pig horse sheep frog mouse rabbit lion monkey bear fish bird goat hen".split()
_HERDS = "dogs cats ducks cows pigs horses frogs rabbits lions monkeys bears birds goats hens".split()
_LOOKS = "little big funny sleepy happy hungry muddy fluffy tiny brave shy noisy".split()
_COLOURS = "red blue green yellow black white brown pink purple orange".split()
_TOYS = "ball box car train doll kite drum boat book bucket hat spoon tractor balloon".split()
_FOODS = "apples bananas carrots cookies pears eggs cherries beans".split()
_NUMBERS = "two three four five six seven eight nine ten".split()
_PLACES = (
    "in the garden|on the farm|by the river|at the zoo|under the table|behind the door|in the kitchen|"
    "on the hill|under the tree|in the bath|beside the house|at the beach"
).split("|")
_MOVES = "jumps over|hides under|sits on|looks at|runs to|sleeps beside|walks around|falls off".split("|")
_PLAYS = "are playing|are sleeping|are singing|are dancing|are running|are eating|are hiding".split("|")

_TEMPLATES = (
    "the {look} {animal} {move} the {colour} {toy}",
    "{number} {look} {herd} {play} {place}",
    "tell me where the {colour} {toy} is hiding",
    "can you see the {look} {animal} {place}",
    "i want to play with my {colour} {toy}",
    "let us put the {colour} {toy} {place}",
    "the {animal} likes to eat {number} {food}",
    "look at the {look} {animal} and the {colour} {toy}",
    "my teddy has a {colour} {toy} and {number} {food}",
    "do not wake the {look} {animal} {place}",
    "who took the {colour} {toy} from the {look} {animal}",
    "the {look} {animal} and the {animal} {play}",
    "we can count {number} {colour} {herd} {place}",
)
_SLOTS = {
    "animal": _ANIMALS,
    "herd": _HERDS,
    "look": _LOOKS,
    "colour": _COLOURS,
    "toy": _TOYS,
    "food": _FOODS,
    "number": _NUMBERS,
    "place": _PLACES,
    "move": _MOVES,
    "play": _PLAYS,
}


def write_source(folder: Path, *, seed: int = 0, utterances: dict[str, int] | None = None) -> None:
    """placeholder"""
    spoken = list(_script(seed, utterances or UTTERANCES))
    rate, voices = synthesise([s for _, _, s in spoken])
    import soundfile

    for number, ((speaker, name, speech), samples) in enumerate(zip(spoken, voices, strict=True)):
        d = folder / speaker.split
        d.mkdir(parents=True, exist_ok=True)
        x = _rendered(samples / 32768, rate, speaker, np.random.default_rng([seed, number]))
        soundfile.write(d / f"{name}.flac", x, 16000)
        with open(d / "text", "a") as f:
            f.write(f"{name} {speech.text.upper()}\n")


def _sentences(seed):
    drawn = random.Random(f"nursery sentences {seed}")
    seen = set()
    while True:
        t = drawn.choice(_TEMPLATES)
        parts = t.split()
        s = " ".join(drawn.choice(_SLOTS[p[1:-1]]) if p[0] == "{" else p for p in parts)
        if s not in seen:
            seen.add(s)
            yield s


def _script(seed, utterances):
    drawn = random.Random(f"nursery voices {seed}")
    sents = _sentences(seed)
    for sp in SPEAKERS:
        for i in range(utterances[sp.split]):
            tempo = drawn.uniform(0.88, 1.12)
            yield (
                sp,
                f"{sp.name}-{i + 1:03d}",
                Speech(
                    text=next(sents),
                    voice=sp.voice,
                    words_per_minute=round(sp.words_per_minute * tempo / sp.tract),
                    pitch=sp.pitch,
                    pitch_range=sp.pitch_range,
                    seed=drawn.randrange(2**31),
                ),
            )


def _rendered(samples: Float, rate: int, speaker: Speaker, drawn: np.random.Generator) -> Float:
    voice = soxr.resample(samples, rate * speaker.tract, SAMPLING_RATE)
    pad = [int(SAMPLING_RATE * drawn.uniform(0.1, 0.3)) for _ in range(2)]
    voice = np.pad(voice, (pad[0], pad[1]))
    rt = drawn.uniform(*_REVERBERATION_S)
    n = int(rt * SAMPLING_RATE)
    t = np.arange(n) / SAMPLING_RATE
    ir = drawn.standard_normal(n) * 10 ** (-3 * t / rt)
    ir *= np.sqrt(drawn.uniform(*_WET) / np.sum(ir**2))
    ir[0] = 1
    size = len(voice) + n
    voice = np.fft.irfft(np.fft.rfft(voice, size) * np.fft.rfft(ir, size), size)[: len(voice)]
    white = np.fft.rfft(drawn.standard_normal(len(voice)))
    f = np.fft.rfftfreq(len(voice), 1 / SAMPLING_RATE)
    noise = np.fft.irfft(white / np.sqrt(np.maximum(f, 50)), len(voice))
    snr = drawn.uniform(*_SNR_DB)
    noise *= np.sqrt(np.mean(voice**2) / np.mean(noise**2)) * 10 ** (-snr / 20)
    x = voice + noise
    return x / np.abs(x).max() * drawn.uniform(0.3, 0.9)
