"""CHAT, the format of CHILDES and TalkBank: https://talkbank.org/0info/manuals/CHAT.html

    @Participants:	CHI Ross Target_Child, MOT Mother
    @ID:	eng|MacWhinney|CHI|2;06.15|male|||Target_Child|||
    @Media:	ross12, audio
    *CHI:	want <more cookie> [/] more cookie . •12340_14010•
    %com:	points at the jar

Every main line (`*CHI:`) is a segment with the words that `chat_words` makes of its codes, or a problem that says
why there are none. Dependent tiers (`%mor:`) are no speech; of them only `%wor`, the times of words, is read. The
table of codes for users is `docs/chat.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from smallvoice.corpus.transcripts.chat_headers import Headers, Speaker
from smallvoice.corpus.transcripts.chat_words import NOT_UNDERSTOOD, Words, translate
from smallvoice.corpus.transcripts.document import Document, FileReader, Head, Unreadable, read_bytes, read_text
from smallvoice.corpus.transcripts.segment import Problem, Segment, Word
from smallvoice.languages import language_code
from smallvoice.recipe import CorpusRecipe

_MAX_DETAIL = 200
_MAX_NOTES = 10
_OUT_OF_ORDER = "times out of order"

_BULLET = re.compile(r"\x15([^\x15]*)\x15|[•·](\d+_\d+)[•·]")
_TIMES = re.compile(r"(?:\A|[_\s])(\d{1,10})[_\s](\d{1,10})-?\Z")
_BARE_TIMES = re.compile(r"(?<=\s)(\d{1,10})_(\d{1,10})\Z")
_MAIN_LINE = re.compile(r"\*\s*([^\s:]{1,40})\s*:")


def recognises(head: Head) -> bool:
    """Headers of CHAT, or a file of its name with a main line."""
    text = head.text.lstrip()
    if text.startswith(("@UTF8", "@Begin", "@UTF-8")):
        return True
    if text.startswith("@") and re.search(r"^@(Begin|Participants:|Languages:)", text, re.MULTILINE):
        return True
    return head.suffix in READER.suffixes and bool(re.search(r"^\*[^\s:]+:\s", text, re.MULTILINE))


def parse(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every main line of a CHAT file.

    Raises:
        Unreadable: the file cannot be opened, is empty, or has neither a header nor a main line.
    """
    notes: list[str] = []
    blocks = list(_blocks(_text(path, where, notes)))
    if not any(block.text.startswith("@") or _MAIN_LINE.match(block.text) for block in blocks):
        raise Unreadable(where, "not CHAT", "neither a header (@Begin) nor an utterance (*CHI:)")
    begins = [block.line for block in blocks if block.text.startswith("@Begin")]
    if len(begins) > 1:
        mend = "their headers would be mixed: make a file of each @Begin to @End"
        raise Unreadable(f"{where}:{begins[1]}", "several transcripts in a file", mend)
    headers = Headers(where)
    headers.read(block.text for block in blocks if block.text.startswith("@"))
    transcript = _Transcript(where, headers, target=recipe.chat_text == "target")
    transcript.read(blocks)
    if undeclared := sorted(transcript.undeclared):
        notes.append(f"Not in @Participants: {', '.join(undeclared[:10])}.")
    return Document(
        segments=tuple(transcript.segments),
        problems=tuple(transcript.problems),
        media=transcript.media(),
        notes=(*notes, *list(dict.fromkeys(headers.notes))[:_MAX_NOTES]),
    )


def _text(path: Path, where: str, notes: list[str]) -> str:
    """The file as text. A file that says it is UTF-8 loses only the lines that are not."""
    try:
        return read_text(path, where)
    except Unreadable as error:
        if error.reason != "not UTF-8":
            raise
    if b"@UTF8" in read_bytes(path, where)[:200]:
        return read_text(path, where, fallback="utf-8")
    notes.append("Not UTF-8: read as Latin-1 (Windows-1252).")
    return read_text(path, where, fallback="cp1252")


