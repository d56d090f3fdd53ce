"""Kaldi data folders: https://kaldi-asr.org/doc/data_prep.html

    text        UTTERANCE words ...
    wav.scp     RECORDING path, or a command ending in `|` (never run; see commands.py)
    segments    UTTERANCE RECORDING start end [channel]      optional: without it, one a recording
    utt2spk     UTTERANCE SPEAKER                            optional: without it, the speaker is unknown
    spk2age, spk2gender, utt2lang, spk2lang                  optional

Columns are separated by spaces or tabs. Paths in `wav.scp` are relative to the folder, to the source, or to a folder
that the user gives (`audio`); files elsewhere are not read, whatever `wav.scp` says. A folder that holds
`train`, `eval` or `test_children`, itself or in `data`, is read as one source that brings its own split, with every
other Kaldi folder beside them.
"""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from smallvoice.corpus.transcripts.commands import decoded_file
from smallvoice.corpus.transcripts.fields import split_in, split_of_folder
from smallvoice.corpus.transcripts.files import is_audio, is_file, links_out, relative, walk
from smallvoice.corpus.transcripts.lines import read_lines
from smallvoice.corpus.transcripts.neighbours import with_neighbours
from smallvoice.corpus.transcripts.people import UNKNOWN, age_of, gender_of
from smallvoice.corpus.transcripts.segment import Item, Note, Problem, Reader, Recording, Segment, number
from smallvoice.recipe import CorpusRecipe

_ADVICE = {"audio outside the folder": "; allow its folder with --set audio=[DIR]"}
_READ_TABLES = frozenset({"spk2age", "spk2gender", "spk2lang", "spk2utt"})


def recognises(folder: Path) -> bool:
    return is_kaldi(folder) or any(split for _, split in _parts(folder))


def read(folder: Path, recipe: CorpusRecipe) -> Iterator[Item]:
    """Every utterance, unusable line and orphan file of a Kaldi folder, or of all that it or its `data` holds."""
    used: set[Path] = set()
    audio = [Path(given).expanduser() for given in recipe.audio]
    parts = _parts(folder)
    readers = [_Part(source=folder, folder=part, split=split, used=used, audio=audio) for part, split in parts]
    yield from with_neighbours(_once(readers))
    if any(split_of_folder(part.name) is None for part, _ in parts if part != folder):
        named = ", ".join(f"{relative(part, folder)} ({split or 'none'})" for part, split in parts)
        yield Note(message=f"Kaldi folders, and the split that each name is taken for: {named}.")
    read_folders = {part for part, _ in parts}
    for path in walk(folder):
        if is_audio(path) and path not in used:
            yield Problem(
                where=relative(path, folder),
                reason="audio without transcript",
                detail="no wav.scp names this file",
            )
        elif path.name == "text" and path.parent not in read_folders and is_kaldi(path.parent):
            detail = "it stands too deep to be read with the others: give it as another source"
            yield Problem(where=relative(path, folder), reason="another Kaldi folder", detail=detail)
    yield from links_out(folder)


def _once(parts: list[_Part]) -> Iterator[Item]:
    """What the parts hold, without speech that one before has already given: in other words it is no other speech."""
    given: dict[tuple[object, ...], str] = {}
    for part in parts:
        own: dict[tuple[object, ...], str] = {}
        for item in part.items():
            if not isinstance(item, Recording):
                yield item
                continue
            kept = []
            for segment in item.segments:
                place = (item.audio, item.channel, segment.start_s, segment.end_s)
                if place in given:
                    detail = f"as {given[place]} says"
                    yield Problem(
                        where=segment.where,
                        reason="given twice",
                        detail=detail,
                        segment=segment,
                        split=item.split,
                        session=item.session,
                    )
                    continue
                own[place] = segment.where
                kept.append(segment)
            if kept or not item.segments:
                yield replace(item, segments=tuple(kept))
        given |= own


def _parts(folder: Path) -> list[tuple[Path, str | None]]:
    """The Kaldi folders of a source, and the split that each is called by.

    Folders such as `all` and `train_sp` repeat utterances, and the first of two is kept: so `train`, `dev` and `test`
    come first, and what names no split last.
    """
    if is_kaldi(folder):
        return [(folder, None)]
    tops = [top for top in (folder, folder / "data") if top.is_dir() and os.access(top, os.R_OK | os.X_OK)]
    inside = [part for top in tops for part in sorted(top.iterdir()) if not part.name.startswith(".")]
    found = [part for part in inside if is_kaldi(part)]
    ranked = sorted(found, key=lambda part: (_split(part) is None, split_of_folder(part.name) is None))
    return [(part, _split(part)) for part in ranked]


