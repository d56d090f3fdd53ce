"""A synthetic "nursery" corpus for people without data: made-up sentences in made-up, child-like voices.

Everything is seeded: the same machine writes the same files. The voices are espeak-ng's, raised in pitch and
formants, in a synthetic room with synthetic noise. They are not children, and no number measured on them is
evidence about children: the corpus shows that the whole job runs, and what its report looks like.

Voices, noise and sentences were tuned until whisper-tiny.en (greedy, 30 s) had a normalised word error rate near
30 %: 30.7 % of 547 words on test, 28.3 % of 233 on dev. Writing it takes 4 s on one core.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from smallvoice.corpus.audio import SAMPLING_RATE, encode_flac, to_int16
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
    """espeak-ng's, 0 to 100, which `tract` then raises further."""
    pitch_range: int
    words_per_minute: int
    tract: float
    """Formants and pitch are this many times the voice's, like those of a vocal tract as many times shorter."""


_VOICES = """
train en-us+f1            55 60 165 1.24
train en-us+f2            50 70 160 1.20
train en-us+f5            50 60 165 1.26
train en-us+m1            60 60 160 1.34
train en-us+m2            55 70 165 1.30
train en-us+m6            60 60 165 1.28
train en-us+Alex          55 60 165 1.24
train en-us+linda         50 60 165 1.18
train en-us+adam          60 60 160 1.32
train en+m3               55 60 165 1.22
train en-us-nyc+m3        55 60 165 1.26
train en-gb-x-gbclan+f3   50 60 160 1.22
train en-029+f4           50 60 160 1.20
train en-gb-scotland+m8   60 60 160 1.28
dev   en-us+steph         50 60 165 1.22
dev   en-us-nyc+f1        55 60 160 1.24
dev   en-us+m7            60 60 160 1.26
test  en-us+f3            55 60 165 1.24
test  en-us-nyc+f4        50 70 165 1.20
test  en-us+m4            60 60 165 1.28
test  en-us+michel        55 60 160 1.30
test  en+caleb            55 60 165 1.22
test  en-us+m8            60 60 160 1.32
"""
"""Split, voice, pitch, pitch range, words a minute, tract."""


def _speakers() -> Iterator[Speaker]:
    for number, line in enumerate(_VOICES.split("\n")[1:-1], 1):
        split, voice, pitch, pitch_range, rate, tract = line.split()
        yield Speaker(f"synthetic-{number:02d}", split, voice, int(pitch), int(pitch_range), int(rate), float(tract))


SPEAKERS = tuple(_speakers())
UTTERANCES: Mapping[str, int] = {"train": 13, "dev": 8, "test": 9}
"""Of each speaker; 182, 24 and 54 together."""

_TEMPO = (0.9, 1.1)
_SILENCE_S = (0.1, 0.3)
_REVERBERATION_S = (0.15, 0.35)
"""Time in which the room's response falls by 60 dB."""
_REVERBERATION_SHARE = (0.0, 0.03)
"""Energy of the room's response, against 1 of the direct sound."""
_SNR_DB = (16.0, 28.0)
_PEAK = (0.3, 0.9)

_TEMPLATES = (
    "i can see {number} {look} {herd} {place}",
    "let us read the book about the {look} {animal} and the {animal}",
    "it is time to go to sleep my {look} {animal}",
    "would you like to eat some {food} and some {food}",
    "please put the {colour} {toy} back {place}",
    "the {look} {animal} wants to play with you {place}",
    "what does the {animal} say when he sees the {animal}",
    "mother gave the baby {number} {food} and a {colour} {toy}",
    "come and look at the {colour} {toy} {place}",
    "we saw a {look} {animal} and {number} {herd} today",
    "do you know where my {colour} {toy} is",
    "once upon a time there was a {look} {animal} {place}",
    "how many {colour} {herd} are there {place}",
    "the {animal} is very {look} because he lost his {toy}",
    "i want to play with the {toy} and the {colour} {toy}",
    "you can have {number} {food} after you wash your hands",
)
_WORDS = {
    "animal": "dog, cat, duck, cow, pig, horse, sheep, frog, mouse, rabbit, lion, monkey, bear, fish, bird, goat, hen",
    "herd": "dogs, cats, ducks, cows, pigs, horses, frogs, rabbits, lions, monkeys, bears, birds, goats, hens",
    "look": "little, big, funny, sleepy, happy, hungry, pretty, tiny, brave, quiet",
    "colour": "red, blue, green, yellow, black, white, brown, pink, purple, orange",
    "toy": "ball, box, car, train, doll, kite, drum, boat, book, bucket, hat, spoon, tractor, balloon",
    "food": "apples, bananas, carrots, cookies, pears, eggs, cherries, beans",
    "number": "two, three, four, five, six, seven, eight, nine, ten",
    "place": "in the garden, on the farm, by the river, at the zoo, under the table, behind the door, "
    "in the kitchen, on the hill, under the tree, in the bath, beside the house, at the beach",
}
_SLOTS = {slot: words.split(", ") for slot, words in _WORDS.items()}

_README = """\
SYNTHETIC SPEECH. The smallvoice nursery corpus: sentences of a small grammar, spoken by the synthesiser espeak-ng
with raised pitch and formants, in a synthetic room with synthetic noise. No person and no child is heard here.
Numbers measured on it show that a program runs; they are no evidence about children or about any person.

Each of train, dev and test is a Kaldi data folder with speakers and sentences of its own.
Written by smallvoice, seed {seed}. Whoever writes it again with the same versions gets the same files.
"""


