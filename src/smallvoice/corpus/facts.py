"""What the rows of a corpus have in common, counted as they pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from smallvoice.corpus.text_style import Case, TextFacts, without_punctuation
from smallvoice.corpus.utterance import Utterance
from smallvoice.languages import WHISPERS

_STRAY = 0.005
"""The share of letters or rows above which something is a way of writing, not a slip of the transcriber."""
_SHOWN = 5
"""Unknown languages named in a note: a column of something else may hold thousands."""


@dataclass
class SplitFacts:
    """Counts of one split."""

    num_utterances: int = 0
    num_words: int = 0
    duration_s: float = 0.0
    speakers: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    recordings: set[str] = field(default_factory=set)
    ages: set[float] = field(default_factory=set)

    def add(self, row: Utterance) -> None:
        self.num_utterances += 1
        self.num_words += len(row.text.split())
        self.duration_s += row.duration_s
        self.recordings.add(row.recording)
        if row.speaker is not None:
            self.speakers.add(row.speaker)
        if row.session is not None:
            self.sessions.add(row.session)
        if row.age_years is not None:
            self.ages.add(row.age_years)

    def as_dict(self) -> dict[str, Any]:
        return {
            "utterances": self.num_utterances,
            "hours": round(self.duration_s / 3600, 4),
            "words": self.num_words,
            "speakers": len(self.speakers),
            "sessions": len(self.sessions),
            "recordings": len(self.recordings),
            "ages_years": [min(self.ages), max(self.ages)] if self.ages else None,
        }


@dataclass
class TextCounts:
    """How the rows are written."""

    num_rows: int = 0
    num_upper: int = 0
    num_lower: int = 0
    num_punctuated: int = 0
    num_with_digits: int = 0

    def add(self, text: str) -> None:
        self.num_rows += 1
        self.num_upper += sum(character.isupper() for character in text)
        self.num_lower += sum(character.islower() for character in text)
        self.num_punctuated += without_punctuation(text) != text.replace("’", "'")
        self.num_with_digits += any(character.isdigit() for character in text)

    def facts(self) -> TextFacts:
        """One case, no punctuation, no digits: said where no more than a slip speaks against it."""
        cased = self.num_upper + self.num_lower
        case: Case = "mixed"
        if self.num_upper <= _STRAY * cased:
            case = "lower"
        elif self.num_lower <= _STRAY * cased:
            case = "upper"
        return TextFacts(
            case=case,
            punctuation=self.num_punctuated > _STRAY * self.num_rows,
            digits=self.num_with_digits > _STRAY * self.num_rows,
        )


@dataclass
class CorpusCounts:
    """Everything that corpus.json says about the rows."""

    splits: dict[str, SplitFacts] = field(default_factory=dict)
    text: dict[str, TextCounts] = field(default_factory=dict)
    languages: set[str | None] = field(default_factory=set)
    flags: dict[str, int] = field(default_factory=dict)

    def add(self, row: Utterance) -> None:
        self.splits.setdefault(row.split, SplitFacts()).add(row)
        self.text.setdefault(row.split, TextCounts()).add(row.text)
        self.languages.add(row.language)
        for flag in row.extra.get("flags", ()):
            self.flags[flag] = self.flags.get(flag, 0) + 1

    def notes(self) -> list[str]:
        """Languages that no Whisper can be told: others than Whisper's may be prepared, for other models."""
        lacking = sorted(language for language in self.languages if language and language not in WHISPERS)
        if not lacking:
            return []
        named = ", ".join(map(repr, lacking[:_SHOWN])) + (" and others" if len(lacking) > _SHOWN else "")
        return [
            f"Whisper has no language {named}, so `train` and `evaluate` will refuse these rows. Give a code (fi) or "
            "an English name (Finnish) of one that it has; for a language that it lacks, the nearest."
        ]

    def as_dict(self) -> dict[str, Any]:
        # Training takes its way of writing from here, so a test has no say in it.
        text = (self.text.get("train") or next(iter(self.text.values()), TextCounts())).facts()
        order = {"train": 0, "dev": 1, "test": 2}
        return {
            "language": next(iter(self.languages)) if len(self.languages) == 1 else None,
            "text": {"case": text.case, "punctuation": text.punctuation, "digits": text.digits},
            "splits": {
                name: self.splits[name].as_dict() for name in sorted(self.splits, key=lambda name: order.get(name, 3))
            },
            "flags": dict(sorted(self.flags.items())),
        }
