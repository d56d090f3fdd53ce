"""The espeak-ng synthesiser, from the shared library that the package `espeakng-loader` carries.

espeak-ng is GPL-3 and no part of smallvoice: it is an optional extra, and it runs in a process of its own. The
process also makes it repeatable: the library keeps state from one utterance to the next (the phase of its
flutter, for one) that only a fresh process resets.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from smallvoice.errors import MissingDependency, require

# speak_lib.h
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_POSITION_CHARACTER = 1
_UTF8 = 1
_PARAMETERS = {"words_per_minute": 1, "pitch": 3, "pitch_range": 4}
_LONGEST_PATH = 120
"""Bytes. The library keeps its folder in a fixed buffer (160 bytes in 1.52) and fails on a longer path."""
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True, kw_only=True)
class Speech:
    """One utterance to be spoken."""

    text: str
    voice: str
    """A voice and perhaps a variant: `en-us+f3`."""
    words_per_minute: int
    """80 to 450."""
    pitch: int
    """0 to 100; 50 is the voice's own."""
    pitch_range: int
    """0 to 100; 0 is monotone."""
    seed: int
    """Of the noise in the voice."""


def synthesise(speeches: Sequence[Speech]) -> tuple[int, list[NDArray[np.int16]]]:
    """Speak in order. Equal arguments give equal samples (same library, same machine).

    Returns:
        The sampling rate in Hz, and for each utterance its samples (num_samples,).

    Raises:
        MissingDependency: espeakng-loader is not installed, or its library cannot be used here.
    """
    require("espeakng_loader", extra="demo", why="Synthetic speech")
    lines = "".join(json.dumps(dataclasses.asdict(speech)) + "\n" for speech in speeches)
    done = subprocess.run([sys.executable, "-m", __name__], input=lines.encode(), capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise MissingDependency(
            f"espeak-ng (package espeakng-loader) cannot be used on this machine: {reason[-1]}. "
            "Install it again: pip install --force-reinstall espeakng-loader"
        )
    rate = struct.unpack_from("<I", done.stdout)[0]
    return rate, list(_utterances(done.stdout[4:], len(speeches)))


def _utterances(stream: bytes, count: int) -> Iterator[NDArray[np.int16]]:
    position = 0
    for _ in range(count):
        (num_bytes,) = struct.unpack_from("<I", stream, position)
        yield np.frombuffer(stream, "<i2", count=num_bytes // 2, offset=position + 4)
        position += 4 + num_bytes


def _serve(requests: TextIO, answers: BinaryIO) -> None:
    """The process: one `Speech` a line in; the rate, then length and samples of each utterance out."""
    loader = require("espeakng_loader", extra="demo", why="Synthetic speech")
    library = ctypes.CDLL(loader.get_library_path())
    heard: list[bytes] = []

    def on_samples(samples: int | None, num_samples: int, _events: int | None) -> int:
        if samples and num_samples > 0:
            heard.append(ctypes.string_at(samples, 2 * num_samples))
        return 0

    callback = _CALLBACK(on_samples)
    with _short_path(Path(loader.get_data_path())) as data:
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data), _DONT_EXIT)
        if rate <= 0:
            raise SystemExit(f"its data at {data} cannot be loaded")
        library.espeak_SetSynthCallback(callback)
        answers.write(struct.pack("<I", rate))
        for line in requests:
            heard.clear()
            _speak(library, Speech(**json.loads(line)))
            samples = b"".join(heard)
            answers.write(struct.pack("<I", len(samples)) + samples)
        answers.flush()


def _speak(library: ctypes.CDLL, speech: Speech) -> None:
    text = speech.text.encode() + b"\0"
    statuses = [library.espeak_SetVoiceByName(speech.voice.encode())]
    statuses += [library.espeak_SetParameter(number, getattr(speech, name), 0) for name, number in _PARAMETERS.items()]
    # Without it the noise is seeded by the clock.
    library.espeak_ng_SetRandSeed(ctypes.c_long(speech.seed))
    statuses.append(
        library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
    )
    statuses.append(library.espeak_Synchronize())
    if any(statuses):
        raise SystemExit(f"it refused {speech} (status {statuses})")


@contextmanager
def _short_path(path: Path) -> Iterator[Path]:
    """A path to the same folder that the library's buffer holds."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="espeak-") as folder:
        link = Path(folder) / path.name
        link.symlink_to(path)
        yield link


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout.buffer)
