"""Texts with times, to be scored: NIST's STM and CTM, and SegLST."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallvoice.errors import InputError

if TYPE_CHECKING:
    from smallvoice.corpus.transcripts.segment import Segment, Word


@dataclass(frozen=True)
class Text:
    """One utterance of a file."""

    id: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)
    """What else its row says: speaker, age_years, language, ..."""


@dataclass(frozen=True)
class Timed:
    """A segment of a timed file."""

    recording: str
    speaker: str | None
    start_s: float
    text: str
    words: tuple[Word, ...] = ()
    """Where the file times them."""


@dataclass(frozen=True)
class TimedFile:
    segments: list[Timed]
    ignored: list[tuple[str, float, float]]
    """Recording, start and end of what an STM leaves out of scoring."""


def _nist(path: Path) -> TimedFile:
    from smallvoice.corpus.transcripts import nist

    return _segments(path, nist.parse_stm if path.suffix.lower() == ".stm" else nist.parse_ctm)


def _seglst(path: Path) -> TimedFile:
    from smallvoice.corpus.transcripts import seglst

    return _segments(path, seglst.parse)


READERS: dict[str, Callable[[Path], TimedFile]] = {".stm": _nist, ".ctm": _nist, ".json": _seglst}


def _segments(path: Path, parse: Callable[..., Any]) -> TimedFile:
    """What a reader of transcripts finds; a line that it cannot read is an error here, not a row of a ledger."""
    from smallvoice.corpus.transcripts.document import Unreadable
    from smallvoice.recipe import CorpusRecipe

    try:
        document = parse(path, str(path), CorpusRecipe())
    except Unreadable as error:
        raise InputError(str(error)) from None
    refuse(
        [
            f"{problem.where}: {problem.reason}: {problem.detail}"
            for problem in document.problems
            if problem.reason != "not speech"
        ]
    )
    segments = [
        Timed(
            recording=_recording(segment),
            speaker=None if segment.speaker is None else str(getattr(segment.speaker, "name", segment.speaker)),
            start_s=segment.start_s or 0.0,
            text=segment.text,
            words=segment.words,
        )
        for segment in document.segments
    ]
    left_out = (problem.segment for problem in document.problems if problem.segment is not None)
    ignored = [(_recording(region), region.start_s or 0.0, region.end_s or math.inf) for region in left_out]
    return TimedFile(segments, ignored)


def _recording(segment: Segment) -> str:
    return f"{segment.recording}{f'/{segment.channel}' if segment.channel else ''}"


def _scored(one: Timed, ignored: list[tuple[str, float, float]]) -> str:
    """Its text without the words whose middle lies where nothing is scored, as sclite has it."""
    regions = [(start, end) for recording, start, end in ignored if recording == one.recording]
    if not regions or not one.words:
        return one.text
    middles = ((word, (word.start_s + word.end_s) / 2) for word in one.words)
    return " ".join(word.text for word, at in middles if not any(start <= at < end for start, end in regions))


def joined(reference: TimedFile, hypothesis: TimedFile) -> tuple[list[Text], list[Text]]:
    """One text for each recording, or for each speaker in it where both name the same ones."""
    speakers = [{(one.recording, one.speaker) for one in side.segments} for side in (reference, hypothesis)]
    by_speaker = speakers[1] <= speakers[0] and all(name is not None for _, name in speakers[0])
    texts = []
    for side in (reference, hypothesis):
        parts: dict[str, list[Timed]] = defaultdict(list)
        for one in side.segments:
            if one.text and not _scored(one, reference.ignored):
                continue  # all of it lies where nothing is scored
            parts[f"{one.recording}/{one.speaker}" if by_speaker else one.recording].append(one)
        texts.append(
            [
                Text(
                    name,
                    " ".join(_scored(one, reference.ignored) for one in sorted(found, key=lambda one: one.start_s)),
                    {"recording": found[0].recording} | ({"speaker": found[0].speaker} if by_speaker else {}),
                )
                for name, found in parts.items()
            ]
        )
    return texts[0], texts[1]


def refuse(problems: list[str]) -> None:
    """Raises: InputError: there are problems; all of them at once."""
    if problems:
        raise InputError(*problems)
