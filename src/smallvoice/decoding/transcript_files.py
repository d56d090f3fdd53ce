"""The files of a transcript: which are there, of which recording and by which model, and what is still to be written.

The JSON holds the whole transcript and is written first, so that every other format is made from it and nothing is
decoded twice. It lists the formats that are finished (`formats`), and those that smallvoice has written before and
that are not of this transcript (`older`): both may be written over where they are as smallvoice left them (`written`,
their sha256; without one they were being written), and nothing else: what somebody has put right in Praat stays. What
is older and as it was left is written again with a new transcript, whether it is asked for or not, so that no two files
beside each other say other words. It says whose transcript it is by the sha256 of the recording's content, and by a
digest of where the recording lies.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from smallvoice.decoding import writers
from smallvoice.decoding.recordings import Identity
from smallvoice.decoding.writers import Transcript
from smallvoice.errors import InputError, SmallvoiceError
from smallvoice.scoring.read_aloud import TABLE
from smallvoice.storage import SCHEMA_VERSION, file_digest, read_json, write_text

log = logging.getLogger(__name__)

_SUFFIXES = "|".join(writers.SUFFIXES.get(name, name) for name in writers.FORMATS)
_HALF_WRITTEN = re.compile(rf"\..+\.({_SUFFIXES})\.\w{{8}}\.part")
_LONGEST_NAME = 213
"""Bytes of a recording's name that its transcript keeps: a file system takes 255, with a digest and a suffix."""


@dataclass(frozen=True)
class Files:
    """What smallvoice has written at a target."""

    out: Path
    """Without a suffix."""
    kept: dict[str, Any]
    """The JSON; empty where there is none, or it is somebody else's."""

    @property
    def recording(self) -> dict[str, Any]:
        """The `Identity` of the recording; empty where there is no transcript, or it does not say."""
        found: dict[str, Any] = self.kept.get("recording", {})
        return found

    def has(self, key: str, formats: list[str]) -> bool:
        """Whether the formats are finished, of the transcript of this key, and none of another can be renewed."""
        return self.kept.get("key") == key and not self._missing(key, formats)

    def transcript(self, key: str) -> Transcript | None:
        """What was decoded before with this key."""
        if self.kept.get("key") != key:
            return None
        return writers.from_json({"schema_version": SCHEMA_VERSION, **self.kept})

    def require_ours(self, key: str, formats: list[str]) -> None:
        """Refuse to write over a file that smallvoice has not written, or that somebody has changed since.

        Raises:
            InputError: there is one.
        """
        ours = self._ours()
        for name in sorted(self._missing(key, formats)):
            path = _file(self.out, name)
            if not path.exists():
                continue
            if name not in ours:
                raise InputError(f"{path}: is there, and smallvoice has not written it. Take another --out.")
            if path.is_file() and not self._as_left(name):
                raise InputError(
                    f"{path}: somebody has changed it, and recording, model or options are others now. "
                    "Take another --out."
                )

    def write(self, transcript: Transcript, formats: list[str]) -> None:
        """Every format that is not finished, whole: the JSON before them, and again when all are there."""
        key = transcript.facts["key"]
        missing = self._missing(key, formats)
        for name in sorted(self._older(key) - missing):
            path = _file(self.out, name)
            log.warning("%s: somebody has changed it: it stays, and is not of the transcript that is there now.", path)
        finished = self._finished(key) - missing | {"json"}
        older = self._ours() | missing
        written = {name: digest for name, digest in self.kept.get("written", {}).items() if name not in missing}
        transcript.facts["written"] = written
        if missing - {"json"}:
            self._write_json(transcript, finished, older - finished)
        for name in sorted(missing - {"json"}):
            write_text(_file(self.out, name), writers.FORMATS[name](transcript))
            written[name] = file_digest(_file(self.out, name))
        self._write_json(transcript, finished | missing, older - finished - missing)

    def _write_json(self, transcript: Transcript, formats: set[str], older: set[str]) -> None:
        transcript.facts.update(formats=sorted(formats), older=sorted(older))
        write_text(_file(self.out, "json"), writers.as_json(transcript))

    def _missing(self, key: str, formats: list[str]) -> set[str]:
        """What is asked for and not finished, and what is of another transcript and as smallvoice left it."""
        finished = self._finished(key)
        asked = {name for name in formats if name not in finished or not _file(self.out, name).is_file()}
        return asked | {name for name in self._older(key) if self._as_left(name)}

    def _finished(self, key: str) -> set[str]:
        return set(self.kept.get("formats", [])) if self.kept.get("key") == key else set()

    def _older(self, key: str) -> set[str]:
        """Formats but the JSON that are there, and that smallvoice wrote of another transcript."""
        others = (self._ours() - self._finished(key) - {"json"}).intersection(writers.FORMATS)
        return {name for name in others if _file(self.out, name).is_file()}

    def _as_left(self, name: str) -> bool:
        """Whether nobody has changed the file since; where smallvoice was stopped while it wrote, it has no digest."""
        return self.kept.get("written", {}).get(name) in (None, file_digest(_file(self.out, name)))

    def _ours(self) -> set[str]:
        return {*self.kept.get("formats", []), *self.kept.get("older", [])}


def place(target: Path, recording: Identity, taken: set[Path]) -> Files:
    """Where the transcript of a recording goes: to where it is already, wherever the recording lay then; else, if what
    lies at the recording's place has changed, to where that one's was; else to the first name that is nobody's.

    The names are the recording's without its suffix, with it, and with a digest of the content.

    Args:
        target: of the recording's name, in the folder of its transcript.
        taken: by other recordings of this command, which may have the same content.
    """
    names = dict.fromkeys((target.stem, target.name))
    found = [files_at(target.with_name(_short(name))) for name in names if f"{name}.csv".casefold() != TABLE]
    marked = f"{_short(target.name)}-{recording.content[:12]}"
    for number in count(1):
        found.append(files_at(target.with_name(marked if number == 1 else f"{marked}-{number}")))
        if not found[-1].recording and found[-1].out not in taken:
            break
    left = [files for files in found if files.out not in taken]
    same = [files for files in left if files.recording.get("content") == recording.content]
    here = [files for files in left if recording.place and files.recording.get("place") == recording.place]
    free = [files for files in left if not files.recording]
    return [*(files for files in same if files in here), *same, *here, *free][0]


def _short(name: str) -> str:
    """A name that leaves room for a digest and a suffix."""
    kept = os.fsencode(name)
    if len(kept) <= _LONGEST_NAME:
        return name
    return f"{kept[:200].decode('utf-8', 'ignore')}-{hashlib.sha256(kept).hexdigest()[:12]}"


def files_at(out: Path) -> Files:
    """What is there of a transcript; `out` is without a suffix."""
    return Files(out, _kept(out))


def _kept(out: Path) -> dict[str, Any]:
    """The JSON that smallvoice has written before; nothing where there is none, or it is somebody else's."""
    try:
        content = read_json(_file(out, "json"))
    except SmallvoiceError:
        return {}
    lists = [content.get("formats"), content.get("older", [])]
    ours = all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists)
    return content if ours and all(isinstance(content.get(name, {}), dict) for name in ("recording", "written")) else {}


def remove_half_written(folders: Iterable[Path]) -> None:
    """What a process that was killed while it wrote has left; whoever calls this has the folders for itself."""
    for folder in folders:
        for left in folder.glob(".*.part"):
            if _HALF_WRITTEN.fullmatch(left.name):
                left.unlink(missing_ok=True)


def _file(out: Path, name: str) -> Path:
    return out.with_name(f"{out.name}.{writers.SUFFIXES.get(name, name)}")