def write_source(folder: Path, *, seed: int = 0, utterances: Mapping[str, int] = UTTERANCES) -> None:
    """Write the Kaldi folders `train`, `dev` and `test` into `folder`, then a README.txt as the last file.

    Paths in `wav.scp` are relative to its own folder. There is no `spk2age` and no `spk2gender`: a synthetic
    speaker has neither.

    Args:
        seed: another gives other sentences, tempo and noise, with the same speakers.
        utterances: how many of each speaker, by split.

    Raises:
        MissingDependency: the synthesiser is not installed (extra `demo`).
        ResourceError: the disk is full.
    """
    script = list(_script(seed, utterances))
    rate, voices = synthesise([speech for _, _, speech in script])
    for (speaker, utterance, _), voice in zip(script, voices, strict=True):
        drawn = np.random.default_rng([seed, *utterance.encode()])
        samples = _recorded(_shortened(voice / 32_768, rate, speaker.tract), drawn)
        with replacing(folder / speaker.split / _audio(speaker, utterance)) as temporary:
            temporary.write_bytes(encode_flac(to_int16(samples.astype(np.float32))))
    for split in dict.fromkeys(speaker.split for speaker, _, _ in script):
        _write_tables(folder / split, [row for row in script if row[0].split == split])
    write_text(folder / "README.txt", _README.format(seed=seed))


def _audio(speaker: Speaker, utterance: str) -> str:
    return f"audio/{speaker.name}/{utterance}.flac"


def _write_tables(folder: Path, script: Sequence[tuple[Speaker, str, Speech]]) -> None:
    tables: dict[str, list[str]] = {"text": [], "wav.scp": [], "utt2spk": []}
    for speaker, utterance, speech in script:
        # As corpora of children are transcribed: one case, no punctuation.
        tables["text"].append(f"{utterance} {speech.text.upper()}\n")
        tables["wav.scp"].append(f"{utterance} {_audio(speaker, utterance)}\n")
        tables["utt2spk"].append(f"{utterance} {speaker.name}\n")
    for name, lines in tables.items():
        write_text(folder / name, "".join(lines))


def _script(seed: int, utterances: Mapping[str, int]) -> Iterator[tuple[Speaker, str, Speech]]:
    """Who says what: speaker, utterance, and how it is spoken."""
    drawn = random.Random(f"nursery voices {seed}")
    sentences = _sentences(random.Random(f"nursery sentences {seed}"))
    for speaker in SPEAKERS:
        for number in range(1, utterances.get(speaker.split, 0) + 1):
            # Spoken slower by the factor that `_shortened` makes it faster.
            rate = speaker.words_per_minute * drawn.uniform(*_TEMPO) / speaker.tract
            speech = Speech(
                text=next(sentences),
                voice=speaker.voice,
                words_per_minute=round(rate),
                pitch=speaker.pitch,
                pitch_range=speaker.pitch_range,
                seed=drawn.randrange(2**31),
            )
            yield speaker, f"{speaker.name}-{number:03d}", speech


def _sentences(drawn: random.Random) -> Iterator[str]:
    """Sentences without end, no two of them equal, so that the splits share none."""
    seen: set[str] = set()
    while True:
        words: list[str] = []
        for word in drawn.choice(_TEMPLATES).split():
            choices = _SLOTS[word[1:-1]] if word.startswith("{") else [word]
            # No animal meets itself; a word of the template may come twice.
            words.append(drawn.choice([choice for choice in choices if choice not in words] or choices))
        sentence = " ".join(words)
        if sentence not in seen:
            seen.add(sentence)
            yield sentence


def _shortened(voice: Float, rate: int, tract: float) -> Float:
    """The voice of a shorter vocal tract, (num_samples,) at 16 kHz: played `tract` times as fast."""
    faster: Float = soxr.resample(voice, rate * tract, SAMPLING_RATE)
    return faster


def _recorded(voice: Float, drawn: np.random.Generator) -> Float:
    """Put a voice (num_samples,) at 16 kHz into a room with noise, silence before and after it."""
    before, after = (int(SAMPLING_RATE * drawn.uniform(*_SILENCE_S)) for _ in range(2))
    voice = np.pad(voice, (before, after))
    size = len(voice)
    # A room: noise that decays by 60 dB in its reverberation time (Moorer, "About this reverberation business", 1979).
    decay_s = drawn.uniform(*_REVERBERATION_S)
    response = drawn.standard_normal(int(decay_s * SAMPLING_RATE))
    response *= 10 ** (-3 * np.arange(len(response)) / len(response))
    response *= np.sqrt(drawn.uniform(*_REVERBERATION_SHARE) / np.sum(response**2))
    response[0] = 1.0
    long = 1 << (size + len(response)).bit_length()  # a length of large prime factors is slow to transform
    voice = np.fft.irfft(np.fft.rfft(voice, long) * np.fft.rfft(response, long), long)[:size]
    # Pink noise, as a room's is: power falls with frequency.
    spectrum = np.fft.rfft(drawn.standard_normal(long))
    frequency_hz = np.fft.rfftfreq(long, 1 / SAMPLING_RATE)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency_hz, 50.0)), long)[:size]
    snr = 10 ** (drawn.uniform(*_SNR_DB) / 10)
    noise *= np.sqrt(np.mean(voice**2) / np.mean(noise**2) / snr)
    heard = voice + noise
    scaled: Float = heard * (drawn.uniform(*_PEAK) / np.abs(heard).max())
    return scaled
