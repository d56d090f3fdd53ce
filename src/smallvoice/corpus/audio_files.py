"""Audio files, opened: a stream of blocks, whatever the format, and every failure an AudioError.

libsndfile reads WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF, NIST SPHERE and more; what it does not know goes to PyAV.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
from numpy.typing import NDArray

from smallvoice.corpus.audio_av import AvAudio, CannotDecode, open_av
from smallvoice.corpus.audio_lengths import missing, missing_by_log, unannounced, unfinished_wav
from smallvoice.errors import InputError

MIN_RATE, MAX_RATE = 4_000, 768_000
"""Hz. Below is no speech to be understood; and what a damaged header says must not decide how much memory is taken."""
MAX_CHANNELS = 64

_UNKNOWN_LENGTH = 1 << 62
"""libsndfile's frame count of a FLAC stream that does not say its length is about 2^63."""
_MP3_SLACK = 4 * 1152
"""Samples: decoders disagree by a few frames of 1152 on the delay and padding of an MP3."""
_SPHERE_COMPRESSED = (b"shorten", b"wavpack", b"shortpack")

Block = NDArray[np.float32] | NDArray[np.int16]


class AudioError(InputError):
    """A file that cannot be used as audio; `reason` is short and countable, `detail` says what was found."""

    def __init__(self, path: Path | str, reason: str, detail: str) -> None:
        super().__init__(f"{path}: {reason}: {detail}.")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class OpenAudio:
    """An open recording, read from its start to its end."""

    rate: int
    """In Hz."""
    num_channels: int
    blocks: Iterator[Block]
    """(num_samples, num_channels): float32 in -1..1, or int16 where the file has 16 bits and `pcm_rate`."""


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file that is read once, forwards.

    soundfile seeks to where it is after every read. In an MP3 that is more than a waste: a frame depends on those
    before it, and what follows the seek has other samples, 1/2 of full scale off, or other times.
    """

    def seekable(self) -> bool:
        return False


class _Memory(io.BytesIO):
    """A file in memory. libsndfile's callbacks must not raise, and a damaged header sends them before the start."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


@contextmanager
def opened(source: Path | bytes, name: str, *, num_values: int, pcm_rate: int) -> Iterator[OpenAudio]:
    """Open a file, or the content of one, and read it in blocks of about `num_values` values.

    Args:
        name: what to call it in messages.
        pcm_rate: 16-bit samples at this rate are given as they are.

    Raises:
        AudioError: it is missing, empty, truncated, of zero length, damaged, or not audio; also while it is read.
    """
    with _content(source, name) as (file, size), _failures(name):
        _check_head(file, size, name)
        unfinished = unfinished_wav(file, size)
        file.seek(0)
        readable = source if isinstance(source, bytes) else file.fileno()
        found = "an unfinished WAV" if unfinished else _libsndfile(readable, name)
        if isinstance(found, _SoundFile):
            with found:
                _check_numbers(name, found.samplerate, found.channels)
                if found.frames == 0:
                    raise AudioError(name, "audio of zero length", "the file holds no samples")
                if lost := missing_by_log(found.extra_info):
                    raise AudioError(name, "audio truncated", lost)
                dtype = "int16" if found.subtype == "PCM_16" and found.samplerate == pcm_rate else "float32"
                yield OpenAudio(found.samplerate, found.channels, _sound_blocks(found, name, dtype, num_values))
            return
        file.seek(0)
        with _av(file, name, found, unfinished) as audio:
            _check_numbers(name, audio.rate, audio.num_channels)
            yield OpenAudio(audio.rate, audio.num_channels, audio.blocks(num_values))


