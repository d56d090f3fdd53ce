"""Praat TextGrids as text: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html

As in Praat, only numbers, quoted strings and `<flags>` that stand free between white space count, whatever else is
there is comment; so the long form, the short form and anything between are one format. `""` in a string is a quote,
and strings may span lines. The sizes that the file states are compared with what is there, and never relied on.

Of a file as the Montreal Forced Aligner writes them, utterances are segments, words are their `Segment.words`, and
phones are left out; see `_Choice`. Words without utterances are segments up to a pause, and give way to a text of the
whole recording, as somebody wrote it, where Whisper hears all of it at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from smallvoice.corpus.transcripts import aligned_words, people, tiers
from smallvoice.corpus.transcripts.document import Document, FileReader, Head, Unreadable, head_of
from smallvoice.corpus.transcripts.fields import text_and_notes
from smallvoice.corpus.transcripts.segment import Problem, Segment, number
from smallvoice.corpus.transcripts.spoken import MAX_S
from smallvoice.recipe import CorpusRecipe

_HEADER_CHARACTERS = 400
_HEADER = re.compile(r'[^\r\n]*\booTextFile\b[^\r\n]*[\r\n]\s*[^\r\n"]*"?TextGrid\b"?')
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)?(?:[eE][+-]?[0-9]+)?")  # a comma: not Praat's own
_UNDEFINED = "--undefined--"
_NUMBER_CHARACTERS = 40
"""No number is longer in Praat either."""
_SIZES = {"IntervalTier": 2, "TextTier": 1}
"""Class of a tier -> the times of each of its labels."""
_MOST_TIERS = 50
"""Among more tiers than this, words that name no speaker are compared with none."""
_SHOWN = 200
"""Characters kept of a label that has no end."""


def recognises(head: Head) -> bool:
    if head.data.startswith(b"ooBinaryFile"):
        return b"TextGrid" in head.data[:64]
    return bool(_HEADER.match(head.text.lstrip()[:_HEADER_CHARACTERS]))


def parse(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every non-empty label: a segment, or a problem that says why it is none.

    A point's start and end are its time. Times are kept as they stand, whatever their order.

    Raises:
        Unreadable: not a TextGrid as text, or without tiers.
    """
    if head_of(path).data.startswith(b"ooBinaryFile"):
        raise Unreadable(where, "binary TextGrid", "open it in Praat and save it with Save as text file")
    text, of_text = text_and_notes(path, where)
    start = len(text) - len(text.lstrip())
    header = _HEADER.match(text[start : start + _HEADER_CHARACTERS])
    if header is None:
        raise Unreadable(where, "not a TextGrid", 'it does not begin with File type = "ooTextFile", then "TextGrid"')
    grid = _Grid(where)
    grid.read(_Tokens(text, start + header.end()))
    if not grid.tiers:
        raise Unreadable(where, "no tiers", "the TextGrid ends before its first tier")
    choice = _Choice(grid.tiers, recipe.tiers, where)
    segments: list[Segment] = []
    problems = list(grid.problems)
    for tier in grid.tiers:
        kept, lost = choice.sort(tier)
        segments += kept
        problems += lost
    end_s = max(grid.end_s, *(segment.end_s or 0.0 for segment in segments), 0.0)
    is_of_one = len({segment.tier for segment in segments}) == 1
    return Document(
        segments=tuple(segments),
        problems=tuple(problems),
        words_alone=is_of_one and not recipe.tiers and end_s <= MAX_S and all(map(choice.are_words_alone, grid.tiers)),
        notes=(*of_text, *grid.notes()),
    )


@dataclass(frozen=True, slots=True)
class _Token:
    value: float | str | None
    """A number (None: not a plain one, such as --undefined--) or a string."""
    line: int
    is_string: bool
    unclosed: bool = False


class _Tokens:
    """What counts in a TextGrid, one token ahead."""

    def __init__(self, text: str, start: int) -> None:
        self._tokens = _tokens(text, start)
        self.next: _Token | None = next(self._tokens, None)

    def take(self) -> _Token | None:
        token = self.next
        self.next = next(self._tokens, None)
        return token

    def numbers(self, at_most: int | None = None) -> list[float | None]:
        """The numbers that stand next, up to a string or the end."""
        found: list[float | None] = []
        while self.next is not None and not self.next.is_string and (at_most is None or len(found) < at_most):
            value = self.next.value
            found.append(value if isinstance(value, float) else None)
            self.take()
        return found


