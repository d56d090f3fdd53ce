"""`inspect`: what is in a corpus, in numbers, and some rows of it to listen to.

Everything but the sampled rows comes from the columns beside the audio, so a large corpus takes seconds.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table

from smallvoice.corpus.text_checks import compared
from smallvoice.corpus.utterance import Corpus, Utterance, open_corpus

_COLUMNS = ["text", "duration_s", "language", "speaker", "age_years", "gender", "role", "session", "recording"]
_MAX_BINS = 30
_STEPS = (0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100)
"""Widths of histogram bins: round numbers."""
_TOP = 30
_UNSEEN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """How often values lie in each bin, by split."""

    key: str
    """`duration_s`, `words_per_s`, `words` or `age_years`."""
    name: str
    unit: str
    edges: tuple[float, ...]
    """One more than there are bins; the last bin holds its upper edge too, and everything above it."""
    counts: dict[str, tuple[int, ...]]
    """Split -> one number a bin."""
    least: float
    median: float
    most: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "name": self.name,
            "unit": self.unit,
            **{name: round(getattr(self, name), 3) for name in ("least", "median", "most")},
            "edges": list(self.edges),
            "counts": {split: list(counts) for split, counts in self.counts.items()},
        }


@dataclass
class SplitNumbers:
    """What is in one split."""

    num_utterances: int = 0
    duration_s: float = 0.0
    words: Counter[str] = field(default_factory=Counter)
    """As `text_checks.compared` has them."""
    genders: dict[str, str] = field(default_factory=dict)
    """Of each speaker that is known, by pseudonym."""
    sessions: set[str] = field(default_factory=set)
    recordings: set[str] = field(default_factory=set)
    roles: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    values: dict[str, array[float]] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    """What histograms are made of, one number a row."""

    def add(self, row: dict[str, Any]) -> None:
        words = compared(row["text"]).split()
        duration_s = row["duration_s"]
        self.num_utterances += 1
        self.duration_s += duration_s
        self.words.update(words)
        self.recordings.add(row["recording"])
        self.roles[row["role"]] += 1
        self.languages[row["language"] or "unknown"] += 1
        if row["session"] is not None:
            self.sessions.add(row["session"])
        if row["speaker"] is not None:
            self.genders[row["speaker"]] = row["gender"] or "unknown"
        self.values["duration_s"].append(duration_s)
        self.values["words"].append(len(words))
        self.values["words_per_s"].append(len(words) / duration_s)
        if row["age_years"] is not None:
            self.values["age_years"].append(row["age_years"])

    @property
    def ages_years(self) -> tuple[float, float] | None:
        """The youngest and the oldest row."""
        ages = self.values["age_years"]
        return (min(ages), max(ages)) if ages else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "utterances": self.num_utterances,
            "hours": round(self.duration_s / 3600, 4),
            "words": self.words.total(),
            "vocabulary": len(self.words),
            "speakers": len(self.genders),
            "sessions": len(self.sessions),
            "recordings": len(self.recordings),
            "ages_years": list(self.ages_years) if self.ages_years else None,
            "genders": dict(Counter(self.genders.values()).most_common()),
            "roles": dict(self.roles.most_common()),
            "languages": dict(self.languages.most_common()),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Unseen:
    """The words of a split that train does not have."""

    split: str
    num_words: int
    """Running words."""
    share: float
    """Of the running words of the split."""
    vocabulary: int
    """Different words."""
    most: tuple[tuple[str, int], ...]
    """The most frequent of them."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "words": self.num_words,
            "share": round(self.share, 4),
            "vocabulary": self.vocabulary,
            "most": [list(pair) for pair in self.most],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """A corpus in numbers, with some of its rows."""

    path: Path
    facts: dict[str, Any]
    """corpus.json."""
    splits: dict[str, SplitNumbers]
    histograms: tuple[Histogram, ...]
    top_words: tuple[tuple[str, int], ...]
    unseen: tuple[Unseen, ...]
    samples: tuple[Utterance, ...]
    """Drawn at random, as many of each split; with their audio."""

    @property
    def vocabulary(self) -> int:
        return len(set().union(*(split.words for split in self.splits.values())))

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "corpus": str(self.path),
            "key": self.facts["key"],
            "vocabulary": self.vocabulary,
            "splits": {name: split.as_dict() for name, split in self.splits.items()},
            "unseen_in_train": {unseen.split: unseen.as_dict() for unseen in self.unseen},
            "top_words": [list(pair) for pair in self.top_words],
            "histograms": [histogram.as_dict() for histogram in self.histograms],
            "samples": [row.id for row in self.samples],
        }


def inspect(corpus_path: Path, *, samples: int = 0, seed: int = 0) -> Inspection:
    """Count what is in a corpus, and draw rows of it.

    Args:
        samples: rows to draw, spread evenly over the splits; the same for the same seed and corpus.

    Raises:
        InputError: not a prepared corpus.
    """
    corpus = open_corpus(corpus_path)
    splits = {name: SplitNumbers() for name in corpus.splits()}
    for name, numbers in splits.items():
        for row in _rows(corpus, name):
            numbers.add(row)
    total: Counter[str] = Counter()
    for numbers in splits.values():
        total.update(numbers.words)
    return Inspection(
        path=corpus_path,
        facts=corpus.facts,
        splits=splits,
        histograms=tuple(_histograms(splits)),
        top_words=tuple(_most(total, _TOP)),
        unseen=tuple(_unseen(splits)),
        samples=tuple(_draw(corpus, samples, seed)),
    )