@dataclass(frozen=True, slots=True)
class _Block:
    """A header, main line or dependent tier with its continuation lines."""

    line: int
    """From 1."""
    text: str


def _blocks(text: str) -> Iterator[_Block]:
    """Lines that begin with white space continue the one before; a line of any other kind stands alone."""
    start, parts = 0, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if parts and line[0] in " \t":
            parts.append(line.strip())
            continue
        if parts:
            yield _Block(start, " ".join(parts))
        start, parts = number, [line.rstrip()]
    if parts:
        yield _Block(start, " ".join(parts))


@dataclass(frozen=True, slots=True)
class _Times:
    """What the media bullets of a line say, in milliseconds; a bullet may name its recording."""

    start_ms: int
    end_ms: int
    recording: str | None = None


@dataclass(slots=True)
class _Transcript:
    where: str
    headers: Headers
    target: bool
    segments: list[Segment] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    undeclared: set[str] = field(default_factory=set)
    _speakers: dict[str, Speaker] = field(default_factory=dict)
    _recordings: dict[str, None] = field(default_factory=dict)
    """That bullets name, in their order."""

    def read(self, blocks: list[_Block]) -> None:
        self._speakers = self.headers.speakers()
        declared = set(self._speakers)
        last: Segment | None = None
        for block in blocks:
            kind = block.text[:1]
            if kind == "*":
                last = self._utterance(block)
            elif kind == "%":
                self._dependent(block, last)
            elif kind != "@":
                self._lose(block, "bad line", "neither header (@), utterance (*) nor dependent tier (%)")
        self.undeclared = set(self._speakers) - declared if declared else set()

    def media(self) -> tuple[str, ...]:
        """The recording's name; where bullets name one that @Media does not, that."""
        return tuple(self.headers.media) or (tuple(self._recordings) if len(self._recordings) == 1 else ())

    def _utterance(self, block: _Block) -> Segment | None:
        """A main line: a segment, which is given back, or a problem."""
        speaker_code = _MAIN_LINE.match(block.text)
        if not speaker_code:
            self._lose(block, "bad line", "an utterance without the code of a speaker")
            return None
        line, times, odd = _without_bullets(block.text[speaker_code.end() :])
        words = translate(line, target=self.target, conversation=self.headers.conversation)
        words = replace(words, not_understood=(*odd, *words.not_understood)) if odd else words
        segment = self._segment(block, speaker_code[1], line, times, words)
        reason = _why_not(line, words)
        if reason:
            self._lose(block, reason, line, segment)
            return None
        self.segments.append(segment)
        return segment

    def _segment(self, block: _Block, code: str, line: str, times: _Times | None, words: Words) -> Segment:
        if code not in self._speakers:
            self._speakers[code] = self.headers.speaker(code)
        speaker = self._speakers[code]
        flags = set(words.flags) | ({NOT_UNDERSTOOD} if words.not_understood else set())
        extra: dict[str, Any] = {"postcodes": list(words.postcodes)} if words.postcodes else {}
        if times and times.start_ms >= times.end_ms:
            flags.add(_OUT_OF_ORDER)
            extra["times_ms"] = [times.start_ms, times.end_ms]
            times = None
        if flags:
            extra["chat"] = " ".join(line.split())
        if words.not_understood:
            extra["not_understood"] = list(words.not_understood)
        languages = self.headers.languages
        return Segment(
            where=f"{self.where}:{block.line}",
            text=words.text,
            start_s=times.start_ms / 1000 if times else None,
            end_s=times.end_ms / 1000 if times else None,
            speaker=speaker.name,
            age_years=speaker.age_years,
            gender=speaker.gender,
            role=speaker.role,
            language=language_code(words.language) if words.language else (languages[0] if languages else None),
            tier=code,
            recording=self._recording(times),
            flags=tuple(sorted(flags)),
            extra=extra,
        )

    def _recording(self, times: _Times | None) -> str | None:
        """The recording that a bullet names, where it is not the one that @Media names."""
        if not times or not times.recording:
            return None
        self._recordings.setdefault(times.recording)
        return None if times.recording in self.headers.media else times.recording

    def _dependent(self, block: _Block, segment: Segment | None) -> None:
        """Nothing but `%wor` is about the words that are said, and it says when."""
        if segment is None or not block.text.startswith("%wor:") or segment is not self.segments[-1]:
            return
        words = _timed_words(block.text[5:], self.target, self.headers.conversation)
        if words and " ".join(word.text for word in words) == segment.text:
            self.segments[-1] = replace(segment, words=words)

    def _lose(self, block: _Block, reason: str, detail: str, segment: Segment | None = None) -> None:
        where = f"{self.where}:{block.line}"
        if segment is None:
            segment = Segment(where=where, text=" ".join(block.text.split()))
        self.problems.append(
            Problem(where=where, reason=reason, detail=" ".join(detail.split())[:_MAX_DETAIL], segment=segment)
        )


