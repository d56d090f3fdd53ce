"""Kaldi's `wav.scp` may hold a command that writes a recording. It is never run.

Where a command only decodes one file, that file can be read directly; `decoded_file` says which. It knows the
programs that Kaldi recipes use and, for each, the options that change nothing but the container or the
sampling rate (every recording becomes 16 kHz anyway). Any other option, program, pipe or shell character:
None, and a ledger row.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedFile:
    """The one file that a command decodes."""

    path: str
    channel: int | None = None
    """From 0; None: all."""


_SHELL = set("|&;<>()$`*?[]{}~\n")


def decoded_file(command: str) -> DecodedFile | None:
    """The file that a `wav.scp` command (`flac -c -d -s FILE |`) only decodes, or None."""
    body = command.strip().removesuffix("|")
    if set(body) & _SHELL:
        return None
    try:
        program, *words = shlex.split(body)
    except ValueError:
        return None
    reader = {"cat": _cat, "flac": _flac, "sph2pipe": _sph2pipe, "sox": _sox, "ffmpeg": _ffmpeg}.get(
        PurePosixPath(program).name
    )
    return reader(words) if reader else None


def _cat(words: list[str]) -> DecodedFile | None:
    return _only(words)


def _flac(words: list[str]) -> DecodedFile | None:
    flags = {"-c", "-d", "-s", "--stdout", "--decode", "--silent", "--totally-silent"}
    bundles = {word for word in words if word.startswith("-") and set(word[1:]) <= set("cds")}
    if not any(word == "--decode" or (word in bundles and "d" in word) for word in words):
        return None
    return _only([word for word in words if word not in flags | bundles])


def _sph2pipe(words: list[str]) -> DecodedFile | None:
    files, channel = [], None
    rest = iter(words)
    for word in rest:
        if word == "-f":
            if next(rest, "") not in ("wav", "rif"):
                return None
        elif word == "-c":
            chosen = next(rest, "")
            if chosen not in ("1", "2"):
                return None
            channel = int(chosen) - 1
        elif word != "-p":
            files.append(word)
    return _only(files, channel)


def _sox(words: list[str]) -> DecodedFile | None:
    """`sox [-t TYPE] FILE [-t wav] [-r RATE] [-c 1] [-b 16] [-e KIND] - [remix N]`"""
    files: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "-":
            break
        if word in ("-t", "-b", "-e", "--bits", "--encoding"):
            next(rest, "")
        elif word in ("-r", "--rate"):
            # Before the input it says how to misread the file; a low rate after it takes frequencies away.
            if not files or not _keeps_speech(next(rest, "")):
                return None
        elif word in ("-c", "--channels"):
            if not files or next(rest, "") != "1":
                return None
        elif word not in ("-G", "-D", "-q", "-V0", "-V1", "--no-dither", "--no-show-progress"):
            files.append(word)
    effects = list(rest)
    channel = None
    if len(effects) == 2 and effects[0] == "remix" and effects[1].isdigit() and int(effects[1]) > 0:
        channel = int(effects[1]) - 1
    elif effects and not (len(effects) == 2 and effects[0] == "rate" and _keeps_speech(effects[1])):
        return None
    return _only(files, channel)


def _ffmpeg(words: list[str]) -> DecodedFile | None:
    files: list[str] = []
    outputs = []
    rest = iter(words)
    for word in rest:
        if word == "-i":
            files.append(next(rest, "-"))
        elif word in ("-f", "-acodec", "-c:a", "-codec:a", "-sample_fmt", "-v", "-loglevel", "-threads"):
            next(rest, "")
        elif word == "-ar":
            if not files or not _keeps_speech(next(rest, "")):
                return None
        elif word == "-ac":
            if not files or next(rest, "") != "1":
                return None
        elif word not in ("-nostdin", "-hide_banner", "-vn", "-y", "-nostats"):
            outputs.append(word)
    return _only(files) if outputs in (["-"], ["pipe:1"], ["pipe:"]) else None


def _keeps_speech(rate: str) -> bool:
    """Whether audio at this rate still holds what 16 kHz audio holds."""
    hertz = rate.lower().removesuffix("k")
    if not hertz.isdigit():
        return False
    return int(hertz) * (1000 if rate.lower().endswith("k") else 1) >= 16_000


def _only(files: list[str], channel: int | None = None) -> DecodedFile | None:
    """The single file, unless there are several or an option was taken for one."""
    if len(files) != 1 or files[0].startswith("-") or not files[0]:
        return None
    return DecodedFile(path=files[0], channel=channel)
