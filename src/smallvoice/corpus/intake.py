"""The first pass of `prepare`: sources in, rows without a split and a draft of the ledger out.

Who is in which split is decided when all rows are known, so rows wait in shards of their own. The draft of
the ledger has one line for every segment and orphan file, in order; those of rows say `"fate": "waiting"`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from smallvoice.corpus.audio import SAMPLING_RATE, AudioError, Int16, Recording16k, encode_flac, load_16k
from smallvoice.corpus.building import check_room
from smallvoice.corpus.pseudonyms import Known, Pseudonyms
from smallvoice.corpus.segment import Cut, Impossible, cut
from smallvoice.corpus.select import Selection
from smallvoice.corpus.shards import ShardWriter
from smallvoice.corpus.sources import Source
from smallvoice.corpus.split import Unit, hash_order
from smallvoice.corpus.transcripts import read
from smallvoice.corpus.transcripts.segment import Note, Problem, Recording, Segment
from smallvoice.corpus.utterance import Role, Utterance
from smallvoice.recipe import CorpusRecipe
from smallvoice.storage import json_line

ADULT_YEARS = 18
_KNOWN_BEFORE_DECODING = frozenset(
    {"text", "language", "speaker", "age_years", "gender", "role", "session", "split", "source"}
)


@dataclass
class Survey:
    """What reading the transcripts alone tells."""

    people: list[Known] = field(default_factory=list)
    num_items: int = 0
    """Segments, unusable lines and orphan files."""
    brings: dict[str, set[str]] = field(default_factory=dict)
    """Source name -> the splits that its layout brings."""
    units: set[tuple[str, str]] = field(default_factory=set)
    """Source and name of each speaker, session or recording that needs a place in a split."""
    notes: list[str] = field(default_factory=list)


def survey(sources: list[Source]) -> Survey:
    """Read all transcripts, no audio.

    Raises:
        InputError: a source is missing, empty, or of no known shape.
    """
    found = Survey()
    people: dict[tuple[str, str, str], Known] = {}
    for source in sources:
        brings = found.brings.setdefault(source.name, set())
        for item in read(source.path):
            if isinstance(item, Note):
                found.notes.append(f"{source.name}: {item.message}")
                continue
            found.num_items += len(item.segments) if isinstance(item, Recording) else 1
            if item.split:
                brings.add(item.split)
            if isinstance(item, Recording) and not (source.split or item.split):
                place = item.session or item.path
                found.units |= {(source.name, segment.speaker or place) for segment in item.segments}
            for person in _people(source, item):
                people[person.key] = person
    found.people = list(people.values())
    return found


def _people(source: Source, item: Recording | Problem) -> Iterator[Known]:
    if item.session is not None:
        yield Known(kind="session", source=source.name, name=item.session)
    lost = (item.segment,) if isinstance(item, Problem) and item.segment else ()
    for segment in item.segments if isinstance(item, Recording) else lost:
        if segment.speaker is not None:
            yield Known(
                kind="speaker",
                source=source.name,
                name=segment.speaker,
                age_years=segment.age_years,
                gender=segment.gender,
            )


@dataclass(slots=True)
class _Candidate:
    """A segment on its way to a row."""

    source: Source
    recording: Recording
    segment: Segment
    row: dict[str, Any]
    """The columns, as they become known."""
    entry: dict[str, Any]
    """Its line in the ledger, but for the fate."""


_WHO = ("speaker", "age_years", "gender", "language")
"""Columns that the ledger keeps too: a test's lost words are still somebody's."""


@dataclass
class Intake:
    """Takes recordings apart into rows that wait for their split."""

    recipe: CorpusRecipe
    selection: Selection | None
    pseudonyms: Pseudonyms
    brings: dict[str, set[str]]
    rows: ShardWriter
    draft: IO[str]
    """Lines of the ledger."""
    report: Callable[[int, str], None]
    """Told the number of items done, and of which source."""
    units: dict[str, Unit] = field(default_factory=dict)
    num_without_speaker: dict[str, set[str]] = field(default_factory=lambda: {"session": set(), "recording": set()})
    num_drafted: int = 0
    _seen: dict[str, str] = field(default_factory=dict)

    def take(self, source: Source) -> None:
        """Every item of a source: each ends as one line of the draft ledger."""
        for item in read(source.path):
            if isinstance(item, Problem):
                self._problem(source, item)
            elif isinstance(item, Recording):
                self._recording(source, item)
                check_room(self.rows.folder)
            self.report(self.num_drafted, source.name)

    def _problem(self, source: Source, problem: Problem) -> None:
        segment = problem.segment or Segment(where=problem.where, text="")
        row = self._row(source, problem, segment)
        entry = {
            "source": source.name,
            "where": problem.where,
            "unit": row["speaker"] or row["session"],
            "brought": row["split"],
            "text": row["text"] or None,
            **{name: row[name] for name in _WHO},
        }
        if problem.segment and self.selection and self.selection.rejects(row):
            self._selected(entry, row)
        else:
            self._drop(entry, problem.reason, problem.detail)

    @property
    def _early_selection(self) -> bool:
        """Whether the selection can be made without reading the audio."""
        return self.selection is not None and self.selection.columns <= _KNOWN_BEFORE_DECODING

    def _recording(self, source: Source, recording: Recording) -> None:
        wanted: list[tuple[int, _Candidate]] = []
        for number, segment in enumerate(recording.segments):
            row = self._row(source, recording, segment)
            candidate = _Candidate(source, recording, segment, row, _entry(source, recording, segment, row))
            if not row["text"]:
                self._drop(candidate.entry, "no text", "")
            elif not self._early_selection or self._selected(candidate.entry, row):
                wanted.append((number, candidate))
        if not wanted:
            return
        try:
            audio = load_16k(recording.audio, recording.channel)
        except AudioError as error:
            for _, candidate in wanted:
                self._drop(candidate.entry, error.reason, error.detail)
            return
        # Segments that are not wanted are still neighbours.
        cuts = cut(
            recording.segments,
            len(audio.samples),
            margin_s=self.recipe.margin_s,
            max_segment_s=self.recipe.max_segment_s,
        )
        name = _recording_name(recording, audio)
        for number, candidate in wanted:
            candidate.row["recording"] = name
            candidate.entry["unit"] = candidate.entry["unit"] or name
            span = cuts[number]
            if isinstance(span, Impossible):
                self._drop(candidate.entry, span.reason, span.detail)
            else:
                self._utterance(candidate, audio, span)

    def _utterance(self, candidate: _Candidate, audio: Recording16k, span: Cut) -> None:
        row, entry = candidate.row, candidate.entry
        samples = np.ascontiguousarray(audio.samples[span.start : span.end])
        row["id"] = _id(candidate, audio, span)
        row["start_s"] = span.start / SAMPLING_RATE
        row["end_s"] = span.end / SAMPLING_RATE
        row["duration_s"] = len(span) / SAMPLING_RATE
        if self.selection and not self._early_selection and not self._selected(entry, row):
            return
        if row["id"] in self._seen:
            self._drop(entry, "given twice", f"the same audio and text as {self._seen[row['id']]}")
            return
        self._seen[row["id"]] = entry["where"]
        utterance = Utterance(
            # A row waits with the split that its source brings; where there is none, with no name at all.
            **{**row, "split": row["split"] or ""},
            audio=encode_flac(samples),
            extra=_extra(samples, audio, span),
        )
        self.rows.add(utterance)
        self._unit(candidate, utterance)
        self._write(entry | {"fate": "waiting", "filter": span.too_long})

    def _row(self, source: Source, origin: Recording | Problem, segment: Segment) -> dict[str, Any]:
        """What is known of a segment before its audio is read, by column; the rest is None."""
        return {
            "id": None,
            "duration_s": None,
            "start_s": None,
            "end_s": None,
            "recording": None,
            "text": " ".join(segment.text.split()),
            "language": segment.language or source.language or self.recipe.language,
            "speaker": self.pseudonyms.of("speaker", source.name, segment.speaker),
            "age_years": segment.age_years,
            "gender": segment.gender,
            "role": segment.role or _role(segment.age_years),
            "session": self.pseudonyms.of("session", source.name, origin.session),
            "split": source.split or origin.split,
            "source": source.name,
        }

    def _selected(self, entry: dict[str, Any], row: dict[str, Any]) -> bool:
        """Whether the user wants the row; if not, that is its fate."""
        assert self.selection is not None
        if self.selection.accepts(row):
            return True
        why = self.selection.why_not(row)
        self._drop(entry, f"not selected: {why}" if why.endswith(" is unknown") else "not selected", why)
        return False

    def _unit(self, candidate: _Candidate, row: Utterance) -> None:
        """Note who speaks, for the split."""
        source, recording = candidate.source, candidate.recording
        name = candidate.segment.speaker or recording.session or recording.path
        if row.speaker is None:
            self.num_without_speaker["session" if row.session else "recording"].add(row.recording)
        earlier = self.units.get(row.unit)
        brings = self.brings[source.name]
        self.units[row.unit] = Unit(
            name=row.unit,
            order=hash_order(source.name, name),
            age_years=row.age_years,
            gender=row.gender,
            brought=frozenset({row.split} - {""}) | (earlier.brought if earlier else frozenset()),
            may_be_dev=source.split is None and "train" in brings and "dev" not in brings,
        )

    def _drop(self, entry: dict[str, Any], reason: str, detail: str) -> None:
        self._write(entry | {"fate": "dropped", "reason": reason, "detail": detail})

    def _write(self, entry: dict[str, Any]) -> None:
        self.draft.write(json_line(entry))
        self.num_drafted += 1


def _entry(source: Source, recording: Recording, segment: Segment, row: dict[str, Any]) -> dict[str, Any]:
    """The line of the ledger, as far as it is known before the fate."""
    return {
        "source": source.name,
        "where": segment.where,
        "recording": recording.path,
        "unit": row["speaker"] or row["session"],
        "brought": row["split"],
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "text": row["text"],
        **{name: row[name] for name in _WHO},
    }


def _extra(samples: Int16, audio: Recording16k, span: Cut) -> dict[str, Any]:
    flags = [*span.flags, *(["silent"] if samples.min() == samples.max() else [])]
    extra: dict[str, Any] = {"flags": flags} if flags else {}
    if (span.own_start, span.own_end) != (span.start, span.end):
        extra["segment_start_s"] = span.own_start / SAMPLING_RATE
        extra["segment_end_s"] = span.own_end / SAMPLING_RATE
    if audio.source_rate != SAMPLING_RATE:
        extra["source_sampling_rate"] = audio.source_rate
    return extra


def _role(age_years: float | None) -> Role:
    if age_years is None:
        return "unknown"
    return "child" if age_years < ADULT_YEARS else "adult"


def _recording_name(recording: Recording, audio: Recording16k) -> str:
    """A pseudonym that the samples make unguessable: a file's name may be a child's."""
    return "R" + _hash(recording.path, recording.channel, audio.samples.astype("<i2", copy=False).data)[:8]


def _id(candidate: _Candidate, audio: Recording16k, span: Cut) -> str:
    recording, own = candidate.recording, audio.samples[span.own_start : span.own_end]
    times = (span.own_start, span.own_end)
    return _hash(recording.path, recording.channel, own.astype("<i2").data, *times, candidate.row["text"])[:16]


def _hash(*parts: Any) -> str:
    """sha256 of values and raw samples, hexadecimal."""
    found = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes | memoryview) else f"{part}\0".encode()
        found.update(raw)
    return found.hexdigest()
