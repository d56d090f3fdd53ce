"""Which audio file a transcript means.

Only files of the source are ever answered: a name is looked up among them and never opened as a path, so
`../../x`, `/etc/passwd` or a link that leads out of the source find nothing.
"""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from smallvoice.corpus.transcripts.files import is_audio, relative

_PREFERRED = (".wav", ".flac")
"""Of several files of one name, the lossless one."""


class AudioFiles:
    """The audio files of a source, by what transcripts may call them."""

    def __init__(self, folder: Path, files: Iterable[Path]) -> None:
        self.folder = folder
        every = list(files)
        self.paths = [path for path in every if is_audio(path)]
        self._by_path = {_composed(relative(path, folder)): path for path in self.paths}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        # Where files of one name lie in several folders, each means the audio of its own folder.
        self._folders_of: dict[str, set[Path]] = defaultdict(set)
        for path in every:
            self._folders_of[path.name.lower()].add(path.parent)
        for path in sorted(self.paths, key=_preference):
            self._by_name[_composed(path.name.lower())].append(path)
            self._by_stem[_composed(path.stem.lower())].append(path)

    def belongs(self, audio: Path, transcript: Path) -> bool:
        """Whether a recording elsewhere may be this transcript's: not where another folder has its namesake."""
        if audio.parent == transcript.parent or len(self._folders_of[transcript.name.lower()]) < 2:
            return True
        return bool(_common(audio.parts[-2::-1], transcript.parts[-2::-1]))

    def named(self, name: str, beside: Path) -> Path | str:
        """The file that a transcript calls `name` (a path, a file name, a URL, or a name without suffix).

        Args:
            beside: the transcript's folder, which is preferred where several files have the name.

        Returns:
            The file, or why there is none.
        """
        plain = _plain(name)
        if not plain:
            return "no name"
        place = relative(beside, self.folder) if beside != self.folder else "."
        for start in (place, "."):
            path = posixpath.normpath(posixpath.join(start, plain))
            for candidate in (path, *(f"{path}{suffix}" for suffix in _PREFERRED)):
                if candidate in self._by_path:
                    return self._by_path[candidate]
        last = PurePosixPath(plain).name.lower()
        for table, key in ((self._by_name, last), (self._by_stem, last), (self._by_stem, _stem(last))):
            if table.get(key) and not (key == _stem(last) and _is_numbered(last)):
                return _nearest(table[key], plain, beside, is_relative=not _is_absolute(name))
        return f"there is no {PurePosixPath(plain).name} in the source"

    def has_name_of(self, transcript: Path) -> bool:
        """Whether a recording is called exactly as the transcript is, the last suffix of each apart."""
        return _stem(_composed(transcript.name.lower())) in self._by_stem

    def of_transcript(self, transcript: Path) -> list[Path]:
        """The files that have the transcript's name, the preferred first: those beside it, else a single one."""
        stem = _composed(transcript.name.lower())
        while (stem := _stem(stem)) and stem not in self._by_stem:
            if "." not in stem or _is_numbered(stem):
                return []
        found = self._by_stem.get(stem, [])
        here = [path for path in found if path.parent == transcript.parent]
        return here or (found if len({path.with_suffix("") for path in found}) == 1 else [])


def _plain(name: str) -> str:
    """A path or URL as forward slashes, without drive or scheme."""
    text = _composed(name.strip().replace("\\", "/"))
    if "://" in text:
        text = _composed(unquote(urlsplit(text).path))
    return posixpath.normpath(text.lstrip("/")) if text.strip("/.") else ""


def _composed(name: str) -> str:
    """`ë` as one character: some disks hold it as two."""
    return unicodedata.normalize("NFC", name)


def _is_absolute(name: str) -> bool:
    """A path of some computer: of its folders the source need not have any."""
    text = name.strip().replace("\\", "/")
    return text.startswith("/") or "://" in text or text[1:3] == ":/"


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _is_numbered(name: str) -> bool:
    """`a.2`: not `a`, but the second of several."""
    return name.rpartition(".")[2].isdecimal()


def _nearest(paths: list[Path], name: str, beside: Path, *, is_relative: bool) -> Path | str:
    """Of several files of one name: the one beside the transcript, else the one whose folders fit best.

    `anna/001.wav` is never `ben/001.wav`, be it the only one.
    """
    folders = PurePosixPath(name).parts[-2::-1]
    if is_relative and folders and folders[0] != "..":
        paths = [path for path in paths if _common(path.parts[-2::-1], folders)]
        if not paths:
            return f"there is no {name} in the source"
    if len({path.with_suffix("") for path in paths}) == 1:
        return paths[0]
    here = [path for path in paths if path.parent == beside]
    if here:
        return here[0]
    wanted = PurePosixPath(name).parts[-2::-1]
    fits = [_common(path.parts[-2::-1], wanted) for path in paths]
    best = max(fits)
    if best and fits.count(best) == 1:
        return paths[fits.index(best)]
    return f"{len(paths)} files of the source are called {PurePosixPath(name).name}"


def _common(parts: tuple[str, ...], wanted: tuple[str, ...]) -> int:
    count = 0
    for part, other in zip(parts, wanted, strict=False):
        if part.lower() != other.lower():
            break
        count += 1
    return count


def _preference(path: Path) -> tuple[bool, bool, str]:
    return path.suffix.lower() not in _PREFERRED, path.suffix.lower() != ".wav", path.as_posix()
