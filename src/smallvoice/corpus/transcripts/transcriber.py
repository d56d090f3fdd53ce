"""Transcriber (.trs): https://trans.sourceforge.net/en/usermanUS.php, its definition is trans-14.dtd.

A Turn of one or several speakers holds text between Sync points; each stretch is a segment. Where several speak at
once, `<Who nb="1"/>` says whose the text after it is, and each of them is a segment of the same time. Events (noise,
pronunciation, language) and comments are no words: they are left out, and the segment is flagged with their kind and
has them in `extra`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from smallvoice.corpus.transcripts import people
from smallvoice.corpus.transcripts.document import Document, FileReader, Head
from smallvoice.corpus.transcripts.segment import Problem, Segment, number
from smallvoice.corpus.transcripts.xml import Element, Text, read_xml
from smallvoice.recipe import CorpusRecipe

OVERLAP = "overlaps another segment"
NOBODY = "speaker not said"
_UNNAMED = re.compile(r"(speaker|spk|locuteur|sprecher|hablante|inconnu|unknown)[\W_]*\d*", re.IGNORECASE)
"""What the program calls a speaker until somebody gives a name: in another file it is somebody else."""


def recognises(head: Head) -> bool:
    return bool(re.search(r"<(?:!DOCTYPE )?Trans[\s>]", head.text))


def parse(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every stretch of text: a segment, or a problem that says why it is none.

    Raises:
        Unreadable: not XML, or another kind of XML.
    """
    root = read_xml(path, where, root="Trans", doctype=True)
    speakers = {element.get("id"): _speaker(element, where) for element in root.elements("Speaker")}
    media = root.get("audio_filename").replace("\\", "/")
    reader = _Reader(where, speakers, root.get("lang") or None)
    for turn in root.elements("Turn"):
        reader.turn(turn)
    for text in _outside_turns(root):
        reader.lose(f"{where}:{text.line}", "text outside a turn", "", Segment(where=where, text=text.text.strip()))
    return Document(
        segments=tuple(reader.segments),
        problems=tuple(reader.problems),
        media=(media,) if media.strip("./") else (),
        notes=tuple(_notes(root, reader)),
    )


@dataclass(frozen=True, slots=True)
class _Speaker:
    name: str | None
    gender: str | None = None
    role: str | None = None
    is_child: bool = False
    """As the file says, not the name."""
    about: dict[str, Any] = field(default_factory=dict)


def _speaker(element: Element, where: str) -> _Speaker:
    name, kind = element.get("name") or element.get("id"), element.get("type").lower()
    stem = PurePosixPath(where).with_suffix("")
    return _Speaker(
        name=f"{stem}:{name}" if _UNNAMED.fullmatch(name) else people.person(name, where),
        gender=people.gender_of(kind) if kind in ("male", "female") else None,
        role="child" if kind == "child" else people.role_of(name),
        is_child=kind == "child",
        about={key: element.get(key) for key in ("dialect", "accent") if element.get(key)},
    )


@dataclass(slots=True)
class _Voice:
    """What one speaker says in a stretch."""

    line: int
    number: int | None
    """Of the turn's speakers, from 1."""
    pieces: list[str] = field(default_factory=list)
    marks: list[Element] = field(default_factory=list)
    """Events and comments."""
    has_words: bool = False

    def add(self, text: Text) -> None:
        if text.text.strip() and not self.has_words:
            self.line, self.has_words = text.line, True
        self.pieces.append(text.text)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())


