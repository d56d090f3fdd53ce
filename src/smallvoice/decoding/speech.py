"""Where somebody speaks in a recording: Silero's voice activity detection, as faster-whisper brings it.

It notices a soft beginning late, and sometimes not at all a first word before a pause. So it is asked to be bolder than
it is by itself, and from where it hears speech the beginning is looked for backwards, as long as it is louder than the
pause before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smallvoice.corpus.audio import SAMPLING_RATE, Float, Int16, as_float, forget

SHORT_S = 30.0
"""A recording that fits Whisper's window is one stretch, heard whole or not at all."""

LEAST_PROBABILITY = 0.35
"""From where the detector takes a moment for speech; its own 0.5 misses soft first words. Of an hour of children in
noise (10 to 20 dB under them) the beginning of 5 % is found over 0.2 s late with 0.5, of 2 % with this; no pause is
taken for speech with either. Below 0.2 it joins utterances over pauses."""
BLOCK_S = 600.0
"""So much is looked at at once: 38 MB."""
MOST_S = 20.0
"""A longer stretch of speech is cut where it pauses; without a pause it is cut all the same."""
PAUSE_S = 0.5
"""Silence that ends a stretch."""
PAD_S = 0.2
"""Heard on either side of a stretch, up to half of the silence to its neighbour."""

HOP = SAMPLING_RATE // 100
"""Samples between two measurements of the level."""
LOUDER_DB = 6.0
"""Than the pause before: somebody speaks."""
GAP = 5
"""Hops that may be softer within a beginning: the closure of a plosive."""
SOFT_S = 0.5
"""A beginning is looked for so far before what the detector hears."""
BEFORE_S = 1.0
"""The pause is measured over so much."""

LOUDEST_DB, CONTRAST_DB = -75.0, 12.0
"""Of full scale, and over what is soft in the recording: so loud and uneven is a short recording in which somebody may
speak whom the detector does not hear. Of 400 clips of children it missed none, 15 when they were 40 dB softer (-72 to
-56 dB, contrast 18 to 34); steady noise has a contrast of 1 to 3 dB, a rumble of 8."""
CUT_S, CUT_DB = 1.0, -45.0
"""A clip shorter than that was cut from speech, and may have no soft part: it is heard where it is so loud. Of 400 cuts
of 0.4 s the detector missed 8."""
LEAST_S = 0.05
"""Nobody says anything in less."""

PART_S = 1.0
"""Nothing shorter is left of a stretch that is parted."""

Span = tuple[int, int]
"""First sample, and the one after the last."""


@dataclass(frozen=True)
class Heard:
    """Where somebody speaks, and what is decoded because of it."""

    spoken: list[Span]
    """What the detector hears."""
    stretches: list[Span]
    """In a long recording each of `spoken` with some of the silence around it; a short one as a whole, or nothing."""


def find(samples: Int16) -> Heard:
    """Where somebody speaks in a recording of any length.

    Args:
        samples: shape = (num_samples,), 16 kHz.
    """
    spoken = spans(samples)
    if len(samples) > SHORT_S * SAMPLING_RATE:
        return Heard(spoken, padded(spoken, len(samples)))
    return Heard(spoken, [(0, len(samples))] if spoken or _may_be_speech(samples) else [])


def beginning(samples: Int16, heard: Heard) -> Float:
    """The first half minute of speech, without the silence between: (num_samples,) in -1..1."""
    most = round(SHORT_S * SAMPLING_RATE)
    parts: list[Float] = []
    for first, last in padded(heard.spoken, len(samples)) or heard.stretches:
        parts.append(as_float(np.asarray(samples[first : min(last, first + most)])))
        most -= len(parts[-1])
        if most <= 0:
            break
    return np.concatenate(parts)


