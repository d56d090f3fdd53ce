"""Times that cannot be meant as they stand: those of the recording that a clip was cut from, and milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from smallvoice.corpus.audio import SAMPLING_RATE
from smallvoice.corpus.segment import OVERSHOOT_S
from smallvoice.corpus.transcripts.segment import Embedded, Recording, Segment

CLIP_S = 0.25
"""How far a clip's length may be from its end less its start: lossy codecs and cutters pad."""
FAR = 10
"""Whole numbers so many times the length of a recording are no seconds."""


@dataclass
class OddTimes:
    """Sees the recordings of a corpus one by one."""

    num_cut: int = 0
    """Clips inside tables whose times are not their own: they are taken whole."""
    num_past: int = 0
    """Files of which the same may be true: nothing is changed."""
    num_far: int = 0
    """Recordings whose times are whole numbers far past their end."""

    def settled(self, recording: Recording, num_samples: int) -> Recording:
        """The recording with times of its own: a clip in a table's cell that was cut by its row's times has none."""
        length_s = num_samples / SAMPLING_RATE
        if len(recording.segments) != 1 or not _is_cut(recording.segments[0], length_s):
            self.num_far += _is_far(recording.segments, length_s)
            return recording
        if not isinstance(recording.audio, Embedded):
            self.num_past += 1
            return recording
        self.num_cut += 1
        return replace(recording, segments=(replace(recording.segments[0], start_s=None, end_s=None),))

    def notes(self) -> Iterator[str]:
        if self.num_cut:
            yield (
                f"{self.num_cut} clips in tables are as long as from their start to their end, and start and end lie "
                "past theirs: they are taken whole, for the times are those of the recording that they were cut from."
            )
        if self.num_past:
            yield (
                f"{self.num_past} segments lie past the end of their recording and are as long as it is. If the files "
                "are clips cut from longer recordings, a table's times are not theirs: --set columns.start= "
                "--set columns.end="
            )
        if self.num_far:
            yield (
                f"{self.num_far} recordings have times in whole numbers, more than {FAR} times their length. If a "
                "table has milliseconds: --set columns.start_ms=NAME --set columns.end_ms=NAME"
            )


def _is_cut(segment: Segment, length_s: float) -> bool:
    if segment.start_s is None or segment.end_s is None or segment.end_s <= length_s + OVERSHOOT_S:
        return False
    return abs(segment.end_s - segment.start_s - length_s) <= CLIP_S


def _is_far(segments: tuple[Segment, ...], length_s: float) -> bool:
    times = [time for segment in segments for time in (segment.start_s, segment.end_s) if time is not None]
    return bool(times) and max(times) > FAR * length_s and all(float(time).is_integer() for time in times)
