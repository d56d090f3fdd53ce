"""A passage read aloud: what was read as it stands, left out, added, taken for another word, put right, not reached.

The counts of a running record, as reading tutors and clinics take them. Words correct per minute (WCPM) is the usual
measure of fluency (Hasbrouck & Tindal, 2006): words read correctly, those that the reader put right among them, divided
by the minutes from the first word to the last.
"""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from smallvoice.languages import language_code
from smallvoice.scoring.normalize import CHILD, WHISPER_BASIC, Normaliser, for_language, is_english
from smallvoice.scoring.reading_steps import BRIDGES, align_reading, alike
from smallvoice.scoring.word_errors import AlignedWord

VERSION = 4
"""Rises when the counts of a reading change."""


@dataclass(frozen=True)
class Reading:
    """Counts of words."""

    words: int
    """Of the passage, contractions and numbers in the form that fits what was heard: for a reader who said `did not`,
    `didn't` is two words."""
    correct: int
    omitted: int
    """Up to the last word that was read."""
    not_reached: int
    """Behind the last word that was read: the reader stopped, or was stopped."""
    inserted: int
    """Beside repetitions and attempts."""
    substituted: int
    self_corrected: int
    """Of the correct ones: an attempt came first."""
    repeated: int
    """Words said again, which is no error."""
    seconds: float | None
    """From the first word that was read to the last, where times are known."""

    @property
    def correct_per_minute(self) -> float | None:
        return 60 * self.correct / self.seconds if self.seconds else None

    def as_dict(self) -> dict[str, Any]:
        """`COLUMNS`, each with its number."""
        rate = self.correct_per_minute
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "words_correct_per_minute": None if rate is None else round(rate, 1),
        }


COLUMNS = (*Reading.__dataclass_fields__, "words_correct_per_minute")
"""Of a table of readings, behind the recording."""
TABLE = "reading-aloud.csv"
"""Beside transcripts: what was read of a passage, a row for each recording."""


def assess(
    passage: str, heard: str, seconds: float | None, language: str | None = "en"
) -> tuple[Reading, list[AlignedWord]]:
    """Compare a passage with what was heard.

    Case and punctuation count nothing; digits, contractions and spelling are read as what they mean (`child`).

    Args:
        seconds: from the first word that was read to the last (`seconds_read`).

    Returns:
        The counts, and the passage word by word.
    """
    rules = _rules(language)
    steps = align_reading(rules.reference(_to_say(passage, language)), rules.tokens(heard))
    read = max((place + 1 for place, step in enumerate(steps) if step.reference and step.hypothesis), default=0)
    added = _added(steps)
    reading = Reading(
        words=sum(step.reference is not None for step in steps),
        correct=sum(step.kind == "equal" for step in steps),
        omitted=sum(step.kind == "deletion" for step in steps[:read]),
        not_reached=sum(step.kind == "deletion" for step in steps[read:]),
        inserted=added.inserted,
        substituted=sum(step.kind == "substitution" for step in steps),
        self_corrected=len(added.put_right),
        repeated=added.repeated,
        seconds=seconds,
    )
    return reading, steps


def seconds_read(
    steps: Sequence[AlignedWord], words: Sequence[tuple[str, float, float]], language: str | None = "en"
) -> float | None:
    """From the first word of the passage that was read, or attempted, to the last; None where none was.

    What is said before and after it ("okay, start", "thank you") does not make the reader slower.

    Args:
        steps: those of `assess`.
        words: all that was heard, with the times of their start and end.
    """
    rules, texts = _rules(language), [text for text, _, _ in words]
    runs = list(_runs(steps))
    before = next((_explained_best(steps, *run).inserted for run in runs if run[0] == 0), 0)
    behind = next((end - start for start, end in runs if not any(step.hypothesis for step in steps[end:])), 0)
    # The rules see several words at once: numbers, and brackets.
    first = _beyond(lambda number: len(rules.words(" ".join(texts[:number]))), before, len(texts))
    last = _beyond(lambda number: len(rules.words(" ".join(texts[len(texts) - number :]))), behind, len(texts))
    if first is None or last is None or first + last >= len(words):
        return None
    return words[-1 - last][2] - words[first][1]


def _beyond(size_of: Callable[[int], int], size: int, most: int) -> int | None:
    """The most words that make no more than `size`; None where all do. By bisection: an hour has 9,000 of them."""
    number = bisect_right(range(most + 1), size, key=size_of)
    return number - 1 if number <= most else None


def has_words(passage: str, language: str | None = "en") -> bool:
    """Whether there is anything to read."""
    return bool(_rules(language).reference(_to_say(passage, language)))


_UNSAID = str.maketrans(dict.fromkeys("()[]<>", " ") | dict.fromkeys("\u00ad\u200b\u2060\ufeff"))
"""Brackets, in which Whisper's normaliser expects what nobody said; marks of where a line may break, and of the file's
beginning, which nobody sees. Not the joiners that Persian and Hindi spell with."""


def _to_say(passage: str, language: str | None) -> str:
    """A passage as it is read: brackets do not take words away, and what is not seen does not part them."""
    said = passage.translate(_UNSAID)
    return said.replace(" & ", " and ") if is_english(language) else said