def _tokens(text: str, position: int) -> Iterator[_Token]:
    """Numbers and strings that stand free; flags and comments are passed over."""
    free = re.compile(r"\S")
    word = re.compile(r"\S+")
    line, counted = 1, 0
    while found := free.search(text, position):
        start = found.start()
        line, counted = line + text.count("\n", counted, start), start
        if text[start] == '"':
            label, position, unclosed = _string(text, start + 1)
            yield _Token(label, line, True, unclosed)
        elif text[start] == "!":
            end = text.find("\n", start)
            position = len(text) if end < 0 else end
        else:
            whole = word.match(text, start)
            position = whole.end() if whole else start + 1
            plain = _NUMBER.match(text, start, min(position, start + _NUMBER_CHARACTERS))
            if plain or text.startswith(_UNDEFINED, start):
                yield _Token(number(plain.group().replace(",", ".")) if plain else None, line, False)


def _string(text: str, start: int) -> tuple[str, int, bool]:
    """What stands in quotes from `start` on, the position after it, and whether the closing quote is missing."""
    pieces: list[str] = []
    while (quote := text.find('"', start)) >= 0:
        pieces.append(text[start:quote])
        if text[quote + 1 : quote + 2] != '"':
            return "".join(pieces), quote + 1, False
        pieces.append('"')
        start = quote + 2
    pieces.append(text[start:])
    return "".join(pieces), len(text), True


@dataclass(slots=True, eq=False)
class _Tier:
    kind: str
    name: str
    stated: float | None
    """How many labels it says it has."""
    count: int = 0
    """How many it has, the empty ones too."""
    segments: list[Segment] = field(default_factory=list)


@dataclass
class _Grid:
    """The tiers of a file, and what of it could not be used."""

    where: str
    stated: float | None = None
    """How many tiers it says it has."""
    end_s: float = 0.0
    """Where it says that it ends."""
    tiers: list[_Tier] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def read(self, tokens: _Tokens) -> None:
        grid = tokens.numbers()
        if len(grid) == 3:
            self.end_s, self.stated = grid[1] or 0.0, grid[2]
        while tokens.next is not None:
            times = tokens.numbers()
            token = tokens.take()
            if token is None:
                self._lose(None, "file ends within a label", f"times without label on tier {self._tier_name()}")
            elif token.value in _SIZES and tokens.next is not None and tokens.next.is_string:
                if times:
                    self._lose(token.line, "label without text", f"tier {self._tier_name()} ends after its times")
                name = tokens.take()
                numbers = tokens.numbers(at_most=3)
                stated = numbers[2] if len(numbers) == 3 else None
                self.tiers.append(_Tier(str(token.value), str(name.value).strip() if name else "", stated))
            else:
                self._add(token, times)

    def _add(self, token: _Token, times: list[float | None]) -> None:
        """A label of the last tier."""
        label = " ".join(str(token.value).split())
        tier = self.tiers[-1] if self.tiers else None
        if tier is not None:
            tier.count += 1
        segment = self._segment(token.line, label, tier)
        if token.unclosed:
            shown = replace(segment, text=label[:_SHOWN])
            self._lose(token.line, "file ends within a label", "the closing quote is missing", shown)
        elif not label:
            return
        elif tier is None or len(times) != _SIZES[tier.kind] or None in times:
            expected = _SIZES[tier.kind] if tier else "no"
            detail = f"expected {expected} times before it, found {len(times) - times.count(None)}"
            self._lose(token.line, "label without times", detail, segment)
        else:
            tier.segments.append(replace(segment, start_s=times[0], end_s=times[-1]))

    def _segment(self, line: int, label: str, tier: _Tier | None) -> Segment:
        speaker = tiers.speaker_of(tier.name) if tier else None
        return Segment(
            where=f"{self.where}:{line}",
            text=label,
            speaker=people.person(speaker, self.where),
            role=people.role_of(speaker),
            role_is_guess=True,
            tier=tier.name if tier else None,
        )

    def notes(self) -> Iterator[str]:
        """Where the file says one number and holds another."""
        if self.stated is not None and self.stated != len(self.tiers):
            yield f"it says {self.stated:g} tiers, and has {len(self.tiers)}"
        for tier in self.tiers:
            if tier.stated is not None and tier.stated != tier.count:
                yield f"tier {tier.name} says {tier.stated:g} labels, and has {tier.count}"

    def _tier_name(self) -> str:
        return self.tiers[-1].name if self.tiers else "none"

    def _lose(self, line: int | None, reason: str, detail: str, segment: Segment | None = None) -> None:
        where = self.where if line is None else f"{self.where}:{line}"
        self.problems.append(Problem(where=where, reason=reason, detail=detail, segment=segment))


