"""Audio that libsndfile cannot open, through PyAV: m4a, mp4, webm, mkv, mov, aac, wma, amr, 3gp, avi, MP3 after junk.

FFmpeg knows formats that name other files or addresses (playlists); only plain containers are let in here, and only
decoders of audio. It reads from a file that is open already, so it has no way to another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,amr,aac,avi,mpegts,mpeg,ogg,ac3,mp3"
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
    """The first audio stream of an open container.

    Raises:
        CannotDecode: its first packet is damaged, or there is none.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        import av

        self._av = av
        self._container = container
        self._stream = stream
        self._frames = _decoded(container, stream)
        first = next(self._frames, None)
        if first is None:
            raise CannotDecode("audio of zero length", "the file holds no samples")
        self._first = first
        # Not those of the container: AAC can have twice its rate and its channels.
        self.rate: int = first.sample_rate
        """In Hz."""
        self.num_channels: int = first.layout.nb_channels
        # One plane with all channels: PyAV 18 counts the planes of eight channels wrongly and reads where nothing is.
        self._pack = av.AudioResampler("flt", first.layout, first.sample_rate)

    def blocks(self, num_values: int) -> Iterator[Float]:
        """Samples (num_samples, num_channels) in -1..1, about `num_values` values at once.

        Raises:
            CannotDecode: a packet is damaged, the end is missing, or the format changes midway.
        """
        held: list[Float] = []
        num_held = 0
        for samples in self._stretches(num_values):
            held.append(samples)
            num_held += samples.size
            if num_held >= num_values:
                yield np.concatenate(held)
                held, num_held = [], 0
        if held:
            yield np.concatenate(held)

    def _stretches(self, num_values: int) -> Iterator[Float]:
        num_samples = num_silent = 0
        timed = self._container.format.name.startswith(_TIMED)
        begin_s = (self._container.start_time or 0) / 1e6
        for frame in chain([self._first], self._frames):
            if (frame.sample_rate, frame.layout.nb_channels) != (self.rate, self.num_channels):
                was = f"{self.num_channels} channels at {self.rate} Hz"
                now = f"{frame.layout.nb_channels} at {frame.sample_rate} Hz"
                raise CannotDecode("audio changes midway", f"{was}, then {now}")
            silence = _silence(frame, begin_s + num_samples / self.rate, self.rate) if timed else 0
            num_silent += silence
            if num_silent > _MAX_SILENCE:
                raise CannotDecode("audio damaged", f"its clock jumps by {silence / self.rate:.0f} s")
            num_samples += silence + frame.samples
            length = max(1, num_values // self.num_channels)
            for start in range(0, silence, length):
                yield np.zeros((min(length, silence - start), self.num_channels), np.float32)
            yield from self._samples(frame)
        self._check_length(num_samples / self.rate, timed)

    def _samples(self, frame: Any) -> Iterator[Float]:
        """A frame of any sample format as (num_samples, num_channels) in -1..1."""
        try:
            for packed in self._pack.resample(frame):
                count = packed.samples * self.num_channels
                yield np.frombuffer(memoryview(packed.planes[0]), np.float32, count).reshape(-1, self.num_channels)
        except (self._av.error.FFmpegError, ValueError) as error:
            raise CannotDecode("audio damaged", _said(error)) from None

    def _check_length(self, duration_s: float, timed: bool) -> None:
        stream, container = self._stream, self._container
        promised_s = 0.0
        if timed and stream.duration:
            promised_s = float(stream.duration * stream.time_base)
        elif timed and container.duration and len(container.streams) == 1:
            promised_s = container.duration / 1e6
        if duration_s < promised_s - max(_SHORT_S, 0.01 * promised_s):
            raise CannotDecode("audio truncated", f"{duration_s:.2f} s of {promised_s:.2f} s can be read")


@contextmanager
def open_av(file: IO[bytes], *, unfinished_wav: bool = False) -> Iterator[AvAudio]:
    """Open the first audio stream of a file.

    Args:
        unfinished_wav: it is a WAV whose header was never finished: it is read to the end.

    Raises:
        CannotDecode: no container or codec that is known here, or no audio in it.
    """
    import av
    import av.logging

    av.logging.set_level(av.logging.PANIC)
    options = {"format_whitelist": _CONTAINERS, "codec_whitelist": _DECODERS}
    if unfinished_wav:
        options |= {"format_whitelist": "wav", "ignore_length": "1"}
    try:
        container = av.open(file, "r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise CannotDecode("not audio", _said(error)) from None
    with container:
        if not container.streams.audio:
            raise CannotDecode("no audio", f"{container.format.name} without a sound track")
        yield AvAudio(container, container.streams.audio[0])


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The frames of a stream, every failure a CannotDecode."""
    import av

    num_samples = rate = 0
    try:
        for frame in container.decode(stream):
            num_samples, rate = num_samples + frame.samples, frame.sample_rate
            yield frame
    except (av.error.FFmpegError, ValueError) as error:
        if not num_samples and container.format.name == "mp3":  # FFmpeg takes any bytes for it
            raise CannotDecode("not audio", _said(error)) from None
        raise CannotDecode("audio damaged", f"after {num_samples / max(rate, 1):.2f} s: {_said(error)}") from None


def _silence(frame: Any, now_s: float, rate: int) -> int:
    """Samples of silence between what was decoded so far and a frame."""
    gap_s = 0.0 if frame.time is None else frame.time - now_s
    return round(gap_s * rate) if gap_s > _GAP_S else 0


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")