def _rules(language: str | None) -> Normaliser:
    """Whisper's own, but what a child says stays; who reads Korean reads words."""
    if is_english(language):
        return CHILD
    return WHISPER_BASIC if language_code(language or "") == "ko" else for_language(language)


@dataclass
class _Added:
    """What words are that stand beside the passage's."""

    inserted: int = 0
    put_right: set[int] = field(default_factory=set)
    """Places of the steps that were attempted before."""
    repeated: int = 0


def _added(steps: Sequence[AlignedWord]) -> _Added:
    """All insertions, each run taken where it explains most.

    The alignment does not say whether in `the big the small` the first two words were added or the middle two.
    """
    total = _Added()
    for run in _runs(steps):
        best = _explained_best(steps, *run)
        total.inserted += best.inserted
        total.repeated += best.repeated
        total.put_right |= best.put_right
    return total


def _explained_best(steps: Sequence[AlignedWord], start: int, end: int) -> _Added:
    readings = [_explained(steps, *shifted) for shifted in _shifted(steps, start, end)]
    return min(readings, key=lambda found: (found.inserted, len(found.put_right)))


def _runs(steps: Sequence[AlignedWord]) -> Iterator[tuple[int, int]]:
    """Where insertions begin and end."""
    start = None
    for place, step in enumerate([*steps, None]):
        added = step is not None and step.kind == "insertion"
        if added and start is None:
            start = place
        elif not added and start is not None:
            yield start, place
            start = None


def _shifted(steps: Sequence[AlignedWord], start: int, end: int) -> Iterator[tuple[list[str], list[int]]]:
    """The words that may be the added ones, and the places of the steps behind them that were read."""
    heard = [step.hypothesis for step in steps]
    first = start
    while first > 0 and steps[first - 1].reference and heard[first - 1] == heard[end - (start - first) - 1]:
        first -= 1
    last = end
    while last < len(steps) and steps[last].reference and heard[last] == heard[start + (last - end)]:
        last += 1
    for begin in range(first, start + last - end + 1):
        words = [word or "" for word in heard[begin : begin + end - start]]
        behind = [*range(begin, start), *range(max(end, end + begin - start), len(steps))]
        read = next((at for at, place in enumerate(behind) if not (steps[place].reference and heard[place])), None)
        yield words, behind[:read]


def _explained(steps: Sequence[AlignedWord], words: list[str], behind: list[int]) -> _Added:
    """Words added before steps that were read: attempts at them, repetitions, or words of their own.

    They are taken from the last one backwards, for a reader may begin again more than once.
    """
    found = _Added()
    while words:
        plain = _without_bridge(words)
        following = (steps[behind[0]].reference or "") if behind else ""
        if following.startswith(words[-1]):  # `no` before `not`
            plain = words
        size = _size_of_restart(steps, plain, behind)
        if not size:
            break
        words, said = plain[:-size], plain[-size:]
        for word, place in zip(said, behind, strict=False):
            if word == steps[place].hypothesis:
                found.repeated += 1
            else:
                found.put_right.add(place)
    found.inserted = len(words)
    return found


def _size_of_restart(steps: Sequence[AlignedWord], words: list[str], behind: list[int]) -> int:
    """How many of the last words are those behind them, said before; 0 if none.

    All of them are the same or attempts at the right ones; or some are the same, so that the reader went back to them,
    and what is between was put right whatever it was.
    """
    read = [steps[place] for place in behind[: len(words)]]
    for partly in (False, True):
        for size in range(len(read), 0, -1):
            pairs = list(zip(words[-size:], read, strict=False))
            same = [word == step.hypothesis for word, step in pairs]
            near = [word == step.hypothesis or alike(word, step.reference or "") for word, step in pairs]
            enough = any(same) and 2 * sum(near) >= size if partly else all(near)
            if enough and all(word == step.hypothesis or step.kind == "equal" for word, step in pairs):
                return size
    return 0


def _without_bridge(words: list[str]) -> list[str]:
    """Words without what is said between an attempt and the right word."""
    kept = list(words)
    while kept:
        if kept[-2:] == ["i", "mean"]:
            kept = kept[:-2]
        elif kept[-1] in BRIDGES:
            kept.pop()
        else:
            break
    return kept


def as_table(readings: Sequence[dict[str, Any]]) -> str:
    """Readings for a terminal, a line each; the columns are the keys of the first."""
    names = [name.removeprefix("words_").replace("_", " ") for name in readings[0]]
    rows = [names, *([_shown(value) for value in reading.values()] for reading in readings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(columns))
        for columns in (list(zip(row, widths, strict=True)) for row in rows)
    )
    return "\n".join(line.rstrip() for line in lines)


def as_csv(readings: Sequence[dict[str, Any]]) -> str:
    """Readings for a spreadsheet, a row each; what is not known is empty."""
    file = io.StringIO()
    rows = csv.DictWriter(file, ["recording", *COLUMNS], lineterminator="\n")
    rows.writeheader()
    rows.writerows(readings)
    return file.getvalue()


def from_csv(text: str) -> list[dict[str, str]] | None:
    """The rows of `as_csv`; None where it is another table."""
    names = ["recording", *COLUMNS]
    try:
        header, *rows = csv.reader(io.StringIO(text), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows] if header == names else None
    except (csv.Error, ValueError):
        return None


def _shown(value: Any) -> str:
    return "–" if value is None else str(value)
