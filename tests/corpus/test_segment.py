from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from smallvoice.corpus.audio import SAMPLING_RATE
from smallvoice.corpus.segment import Cut, Impossible, cut, join, split_at_pauses, to_samples
from smallvoice.corpus.transcripts.segment import Segment, Word


def _segment(start_s: float | None, end_s: float | None) -> Segment:
    return Segment(where="a.txt:1", text="words", start_s=start_s, end_s=end_s)


def _cut(
    *spans: tuple[float | None, float | None], length_s: float = 60, margin_s: float = 0.1, longest: float = 30
) -> list[Cut | Impossible]:
    segments = tuple(_segment(*span) for span in spans)
    return cut(segments, to_samples(length_s), margin_s=margin_s, max_segment_s=longest)


def _span_s(found: Cut | Impossible) -> tuple[float, float]:
    assert isinstance(found, Cut)
    return found.start / SAMPLING_RATE, found.end / SAMPLING_RATE


def _reason(found: Cut | Impossible) -> str:
    assert isinstance(found, Impossible)
    return found.reason


def test_margins_end_where_a_neighbour_starts() -> None:
    first, second, third = _cut((1, 2), (2.05, 3), (5, 6))
    assert _span_s(first) == (0.9, 2.05)
    assert _span_s(second) == (2.0, 3.1)
    assert _span_s(third) == (4.9, 6.1)


def test_margins_end_where_the_recording_does() -> None:
    assert _span_s(_cut((0.05, 24.98), length_s=25)[0]) == (0, 25)


def test_an_overlapping_neighbour_leaves_no_margin_on_its_side() -> None:
    first, second = _cut((1, 3), (2, 4))
    assert _span_s(first) == (0.9, 3)
    assert _span_s(second) == (3 - 1, 4.1)
    assert all(isinstance(found, Cut) and found.flags == ("overlaps another segment",) for found in (first, second))


def test_a_neighbour_behind_a_long_one_still_counts() -> None:
    """The nearest start is not of the last segment: 1-9 lies around 2-3."""
    _, inner = _cut((1, 9), (2, 3))
    assert _span_s(inner) == (2, 3)


def test_touching_segments_do_not_overlap() -> None:
    assert [found.flags for found in _cut((1, 2), (2, 3)) if isinstance(found, Cut)] == [(), ()]


def test_no_times_mean_the_whole_recording() -> None:
    assert _span_s(_cut((None, None), length_s=7)[0]) == (0, 7)


def test_what_cannot_be_cut() -> None:
    assert _reason(_cut((3, 2))[0]) == "ends before it starts"
    assert _reason(_cut((2, 2))[0]) == "no audio between start and end"
    assert _reason(_cut((2, 2.00001))[0]) == "no audio between start and end"
    assert _reason(_cut((-0.1, 2))[0]) == "starts before the recording"
    assert _reason(_cut((59, 60.2))[0]) == "past the end of the recording"
    assert _reason(_cut((70, 71))[0]) == "past the end of the recording"
    assert _reason(_cut((1, 31.01))[0]) == "longer than 30 s"
    assert _reason(_cut((None, None), length_s=30.01)[0]) == "longer than 30 s"


def test_an_impossible_segment_is_no_neighbour() -> None:
    _, good = _cut((2.01, 1), (3, 4))
    assert _span_s(good) == (2.9, 4.1)


def test_a_rounded_end_is_moved_and_said() -> None:
    (found,) = _cut((59, 60.04))
    assert _span_s(found) == (58.9, 60)
    assert isinstance(found, Cut) and found.flags == ("end moved to the recording's",)


def test_30_seconds_are_never_exceeded_by_margins() -> None:
    (found,) = _cut((5, 34.9))
    assert isinstance(found, Cut)
    assert len(found) == 30 * SAMPLING_RATE
    assert (found.own_start, found.own_end) == (5 * SAMPLING_RATE, to_samples(34.9))


def test_longer_than_asked_for_is_marked_not_impossible() -> None:
    (found,) = _cut((5, 17), longest=10)
    assert isinstance(found, Cut) and found.too_long == "longer than 10 s" in found.flags


times = st.floats(0, 50, allow_nan=False)