def _why_not(line: str, words: Words) -> str | None:
    """Why a main line is no segment."""
    if "\ufffd" in line:
        return "not UTF-8"
    if words.not_transcribed:
        return "not transcribed (www)"
    return None if words.text else "no words"


def _without_bullets(line: str) -> tuple[str, _Times | None, list[str]]:
    """A main line without its media bullets, their times (first start to last end), and bullets of another kind."""
    found: list[_Times] = []
    odd: list[str] = []
    for bullet in _BULLET.finditer(line):
        content = (bullet[1] or bullet[2] or "").strip()
        times = _times(content)
        if times:
            found.append(times)
        elif content and not content.startswith(("%pic", "%txt")):
            odd.append(content[:_MAX_DETAIL])
    line = _BULLET.sub(" ", line).replace("\x15", " ").strip()
    if not found and (bare := _BARE_TIMES.search(line)):
        # Programs that drop control characters leave the times behind; as a word `1200_3400` is nothing.
        found.append(_Times(int(bare[1]), int(bare[2])))
        line = line[: bare.start()].rstrip()
    if not found:
        return line, None, odd
    return line, _Times(found[0].start_ms, found[-1].end_ms, found[0].recording), odd


def _times(bullet: str) -> _Times | None:
    """`1200_3400`, `1200_3400-`, `%snd:"name"_1200_3400` or `name_1200_3400`."""
    found = _TIMES.search(bullet)
    if not found:
        return None
    name = bullet[: found.start()]
    name = name.partition(":")[2] if name.startswith("%") else name
    return _Times(int(found[1]), int(found[2]), name.strip('"_ ') or None)


def _timed_words(tier: str, target: bool, conversation: bool) -> tuple[Word, ...]:
    """The words of `%wor:` if every one of them has its times, else none."""

    def words_of(text: str) -> str:
        return translate(text, target=target, conversation=conversation).text

    words: list[Word] = []
    position = 0
    for bullet in _BULLET.finditer(tier):
        before = tier[position : bullet.start()].split()
        position = bullet.end()
        times = _times((bullet[1] or bullet[2] or "").strip())
        text = words_of(before[-1]) if before else ""
        # A word before it that has no bullet would be lost in the pause.
        if not times or not text or times.start_ms > times.end_ms or words_of(" ".join(before)) != text:
            return ()
        words.append(Word(text=text, start_s=times.start_ms / 1000, end_s=times.end_ms / 1000))
    return () if words_of(tier[position:]) else tuple(words)


READER = FileReader(
    name="chat",
    shape="CHAT (.cha): *CHI: and its like for utterances, @ID for speakers, media bullets for times",
    suffixes=frozenset({".cha"}),
    recognises=recognises,
    parse=parse,
)