def _split(part: Path) -> str | None:
    return split_of_folder(part.name) or split_in(part.name)


def is_kaldi(folder: Path) -> bool:
    return is_file(folder / "text") and is_file(folder / "wav.scp")


@dataclass(frozen=True, slots=True)
class _Cell:
    """What a line says after its first column."""

    value: str
    where: str


@dataclass(frozen=True, slots=True)
class _Span:
    recording: str
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None


@dataclass
class _Part:
    """One Kaldi folder of a source. Its text files are held in memory, its audio never."""

    source: Path
    folder: Path
    split: str | None
    used: set[Path]
    """The audio files that some wav.scp names; this part adds its own."""
    audio: list[Path]
    """Where the user says that audio may lie besides."""
    problems: list[Problem] = field(default_factory=list)

    def items(self) -> Iterator[Item]:
        texts = self._table("text")
        audio = self._table("wav.scp")
        spans = self._spans(texts)
        by_recording: dict[str, dict[int | None, list[Segment]]] = defaultdict(lambda: defaultdict(list))
        for utterance, segment in self._segments(texts, spans):
            span = spans.get(utterance)
            if span is None:
                self._lose_segment(segment, "transcript without audio", f"segments has no line for {utterance}")
            elif span.recording not in audio:
                self._lose_segment(segment, "transcript without audio", f"wav.scp has no {span.recording}")
            else:
                by_recording[span.recording][span.channel].append(segment)
        for name, cell in audio.items():
            yield from self._recordings(name, cell, by_recording.get(name, {}))
        yield from self.problems
        yield from self._unread_tables()

    def _segments(self, texts: dict[str, _Cell], spans: dict[str, _Span]) -> Iterator[tuple[str, Segment]]:
        speakers, languages, speaker_languages = map(self._about, ("utt2spk", "utt2lang", "spk2lang"))
        ages = {speaker: age_of(value) for speaker, value in self._about("spk2age").items()}
        genders = self._about("spk2gender")
        for utterance, cell in texts.items():
            speaker = speakers.get(utterance)
            known = speaker or ""
            yield (
                utterance,
                Segment(
                    where=cell.where,
                    text=cell.value,
                    start_s=spans[utterance].start_s if utterance in spans else None,
                    end_s=spans[utterance].end_s if utterance in spans else None,
                    speaker=speaker,
                    age_years=ages.get(known),
                    gender=gender_of(genders.get(known)),
                    language=languages.get(utterance) or speaker_languages.get(known),
                ),
            )

    def _recordings(self, name: str, cell: _Cell, by_channel: dict[int | None, list[Segment]]) -> Iterator[Recording]:
        path, own_channel, reason = self._located(cell.value)
        if path is not None:
            self.used.add(path)
        if not by_channel:
            self._lose(cell.where, "audio without transcript", f"no utterance is of {name}")
        for channel, segments in by_channel.items():
            if path is None:
                for segment in segments:
                    self._lose_segment(segment, reason, f"{cell.where}: {cell.value}{_ADVICE.get(reason, '')}")
                continue
            yield Recording(
                audio=path,
                path=self._stable_name(path, cell.value, name),
                channel=own_channel if channel is None else channel,
                split=self.split,
                segments=tuple(segments),
            )

    def _located(self, entry: str) -> tuple[Path | None, int | None, str]:
        """The file that a wav.scp entry means and its channel, or the reason why there is none."""
        channel = None
        if entry.endswith("|"):
            decoded = decoded_file(entry)
            if decoded is None:
                return None, None, "wav.scp entry is a command"
            entry, channel = decoded.path, decoded.channel
        outside = False
        for base in (self.folder, self.source, *self.audio):
            path = Path(os.path.normpath(base / entry))
            if is_file(path):
                # Whoever wrote the folder may not choose which of the user's files are read.
                real = path.resolve()
                if any(real.is_relative_to(given.resolve()) for given in (base, self.source, *self.audio)):
                    return path, channel, ""
                outside = True
        above = list(self.folder.absolute().parents)[:3]  # s5/data/train: paths are often relative to s5
        outside = outside or any(is_file(base / entry) for base in above)
        return None, None, "audio outside the folder" if outside else "transcript without audio"

    def _stable_name(self, path: Path, entry: str, recording: str) -> str:
        """A name of the recording that is the same wherever the corpus lies."""
        if path.is_relative_to(self.source):
            return relative(path, self.source)
        if not entry.endswith("|") and not Path(entry).is_absolute():
            return posixpath.normpath(entry)
        return f"{recording}/{path.name}"

    def _spans(self, texts: dict[str, _Cell]) -> dict[str, _Span]:
        """Where each utterance lies; without `segments`, each is the recording of its own name."""
        if not (self.folder / "segments").is_file():
            return {utterance: _Span(utterance) for utterance in texts}
        spans = {}
        for utterance, cell in self._table("segments").items():
            span = _span(cell.value)
            if utterance not in texts:
                self._lose(cell.where, "audio without transcript", f"text has no {utterance}")
            elif span is None:
                text = texts.pop(utterance)
                found = f"{cell.where}: expected UTTERANCE RECORDING start end, found {utterance} {cell.value}"
                self._lose(text.where, "bad line", found, Segment(where=text.where, text=text.value))
            else:
                spans[utterance] = span
        return spans

    def _table(self, name: str) -> dict[str, _Cell]:
        """First column -> the rest of the line; a line that cannot be used is a problem."""
        table: dict[str, _Cell] = {}
        for line_number, line in read_lines(self.folder / name):
            where = f"{relative(self.folder / name, self.source)}:{line_number}"
            if line is None:
                self._lose(where, "not UTF-8", "")
                continue
            key, value = _two_columns(line)
            if key in table:
                found = f"{key} is also at {table[key].where}"
                self._lose(
                    where, "name given twice", found, Segment(where=where, text=value) if name == "text" else None
                )
            elif not value and name != "text":
                self._lose(where, "bad line", f"{key} stands alone")
            else:
                table[key] = _Cell(value, where)
        return table

    def _about(self, name: str) -> dict[str, str]:
        """A table about utterances or speakers, where there is one; `unknown` and its like are left out."""
        if not (self.folder / name).is_file():
            return {}
        pairs = (_two_columns(line) for _, line in read_lines(self.folder / name) if line is not None)
        return {key: value for key, value in pairs if value.lower() not in UNKNOWN}

    def _unread_tables(self) -> Iterator[Note]:
        """Say what is not used: a table of the lab's own may hold names, so none goes into rows unasked."""
        for path in sorted(self.folder.glob("spk2*")):
            if path.name not in _READ_TABLES:
                yield Note(message=f"{relative(path, self.source)} is not read.")
        bad = {value for value in self._about("spk2age").values() if age_of(value) is None}
        if bad:
            place = relative(self.folder / "spk2age", self.source)
            yield Note(message=f"{place}: not a number of years, so unknown: {', '.join(sorted(bad)[:5])}.")

    def _lose_segment(self, segment: Segment, reason: str, detail: str) -> None:
        self._lose(segment.where, reason, detail, segment)

    def _lose(self, where: str, reason: str, detail: str, segment: Segment | None = None) -> None:
        self.problems.append(Problem(where=where, reason=reason, detail=detail, segment=segment, split=self.split))


def _two_columns(line: str) -> tuple[str, str]:
    columns = line.split(maxsplit=1)
    return columns[0], columns[1].strip() if len(columns) == 2 else ""


def _span(value: str) -> _Span | None:
    """RECORDING start end [channel]; Kaldi writes -1 for an end at the end of the recording."""
    columns = value.split()
    if len(columns) not in (3, 4) or (len(columns) == 4 and columns[3] not in ("0", "1")):
        return None
    start_s, end_s = number(columns[1]), number(columns[2])
    if start_s is None or end_s is None:
        return None
    channel = int(columns[3]) if len(columns) == 4 else None
    return _Span(columns[0], start_s, None if end_s == -1 else end_s, channel)


READER = Reader(
    name="kaldi",
    shape="a Kaldi data folder: text, wav.scp, utt2spk, and optionally segments, spk2age, spk2gender; "
    "or folders of that kind, called train, dev, test, test_children ...",
    recognises=recognises,
    read=read,
)
