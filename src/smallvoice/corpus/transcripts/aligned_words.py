"""Words that an aligner put on a tier: those of utterances that are there too, or all that there is."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import replace

from smallvoice.corpus.transcripts.segment import Segment, Word
from smallvoice.corpus.transcripts.spoken import Spoken, segments_of

_UNHEARD = frozenset({"spn", "<spn>"})
"""Speech that the aligner knows no word for."""
_SILENT = _UNHEARD | {"<eps>", "<sil>", "sil", "sp", "<p:>", "<p>", "{sl}", "{ns}", "{lg}", "{br}", "{cg}", "{ls}"}
"""How aligners mark a pause, and what they take for no word: P2FA's and FAVE's noise, laughter, breath, cough, lips."""
_TOLERANCE_S = 0.011
"""Aligners work in frames of 10 ms."""


def is_silent(word: Segment) -> bool:
    return word.text.lower() in _SILENT


class Spans:
    """Labels in the order of their starts, to find the one around a word."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = sorted(segments, key=lambda segment: segment.start_s or 0.0)
        self.starts = [segment.start_s or 0.0 for segment in self.segments]

    def around(self, word: Segment) -> int | None:
        """The last label that begins before a word, where it ends after it."""
        index = bisect_right(self.starts, (word.start_s or 0.0) + _TOLERANCE_S) - 1
        if index < 0 or (word.end_s or 0.0) > (self.segments[index].end_s or 0.0) + _TOLERANCE_S:
            return None
        return index


def cover(segments: list[Segment], words: list[Segment]) -> bool:
    """Whether every word lies in a segment, and most of them are among the words written there."""
    spans = Spans(segments)
    spoken = [word for word in words if not is_silent(word)]
    vocabularies = [_bare_words(segment.text) for segment in spans.segments]
    written = 0
    for word in spoken:
        index = spans.around(word)
        if index is None:
            return False
        written += _bare_words(word.text) <= vocabularies[index]
    return bool(spoken) and 2 * written >= len(spoken)


def _bare_words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def with_words(segments: list[Segment], words: list[Segment]) -> list[Segment]:
    """The utterances with the words that lie in them, in order of time."""
    spans = Spans(segments)
    inside: dict[int, list[Word]] = {}
    for word in sorted(words, key=lambda word: word.start_s or 0.0):
        index = spans.around(word)
        if index is not None and not is_silent(word) and word.start_s is not None and word.end_s is not None:
            timed = Word(text=word.text, start_s=word.start_s, end_s=word.end_s)
            inside.setdefault(id(spans.segments[index]), []).append(timed)
    return [replace(segment, words=(*segment.words, *inside.get(id(segment), []))) for segment in segments]


def are_single(labels: list[Segment]) -> bool:
    """Whether each label is one word; else somebody wrote utterances on a tier called `words`."""
    return not any(" " in label.text for label in labels)


def up_to_pauses(labels: list[Segment], where: str) -> list[Segment]:
    """The words of one tier as segments, parted at pauses and at speech that has no word."""
    runs: list[list[Spoken]] = [[]]
    for label in labels:
        if label.text.lower() in _UNHEARD:
            runs.append([])
        elif not is_silent(label) and label.start_s is not None and label.end_s is not None:
            word = Word(text=label.text, start_s=label.start_s, end_s=label.end_s)
            line = int(label.where.rpartition(":")[2])
            runs[-1].append(Spoken(line=line, recording="", channel="", speaker=None, word=word))
    return [
        replace(segment, recording=None, speaker=labels[0].speaker, role=labels[0].role, tier=labels[0].tier)
        for run in runs
        for segment in segments_of(run, where, {})
    ]
