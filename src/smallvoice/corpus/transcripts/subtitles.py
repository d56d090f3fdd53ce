"""Subtitles: SRT and WebVTT (https://www.w3.org/TR/webvtt1/).

SRT has no standard; what players read is read: numbers may be missing, decimals have a comma or a point, blank
lines may stand inside a cue. `Name:` at the start of a line is text: whether it is a speaker cannot be known.
WebVTT's voices (`<v Name>`) are speakers, its time tags (`<00:01.000>`) the times of words where each word has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from smallvoice.corpus.transcripts.document import Document, FileReader, Head, Unreadable, read_text
from smallvoice.corpus.transcripts.fields import clock, first_lines, squeezed, text_and_notes, unescaped
from smallvoice.corpus.transcripts.people import person, role_of
from smallvoice.corpus.transcripts.segment import Problem, Segment, Word
from smallvoice.recipe import CorpusRecipe

_TIME = r"((?:\d{1,4}:)?\d{1,3}:\d{1,2}(?:[.,]\d{1,9})?)"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?", re.ASCII)
_TAG = re.compile(r"<[^<>]*>")
_VOICE = re.compile(r"v(?:\.\S*)?(?:\s+(.*))?")
_FORMAT = re.compile(r"/?(?:i|b|u|s|c|v|em|strong|font|span|ruby|rt|lang|p|br)(?:[\s./].*)?", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{\\[^{}\n]*\}")
_BLOCKS = ("NOTE", "STYLE", "REGION")


@dataclass(slots=True)
class _Cue:
    line: int
    times: tuple[float, float] | None
    """None: its line has `-->` and no times."""
    timing: str
    lines: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Piece:
    """What one voice says in a cue."""

    voice: str | None
    runs: list[tuple[float | None, str]]
    """Text and when it starts; None: with what stands before it."""

    @property
    def text(self) -> str:
        return squeezed("".join(text for _, text in self.runs))


def recognises_srt(head: Head) -> bool:
    return not recognises_vtt(head) and any(_TIMING.fullmatch(line) for line in first_lines(head, 3))


def recognises_vtt(head: Head) -> bool:
    return re.match(r"WEBVTT(?:\s|$)", head.text) is not None


def parse_srt(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """The cues of an SRT file.

    Raises:
        Unreadable: it has none.
    """
    text, notes = text_and_notes(path, where)
    stray, cues = _srt_cues(_OVERRIDE.sub("", text).split("\n"))
    if not any(cue.times for cue in cues):
        raise Unreadable(where, "not SRT", "no line has times, such as 00:00:01,000 --> 00:00:02,500")
    problems = [_stray(where, line, text) for line, text in stray]
    return _document(cues, problems, notes, where, None)


def parse_vtt(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """The cues of a WebVTT file.

    Raises:
        Unreadable: its first line is not `WEBVTT`.
    """
    text = read_text(path, where)
    lines = text.split("\n")
    if not re.match(r"WEBVTT(?:\s|$)", lines[0]):
        raise Unreadable(f"{where}:1", "not WebVTT", f"the first line is {lines[0][:40]!r}, not WEBVTT")
    cues: list[_Cue] = []
    problems: list[Problem] = []
    language = None
    for first, block in _blocks(lines):
        timings = [position for position, line in enumerate(block) if _is_timing(line)]
        if first == 1:
            named = [line.partition(":")[2] for line in block if line.lower().startswith("language:")]
            language = squeezed(named[0])[:35] or None if named else None
        elif not timings and block[0].split(maxsplit=1)[0] not in _BLOCKS:
            problems.append(_stray(where, first, " ".join(block)))
        for position, end in pairwise([*timings, len(block)]):
            cues.append(_Cue(first + position, _times(block[position]), block[position], block[position + 1 : end]))
    return _document(cues, problems, (), where, language)


def _srt_cues(lines: list[str]) -> tuple[list[tuple[int, str]], list[_Cue]]:
    """The lines before the first cue, and the cues: a cue ends where the next one's number or times stand."""
    before = _Cue(0, None, "")
    cues = [before]
    count = 0
    for line_number, line in enumerate(lines, 1):
        if not _is_timing(line):
            cues[-1].lines.append(line)
            continue
        own = cues[-1].lines
        digits = own[-1].strip().removeprefix("\ufeff") if own else ""
        if digits.isascii() and digits.isdigit() and len(digits) < 10:
            blank_before = not own[-2].strip() if len(own) > 1 else cues[-1] is before
            if blank_before or int(digits) == count + 1:
                count = int(digits)
                own.pop()
        cues.append(_Cue(line_number, _times(line), line))
    return [(number, line) for number, line in enumerate(before.lines, 1) if line.strip()], cues[1:]


def _blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Lines between blank lines, with the number of the first. A blank line above a cue's text is a part of it."""
    block: list[str] = []
    has_text = False
    for line_number, line in enumerate([*lines, ""], 1):
        blank = not line.strip()
        if not line or (blank and (has_text or not block)):
            if block:
                yield line_number - len(block), block
            block, has_text = [], False
        else:
            block.append(line)
            has_text = has_text or not (blank or _is_timing(line))


