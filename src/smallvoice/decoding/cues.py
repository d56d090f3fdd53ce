"""What a viewer reads at once: segments cut at pauses, at ends of sentences, and where they are long."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from smallvoice.decoding.long_form import Segment
from smallvoice.decoding.speech import PAUSE_S

MOST_S = 7.0
"""A cue stands no longer, if its words have times."""
LEAST_S = 0.7
"""It stands so long, if the next one leaves the time."""
COLUMNS = 42
"""Of a line; a cue has two. A character of Chinese, Japanese or Korean takes two columns."""

Spoken = tuple[float, float, str]
"""First second, last second, text."""
_MARKS = {**dict.fromkeys(".?!。？！…", 0.4), **dict.fromkeys(",;:—–、，；：", 0.2)}
"""Behind these a cue is cut gladly, even so far from its middle: a share of its length."""


@dataclass(frozen=True)
class _Written:
    """A word as it stands in the text, with what is between it and the next."""

    text: str
    start_s: float
    end_s: float


def cues(segments: list[Segment], duration_s: float) -> list[Spoken]:
    """Cues in order that do not overlap, a millisecond long at least; their texts have one or two lines."""
    found = [cue for segment in segments for cue in _cut(segment)]
    nexts = [start_s for start_s, _, _ in [*found, (duration_s, duration_s, "")][1:]]
    long = [
        (start_s, max(end_s, min(start_s + LEAST_S, following)), _in_lines(text))
        for (start_s, end_s, text), following in zip(found, nexts, strict=True)
    ]
    return list(apart(long, duration_s))


def apart(spoken: list[Spoken], duration_s: float) -> Iterator[Spoken]:
    """Each begins when the one before has ended at the earliest, and lasts a millisecond at least."""
    end, reached = round(1000 * duration_s), 0
    for following, (start_s, end_s, text) in zip(range(len(spoken) - 1, -1, -1), spoken, strict=True):
        start = max(reached, min(round(1000 * start_s), end - following - 1))
        reached = max(start + 1, min(round(1000 * end_s), end - following))
        yield start / 1000, reached / 1000, text


def _cut(segment: Segment) -> Iterator[Spoken]:
    words = _written(segment)
    if not words:
        yield segment.start_s, segment.end_s, segment.text
        return
    first = 0
    for place, word in enumerate(words, 1):
        if place == len(words) or words[place].start_s - word.end_s >= PAUSE_S:
            for cue in _halved(words[first:place]):
                last = cue[-1] is words[-1]
                yield cue[0].start_s, segment.end_s if last else cue[-1].end_s, _text(cue)
            first = place


def _written(segment: Segment) -> list[_Written]:
    """The text in pieces, a word each; none where the words are not those of the text."""
    if not segment.words:
        return []
    starts, at = [], 0
    for word in segment.words:
        found = segment.text.find(word.text, at)
        if found < 0:
            return []
        starts.append(found)
        at = found + len(word.text)
    ends = [*starts[1:], len(segment.text)]
    starts[0] = 0
    return [
        _Written(segment.text[first:last], word.start_s, word.end_s)
        for first, last, word in zip(starts, ends, segment.words, strict=True)
    ]


def _halved(words: list[_Written]) -> list[list[_Written]]:
    """Words in two parts, and those in two, until each can be a cue."""
    text = _text(words)
    fits = words[-1].end_s - words[0].start_s <= MOST_S and all(
        width(line) <= COLUMNS for line in _in_lines(text).split("\n")
    )
    if fits or len(words) == 1:
        return [words]
    whole = width(text)

    def badness(place: int) -> float:
        before = _text(words[:place])
        pause_s = max(0.0, words[place].start_s - words[place - 1].end_s)
        return abs(width(before) / whole - 0.5) - _MARKS.get(before[-1:], 0.0) - pause_s

    best = min(range(1, len(words)), key=badness)
    return [*_halved(words[:best]), *_halved(words[best:])]


def _text(words: list[_Written]) -> str:
    return "".join(word.text for word in words).strip()


def _in_lines(text: str) -> str:
    """One line, or two about as long as each other; without spaces it is cut anywhere."""
    if width(text) <= COLUMNS:
        return text
    places = [place for place, character in enumerate(text) if character == " "] or range(1, len(text))
    best = min(places, key=lambda place: max(width(text[:place]), width(text[place:].strip())))
    return f"{text[:best]}\n{text[best:].strip()}"


def width(text: str) -> int:
    """Columns that a text takes."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
