"""Audio files of any rate and channel count -> 16 kHz mono, and 16-bit FLAC in memory.

A recording is streamed, whatever its length: read in blocks, mixed to mono, resampled, rounded to 16 bits.
What is 16 kHz, 16-bit and mono already comes through bit for bit.
"""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from smallvoice.errors import InputError
from smallvoice.storage import no_space_as_error

SAMPLING_RATE = 16_000
"""Whisper's, and so the corpus's, in Hz."""

_BLOCK = 1 << 18
"""Samples read at once: 16 s at 16 kHz."""
_IN_MEMORY = 64 << 20
"""Bytes of 16 kHz audio (35 minutes) above which a recording is held in a temporary file, not in memory."""
_FULL_SCALE = 32_768
_UNKNOWN_LENGTH = 1 << 62
"""libsndfile's frame count of a FLAC stream that does not say its length is about 2^63."""
_MP3_SLACK = 4 * 1152
"""Samples: decoders disagree by a few frames of 1152 on the delay and padding of an MP3."""

Float = NDArray[np.float32]
Int16 = NDArray[np.int16]


class AudioError(InputError):
    """A file that cannot be used as audio; `reason` is short and countable, `detail` says what was found."""

    def __init__(self, path: Path, reason: str, detail: str) -> None:
        super().__init__(f"{path}: {reason}: {detail}.")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording16k:
    """A whole recording, mono at 16 kHz."""

    samples: Int16
    """(num_samples,); memory-mapped when long."""
    source_rate: int
    """The file's own sampling rate in Hz."""


def read_audio(path: Path, start: int = 0, num_samples: int | None = None) -> tuple[Float, int]:
    """Read a file, or `num_samples` of it from sample `start`, without reading what lies before.

    Returns:
        Samples (num_samples, num_channels) in -1..1, and the sampling rate in Hz.

    Raises:
        AudioError: the file is missing, empty, truncated, of zero length, or not audio.
    """
    with _opened(path) as file:
        if not 0 <= start <= file.frames:
            raise AudioError(path, "no such sample", f"sample {start} of {file.frames} was asked for")
        file.seek(start)
        samples = file.read(-1 if num_samples is None else num_samples, dtype="float32", always_2d=True)
        if num_samples is None:
            _check_complete(path, file, start + len(samples))
        return samples, file.samplerate


def load_16k(path: Path, channel: int | None = None) -> Recording16k:
    """Read a whole recording as 16 kHz mono: one channel of it, or the mean of all.

    Raises:
        AudioError: the file is missing, empty, truncated, of zero length, not audio, or lacks the channel.
        ResourceError: no room for the temporary file of a long recording.
    """
    with _opened(path) as file:
        if channel is not None and channel >= file.channels:
            raise AudioError(path, "no such channel", f"channel {channel} of {file.channels} was asked for")
        held = _Samples()
        resample = _resampler(file.samplerate)
        num_read = 0
        while True:
            block = file.read(_BLOCK, dtype="float32", always_2d=True)
            num_read += len(block)
            if not np.isfinite(block).all():
                raise AudioError(path, "not audio", "it holds samples that are not numbers (NaN or infinity)")
            held.append(to_int16(resample(_mono(block, channel), len(block) < _BLOCK)))
            if len(block) < _BLOCK:
                break
        _check_complete(path, file, num_read)
        return Recording16k(samples=held.joined(), source_rate=file.samplerate)


def to_mono_16k(samples: Float, rate: int) -> Float:
    """Samples (num_samples, num_channels) or (num_samples,) at `rate` Hz -> (num_samples_at_16k,)."""
    return _resampler(rate)(_mono(samples.reshape(len(samples), -1), None), True)


def to_int16(samples: Float) -> Int16:
    """-1..1 to 16 bits: rounded, and clipped where resampling overshot."""
    return np.clip(np.rint(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


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


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """A sound file open for reading, every failure an AudioError."""
    if not path.is_file():
        raise AudioError(path, "audio missing", "there is no such file")
    try:
        size = path.stat().st_size
        if size == 0:
            raise AudioError(path, "audio empty", "the file has 0 bytes")
        _check_wav_length(path, size)
    except OSError as error:
        raise AudioError(path, "audio unreadable", str(error.strerror)) from None
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames == 0:
                raise AudioError(path, "audio of zero length", "the file holds no samples")
            yield file
    except soundfile.SoundFileError as error:
        found = str(error).removeprefix(f"Error opening {str(path)!r}: ").removeprefix("Error : ").rstrip(".")
        if "lost sync" in found or "bad stream" in found:
            raise AudioError(path, "audio truncated", found) from None
        raise AudioError(
            path, "not audio", f"{found}; WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF and NIST SPHERE are read"
        ) from None


def _check_complete(path: Path, file: soundfile.SoundFile, num_read: int) -> None:
    slack = _MP3_SLACK if file.format == "MP3" else 0
    if num_read == 0:
        raise AudioError(path, "audio of zero length", "the file holds no samples")
    if file.frames < _UNKNOWN_LENGTH and num_read + slack < file.frames:
        found = f"{num_read / file.samplerate:.2f} s of {file.frames / file.samplerate:.2f} s can be read"
        raise AudioError(path, "audio truncated", found)


def _check_wav_length(path: Path, size: int) -> None:
    """Refuse a WAV whose header promises more than the file holds: libsndfile silently reads the rest."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return
        file.seek(12)
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                # A program that writes to a pipe cannot know the length and puts a huge number there.
                if length < 0x7FFF_0000 and file.tell() + length > size:
                    raise AudioError(
                        path,
                        "audio truncated",
                        f"the header promises {length} bytes of audio, {size - file.tell()} follow",
                    )
                return
            file.seek(length + length % 2, io.SEEK_CUR)


def _mono(block: Float, channel: int | None) -> Float:
    """(num_samples, num_channels) -> (num_samples,)."""
    if channel is not None:
        return block[:, channel]
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)


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