def _is_timing(line: str) -> bool:
    """Times, whole or damaged; an arrow in the text has no digits and colons around it."""
    return "-->" in line and (
        _TIMING.fullmatch(line) is not None or (line.count(":") > 1 and sum(map(str.isdigit, line)) > 5)
    )


def _times(line: str) -> tuple[float, float] | None:
    found = _TIMING.fullmatch(line)
    start_s, end_s = (clock(text) for text in found.groups()) if found else (None, None)
    return None if start_s is None or end_s is None else (start_s, end_s)


def _stray(where: str, line: int, text: str) -> Problem:
    place = f"{where}:{line}"
    lost = Segment(where=place, text=squeezed(text))
    return Problem(where=place, reason="bad line", detail="text outside of a cue", segment=lost)


def _document(
    cues: list[_Cue], problems: list[Problem], notes: tuple[str, ...], where: str, language: str | None
) -> Document:
    segments: list[Segment] = []
    for cue in cues:
        found = list(_segments(cue, where, language))
        if cue.times:
            segments += found
            continue
        detail = f"no times in {cue.timing.strip()[:60]!r}"
        problems += [
            Problem(where=segment.where, reason="bad line", detail=detail, segment=segment) for segment in found
        ]
    texts = [[squeezed(_TAG.sub("", line)) for line in cue.lines if line.strip()] for cue in cues]
    rolls = sum(bool(one and two) and one[-1] == two[0] for one, two in pairwise(texts))
    if rolls > 3 and 2 * rolls > len(cues):
        notes = (*notes, "rolling captions: most cues repeat the line before them, so words come twice.")
    return Document(segments=tuple(segments), problems=tuple(problems), notes=notes)


def _segments(cue: _Cue, where: str, language: str | None) -> Iterator[Segment]:
    """One segment, or one for each voice."""
    place = f"{where}:{cue.line}"
    speaking = _pieces(cue.lines)
    dashes = sum(_TAG.sub("", line).lstrip().startswith(("-", "–", "—")) for line in cue.lines)
    for piece in speaking:
        yield Segment(
            where=place,
            text=piece.text,
            start_s=cue.times[0] if cue.times else None,
            end_s=cue.times[1] if cue.times else None,
            speaker=person(piece.voice, where),
            role=role_of(piece.voice),
            role_is_guess=True,
            language=language,
            words=_words(piece, *cue.times) if cue.times and len(speaking) == 1 else (),
            flags=("speakers share a cue",) if len(speaking) > 1 or dashes > 1 else (),
        )


def _pieces(lines: list[str]) -> list[_Piece]:
    """The text of a cue by voice; marks of form are taken out, tags of other kinds stay text."""
    payload = "\n".join(lines)
    pieces = [_Piece(None, [])]
    time: float | None = None

    def say(text: str) -> None:
        pieces[-1].runs.append((time, unescaped(text)))

    position = 0
    for tag in _TAG.finditer(payload):
        say(payload[position : tag.start()])
        position = tag.end()
        name = squeezed(tag.group()[1:-1])
        voice = _VOICE.fullmatch(name)
        stamp = clock(name)
        if stamp is not None:
            time = stamp
        elif voice or name == "/v":
            pieces.append(_Piece(squeezed(unescaped(voice[1] or "")) or None if voice else None, []))
        elif name.lower().strip("/ ") == "br":
            say("\n")
        elif not _FORMAT.fullmatch(name):
            say(tag.group())
    say(payload[position:])
    return _joined(pieces)


def _joined(pieces: list[_Piece]) -> list[_Piece]:
    """Without the empty ones; neighbours of one voice are one piece."""
    joined: list[_Piece] = []
    for piece in [piece for piece in pieces if piece.text] or pieces[-1:]:
        if joined and piece.voice == joined[-1].voice:
            joined[-1].runs += [(None, " "), *piece.runs]
        else:
            joined.append(piece)
    return joined


def _words(piece: _Piece, start_s: float, end_s: float) -> tuple[Word, ...]:
    """The words, where each has a time of its own; else none."""
    starts: list[float] = []
    words: list[str] = []
    for time, text in piece.runs:
        at = starts[-1] if time is None and starts else start_s if time is None else time
        if starts and at == starts[-1]:
            words[-1] += text
        else:
            starts.append(at)
            words.append(text)
    texts = [squeezed(word) for word in words]
    ends = [*starts[1:], end_s]
    in_order = all(start <= end for start, end in zip([start_s, *starts], [*starts, end_s], strict=True))
    if len(starts) < 2 or not in_order or [text for text in texts if text] != piece.text.split():
        return ()
    timed = zip(texts, starts, ends, strict=True)
    return tuple(Word(text=text, start_s=start, end_s=end) for text, start, end in timed if text)


READERS = (
    FileReader(
        name="srt",
        shape="SRT subtitles",
        suffixes=frozenset({".srt"}),
        recognises=recognises_srt,
        parse=parse_srt,
    ),
    FileReader(
        name="vtt",
        shape="WebVTT subtitles, whose voices are speakers",
        suffixes=frozenset({".vtt", ".webvtt"}),
        recognises=recognises_vtt,
        parse=parse_vtt,
    ),
)
