"""Any folder of recordings and transcripts, in whatever formats and at any depth; or one transcript file.

A transcript's recording is the one that it names, else the one of its own name, beside it or anywhere in the
source. Of several that give a recording as a whole one is read: the one of exactly its name, else the first. Folders
called `train`, `dev` and `test` at the top, or in `data`, bring the source's own split. Where nobody says who speaks,
the folder of a recording is its session, so that what was recorded together stays together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from smallvoice.corpus.transcripts import formats, plain
from smallvoice.corpus.transcripts.document import Document, FileReader, Unreadable, head_of
from smallvoice.corpus.transcripts.fields import split_in, split_of_folder
from smallvoice.corpus.transcripts.files import is_audio, links_out, relative, walk
from smallvoice.corpus.transcripts.locate import AudioFiles
from smallvoice.corpus.transcripts.neighbours import with_neighbours
from smallvoice.corpus.transcripts.segment import Item, Note, Problem, Recording, Segment
from smallvoice.corpus.transcripts.taken import Taken
from smallvoice.recipe import CorpusRecipe

_SHOWN = 5
_HEARD = ("not transcribed", "tier not chosen", "role not chosen")
"""Why something is no row that is heard in the recording all the same."""
_TABLES = frozenset({"csv", "tsv", "xlsx", "jsonl"})
_NOT_VALIDATED = "not validated"


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
    words_alone: bool = False
    """As of its document."""

    @property
    def split(self) -> str | None:
        """The split that the name of a table says: Common Voice's `train.tsv`, NeMo's `train_manifest.json`."""
        if self.reader.name not in _TABLES:
            return None
        stem = self.path.stem
        return split_of_folder(stem) or (split_in(stem) if "manifest" in stem.lower() else None)


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
    several: list[str] = field(default_factory=list)
    """Transcripts that are not read, each with the one that is."""

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
        if self.several:
            count = f"{len(self.several)} transcripts of whole recordings are not read, for each has another one"
            yield Note(message=f"{count}: {', '.join(self.several[:_SHOWN])}.")
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
                transcript.words_alone = document.words_alone
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
                yield sorted(group, key=self._rank)

    def _rank(self, transcript: _Transcript) -> tuple[int, bool, bool, bool, Path]:
        """The less, the earlier it is read, and what is read first is taken."""
        reader = plain.TEXT if transcript.words_alone else transcript.reader
        is_namesake = self.audio.has_name_of(transcript.path)
        is_of_split = transcript.split is not None
        return (
            formats.FILE_READERS.index(reader),
            transcript.words_alone,
            not is_of_split,
            not is_namesake,
            transcript.path,
        )

    def _read(self, group: list[_Transcript]) -> Iterator[Item]:
        """The recordings of transcripts that share some."""
        taken = Taken()
        segments: dict[tuple[Path, int | None, str | None, str | None], list[Segment]] = defaultdict(list)
        unwritten: dict[Path, list[Segment]] = defaultdict(list)
        for transcript in group:
            document = self._parse(transcript)
            if isinstance(document, Problem):
                yield document
                continue
            where = relative(transcript.path, self.folder)
            for message in document.notes:
                yield Note(message=f"{where}: {message}")
            for problem in document.problems:
                yield self._placed(problem, transcript)
                lost = problem.segment
                is_unread = problem.reason == _NOT_VALIDATED
                if lost is None or not (is_unread or (problem.reason.startswith(_HEARD) and lost.start_s is not None)):
                    continue
                place = self._audio_of(transcript, document, lost)
                if isinstance(place, Path) and is_unread:
                    self.used.add(place)
                elif isinstance(place, Path) and taken.reader_of.get(place, transcript.reader) is transcript.reader:
                    unwritten[place].append(lost)
            if not document.segments and not document.problems:
                yield Problem(where=where, reason="no segment", detail="the transcript holds none")
            for segment in document.segments:
                audio = self._audio_of(transcript, document, segment)
                if isinstance(audio, str):
                    yield self._lost(transcript, segment, "transcript without audio", audio)
                elif why := taken.why_not(audio, transcript.reader, segment, where):
                    yield self._lost(transcript, segment, *why)
                else:
                    split = self._place(audio, segment)[0] or transcript.split
                    # The folder's session is that of the whole recording: its unnamed speakers are not another one.
                    segments[audio, segment.channel, split, segment.session].append(segment)
            self._note_media(transcript, document)
        self.several += [one for one in taken.several if one not in self.several]
        yield from with_neighbours(self._recordings(segments, unwritten))

    def _recordings(
        self,
        segments: dict[tuple[Path, int | None, str | None, str | None], list[Segment]],
        unwritten: dict[Path, list[Segment]],
    ) -> Iterator[Recording]:
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
            document = transcript.reader.parse(transcript.path, where, self.recipe)
        except Unreadable as error:
            split, session = self._place(transcript.path, None)
            return Problem(where=where, reason=error.reason, detail=error.detail, split=split, session=session)
        if self.path.is_dir() and _is_not_validated(transcript.path):
            return _without(document, _NOT_VALIDATED, "train.tsv or validated.tsv beside it has what is")
        medium = self._medium(transcript, document)
        return document.later_by(medium[1]) if medium else document

    def _medium(self, transcript: _Transcript, document: Document) -> tuple[Path, float] | None:
        """The first recording of those that the document names, and how much later its times are."""
        for index, name in enumerate(document.media):
            found = self.audio.named(name, transcript.path.parent)
            if isinstance(found, Path) and self.audio.belongs(found, transcript.path):
                return found, document.shifts_s[index] if document.shifts_s else 0.0
        return None

    def _audio_of(self, transcript: _Transcript, document: Document, segment: Segment) -> Path | str:
        """The recording of a segment, or why there is none."""
        if segment.recording:
            return self.audio.named(segment.recording, transcript.path.parent)
        if medium := self._medium(transcript, document):
            return medium[0]
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


def _is_not_validated(path: Path) -> bool:
    """Whether a table is of Common Voice's clips that listeners rejected, reported, or have not judged yet."""
    if path.name.lower() not in ("invalidated.tsv", "other.tsv", "reported.tsv"):
        return False
    has_validated = any((path.parent / name).is_file() for name in ("train.tsv", "validated.tsv"))
    return has_validated and "client_id" in head_of(path).text.partition("\n")[0].split("\t")


def _without(document: Document, reason: str, detail: str) -> Document:
    """A document of which nothing is taken."""
    lost = [
        Problem(where=segment.where, reason=reason, detail=detail, segment=segment) for segment in document.segments
    ]
    return replace(document, segments=(), problems=(*document.problems, *lost))


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