def _may_be_speech(samples: Int16) -> bool:
    """Whether a short recording is so loud and uneven that the detector must not be the judge."""
    if len(samples) < LEAST_S * SAMPLING_RATE:
        return False
    levels = np.convolve(_levels(samples[: len(samples) // HOP * HOP]), np.ones(3) / 3, "valid")
    loudest, contrast = levels.max(), np.percentile(levels, 95) - np.percentile(levels, 10)
    cut = len(samples) < CUT_S * SAMPLING_RATE and loudest > CUT_DB
    return bool(cut or (loudest > LOUDEST_DB and contrast > CONTRAST_DB))


def softest(waveform: Float) -> int:
    """The sample at which a stretch is parted, its softest moment between a third and two thirds; 0 if too short."""
    hops = len(waveform) // HOP
    if hops < 3 * PART_S * SAMPLING_RATE // HOP:
        return 0
    powers = np.convolve((waveform[: hops * HOP].reshape(-1, HOP) ** 2).mean(axis=1), np.ones(9) / 9, "same")
    return (hops // 3 + int(powers[hops // 3 : 2 * hops // 3].argmin())) * HOP + HOP // 2


def _levels(samples: Int16) -> NDArray[np.float64]:
    """The level of every hop in dB of full scale; samples: a whole number of hops."""
    hops = as_float(np.asarray(samples)).reshape(-1, HOP)
    levels: NDArray[np.float64] = 10 * np.log10((hops**2).mean(axis=1) + 1e-10)
    return levels


def spans(samples: Int16) -> list[Span]:
    """The stretches of speech in a recording of any length, in order.

    Args:
        samples: shape = (num_samples,), 16 kHz; may be memory-mapped, for a block at a time is read.
    """
    found: list[Span] = []
    start, size = 0, round(BLOCK_S * SAMPLING_RATE)
    while start < len(samples):
        end = min(start + size, len(samples))
        block = [(start + first, start + last) for first, last in _in_block(samples[start:end])]
        if end < len(samples) and block and block[-1][1] > end - round(2 * PAUSE_S * SAMPLING_RATE):
            # Cut off by the block's end: it is looked at again, from its beginning.
            end = max(block.pop()[0], start + size // 2)
            block = [span for span in block if span[0] < end]
        found += block
        start = end
        forget(samples)
    ends = [0, *(last for _, last in found)]
    begun = [(max(before, _begin(samples, first)), last) for (first, last), before in zip(found, ends, strict=False)]
    return [(first, last) for first, last in begun if last > first]


def _begin(samples: Int16, first: int) -> int:
    """Where a stretch of speech begins that the detector hears at `first`."""
    hops = min(round(BEFORE_S * SAMPLING_RATE), first) // HOP
    if not hops:
        return first
    levels = _levels(samples[first - hops * HOP : first])
    smooth = np.convolve(levels, np.ones(3) / 3, "same")[::-1]  # backwards from where speech is heard
    loud = np.flatnonzero(smooth[: round(100 * SOFT_S)] > np.percentile(smooth, 25) + LOUDER_DB)
    begin = 0
    for hop in loud.tolist():
        if hop + 1 - begin > GAP:
            break
        begin = hop + 1
    return first - begin * HOP


def _in_block(samples: Int16) -> list[Span]:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        threshold=LEAST_PROBABILITY,
        min_silence_duration_ms=round(1000 * PAUSE_S),
        speech_pad_ms=0,
        max_speech_duration_s=MOST_S,
    )
    return [(span["start"], span["end"]) for span in get_speech_timestamps(as_float(samples), options)]


def padded(found: list[Span], num_samples: int) -> list[Span]:
    """The stretches with some of the silence around them."""
    if not found:
        return []
    pad = round(PAD_S * SAMPLING_RATE)
    ends = [0, *(last for _, last in found[:-1])]
    begins = [*(first for first, _ in found[1:]), num_samples]
    return [
        (max(first - pad, (before + first) // 2), min(last + pad, (last + after + 1) // 2))
        for (first, last), before, after in zip(found, ends, begins, strict=True)
    ]