def _rows(corpus: Corpus, split: str) -> Iterator[dict[str, Any]]:
    for batch in corpus.columns(split, _COLUMNS).to_batches(max_chunksize=4096):
        yield from batch.to_pylist()


def _histograms(splits: dict[str, SplitNumbers]) -> Iterator[Histogram]:
    for key, title, unit, least_step in (
        ("duration_s", "Duration of utterances", "seconds", 0.1),
        ("words_per_s", "Speaking rate", "words a second", 0.1),
        ("words", "Words in an utterance", "words", 1),
        ("age_years", "Age, by utterances", "years", 1),
    ):
        values = {name: np.array(split.values[key]) for name, split in splits.items()}
        every = np.concatenate(list(values.values()))
        if len(every):
            edges = _edges(every, least_step)
            counts = {name: _counted(own, edges) for name, own in values.items()}
            least, median, most = (float(value) for value in np.percentile(every, (0, 50, 100)))
            yield Histogram(
                key=key, name=title, unit=unit, edges=edges, counts=counts, least=least, median=median, most=most
            )


def _edges(values: NDArray[np.float64], least_step: float) -> tuple[float, ...]:
    """Edges of at most 30 bins of a round width, up to the 99.5th percentile: one odd row must not flatten the rest."""
    low, high = float(values.min()), float(np.percentile(values, 99.5, method="higher"))
    step = next((step for step in _STEPS if step >= least_step and high // step - low // step < _MAX_BINS), _STEPS[-1])
    first = int(low // step)
    num_bins = min(_MAX_BINS, int(high // step) - first + 1)
    return tuple(round((first + number) * step, 6) for number in range(num_bins + 1))


def _counted(values: NDArray[np.float64], edges: tuple[float, ...]) -> tuple[int, ...]:
    counts, _ = np.histogram(np.minimum(values, edges[-1]), bins=np.array(edges))
    return tuple(counts.tolist())


def _unseen(splits: dict[str, SplitNumbers]) -> Iterator[Unseen]:
    if "train" not in splits:
        return
    known = splits["train"].words
    for name, numbers in splits.items():
        if name == "train" or not numbers.words:
            continue
        new = Counter({word: count for word, count in numbers.words.items() if word not in known})
        yield Unseen(
            split=name,
            num_words=new.total(),
            share=new.total() / numbers.words.total(),
            vocabulary=len(new),
            most=tuple(_most(new, _UNSEEN)),
        )


def _most(counts: Counter[str], number: int) -> list[tuple[str, int]]:
    """The most frequent words; of equally frequent ones the first in the alphabet, on every machine."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:number]


def _draw(corpus: Corpus, number: int, seed: int) -> Iterator[Utterance]:
    """Rows at random, as many of each split (as far as it has them), read one row group at a time."""
    generator = random.Random(seed)
    sizes = corpus.splits()
    for position, (split, size) in enumerate(sizes.items()):
        share = number // len(sizes) + (position < number % len(sizes))
        chosen = set(generator.sample(range(size), min(share, size)))
        first = 0
        for group in corpus.row_groups(split):
            here = range(first, first + len(group.durations_s))
            if chosen.intersection(here):
                yield from (
                    row for index, row in zip(here, corpus.read_row_group(group), strict=True) if index in chosen
                )
            first = here.stop


def describe(inspection: Inspection) -> list[RenderableType]:
    """Tables for a terminal."""
    lines: list[RenderableType] = [f"{inspection.path}: {inspection.vocabulary:,} different words"]
    table = Table("", box=None, pad_edge=False)
    unseen = {one.split: f"{100 * one.share:.1f} %" for one in inspection.unseen}
    columns = [[*split_cells(name, split), unseen.get(name, "")] for name, split in inspection.splits.items()]
    for name, *_ in columns:
        table.add_column(name, justify="right")
    headings = ("utterances", "hours", "speakers", "sessions", "ages", "roles", "languages", "words", "unseen")
    for heading, *cells in zip(headings, *(column[1:] for column in columns), strict=True):
        table.add_row(heading, *cells)
    lines.append(table)
    values = Table("of each utterance", box=None, pad_edge=False)
    for heading in ("least", "median", "most"):
        values.add_column(heading, justify="right")
    for histogram in inspection.histograms:
        numbers = (f"{value:.3g}" for value in (histogram.least, histogram.median, histogram.most))
        values.add_row(f"{histogram.name.lower()} ({histogram.unit})", *numbers)
    lines.append(values)
    shown = ", ".join(f"{word} ({count:,})" for word, count in inspection.top_words[:10])
    lines.append(f"Most frequent words: {shown}")
    if unseen:
        lines.append("Unseen: the share of words (running) that train does not have.")
    return lines


def split_cells(name: str, split: SplitNumbers) -> list[str]:
    """Split, utterances, hours, speakers, sessions, ages, roles, languages, words."""
    ages = split.ages_years
    return [
        name,
        f"{split.num_utterances:,}",
        f"{split.duration_s / 3600:.2f}",
        f"{len(split.genders):,}" if split.genders else "unknown",
        f"{len(split.sessions):,}" if split.sessions else "–",
        f"{ages[0]:g}–{ages[1]:g}" if ages else "unknown",
        ", ".join(f"{role} {count:,}" for role, count in split.roles.most_common()),
        ", ".join(f"{language} {count:,}" for language, count in split.languages.most_common(5)),
        f"{split.words.total():,}",
    ]
