"""What looks odd about the speakers of a source: said in notes, changed nowhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from smallvoice.corpus.transcripts.people import in_one_case, is_diarised, role_at
from smallvoice.corpus.transcripts.segment import Note, Segment

_SHOWN = 5


@dataclass
class SpeakerNotes:
    """Sees the segments of a source one by one."""

    _names: set[str] = field(default_factory=set)
    _recordings: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Of names that a program may have given."""
    _old_children: Counter[float] = field(default_factory=Counter)
    """Age -> the number of segments."""

    def add(self, segment: Segment, recording: str) -> None:
        if segment.role == "child" and segment.age_years is not None and role_at(segment.age_years) == "adult":
            self._old_children[segment.age_years] += 1
        if segment.speaker and ":" not in segment.speaker:  # with a colon it is a code in its transcript
            self._names.add(segment.speaker)
            if is_diarised(segment.speaker):
                self._recordings[segment.speaker].add(recording)

    def notes(self) -> Iterator[Note]:
        if self._old_children:
            ages = _listed([f"{age:g}" for age in sorted(self._old_children)])
            yield Note(
                message=f"{self._old_children.total()} segments are of children by role or code, and {ages} years old. "
                "If these are months: --set columns.age_months=NAME, or a column called age_months."
            )
        alike: defaultdict[str, list[str]] = defaultdict(list)
        for name in sorted(self._names):
            alike[in_one_case(name)].append(name)
        groups = [" and ".join(names) for names in alike.values() if len(names) > 1]
        if groups:
            yield Note(
                message="names that differ only in case or leading zeros are taken for different speakers: "
                f"{_listed(groups)}. If they are the same, write them alike."
            )
        shared = sorted(name for name, places in self._recordings.items() if len(places) > 1)
        if shared:
            yield Note(
                message=f"{_listed(shared)}: each is taken for one person in all recordings. If a program gave these "
                "names, anew in each recording, leave them out: --set columns.speaker="
            )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
