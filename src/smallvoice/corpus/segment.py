"""Cutting utterances out of a recording.

All arithmetic is in samples at 16 kHz, from times rounded to the nearest sample once.

    |-- before --|--- margin ---|===== segment =====|-- margin --|== neighbour ==|
                                                    a margin ends where a neighbour starts
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from smallvoice.corpus.audio import SAMPLING_RATE
from smallvoice.corpus.transcripts.segment import Segment, Word

WHISPER_S = 30.0
"""What Whisper hears at once, in seconds."""
PIECE_MARGIN_S = 0.1
"""Kept beside the words of a piece of a long segment, where the pause has it."""
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


def split_at_pauses(segment: Segment, max_s: float) -> list[Segment]:
    """A segment that is too long, taken apart at the longest pauses between its timed words; else as it is."""
    if segment.start_s is None or segment.end_s is None or segment.end_s - segment.start_s <= max_s:
        return [segment]
    # Only where the timed words are the text: a rounded or partial alignment must not lose any.
    if len(segment.words) < 2 or " ".join(word.text for word in segment.words).split() != segment.text.split():
        return [segment]
    pieces = _pieces(segment.words, max_s)
    ends = [segment.start_s]
    ends += [(one[-1].end_s + two[0].start_s) / 2 for one, two in pairwise(pieces)]
    ends.append(segment.end_s)
    return [
        replace(
            segment,
            text=" ".join(word.text for word in piece),
            start_s=max(start, piece[0].start_s - PIECE_MARGIN_S),
            end_s=min(end, piece[-1].end_s + PIECE_MARGIN_S),
            words=piece,
            extra={**segment.extra, "part": f"{number} of {len(pieces)}"},
        )
        for number, (piece, (start, end)) in enumerate(zip(pieces, pairwise(ends), strict=True), 1)
    ]


def _pieces(words: tuple[Word, ...], max_s: float) -> list[tuple[Word, ...]]:
    """Words in runs of at most `max_s`, parted at the longest pause that leaves both sides at least a fifth."""
    todo, done = [words], []
    while todo:
        run = todo.pop()
        length = run[-1].end_s - run[0].start_s
        if length <= max_s - 2 * PIECE_MARGIN_S or len(run) == 1:
            done.append(run)
            continue
        fair = [
            index
            for index in range(1, len(run))
            if run[index - 1].end_s - run[0].start_s >= length / 5 and run[-1].end_s - run[index].start_s >= length / 5
        ]
        at = max(fair or range(1, len(run)), key=lambda index: run[index].start_s - run[index - 1].end_s)
        todo += [run[at:], run[:at]]
    return done


def join(
    segments: tuple[Segment, ...], *, join_s: float, pause_s: float, unwritten: tuple[Segment, ...] = ()
) -> list[list[int]]:
    """Which segments of a recording become one utterance: neighbours of one speaker, in the order of time.

    Args:
        join_s: the longest utterance that joining may make; 0 joins nothing.
        pause_s: the longest pause inside it.
        unwritten: speech that is in no row (`www`, a tier that was not chosen): nothing is joined across it.

    Returns:
        Runs of indices; every segment is in one. Segments that overlap others, or are untimed, stay alone.
    """
    timed = [
        (segment.start_s, segment.end_s, index)
        for index, segment in [*enumerate(segments), *((-1, segment) for segment in unwritten)]
        if segment.start_s is not None and segment.end_s is not None
    ]
    runs = [[index] for index, segment in enumerate(segments) if segment.start_s is None or segment.end_s is None]
    run_start = last_end = -math.inf
    run: list[int] = []
    for start, end, index in sorted(timed):
        if index < 0:  # nobody's row, but it is not joined across
            run, last_end = [], max(end, last_end)
            continue
        same = bool(run) and segments[run[-1]].speaker == segments[index].speaker is not None
        if same and 0 <= start - last_end <= pause_s and end - run_start <= join_s:
            run.append(index)
        else:
            run, run_start = [index], start
            runs.append(run)
        last_end = max(end, last_end)
    return runs


def joined_segment(segments: list[Segment]) -> Segment:
    """Neighbouring segments as one."""
    first, last = segments[0], segments[-1]
    if first is last:
        return first
    return replace(
        first,
        text=" ".join(segment.text for segment in segments),
        end_s=last.end_s,
        words=tuple(word for segment in segments for word in segment.words),
        flags=tuple(dict.fromkeys(flag for segment in segments for flag in segment.flags)),
        extra={**first.extra, "joined": len(segments)},
    )


def cut(
    segments: tuple[Segment, ...], num_samples: int, *, margin_s: float, max_segment_s: float
) -> list[Cut | Impossible]:
    """Where each segment of a recording lies, in the order given.

    Args:
        num_samples: the length of the recording at 16 kHz.
        margin_s: audio kept on either side where there is no neighbour.
        max_segment_s: longer segments are flagged; what Whisper cannot hear at once (30 s) is impossible.
    """
    alone = len(segments) == 1
    spans = [_own_span(segment, num_samples, alone) for segment in segments]
    # What cannot be cut itself (too long for Whisper) is heard all the same.
    heard = [_heard(segment, num_samples, alone) for segment in segments]
    neighbours = _Neighbours([span for span in heard if span is not None])
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


def _heard(segment: Segment, num_samples: int, alone: bool) -> tuple[int, int] | None:
    """Where a segment is heard, whether or not it can be cut; None where nobody knows."""
    if segment.start_s is None and segment.end_s is None:
        return (0, num_samples) if alone else None
    start = 0 if segment.start_s is None else max(to_samples(segment.start_s), 0)
    end = num_samples if segment.end_s is None else min(to_samples(segment.end_s), num_samples)
    return (start, end) if start < end else None


def _own_span(segment: Segment, num_samples: int, alone: bool) -> tuple[int, int, int] | Impossible:
    """Start, end, and how far the given end lies past the recording's."""
    duration_s = num_samples / SAMPLING_RATE
    if not alone and segment.start_s is None and segment.end_s is None:
        return Impossible(reason="no times", detail="the recording has several segments; which part is this one?")
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
