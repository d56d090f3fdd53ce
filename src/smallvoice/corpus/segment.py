"""Cutting utterances out of a recording.

All arithmetic is in samples at 16 kHz, from times rounded to the nearest sample once.

    |-- before --|--- margin ---|===== segment =====|-- margin --|== neighbour ==|
                                                    a margin ends where a neighbour starts
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate

from smallvoice.corpus.audio import SAMPLING_RATE
from smallvoice.corpus.transcripts.segment import Segment

WHISPER_S = 30.0
"""What Whisper hears at once, in seconds."""
OVERSHOOT_S = 0.05
"""An end this little past the recording's is a rounded number: times are often given in tenths."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """Where an utterance lies in its recording, in samples at 16 kHz."""

    start: int
    end: int
    own_start: int
    """The segment without margin."""
    own_end: int
    flags: tuple[str, ...] = ()
    too_long: str | None = None
    """Set where it is longer than asked for, which costs it its place but in a test split."""

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, kw_only=True, slots=True)
class Impossible:
    """A segment that cannot be cut."""

    reason: str
    detail: str


def to_samples(time_s: float) -> int:
    """The sample nearest to a time."""
    return round(time_s * SAMPLING_RATE)


def cut(
    segments: tuple[Segment, ...], num_samples: int, *, margin_s: float, max_segment_s: float
) -> list[Cut | Impossible]:
    """Where each segment of a recording lies, in the order given.

    Args:
        num_samples: the length of the recording at 16 kHz.
        margin_s: audio kept on either side where there is no neighbour.
        max_segment_s: longer segments are flagged; what Whisper cannot hear at once (30 s) is impossible.
    """
    spans = [_own_span(segment, num_samples) for segment in segments]
    neighbours = _Neighbours([(span[0], span[1]) for span in spans if not isinstance(span, Impossible)])
    margin = to_samples(margin_s)
    longest = to_samples(max_segment_s)
    cuts: list[Cut | Impossible] = []
    for span in spans:
        if isinstance(span, Impossible):
            cuts.append(span)
            continue
        own_start, own_end, overshoot = span
        flags = ["end moved to the recording's"] if overshoot > 1 else []
        if neighbours.overlap(own_start, own_end):
            flags.append("overlaps another segment")
        too_long = f"longer than {max_segment_s:g} s" if own_end - own_start > longest else None
        # A segment that is the whole recording has no margin to take.
        limit = min(to_samples(WHISPER_S), max(longest, own_end - own_start))
        spare = limit - (own_end - own_start)
        before = min(own_start - max(neighbours.last_end(own_start), 0), margin, spare // 2)
        after = min(min(neighbours.next_start(own_end), num_samples) - own_end, margin, spare - before)
        cuts.append(
            Cut(
                start=own_start - before,
                end=own_end + after,
                own_start=own_start,
                own_end=own_end,
                flags=(*flags, *([too_long] if too_long else [])),
                too_long=too_long,
            )
        )
    return cuts


def _own_span(segment: Segment, num_samples: int) -> tuple[int, int, int] | Impossible:
    """Start, end, and how far the given end lies past the recording's."""
    duration_s = num_samples / SAMPLING_RATE
    start_s = 0.0 if segment.start_s is None else segment.start_s
    end_s = duration_s if segment.end_s is None else segment.end_s
    given = f"{start_s:g} to {end_s:g} s"
    if start_s < 0:
        return Impossible(reason="starts before the recording", detail=given)
    if end_s < start_s:
        return Impossible(reason="ends before it starts", detail=given)
    start, end = to_samples(start_s), to_samples(end_s)
    overshoot = end - num_samples
    if overshoot > to_samples(OVERSHOOT_S) or start > num_samples:
        return Impossible(reason="past the end of the recording", detail=f"{given} of {duration_s:.3f} s")
    end = min(end, num_samples)
    if end <= start:
        return Impossible(reason="no audio between start and end", detail=given)
    if end - start > to_samples(WHISPER_S):
        return Impossible(reason="longer than 30 s", detail=f"{given}: {(end - start) / SAMPLING_RATE:.2f} s")
    return start, end, max(overshoot, 0)


class _Neighbours:
    """The other segments of a recording, asked in logarithmic time."""

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        by_start = sorted(spans)
        self.starts = [start for start, _ in by_start]
        self.latest_end = list(accumulate((end for _, end in by_start), max))
        by_end = sorted(spans, key=lambda span: span[1])
        self.ends = [end for _, end in by_end]
        self.earliest_start = list(accumulate((start for start, _ in reversed(by_end)), min))[::-1]

    def last_end(self, start: int) -> int:
        """From where the audio before `start` is free: at most `start`."""
        count = bisect_left(self.starts, start)
        return min(self.latest_end[count - 1], start) if count else 0

    def next_start(self, end: int) -> int:
        """To where the audio after `end` is free: at least `end`."""
        index = bisect_right(self.ends, end)
        return max(self.earliest_start[index], end) if index < len(self.ends) else 1 << 62

    def overlap(self, start: int, end: int) -> bool:
        """Whether a segment other than this one lies partly inside."""
        begun_before_end = bisect_left(self.starts, end)
        ended_by_start = bisect_right(self.ends, start)
        return begun_before_end - ended_by_start > 1
