"""The first pass of `prepare`: sources in, rows without a split and a draft of the ledger out.

Who is in which split is decided when all rows are known, so rows wait in shards of their own. The draft of
the ledger has one line for every segment and orphan file, in order; those of rows say `"fate": "waiting"`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from smallvoice.corpus.audio import SAMPLING_RATE, AudioError, Int16, Recording16k, encode_flac, load_16k
from smallvoice.corpus.building import check_room
from smallvoice.corpus.odd_times import OddTimes
from smallvoice.corpus.pseudonyms import Pseudonyms
from smallvoice.corpus.segment import Cut, Impossible, cut, join, joined_segment
from smallvoice.corpus.select import Selection
from smallvoice.corpus.shards import ShardWriter
from smallvoice.corpus.sources import Source, items
from smallvoice.corpus.split import Unit, hash_order
from smallvoice.corpus.transcripts.document import Unreadable
from smallvoice.corpus.transcripts.huggingface import embedded_audio
from smallvoice.corpus.transcripts.people import role_at
from smallvoice.corpus.transcripts.segment import Embedded, Problem, Recording, Segment
from smallvoice.corpus.utterance import Utterance
from smallvoice.recipe import CorpusRecipe
from smallvoice.storage import json_line

_KNOWN_BEFORE_DECODING = frozenset(
    {"text", "language", "speaker", "age_years", "gender", "role", "session", "split", "source"}
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


_WHO = ("speaker", "age_years", "gender", "role", "language")
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
    together: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    """Units that share a recording or a session."""
    num_without_speaker: dict[str, set[str]] = field(default_factory=lambda: {"session": set(), "recording": set()})
    times: OddTimes = field(default_factory=OddTimes)
    num_drafted: int = 0
    _seen: dict[str, str] = field(default_factory=dict)

    def take(self, source: Source) -> None:
        """Every item of a source: each ends as one line of the draft ledger."""
        for item in items(source, self.recipe):
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
        if problem.segment and not self._of_chosen_role(entry, row):
            return
        if problem.segment and self.selection and self.selection.rejects(row):
            self._selected(entry, row)
        else:
            self._drop(entry, problem.reason, problem.detail)

    @property
    def _early_selection(self) -> bool:
        """Whether the selection can be made without reading the audio."""
        return self.selection is not None and self.selection.columns <= _KNOWN_BEFORE_DECODING

    def _recording(self, source: Source, recording: Recording) -> None:
        wanted = self._wanted(source, recording)
        if not wanted:
            return
        try:
            audio = _load(recording)
        except (AudioError, Unreadable) as error:
            for candidate in wanted.values():
                self._drop(candidate.entry, error.reason, error.detail)
            return
        recording = self._settled(recording, wanted, len(audio.samples))
        name = _recording_name(recording, audio)
        for candidate in wanted.values():
            candidate.row["recording"] = name
            candidate.entry["unit"] = candidate.entry["unit"] or name
        runs = [run for run in self._runs(recording) for run in _without_gaps(run, wanted)]
        # Segments that are not wanted are still neighbours.
        others = [segment for number, segment in enumerate(recording.segments) if number not in wanted]
        joined = [joined_segment([recording.segments[number] for number in run]) for run in runs]
        cuts = cut(
            (*joined, *others, *recording.unwritten),
            len(audio.samples),
            margin_s=self.recipe.margin_s,
            max_segment_s=self.recipe.max_segment_s,
        )
        for run, segment, span in zip(runs, joined, cuts, strict=False):
            leader, *followers = [wanted[number] for number in run]
            leader.segment = segment
            leader.row["text"] = " ".join(segment.text.split())
            if isinstance(span, Impossible):
                fate = {"fate": "dropped", "reason": span.reason, "detail": span.detail}
            else:
                fate = self._utterance(leader, audio, span)
            self._write(leader.entry | fate)
            if fate["fate"] == "waiting":
                fate = {"fate": "joined", "into": leader.row["id"]}
            for follower in followers:
                self._write(follower.entry | fate)

    def _wanted(self, source: Source, recording: Recording) -> dict[int, _Candidate]:
        """The segments that may become rows, by number; the others are drafted."""
        wanted: dict[int, _Candidate] = {}
        for number, segment in enumerate(recording.segments):
            row = self._row(source, recording, segment)
            candidate = _Candidate(source, recording, segment, row, _entry(source, recording, segment, row))
            if not row["text"]:
                self._drop(candidate.entry, "no text", "")
            elif self._of_chosen_role(candidate.entry, row) and (
                not self._early_selection or self._selected(candidate.entry, row)
            ):
                wanted[number] = candidate
        return wanted

    def _settled(self, recording: Recording, wanted: dict[int, _Candidate], num_samples: int) -> Recording:
        """The recording with times of its own, and the candidates with those."""
        recording = self.times.settled(recording, num_samples)
        for number, candidate in wanted.items():
            candidate.segment = recording.segments[number]
            candidate.entry |= {"start_s": candidate.segment.start_s, "end_s": candidate.segment.end_s}
        return recording

    def _runs(self, recording: Recording) -> list[list[int]]:
        """Which segments become one utterance."""
        longest = min(self.recipe.join_s, self.recipe.max_segment_s)
        return join(recording.segments, join_s=longest, pause_s=self.recipe.join_pause_s, unwritten=recording.unwritten)

    def _of_chosen_role(self, entry: dict[str, Any], row: dict[str, Any]) -> bool:
        """Whether the user wants this kind of speaker; if not, that is its fate."""
        if not self.recipe.roles or row["role"] in self.recipe.roles:
            return True
        self._drop(entry, "role not chosen", f"role is {row['role']}")
        return False

    def _utterance(self, candidate: _Candidate, audio: Recording16k, span: Cut) -> dict[str, Any]:
        """Make a row that waits for its split; what became of it."""
        row = candidate.row
        samples = np.ascontiguousarray(audio.samples[span.start : span.end])
        row["id"] = _id(candidate, audio, span)
        row["start_s"] = span.start / SAMPLING_RATE
        row["end_s"] = span.end / SAMPLING_RATE
        row["duration_s"] = len(span) / SAMPLING_RATE
        if self.selection and not self._early_selection and not self.selection.accepts(row):
            return self._not_selected(row)
        if row["id"] in self._seen:
            detail = f"the same audio and text as {self._seen[row['id']]}"
            return {"fate": "dropped", "reason": "given twice", "detail": detail}
        self._seen[row["id"]] = candidate.entry["where"]
        utterance = Utterance(
            # A row waits with the split that its source brings; where there is none, with no name at all.
            **{**row, "split": row["split"] or ""},
            audio=encode_flac(samples),
            extra=_extra(candidate.segment, samples, audio, span),
        )
        self.rows.add(utterance)
        self._unit(candidate, utterance)
        return {"fate": "waiting", "filter": span.too_long}

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
            "role": segment.role or role_at(segment.age_years) or "unknown",
            "session": self.pseudonyms.of("session", source.name, origin.session),
            "split": source.split or origin.split,
            "source": source.name,
        }

    def _selected(self, entry: dict[str, Any], row: dict[str, Any]) -> bool:
        """Whether the user wants the row; if not, that is its fate."""
        assert self.selection is not None
        if self.selection.accepts(row):
            return True
        self._write(entry | self._not_selected(row))
        return False

    def _not_selected(self, row: dict[str, Any]) -> dict[str, Any]:
        assert self.selection is not None
        why = self.selection.why_not(row)
        reason = f"not selected: {why}" if why.endswith(" is unknown") else "not selected"
        return {"fate": "dropped", "reason": reason, "detail": why}

    def _unit(self, candidate: _Candidate, row: Utterance) -> None:
        """Note who speaks, for the split."""
        source, recording = candidate.source, candidate.recording
        name = candidate.segment.speaker or recording.session or recording.path
        if row.speaker is None:
            self.num_without_speaker["session" if row.session else "recording"].add(row.recording)
        # Who was recorded together stays together: a room, a day and a conversation are no test of new ones.
        self.together[source.name, recording.path].add(row.unit)
        if row.session:
            self.together[source.name, row.session].add(row.unit)
        earlier = self.units.get(row.unit)
        brings = self.brings[source.name]
        self.units[row.unit] = Unit(
            name=row.unit,
            order=hash_order("" if self.recipe.split.by == "hash" else source.name, name),
            # What one row does not say, another has said.
            age_years=row.age_years if row.age_years is not None or not earlier else earlier.age_years,
            gender=row.gender or (earlier.gender if earlier else None),
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


def _load(recording: Recording) -> Recording16k:
    """The samples of a recording, from its file or from the table that holds it."""
    if isinstance(recording.audio, Embedded):
        return load_16k(embedded_audio(recording.audio), recording.channel, name=recording.audio.name)
    return load_16k(recording.audio, recording.channel)


def _without_gaps(run: list[int], wanted: dict[int, _Candidate]) -> list[list[int]]:
    """The wanted parts of a run: what is not wanted is not joined, and not joined across."""
    parts: list[list[int]] = [[]]
    for number in run:
        if number in wanted:
            parts[-1].append(number)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _extra(segment: Segment, samples: Int16, audio: Recording16k, span: Cut) -> dict[str, Any]:
    silent = ["silent"] if samples.min() == samples.max() else []
    flags = list(dict.fromkeys([*segment.flags, *span.flags, *silent]))
    extra: dict[str, Any] = {**segment.extra, **({"flags": flags} if flags else {})}
    if (span.own_start, span.own_end) != (span.start, span.end):
        extra["segment_start_s"] = span.own_start / SAMPLING_RATE
        extra["segment_end_s"] = span.own_end / SAMPLING_RATE
    if audio.source_rate != SAMPLING_RATE:
        extra["source_sampling_rate"] = audio.source_rate
    return extra


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
