"""Audio files of any rate and channel count -> 16 kHz mono, and 16-bit FLAC in memory.

A recording is streamed, whatever its length: read in blocks, mixed to mono, resampled, rounded to 16 bits.
What is 16 kHz, 16-bit and mono already comes through bit for bit.
"""

from __future__ import annotations

import io
import mmap
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from smallvoice.corpus.audio_files import AudioError as AudioError
from smallvoice.corpus.audio_files import opened
from smallvoice.errors import InputError
from smallvoice.storage import no_space_as_error

SAMPLING_RATE = 16_000
"""Whisper's, and so the corpus's, in Hz."""

_BLOCK = 1 << 16
"""Values read at once, over all channels: 4 s at 16 kHz. Of more, resampling is slower: they leave the cache."""
_IN_MEMORY = 64 << 20
"""Bytes of 16 kHz audio (35 minutes) above which a recording is held in a temporary file, not in memory."""
_FULL_SCALE = 32_768
_MAX_SAMPLE = 100.0
"""Of floating-point files, which may go over full scale (1): 40 dB."""

Float = NDArray[np.float32]
Int16 = NDArray[np.int16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording16k:
    """A whole recording, mono at 16 kHz."""

    samples: Int16
    """(num_samples,); memory-mapped when long."""
    source_rate: int
    """The file's own sampling rate in Hz."""


def load_16k(source: Path | bytes, channel: int | None = None, *, name: str | None = None) -> Recording16k:
    """Read a whole recording as 16 kHz mono: one channel of it, or the mean of all.

    Args:
        source: a file, or the content of one.
        channel: from 0.
        name: what to call it in messages; a file's path where it is not given.

    Raises:
        AudioError: it is missing, empty, truncated, of zero length, damaged, not audio, or lacks the channel.
        ResourceError: no room for the temporary file of a long recording.
    """
    name = name or (str(source) if isinstance(source, Path) else "audio")
    with opened(source, name, num_values=_BLOCK, pcm_rate=SAMPLING_RATE) as audio:
        if channel is not None and not 0 <= channel < audio.num_channels:
            raise AudioError(name, "no such channel", f"channel {channel} of {audio.num_channels} was asked for")
        held = _Samples()
        resample = _resampler(audio.rate)
        for block in audio.blocks:
            _check_range(block, name)
            mono = _mono(block, channel)
            if mono.dtype == np.int16:  # at 16 kHz already: bit for bit
                held.append(np.ascontiguousarray(mono, np.int16))
                continue
            held.append(to_int16(resample(as_float(mono), False)))
        held.append(to_int16(resample(np.zeros(0, np.float32), True)))
        return Recording16k(samples=held.joined(), source_rate=audio.rate)


def to_mono_16k(samples: Float, rate: int) -> Float:
    """Samples (num_samples, num_channels) or (num_samples,) at `rate` Hz -> (num_samples_at_16k,)."""
    return _resampler(rate)(as_float(_mono(samples.reshape(len(samples), -1), None)), True)


def forget(samples: Int16) -> None:
    """Give back the memory of what has been read of a recording that lies in a file; it is read again when needed."""
    mapped = getattr(samples, "_mmap", None)
    # Only what cannot have been changed.
    if mapped is not None and getattr(samples, "mode", None) == "r" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def to_int16(samples: Float) -> Int16:
    """-1..1 to 16 bits: rounded, and clipped where resampling overshot."""
    scaled: Float = samples * np.float32(_FULL_SCALE)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1, out=scaled).astype(np.int16)


def as_float(samples: Float | Int16) -> Float:
    """16 bits to -1..1; what is in -1..1 already stays."""
    converted = samples.astype(np.float32, copy=False)
    return converted / np.float32(_FULL_SCALE) if samples.dtype == np.int16 else converted


def encode_flac(samples: Float | Int16) -> bytes:
    """Samples (num_samples,) at 16 kHz, 16-bit or in -1..1, as a 16-bit FLAC file."""
    pcm = samples if samples.dtype == np.int16 else to_int16(np.asarray(samples, np.float32))
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(audio: bytes) -> Float:
    """The inverse of `encode_flac`: (num_samples,) in -1..1 at 16 kHz.

    Raises:
        InputError: not 16 kHz mono audio.
    """
    try:
        samples, rate = soundfile.read(io.BytesIO(audio), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise InputError(f"The audio of an utterance cannot be decoded: {error}. Prepare the corpus again.") from None
    if rate != SAMPLING_RATE or samples.shape[1] != 1:
        raise InputError(f"The audio of an utterance has {samples.shape[1]} channels at {rate} Hz, not 1 at 16000.")
    mono: Float = samples[:, 0]
    return mono


def _check_range(block: Float | Int16, name: str) -> None:
    """Refuse floating-point samples that cannot be sound: 16-bit numbers that were never divided, or noise."""
    if block.dtype == np.int16:
        return
    peak = float(np.abs(block).max(initial=0))
    if not np.isfinite(peak):
        raise AudioError(name, "not audio", "it holds samples that are not numbers (NaN or infinity)")
    if peak > _MAX_SAMPLE:
        raise AudioError(name, "samples out of range", f"up to {peak:.3g}, where full scale is 1")


def _mono(block: Float | Int16, channel: int | None) -> Float | Int16:
    """(num_samples, num_channels) -> (num_samples,)."""
    num_channels = block.shape[1]
    if channel is not None or num_channels == 1:
        return block[:, channel or 0]
    # A product, for numpy takes the mean of short rows forty times slower.
    mixed: Float = as_float(block) @ np.full(num_channels, 1 / num_channels, np.float32)
    return mixed


def _resampler(rate: int) -> Callable[[Float, bool], Float]:
    """A function of (next samples, are they the last?) -> samples at 16 kHz, without delay or seam."""
    if rate == SAMPLING_RATE:
        return lambda samples, last: samples
    stream = soxr.ResampleStream(rate, SAMPLING_RATE, 1, dtype="float32", quality="HQ")
    return lambda samples, last: stream.resample_chunk(np.ascontiguousarray(samples), last=last)


class _Samples:
    """Blocks of samples, in memory while they are few, then in a temporary file."""

    def __init__(self) -> None:
        self.blocks: list[Int16] = []
        self.num_bytes = 0
        self.file: IO[bytes] | None = None

    def append(self, block: Int16) -> None:
        self.blocks.append(block)
        self.num_bytes += block.nbytes
        if self.num_bytes > _IN_MEMORY:
            self._spill()

    def joined(self) -> Int16:
        if self.file is None:
            return np.concatenate(self.blocks)
        self._spill()
        # The map keeps the file's space until it is dropped itself.
        with self.file as file:
            return np.memmap(file, dtype=np.int16, mode="r")

    def _spill(self) -> None:
        with no_space_as_error(Path(tempfile.gettempdir())):
            if self.file is None:
                self.file = tempfile.TemporaryFile(prefix="smallvoice-", suffix=".pcm")  # noqa: SIM115 (`joined`)
            for block in self.blocks:
                self.file.write(block.tobytes())
            self.file.flush()
        self.blocks.clear()