class _Choice:
    """Which labels are segments.

    With patterns: those of the tiers that fit. Without: all but tiers of phones. Either way the words of a speaker
    whose utterances are read too are not read twice: they go with the utterances that cover them. Words without
    utterances are put together.
    """

    def __init__(self, all_tiers: list[_Tier], patterns: list[str], where: str) -> None:
        self.where = where
        self.reasons: dict[_Tier, str] = {}
        """Why the labels of a tier are no segments."""
        self.words: dict[_Tier, list[_Tier]] = {}
        """Tier of utterances -> its tiers of words."""
        self.utterances: dict[_Tier, _Tier] = {}
        """Tier of words -> its tier of utterances."""
        for tier in all_tiers:
            if patterns and not tiers.is_chosen(tier.name, patterns):
                self.reasons[tier] = "tier not chosen"
            elif not patterns and _is_phones(tier):
                self.reasons[tier] = "tier of phones"
        self._pair([tier for tier in all_tiers if tier.kind == "IntervalTier"])

    def _pair(self, all_tiers: list[_Tier]) -> None:
        """Find the utterances that words belong to: by the tiers' names, else by what is on them."""
        words = {tier: tiers.parts(tier.name)[0] for tier in all_tiers if tiers.parts(tier.name)[1] in tiers.WORDS}
        nobodys = [tier for tier, speaker in words.items() if speaker is None]
        others = [tier for tier in all_tiers if tier.segments and tier not in self.reasons and tier not in words]
        by_speaker: dict[str, list[_Tier]] = {}
        for tier in others:
            speaker, kind = tiers.parts(tier.name)
            by_speaker.setdefault(speaker if speaker and kind in tiers.UTTERANCES else tier.name, []).append(tier)
        for tier, speaker in words.items():
            found = by_speaker.get(speaker or "", [])
            if nobodys == [tier] and len(others) <= _MOST_TIERS:
                found = [other for other in others if aligned_words.cover(other.segments, tier.segments)]
            if len(found) == 1:
                self.words.setdefault(found[0], []).append(tier)
                self.utterances[tier] = found[0]

    def sort(self, tier: _Tier) -> tuple[list[Segment], list[Problem]]:
        """The segments of a tier, and its labels that are none."""
        if tier in self.utterances and self.reasons.get(tier) is None:
            spans = aligned_words.Spans(self.utterances[tier].segments)
            return [], [_word_problem(segment, spans) for segment in tier.segments]
        if tier in self.reasons:
            reason = self.reasons[tier]
            return [], [_problem(segment, reason, f"tier {tier.name}") for segment in tier.segments]
        segments, silent = tier.segments, list[Segment]()
        if tiers.parts(tier.name)[1] in tiers.WORDS:
            silent = [segment for segment in tier.segments if aligned_words.is_silent(segment)]
            segments = [segment for segment in tier.segments if not aligned_words.is_silent(segment)]
        if segments and self.are_words_alone(tier):
            segments = aligned_words.up_to_pauses(tier.segments, self.where)
        for words in self.words.get(tier, []):
            segments = aligned_words.with_words(segments, words.segments)
        return segments, [_problem(segment, "no words", "an aligner's mark of silence") for segment in silent]

    def are_words_alone(self, tier: _Tier) -> bool:
        """Whether a tier has no segments but words that go with no utterance."""
        if tier in self.reasons or tier in self.utterances or not tier.segments:
            return True
        is_of_words = tier.kind == "IntervalTier" and tiers.parts(tier.name)[1] in tiers.WORDS
        return is_of_words and aligned_words.are_single(tier.segments)


def _is_phones(tier: _Tier) -> bool:
    kind = tiers.parts(tier.name)[1]
    one_sound_each = not any(" " in segment.text for segment in tier.segments)
    return kind in tiers.PHONES or (kind in tiers.SEGMENTS and one_sound_each)


def _word_problem(word: Segment, spans: aligned_words.Spans) -> Problem:
    if spans.around(word) is None and not aligned_words.is_silent(word):
        return _problem(word, "word outside its utterances", f"tier {word.tier}")
    return _problem(word, "tier of words, read with its utterances", f"tier {word.tier}")


def _problem(segment: Segment, reason: str, detail: str) -> Problem:
    return Problem(where=segment.where, reason=reason, detail=detail, segment=segment)


READER = FileReader(
    name="textgrid",
    shape="Praat TextGrid (.TextGrid): long or short text form, interval and point tiers",
    suffixes=frozenset({".textgrid"}),
    recognises=recognises,
    parse=parse,
)
