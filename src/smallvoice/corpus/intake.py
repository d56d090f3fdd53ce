"""The first pass of `prepare`: sources in, rows without a split and a draft of the ledger out.

Who is in which split is decided when all rows are known, so rows wait in shards of their own. The draft of
the ledger has one line for every segment and orphan file, in order; those of rows say `"fate": "waiting"`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from smallvoice.corpus.audio import SAMPLING_RATE, AudioError, Recording16k, encode_flac, load_16k
from smallvoice.corpus.building import check_room
from smallvoice.corpus.pseudonyms import Known, Pseudonyms
from smallvoice.corpus.segment import Cut, Impossible, cut
from smallvoice.corpus.select import Selection
from smallvoice.corpus.shards import ShardWriter
from smallvoice.corpus.sources import Source
from smallvoice.corpus.split import Unit, hash_order
from smallvoice.corpus.transcripts import reader_of
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
    files: dict[Path, str] = field(default_factory=dict)
    """Every file of the sources, and what it is called in the key."""
    num_items: int = 0
    """Segments, unusable lines and orphan files."""
    brings: dict[str, set[str]] = field(default_factory=dict)
    """Source name -> the splits that its layout brings."""
    notes: list[str] = field(default_factory=list)


def items(source: Source) -> Iterator[Recording | Problem | Note]:
    return reader_of(source.path).read(source.path)


def survey(sources: list[Source]) -> Survey:
    """Read all transcripts, no audio.

    Raises:
        InputError: a source is missing, empty, or of no known shape.
    """
    found = Survey()
    people: dict[tuple[str, str, str], Known] = {}
    for source in sources:
        brings = found.brings.setdefault(source.name, set())
        for item in items(source):
            if isinstance(item, Note):
                found.notes.append(f"{source.name}: {item.message}")
                continue
            found.num_items += len(item.segments) if isinstance(item, Recording) else 1
            if item.split:
                brings.add(item.split)
            if isinstance(item, Recording):
                found.files[item.audio] = f"{source.name}/{item.path}"
            for person in _people(source, item):
                people[person.key] = person
    found.people = list(people.values())
    return found


def _people(source: Source, item: Recording | Problem) -> Iterator[Known]:
    if item.session is not None:
        yield Known(kind="session", source=source.name, name=item.session)
    for segment in item.segments if isinstance(item, Recording) else ():
        if segment.speaker is not None:
            yield Known(
                kind="speaker",
                source=source.name,
                name=segment.speaker,
                age_years=segment.age_years,
                gender=segment.gender,
            )
    if isinstance(item, Problem) and item.speaker is not None:
        yield Known(kind="speaker", source=source.name, name=item.speaker)


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
    progress: Callable[[int], None]
    """Told the number of items done."""
    units: dict[str, Unit] = field(default_factory=dict)
    num_without_speaker: dict[str, set[str]] = field(
        default_factory=lambda: {"session": set(), "recording": set()}
    )
    num_drafted: int = 0
    _seen: dict[str, str] = field(default_factory=dict)

    def take(self, source: Source) -> None:
        """Every item of a source: each ends as one line of the draft ledger."""
        for item in items(source):
            if isinstance(item, Problem):
                self._problem(source, item)
            elif isinstance(item, Recording):
                self._recording(source, item)
                check_room(self.rows.folder)
            self.progress(self.num_drafted)

    def _problem(self, source: Source, problem: Problem) -> None:
        entry = {
            "source": source.name,
            "where": problem.where,
            "unit": self.pseudonyms.of("speaker", source.name, problem.speaker)
            or self.pseudonyms.of("session", source.name, problem.session),
            "brought": source.split or problem.split,
            "text": problem.text,
        }
        self._drop(entry, problem.reason, problem.detail)

    def _recording(self, source: Source, recording: Recording) -> None:
        wanted = []
        for number, segment in enumerate(recording.segments):
            row = self._row(source, recording, segment)
            entry = self._entry(source, recording, segment, row)
            if not row["text"]:
                self._drop(entry, "no text", "")
            elif (
                self.selection
                and self.selection.columns <= _KNOWN_BEFORE_DECODING
                and not self._selected(entry, row)
            ):
                continue
            else:
                wanted.append((number, row, entry))
        if not wanted:
            return
        try:
            audio = load_16k(recording.audio, recording.channel)
        except AudioError as error:
            for _, _, entry in wanted:
                self._drop(entry, error.reason, error.detail)
            return
        cuts = cut(
            recording.segments,
            len(audio.samples),
            margin_s=self.recipe.margin_s,
            max_segment_s=self.recipe.max_segment_s,
        )
        name = _recording_name(recording, audio)
        for number, row, entry in wanted:
            span = cuts[number]
            if isinstance(span, Impossible):
                self._drop(entry, span.reason, span.detail)
            else:
                self._utterance(source, recording, audio, span, {**row, "recording": name}, entry)

    def _utterance(
        self,
        source: Source,
        recording: Recording,
        audio: Recording16k,
        span: Cut,
        row: dict[str, Any],
        entry: dict[str, Any],
    ) -> None:
        samples = np.ascontiguousarray(audio.samples[span.start : span.end])
        row |= {
            "start_s": span.start / SAMPLING_RATE,
            "end_s": span.end / SAMPLING_RATE,
            "duration_s": len(span) / SAMPLING_RATE,
        }
        own = audio.samples[span.own_start : span.own_end]
        row["id"] = _hash(
            recording.path,
            recording.channel,
            own.astype("<i2").tobytes(),
            span.own_start,
            span.own_end,
            row["text"],
        )[:16]
        if (
            self.selection
            and not self.selection.columns <= _KNOWN_BEFORE_DECODING
            and not self._selected(entry, row)
        ):
            return
        if row["id"] in self._seen:
            self._drop(entry, "given twice", f"the same audio and text as {self._seen[row['id']]}")
            return
        self._seen[row["id"]] = entry["where"]
        flags = [*span.flags, *(["silent"] if samples.min() == samples.max() else [])]
        extra: dict[str, Any] = {"flags": flags} if flags else {}
        if (span.own_start, span.own_end) != (span.start, span.end):
            extra |= {
                "segment_start_s": span.own_start / SAMPLING_RATE,
                "segment_end_s": span.own_end / SAMPLING_RATE,
            }
        if audio.source_rate != SAMPLING_RATE:
            extra["source_sampling_rate"] = audio.source_rate
        # A row waits with the split that its source brings; where there is none, with no name at all.
        utterance = Utterance(**{**row, "split": row["split"] or ""}, audio=encode_flac(samples), extra=extra)
        self.rows.add(utterance)
        self._unit(source, recording, utterance, entry)
        too_long = f"longer than {self.recipe.max_segment_s:g} s"
        self._write(
            entry
            | {"fate": "waiting", "id": utterance.id, "filter": too_long if too_long in flags else None}
            | {name: row[name] for name in ("start_s", "end_s")}
        )

    def _row(self, source: Source, recording: Recording, segment: Segment) -> dict[str, Any]:
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
            "session": self.pseudonyms.of("session", source.name, recording.session),
            "split": source.split or recording.split,
            "source": source.name,
        }

    def _entry(
        self, source: Source, recording: Recording, segment: Segment, row: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "source": source.name,
            "where": segment.where,
            "recording": recording.path,
            "unit": row["speaker"] or row["session"],
            "brought": row["split"],
            "start_s": segment.start_s,
            "end_s": segment.end_s,
            "text": row["text"],
        }

    def _selected(self, entry: dict[str, Any], row: dict[str, Any]) -> bool:
        assert self.selection is not None
        if self.selection.accepts(row):
            return True
        why = self.selection.why_not(row)
        self._drop(entry, f"not selected: {why}" if why.endswith(" is unknown") else "not selected", why)
        return False

    def _unit(self, source: Source, recording: Recording, row: Utterance, entry: dict[str, Any]) -> None:
        """Note who speaks, for the split."""
        name = next(segment.speaker for segment in recording.segments if segment.where == entry["where"]) or (
            recording.session or recording.path
        )
        if row.speaker is None:
            self.num_without_speaker["session" if row.session else "recording"].add(row.recording)
        earlier = self.units.get(row.unit)
        brought = {row.split} - {""} | (earlier.brought if earlier else frozenset())
        brings = self.brings[source.name]
        self.units[row.unit] = Unit(
            name=row.unit,
            order=hash_order(source.name, name),
            age_years=row.age_years,
            gender=row.gender,
            brought=frozenset(brought),
            may_be_dev=source.split is None and "train" in brings and "dev" not in brings,
        )

    def _drop(self, entry: dict[str, Any], reason: str, detail: str) -> None:
        self._write(entry | {"fate": "dropped", "reason": reason, "detail": detail})

    def _write(self, entry: dict[str, Any]) -> None:
        self.draft.write(json_line(entry))
        self.num_drafted += 1


def _role(age_years: float | None) -> Role:
    if age_years is None:
        return "unknown"
    return "child" if age_years < ADULT_YEARS else "adult"


def _recording_name(recording: Recording, audio: Recording16k) -> str:
    """A pseudonym that the samples make unguessable: a file's name may be a child's."""
    return "R" + _hash(recording.path, recording.channel, audio.samples.astype("<i2", copy=False).data)[:8]


def _hash(*parts: Any) -> str:
    """sha256 of values and raw samples, hexadecimal."""
    found = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes | memoryview) else f"{part}\0".encode()
        found.update(raw)
    return found.hexdigest()
