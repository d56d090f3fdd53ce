"""Audio that libsndfile cannot open, through PyAV: m4a, mp4, webm, mkv, mov, aac, wma, amr, 3gp, avi.

FFmpeg knows formats that name other files or addresses (playlists); only plain containers are let in here, and only
decoders of audio. It reads from a file that is open already, so it has no way to another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,amr,aac,avi,mpegts,mpeg,wav,ogg,ac3"
_DECODERS = (
    "aac,aac_latm,ac3,adpcm_g722,adpcm_g726,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,alac,amrnb,amrwb,eac3,flac,g723_1,"
    "g729,gsm,gsm_ms,libopus,libspeex,mp1float,mp2float,mp3float,mp1,mp2,mp3,opus,pcm_alaw,pcm_bluray,pcm_dvd,"
    "pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,"
    "pcm_s8,pcm_u8,qdm2,qdmc,speex,vorbis,wmalossless,wmapro,wmav1,wmav2,wmavoice"
)
_TIMED = ("mov", "matroska", "asf", "mpegts")
"""Containers whose packets say exactly when they sound. A recorder may leave out silence (Opus DTX), or begin after
the video; a transcript's times count it."""
_GAP_S = 0.1
_MAX_SILENCE = 30_000_000
"""Samples of silence that are filled in: ten minutes at 48 kHz. More is a damaged file."""
_SHORT_S = 1.0
"""A recording may be so much shorter than its header says: the last packet, the delay of the decoder."""


class CannotDecode(Exception):
    """`reason` is short and countable, `detail` says what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class AvAudio:
    """The first audio stream of an open container."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container = container
        self._stream = stream
        self.rate: int = stream.codec_context.sample_rate
        """In Hz; known for certain with the first block."""
        self.num_channels: int = stream.codec_context.channels

    def blocks(self, num_values: int) -> Iterator[Float]:
        """Samples (num_samples, num_channels) in -1..1, at most about `num_values` values at once.

        Raises:
            CannotDecode: a packet is damaged, the end is missing, or the format changes midway.
        """
        frames = self._frames(num_values)
        held: list[Float] = []
        for samples in frames:
            held.append(samples)
            if sum(map(len, held[-1:])) and len(held) * held[0].size >= num_values:
                yield np.concatenate(held)
                held = []
        if held:
            yield np.concatenate(held)

    def _frames(self, num_values: int) -> Iterator[Float]:
        num_samples = num_silent = 0
        timed = self._container.format.name.startswith(_TIMED)
        begin_s = (self._container.start_time or 0) / 1e6
        for frame in _decoded(self._container, self._stream):
            if (frame.sample_rate, frame.layout.nb_channels) != (self.rate, self.num_channels):
                raise CannotDecode(
                    "audio changes midway",
                    f"{self.num_channels} channels at {self.rate} Hz, then {frame.layout.nb_channels} at "
                    f"{frame.sample_rate} Hz",
                )
            silence = _silence(frame, begin_s + num_samples / self.rate, self.rate) if timed else 0
            num_silent += silence
            if num_silent > _MAX_SILENCE:
                raise CannotDecode("audio damaged", f"its clock jumps by {silence / self.rate:.0f} s")
            num_samples += silence + frame.samples
            for start in range(0, silence, num_values):
                yield np.zeros((min(num_values, silence - start), self.num_channels), np.float32)
            yield _samples(frame, self.num_channels)
        self._check_length(num_samples / self.rate if self.rate else 0.0, timed)

    def _check_length(self, duration_s: float, timed: bool) -> None:
        stream, container = self._stream, self._container
        promised_s = 0.0
        if timed and stream.duration:
            promised_s = float(stream.duration * stream.time_base)
        elif timed and container.duration and len(container.streams) == 1:
            promised_s = container.duration / 1e6
        if 0 < duration_s < promised_s - max(_SHORT_S, 0.01 * promised_s):
            raise CannotDecode("audio truncated", f"{duration_s:.2f} s of {promised_s:.2f} s can be read")


@contextmanager
def open_av(file: IO[bytes]) -> Iterator[AvAudio]:
    """Open the first audio stream of a file.

    Raises:
        CannotDecode: no container or codec that is known here, or no audio in it.
    """
    import av
    import av.logging

    av.logging.set_level(av.logging.PANIC)
    options = {"format_whitelist": _CONTAINERS, "codec_whitelist": _DECODERS}
    try:
        container = av.open(file, "r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise CannotDecode("not audio", _said(error)) from None
    with container:
        if not container.streams.audio:
            raise CannotDecode("no audio", f"{container.format.name} without a sound track")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise CannotDecode("not audio", "its codec is not known")
        yield AvAudio(container, stream)


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The frames of a stream, every failure a CannotDecode."""
    import av

    num_samples = rate = 0
    try:
        for frame in container.decode(stream):
            num_samples, rate = num_samples + frame.samples, frame.sample_rate
            yield frame
    except (av.error.FFmpegError, ValueError) as error:
        raise CannotDecode("audio damaged", f"after {num_samples / max(rate, 1):.2f} s: {_said(error)}") from None


def _silence(frame: Any, now_s: float, rate: int) -> int:
    """Samples of silence between what was decoded so far and a frame."""
    gap_s = 0.0 if frame.time is None else frame.time - now_s
    return round(gap_s * rate) if gap_s > _GAP_S else 0


def _samples(frame: Any, num_channels: int) -> Float:
    """A frame of any sample format as (num_samples, num_channels) in -1..1."""
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, num_channels)
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / 128
    if values.dtype.kind == "i":
        return values.astype(np.float32) / np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
    return values.astype(np.float32)


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")