@given(st.lists(st.tuples(times, times), min_size=1, max_size=12), st.floats(0, 2))
def test_arithmetic(pairs: list[tuple[float, float]], margin_s: float) -> None:
    spans = [(min(pair), max(pair)) for pair in pairs]
    cuts = _cut(*spans, length_s=50, margin_s=margin_s)
    for (start_s, end_s), found in zip(spans, cuts, strict=True):
        if isinstance(found, Impossible):
            assert end_s - start_s > 30 - 1e-4 or end_s - start_s < 1e-4
            continue
        assert abs(found.own_start - start_s * SAMPLING_RATE) <= 0.5
        assert abs(found.own_end - end_s * SAMPLING_RATE) <= 0.5
        assert 0 <= found.start <= found.own_start < found.own_end <= found.end <= 50 * SAMPLING_RATE
        assert found.own_start - found.start <= to_samples(margin_s) >= found.end - found.own_end
        assert len(found) <= 30 * SAMPLING_RATE
        for other in cuts:
            if isinstance(other, Cut) and other is not found:
                # The margin holds no sample of another segment, unless that sample is this segment's own too.
                assert not (max(found.start, other.own_start) < min(found.own_start, other.own_end))
                assert not (max(found.own_end, other.own_start) < min(found.end, other.own_end))


def _worded(*words: tuple[str, float, float]) -> Segment:
    timed = tuple(Word(text=text, start_s=start, end_s=end) for text, start, end in words)
    text = " ".join(word.text for word in timed)
    return Segment(where="a:1", text=text, start_s=timed[0].start_s, end_s=timed[-1].end_s, words=timed)


def test_a_long_segment_is_split_at_its_longest_pause() -> None:
    segment = _worded(("one", 0, 9), ("two", 9.5, 18), ("three", 20, 29), ("four", 29.2, 38))
    first, second = split_at_pauses(segment, 30)
    assert (first.text, first.start_s, first.end_s) == ("one two", 0, 18.1)
    assert (second.text, second.start_s, second.end_s) == ("three four", 19.9, 38)
    assert first.extra["part"] == "1 of 2"
    assert split_at_pauses(segment, 40) == [segment]


def test_only_where_the_words_are_the_text() -> None:
    segment = _worded(("one", 0, 15), ("two", 16, 31))
    assert split_at_pauses(replace(segment, text="one two three"), 30) == [replace(segment, text="one two three")]
    assert len(split_at_pauses(replace(segment, words=()), 30)) == 1


@given(st.lists(st.tuples(st.floats(0.01, 3), st.floats(0, 3)), min_size=1, max_size=80), st.floats(3.5, 30))
def test_pieces_hold_every_word_once_and_are_short(spans: list[tuple[float, float]], max_s: float) -> None:
    words, clock = [], 0.0
    for number, (length, pause) in enumerate(spans):
        words.append((f"w{number}", clock, clock + length))
        clock += length + pause
    segment = _worded(*words)
    pieces = split_at_pauses(segment, max_s)
    assert " ".join(piece.text for piece in pieces) == segment.text
    starts_and_ends = [time for piece in pieces for time in (piece.start_s, piece.end_s)]
    assert starts_and_ends == sorted(starts_and_ends)
    assert all(piece.end_s - piece.start_s <= max_s + 1e-9 for piece in pieces)


def test_joining_keeps_to_one_speaker_its_pauses_and_the_limit() -> None:
    spans = [("a", 0, 1), ("a", 1.5, 2), ("b", 2, 3), ("a", 3, 4), ("a", 6, 7), ("a", 7, 14), ("a", 13, 15)]
    segments = tuple(
        Segment(where="a:1", text="x", speaker=who or None, start_s=start, end_s=end)
        for who, start, end in [*spans, ("", 20, 21)]
    )
    assert join(segments, join_s=10, pause_s=1) == [[0, 1], [2], [3], [4, 5], [6], [7]]
    assert join(segments, join_s=0, pause_s=1) == [[number] for number in range(8)]
    assert join((Segment(where="a:1", text="x"),), join_s=10, pause_s=1) == [[0]]


def test_what_has_no_times_is_nobodys_neighbour() -> None:
    """A line that nobody timed must not mark, and cut short, all others of its recording."""
    first, lost, last = _cut((1, 2), (None, None), (3, 4))
    assert _reason(lost) == "no times"
    assert (_span_s(first), _span_s(last)) == ((0.9, 2.1), (2.9, 4.1))
    assert all(isinstance(found, Cut) and not found.flags for found in (first, last))