@dataclass
class _Reader:
    where: str
    speakers: dict[str, _Speaker]
    language: str | None
    segments: list[Segment] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    silent: int = 0
    """Stretches with nothing in them."""

    def turn(self, turn: Element) -> None:
        """Cut a turn at its Sync points."""
        start = turn.get("startTime")
        voices = [_Voice(turn.line, None)]
        for part in turn.flat():
            if isinstance(part, Text):
                voices[-1].add(part)
            elif part.tag == "Sync":
                # The first one repeats the turn's own start.
                if any(voice.has_words or voice.marks for voice in voices) or start != turn.get("startTime"):
                    self._stretch(turn, start, part.get("time"), voices)
                start = part.get("time")
                voices = [_Voice(part.line, None)]
            elif part.tag == "Who":
                voices.append(_Voice(part.line, _index(part.get("nb"))))
            elif part.tag != "Background":
                voices[-1].marks.append(part)
                # A word never goes on across an event.
                voices[-1].pieces.append(" ")
        self._stretch(turn, start, turn.get("endTime"), voices)

    def _stretch(self, turn: Element, start: str, end: str, voices: list[_Voice]) -> None:
        """The segments between two Sync points."""
        heard = [voice for voice in voices if voice.has_words or voice.marks]
        if not heard:
            self.silent += 1
        start_s, end_s = number(start), number(end)
        for voice in heard:
            segment = self._segment(turn, voice, start_s, end_s, overlaps=len(heard) > 1)
            if not segment.text:
                kinds = ", ".join(f"{kind} {mark.get('desc')}".strip() for mark, kind in _kinds(voice.marks))
                self.lose(segment.where, "no words", kinds, segment)
            elif start_s is None or end_s is None:
                self.lose(segment.where, "bad times", f"from {start!r} to {end!r}", segment)
            else:
                self.segments.append(segment)

    def _segment(
        self, turn: Element, voice: _Voice, start_s: float | None, end_s: float | None, *, overlaps: bool
    ) -> Segment:
        speaker = self._speaker_of(turn, voice.number)
        marks = [f"{kind}: {mark.get('desc')}".strip() for mark, kind in _kinds(voice.marks)]
        flags = sorted({f"{kind} left out" for _, kind in _kinds(voice.marks)})
        if overlaps:
            flags.append(OVERLAP)
        if speaker is None and turn.get("speaker"):
            flags.append(NOBODY)
        known = speaker or _Speaker(None)
        return Segment(
            where=f"{self.where}:{voice.line}",
            text=voice.text,
            start_s=start_s,
            end_s=end_s,
            speaker=known.name,
            gender=known.gender,
            role=known.role,
            role_is_guess=not known.is_child,
            language=self.language,
            flags=tuple(flags),
            extra={**known.about, **({"marks": marks} if marks else {})},
        )

    def _speaker_of(self, turn: Element, index: int | None) -> _Speaker | None:
        names = turn.get("speaker").split()
        if index is None and len(names) != 1:
            return None
        place = (index or 1) - 1
        if not 0 <= place < len(names):
            return None
        name = names[place]
        return self.speakers.get(name) or _Speaker(people.person(name, self.where))

    def lose(self, where: str, reason: str, detail: str, segment: Segment) -> None:
        self.problems.append(Problem(where=where, reason=reason, detail=detail, segment=segment))


def _kinds(marks: list[Element]) -> Iterator[tuple[Element, str]]:
    """Marks with their kinds: `noise event`, `language event`, `comment`."""
    for mark in marks:
        kind = mark.get("type") or "noise"
        yield mark, f"{kind} event" if mark.tag in ("Event", "Vocal") else mark.tag.lower()


def _index(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def _outside_turns(element: Element) -> Iterator[Text]:
    for part in element.parts:
        if isinstance(part, Text):
            if part.text.strip():
                yield part
        elif part.tag != "Turn":
            yield from _outside_turns(part)


def _notes(root: Element, reader: _Reader) -> Iterator[str]:
    if reader.silent:
        yield f"{reader.silent} stretches without text"
    backgrounds = sum(1 for _ in root.elements("Background"))
    if backgrounds:
        yield f"{backgrounds} marks of background noise are not read"


READER = FileReader(
    name="transcriber",
    shape="Transcriber (.trs): turns, speakers, overlapping speech",
    suffixes=frozenset({".trs"}),
    recognises=recognises,
    parse=parse,
)
