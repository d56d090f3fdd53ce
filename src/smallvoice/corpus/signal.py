"""What the samples of an utterance say about it: level, clipping, silence, signal to noise.

Signal to noise is estimated as NIST's `stnr -q` does it, from the distribution of short-time power: the noise is
the 15th percentile, the speech a high one, here the 95th.
https://labrosa.ee.columbia.edu/~dpwe/tmp/nist/doc/stnr.txt (the method),
https://isip.piconepress.com/projects/speech/software/legacy/signal_to_noise (95 and 15 as a choice)

Against white noise mixed into 300 clean utterances of children it gives 6 to 9 dB for 0 dB of noise, 8.5 to 12 for
3 dB, 15 to 18 for 10 dB; and never less than 9.9 for clean ones, cut without any pause around them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smallvoice.corpus.audio import SAMPLING_RATE, Int16

FRAME = 320
"""Samples: 20 ms, as in `stnr`."""
SILENCE_DBFS = -60.0
"""A frame below is silent: the quietest of 2,735 real utterances has a level of -45."""
_FULL_SCALE = 32_768
_CLIPPED = round(0.995 * _FULL_SCALE)
"""Not 1: resampling leaves a ripple on the flat tops of a clipped wave."""
_RUN = 3
"""Samples at full scale one after the other; speech that just touches it has one or two."""
_FLOOR = 1e-10
"""Power of a frame of zeros: -100 dBFS, below the last bit."""
_SHORTEST_S = 2.0
"""In fewer than 100 frames, a word that is drawn out looks like noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """Measurements of one utterance."""

    digest: bytes
    """The same for equal samples: the first 16 bytes of their sha256."""
    level_dbfs: float
    """Root mean square of all samples, in dB of full scale."""
    loudest_dbfs: float
    """Level of the loudest frame."""
    clipped: float
    """The share of samples that lie at full scale in runs."""
    silence: float
    """The share of frames below `SILENCE_DBFS`."""
    snr_db: float | None
    """Estimated signal-to-noise ratio; None where the utterance is too short (2 s) or silent."""

    @property
    def is_silent(self) -> bool:
        return self.loudest_dbfs < SILENCE_DBFS


def measure(samples: Int16) -> Signal:
    """Measure 16-bit samples (num_samples,) at 16 kHz; at least one."""
    wave = samples.astype(np.float32) / np.float32(_FULL_SCALE)
    frames = _decibels(_frame_power(wave))
    loudest = float(frames.max())
    snr = None
    if len(wave) >= _SHORTEST_S * SAMPLING_RATE and loudest >= SILENCE_DBFS:
        speech, noise = np.percentile(frames, (95, 15))
        snr = float(speech - noise)
    return Signal(
        digest=hashlib.sha256(samples.astype("<i2", copy=False).tobytes()).digest()[:16],
        level_dbfs=float(_decibels(np.mean(np.square(wave), dtype=np.float64))),
        loudest_dbfs=loudest,
        clipped=clipped_share(samples),
        silence=float(np.mean(frames < SILENCE_DBFS)),
        snr_db=snr,
    )


def clipped_share(samples: Int16) -> float:
    """The share of samples in runs of at least 3 at full scale."""
    # -32768 has no positive counterpart in 16 bits.
    full = (samples >= _CLIPPED) | (samples <= -_CLIPPED)
    if len(full) < _RUN or not full.any():
        return 0.0
    starts = full[:-2] & full[1:-1] & full[2:]
    in_run = np.zeros_like(full)
    for offset in range(_RUN):
        in_run[offset : offset + len(starts)] |= starts
    return float(in_run.mean())


def _frame_power(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """(num_samples,) -> mean power of each whole frame (num_frames,); of all samples where there is none."""
    num_frames = len(wave) // FRAME
    if num_frames == 0:
        return np.array([np.mean(np.square(wave))], np.float32)
    power: NDArray[np.float32] = np.square(wave[: num_frames * FRAME].reshape(num_frames, FRAME)).mean(axis=1)
    return power


def _decibels(power: NDArray[np.float32] | np.floating) -> NDArray[np.float64]:
    decibels: NDArray[np.float64] = 10 * np.log10(np.asarray(power, np.float64) + _FLOOR)
    return decibels
