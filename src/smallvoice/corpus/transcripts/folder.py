"""Any folder of recordings and transcripts, in whatever formats and at any depth; or one transcript file.

A transcript's recording is the one that it names, else the one of its own name, beside it or anywhere in the
source. Folders called `train`, `dev` and `test` at the top, or in `data`, bring the source's own split. Where
nobody says who speaks, the folder of a recording is its session, so that what was recorded together stays
together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from smallvoice.corpus.transcripts import formats
from smallvoice.corpus.transcripts.document import Document, FileReader, Unreadable
from smallvoice.corpus.transcripts.fields import split_of_folder
from smallvoice.corpus.transcripts.files import is_audio, links_out, relative, walk
from smallvoice.corpus.transcripts.locate import AudioFiles
from smallvoice.corpus.transcripts.segment import Item, Note, Problem, Recording, Segment
from smallvoice.recipe import CorpusRecipe

_SHOWN = 5
_HEARD = ("not transcribed", "tier not chosen", "role not chosen")
"""Why something is no row that is heard in the recording all the same."""
_TABLES = frozenset({"csv", "tsv", "xlsx", "jsonl"})


def recognises(folder: Path, recipe: CorpusRecipe) -> bool:
    """Whether the folder, or a folder in it, holds audio or a transcript."""
    return any(is_audio(path) or formats.detect(path, recipe) for path in walk(folder))


def read(path: Path, recipe: CorpusRecipe) -> Iterator[Item]:
    """Every segment, unusable line and file without a partner, each exactly once.

    Args:
        path: a folder, or one transcript, whose recordings lie in its folder or below.
    """
    return _Source(path, recipe).items()


@dataclass(slots=True)
class _Transcript:
    path: Path
    reader: FileReader
    audio: frozenset[Path] = frozenset()
    """The recordings that it describes."""


@dataclass
class _Source:
    path: Path
    recipe: CorpusRecipe
    folder: Path = field(init=False)
    """What names are relative to."""
    top: Path | None = field(init=False)
    """The folder that holds train and test."""
    audio: AudioFiles = field(init=False)
    used: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder = self.path if self.path.is_dir() else self.path.parent
        tops = (top for top in (self.folder, self.folder / "data") if top.is_dir())
        self.top = next((top for top in tops if _has_splits(top)), None)
        self.audio = AudioFiles(self.folder, walk(self.folder))

    def items(self) -> Iterator[Item]:
        transcripts, others = self._transcripts()
        for group in self._groups(transcripts):
            yield from self._read(group)
        if self.path.is_dir():
            yield from self._without_transcript()
            yield from links_out(self.folder)
        if others:
            names = ", ".join(relative(path, self.folder) for path in others[:_SHOWN])
            more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
            many = len(others) > 1
            what = f"{len(others)} other files are not transcripts" if many else "1 other file is not a transcript"
            yield Note(message=f"{what}: {names}{more}.")

    def _transcripts(self) -> tuple[list[_Transcript], list[Path]]:
        """The files that are transcripts, and those that are neither that nor audio."""
        files = [self.path] if self.path.is_file() else [path for path in walk(self.folder) if not is_audio(path)]
        found: list[_Transcript] = []
        others: list[Path] = []
        for path in files:
            reader = formats.detect(path, self.recipe)
            if reader is None:
                others.append(path)
            else:
                found.append(_Transcript(path, reader))
        return found, others

    def _groups(self, transcripts: list[_Transcript]) -> Iterator[list[_Transcript]]:
        """Transcripts that share a recording, together. They are parsed to know, and not kept: memory stays small."""
        group_of: dict[Path, list[_Transcript]] = {}
        for transcript in transcripts:
            document = self._parse(transcript)
            if isinstance(document, Document):
                places = (self._audio_of(transcript, document, segment) for segment in document.segments)
                transcript.audio = frozenset(place for place in places if isinstance(place, Path))
            group = [transcript]
            for path in sorted(transcript.audio):
                for other in group_of.get(path, []):
                    if other not in group:
                        group.append(other)
            for member in group:
                for path in member.audio:
                    group_of[path] = group
        # In the order of the files, whoever joined whom.
        seen: set[Path] = set()
        for transcript in transcripts:
            if transcript.path not in seen:
                group = group_of[min(transcript.audio)] if transcript.audio else [transcript]
                seen |= {member.path for member in group}
                yield sorted(group, key=lambda member: (formats.FILE_READERS.index(member.reader), member.path))

    def _read(self, group: list[_Transcript]) -> Iterator[Item]:
        """The recordings of transcripts that share some."""
        taken_from: dict[Path, FileReader] = {}
        given: dict[tuple[object, ...], str] = {}
        segments: dict[tuple[Path, int | None, str | None, str | None], list[Segment]] = defaultdict(list)
        unwritten: dict[Path, list[Segment]] = defaultdict(list)
        for transcript in group:
            document = self._parse(transcript)
            if isinstance(document, Problem):
                yield document
                continue
            for message in document.notes:
                yield Note(message=f"{relative(transcript.path, self.folder)}: {message}")
            for problem in document.problems:
                yield self._placed(problem, transcript)
                lost = problem.segment
                if problem.reason.startswith(_HEARD) and lost is not None and lost.start_s is not None:
                    place = self._audio_of(transcript, document, lost)
                    if isinstance(place, Path) and taken_from.get(place, transcript.reader) is transcript.reader:
                        unwritten[place].append(lost)
            if not document.segments and not document.problems:
                where = relative(transcript.path, self.folder)
                yield Problem(where=where, reason="no segment", detail="the transcript holds none")
            for segment in document.segments:
                audio = self._audio_of(transcript, document, segment)
                if isinstance(audio, str):
                    yield self._lost(transcript, segment, "transcript without audio", audio)
                elif taken_from.setdefault(audio, transcript.reader) is not transcript.reader:
                    detail = f"{taken_from[audio].name} says more than {transcript.reader.name}"
                    yield self._lost(transcript, segment, "another transcript is used", detail)
                elif (known := given.setdefault(_said(audio, segment), segment.where)) != segment.where and (
                    segment.start_s is None or known.rpartition(":")[0] != segment.where.rpartition(":")[0]
                ):
                    yield self._lost(transcript, segment, "given twice", f"as {known} says")
                else:
                    split, session = self._place(audio, segment)
                    if transcript.reader.name in _TABLES:  # Common Voice: train.tsv, dev.tsv, test.tsv
                        split = split or split_of_folder(transcript.path.stem)
                    # The folder's session is that of the whole recording: its unnamed speakers are not another one.
                    segments[audio, segment.channel, split, segment.session].append(segment)
            self._note_media(transcript, document)
        for (audio, channel, split, session), members in segments.items():
            all_known = all(segment.speaker for segment in members)
            session = session or self._place(audio, None)[1]
            self.used.add(audio)
            yield Recording(
                audio=audio,
                path=relative(audio, self.folder),
                channel=channel,
                split=split,
                session=members[0].session or (None if all_known else session),
                segments=tuple(members),
                unwritten=tuple(lost for lost in unwritten[audio] if _is_apart(lost, channel, members)),
            )

    def _parse(self, transcript: _Transcript) -> Document | Problem:
        where = relative(transcript.path, self.folder)
        try:
            return transcript.reader.parse(transcript.path, where, self.recipe)
        except Unreadable as error:
            split, session = self._place(transcript.path, None)
            return Problem(where=where, reason=error.reason, detail=error.detail, split=split, session=session)

    def _audio_of(self, transcript: _Transcript, document: Document, segment: Segment) -> Path | str:
        """The recording of a segment, or why there is none."""
        beside = transcript.path.parent
        if segment.recording:
            return self.audio.named(segment.recording, beside)
        for name in document.media:
            found = self.audio.named(name, beside)
            if isinstance(found, Path) and self.audio.belongs(found, transcript.path):
                return found
        own = self.audio.of_transcript(transcript.path)
        if own and self.audio.belongs(own[0], transcript.path):
            return own[0]
        named = f", nor {document.media[0]}" if document.media else ""
        return f"there is no audio called {transcript.path.stem}{named}"

    def _note_media(self, transcript: _Transcript, document: Document) -> None:
        """A recording whose transcript held nothing usable is not one without transcript: that was said already."""
        if not any(isinstance(self._audio_of(transcript, document, segment), Path) for segment in document.segments):
            names = [self.audio.named(name, transcript.path.parent) for name in document.media]
            own = self.audio.of_transcript(transcript.path)
            self.used |= {path for path in [*names, *own[:1]] if isinstance(path, Path) and document.problems}

    def _without_transcript(self) -> Iterator[Problem]:
        """Audio that no transcript claims."""
        by_stem = {path.with_suffix(""): path for path in self.used}
        for path in self.audio.paths:
            if path in self.used:
                continue
            twin = by_stem.get(path.with_suffix(""))
            split, session = self._place(path, None)
            yield Problem(
                where=relative(path, self.folder),
                reason="audio without transcript",
                detail=f"{twin.name} is taken" if twin else "no transcript names it, and none has its name",
                split=split,
                session=session,
            )

    def _placed(self, problem: Problem, transcript: _Transcript) -> Problem:
        split, session = self._place(transcript.path, problem.segment)
        return replace(problem, split=problem.split or split, session=problem.session or session)

    def _lost(self, transcript: _Transcript, segment: Segment, reason: str, detail: str) -> Problem:
        split, session = self._place(transcript.path, segment)
        return Problem(where=segment.where, reason=reason, detail=detail, segment=segment, split=split, session=session)

    def _place(self, path: Path, segment: Segment | None) -> tuple[str | None, str | None]:
        """The split and the session that the transcript or, where it is silent, the folders say."""
        top = self.top or self.folder
        folders = path.relative_to(top).parts[:-1] if path.is_relative_to(top) else ()
        split = split_of_folder(folders[0]) if self.top and folders else None
        session = "/".join(folders[1:] if split else folders) or None
        if segment is not None:
            session = segment.session or (None if segment.speaker else session)
            split = segment.split or split
        return split, session


def _has_splits(folder: Path) -> bool:
    return any(split_of_folder(path.name) and path.is_dir() for path in folder.iterdir())


def _said(audio: Path, segment: Segment) -> tuple[object, ...]:
    """What makes two lines of two transcripts one: the same words in the same place."""
    return audio, segment.channel, segment.start_s, segment.end_s, segment.text


def _is_apart(lost: Segment, channel: int | None, members: list[Segment]) -> bool:
    """Whether lost speech is not just another tier of what is in the rows: words or phones of the same."""
    if channel is not None and lost.channel not in (None, channel):
        return False
    start, end = lost.start_s or 0.0, lost.end_s
    return end is not None and not any(
        one.speaker == lost.speaker
        and one.start_s is not None
        and one.end_s is not None
        and one.start_s < end
        and start < one.end_s
        for one in members
    )
