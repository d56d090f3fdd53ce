"""Words with their times, one by one, to segments: what one person says up to a pause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from smallvoice.corpus.transcripts.fields import channel, person_in
from smallvoice.corpus.transcripts.people import role_of
from smallvoice.corpus.transcripts.segment import Segment, Word

PAUSE_S = 0.5
"""Words further apart stand in different segments."""
MAX_S = 30.0
"""A segment made of words is not longer."""

About = Mapping[tuple[str, str], tuple[str | None, str | None]]
"""Recording and speaker -> role and gender."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word of a CTM or RTTM file."""

    line: int
    recording: str
    channel: str
    speaker: str | None
    word: Word
    flags: tuple[str, ...] = ()


def segments_of(spoken: Sequence[Spoken], where: str, about: About) -> Iterator[Segment]:
    """Words as segments: neighbours of one recording, channel and speaker, without a pause."""
    from_zero = any(said.channel == "0" for said in spoken)
    for group in _groups(spoken):
        first = group[0]
        role, gender = about.get((first.recording, first.speaker or ""), (None, None))
        yield Segment(
            where=f"{where}:{first.line}",
            text=" ".join(said.word.text for said in group),
            start_s=first.word.start_s,
            end_s=max(said.word.end_s for said in group),
            speaker=person_in(first.speaker, where, first.recording),
            role=role or role_of(first.speaker),
            role_is_guess=role is None,
            gender=gender,
            recording=first.recording,
            channel=channel(first.channel, from_zero=from_zero),
            words=tuple(said.word for said in group),
            flags=tuple(sorted({flag for said in group for flag in said.flags})),
        )


def _groups(spoken: Sequence[Spoken]) -> Iterator[list[Spoken]]:
    group: list[Spoken] = []
    for said in spoken:
        if group:
            last, first = group[-1], group[0]
            same = (said.recording, said.channel, said.speaker) == (last.recording, last.channel, last.speaker)
            # Microseconds: 1.5 - 1.0 is a pause whatever the last bit of a sum is.
            pause_s = round(said.word.start_s - last.word.end_s, 6)
            backwards = said.word.start_s < last.word.start_s
            if not same or pause_s >= PAUSE_S or backwards or said.word.end_s - first.word.start_s > MAX_S:
                yield group
                group = []
        group.append(said)
    if group:
        yield group