@contextmanager
def _content(source: Path | bytes, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """The file open for reading, and its size."""
    if isinstance(source, bytes):
        if not source:
            raise AudioError(name, "audio empty", "it has 0 bytes")
        yield io.BytesIO(source), len(source)
        return
    if not source.is_file():
        raise AudioError(name, "audio missing", "there is no such file")
    try:
        size = source.stat().st_size
        file = source.open("rb", buffering=0)  # libsndfile reads from the same descriptor
    except OSError as error:
        raise AudioError(name, "audio unreadable", str(error.strerror)) from None
    with file:
        if size == 0:
            raise AudioError(name, "audio empty", "the file has 0 bytes")
        yield file, size


@contextmanager
def _failures(name: str) -> Iterator[None]:
    """What the libraries raise while they read, as AudioError."""
    try:
        yield
    except CannotDecode as error:
        raise AudioError(name, error.reason, error.detail) from None
    except soundfile.SoundFileError as error:
        found = _said(error)
        cut = "lost sync" in found or "bad stream" in found
        raise AudioError(name, "audio truncated" if cut else "audio damaged", found) from None


def _check_head(file: IO[bytes], size: int, name: str) -> None:
    """What can be told from the first bytes."""
    try:
        head = file.read(1024)
        if head.startswith(b"NIST_1A") and any(word in head for word in _SPHERE_COMPRESSED):
            raise AudioError(
                name, "compressed SPHERE", "shorten is not read here; convert it: sph2pipe -f wav IN.sph OUT.wav"
            )
        lost, more = missing(file, size), unannounced(file, size)
    except OSError as error:
        raise AudioError(name, "audio unreadable", str(error.strerror)) from None
    if lost:
        raise AudioError(name, "audio truncated", lost)
    if more:
        raise AudioError(name, "audio longer than its header says", more)


def _libsndfile(source: int | bytes, name: str) -> _SoundFile | str:
    """A descriptor or a content opened by libsndfile, or why it cannot open it.

    It is not told the name: by that it would take any bytes for MP3, or for samples without a header.
    """
    try:
        return _SoundFile(_Memory(source) if isinstance(source, bytes) else source, closefd=False)
    except soundfile.SoundFileError as error:
        found = _said(error)
        if "lost sync" in found or "bad stream" in found:
            raise AudioError(name, "audio truncated", found) from None
        return found


@contextmanager
def _av(file: IO[bytes], name: str, sndfile_says: str, unfinished_wav: bool) -> Iterator[AvAudio]:
    """PyAV's turn; where it does not know the file either, libsndfile's reason says more."""
    try:
        with open_av(file, unfinished_wav=unfinished_wav) as audio:
            yield audio
    except CannotDecode as error:
        if error.reason != "not audio":
            raise
        known = "WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF, NIST SPHERE, M4A, MP4, WebM, AAC, WMA and AMR are read"
        raise AudioError(name, "not audio", f"{sndfile_says}; {known}") from None


def _check_numbers(name: str, rate: int, num_channels: int) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(name, "impossible sampling rate", f"{rate} Hz; {MIN_RATE} to {MAX_RATE} are read")
    if not 1 <= num_channels <= MAX_CHANNELS:
        raise AudioError(name, "impossible number of channels", f"{num_channels}; 1 to {MAX_CHANNELS} are read")


def _sound_blocks(file: _SoundFile, name: str, dtype: str, num_values: int) -> Iterator[Block]:
    """Blocks of an open sound file; at the end, whether it was as long as it said."""
    length = max(1, num_values // file.channels)
    num_read = 0
    while len(block := file.read(length, dtype=dtype, always_2d=True)):
        num_read += len(block)
        yield block
        if len(block) < length:
            break
    slack = _MP3_SLACK if file.subtype == "MPEG_LAYER_III" else 0
    if num_read == 0:
        raise AudioError(name, "audio of zero length", "the file holds no samples")
    if file.frames < _UNKNOWN_LENGTH and num_read + slack < file.frames:
        found = f"{num_read / file.samplerate:.2f} s of {file.frames / file.samplerate:.2f} s can be read"
        raise AudioError(name, "audio truncated", found)


def _said(error: Exception) -> str:
    """libsndfile's own words, without its prefix and the file's name."""
    return str(error).rsplit(": ", 1)[-1].removeprefix("Error : ").rstrip(".")
