"""NIST's formats for scoring and diarisation: STM, CTM and RTTM, one line a segment or word, `;;` comments.

    STM     file channel speaker start end [<label>] text
    CTM     file channel start duration word [confidence [type [speaker]]]
    RTTM    type file channel start duration word subtype name confidence [lookahead]

STM and CTM: https://github.com/usnistgov/SCTK/blob/master/doc/infmts.htm; RTTM: appendix A of
https://www.nist.gov/system/files/documents/itl/iad/mig/KWS15-evalplan-v05.pdf and its forerunners. Channels are
`A` and `B`, or numbers from 1 (from 0 where a file has a 0). Words are joined into segments up to a pause.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from smallvoice.corpus.transcripts.document import Document, FileReader, Head, Unreadable
from smallvoice.corpus.transcripts.fields import channel, first_lines, numbered_lines, person_in
from smallvoice.corpus.transcripts.people import UNKNOWN, is_label, role_of, role_of_word
from smallvoice.corpus.transcripts.segment import Problem, Segment, Word, number
from smallvoice.corpus.transcripts.spoken import About, Spoken, segments_of
from smallvoice.recipe import CorpusRecipe

_NOT_SPEECH = ("inter_segment_gap", "excluded_region")
_IGNORED_TEXT = "ignore_time_segment_in_scoring"
_CTM_TYPES_NOT_SPEECH = ("non-lex", "non-speech", "misc", "noscore")
_NOTHING = ("<na>", "na", "-", "")
_CHANNELS = frozenset("AB0123456789")
_RTTM_METADATA = frozenset(
    {"SEGMENT", "NOSCORE", "NO_RT_METADATA", "FILLER", "EDIT", "SU", "IP", "CB", "A/P", "SPKR-INFO"}
)
_RTTM_TYPES = _RTTM_METADATA | {"LEXEME", "NON-LEX", "NON-SPEECH", "SPEAKER"}
_SPEAKER_TYPES = {"adult_male": ("adult", "m"), "adult_female": ("adult", "f"), "child": ("child", None)}

Line = tuple[int, list[str]]
"""Its number and its columns."""


def recognises_stm(head: Head) -> bool:
    lines = _first_columns(head, 5)
    if not lines or not all(_is_stm(columns) for columns in lines):
        return False
    return head.suffix == ".stm" or not all(_is_ctm(columns) for columns in lines)


def recognises_ctm(head: Head) -> bool:
    lines = [columns for columns in _first_columns(head) if columns[2:4] != ["*", "*"]]
    return bool(lines) and head.suffix != ".stm" and all(_is_ctm(columns) for columns in lines)


def recognises_rttm(head: Head) -> bool:
    lines = _first_columns(head)
    return bool(lines) and all(len(columns) >= 8 and columns[0] in _RTTM_TYPES for columns in lines)


def _first_columns(head: Head, count: int = -1) -> list[list[str]]:
    return [line.split(None, count) for line in first_lines(head) if not line.startswith(";;")]


def _is_stm(columns: list[str]) -> bool:
    if len(columns) < 5 or not _is_channel(columns[1]):
        return False
    start_s, end_s = number(columns[3]), number(columns[4])
    return start_s is not None and end_s is not None and 0 <= start_s <= end_s


def _is_ctm(columns: list[str]) -> bool:
    if not 5 <= len(columns) <= 8 or not _is_channel(columns[1]):
        return False
    times = number(columns[2]), number(columns[3])
    return None not in times and (len(columns) == 5 or _is_confidence(columns[5]))


def _is_channel(text: str) -> bool:
    return len(text) <= 2 and set(text.upper()) <= _CHANNELS


def _is_confidence(text: str) -> bool:
    return number(text) is not None or text.lower() in _NOTHING


def parse_stm(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every segment; gaps and regions left out of scoring are problems: nobody transcribed them.

    Raises:
        Unreadable: no line is of this form.
    """
    problems: list[Problem] = []
    segments: list[Segment] = []
    labels: set[str] = set()
    lines: list[Line] = []
    for line_number, line in _lines(path, where, problems):
        if line.startswith(";;"):
            labels |= {f"<{line.split(chr(34))[1].lower()}>"} if line.count('"') > 1 else set()
        else:
            lines.append((line_number, line.split(None, 5)))
    from_zero = any(columns[1:2] == ["0"] for _, columns in lines)
    for line_number, columns in lines:
        place = f"{where}:{line_number}"
        times = [number(text) for text in columns[3:5]]
        if len(times) < 2 or None in times:
            detail = "expected: file channel speaker start end text"
            problems.append(Problem(where=place, reason="bad line", detail=detail))
            continue
        label, text = _labelled(columns[5].strip() if len(columns) > 5 else "", labels)
        if columns[2].lower() in _NOT_SPEECH or text.lower() == _IGNORED_TEXT:
            detail = columns[2] if columns[2].lower() in _NOT_SPEECH else text
            region = Segment(
                where=place,
                text="",
                start_s=times[0],
                end_s=times[1],
                recording=columns[0],
                channel=channel(columns[1], from_zero=from_zero),
            )
            problems.append(Problem(where=place, reason="not speech", detail=detail, segment=region))
            continue
        parts = {part.strip().lower() for part in label.split(",")}
        segments.append(
            Segment(
                where=place,
                text=text,
                start_s=times[0],
                end_s=times[1],
                speaker=None if columns[2].lower() in UNKNOWN else person_in(columns[2], where, columns[0], is_label),
                role=role_of_word(columns[2]),
                role_is_guess=True,
                gender="f" if "female" in parts else "m" if "male" in parts else None,
                recording=columns[0],
                channel=channel(columns[1], from_zero=from_zero),
                flags=("alternatives",) if _has_alternatives(text) else (),
                extra={"label": label} if label.lower() not in _NOTHING and len(label) <= 64 else {},
            )
        )
    return _document(segments, problems, where, "STM", "file channel speaker start end text")


def _labelled(text: str, known: set[str]) -> tuple[str, str]:
    """The label `<o,f0,male>` and the words after it. `<noise>` is a word, unless a comment declares it."""
    first, _, rest = text.partition(" ")
    inside = first[1:-1]
    if not (first.startswith("<") and first.endswith(">")) or "<" in inside:
        return "", text
    if "," not in inside and inside.lower() not in ("na", "o", "") and first.lower() not in known:
        return "", text
    return inside, rest.strip()


def _has_alternatives(text: str) -> bool:
    """`{ a / b / @ }`"""
    return "{" in text and "/" in text.partition("{")[2].rpartition("}")[0]


def parse_ctm(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Words joined into segments. Of alternatives the first is read, and flagged.

    Raises:
        Unreadable: no line is of this form.
    """
    problems: list[Problem] = []
    spoken: list[Spoken] = []
    alternative = 0
    for line_number, line in _lines(path, where, problems):
        columns = line.split()
        if line.startswith(";;"):
            continue
        mark = columns[4].upper() if len(columns) > 4 else ""  # its times are * *
        if mark in ("<ALT_BEGIN>", "<ALT>", "<ALT_END>"):
            alternative = {"<ALT_BEGIN>": 1, "<ALT>": alternative + 1, "<ALT_END>": 0}[mark]
            continue
        word = _timed(columns[2:5])
        if word is None or not (len(columns) == 5 or _is_confidence(columns[5])):
            detail = "expected: file channel start duration word [confidence]"
            problems.append(Problem(where=f"{where}:{line_number}", reason="bad line", detail=detail))
            continue
        if len(columns) > 6 and columns[6].lower() in _CTM_TYPES_NOT_SPEECH:
            detail = f"{columns[6]}: {columns[4]}"
            problems.append(Problem(where=f"{where}:{line_number}", reason="not speech", detail=detail))
        elif alternative < 2 and word.text != "@":  # @: nothing said
            speaker = columns[7] if len(columns) > 7 and columns[7].lower() not in UNKNOWN else None
            flags = ("alternatives",) if alternative else ()
            spoken.append(Spoken(line_number, columns[0], columns[1], speaker, word, flags))
    segments = list(segments_of(spoken, where, {}))
    return _document(segments, problems, where, "CTM", "file channel start duration word")


def parse_rttm(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """LEXEME lines as segments; a SPEAKER line of which no word is given is a problem with its times.

    Raises:
        Unreadable: no line is of this form.
    """
    problems: list[Problem] = []
    turns: list[Line] = []
    spoken: list[Spoken] = []
    about: dict[tuple[str, str], tuple[str | None, str | None]] = {}
    unread: Counter[str] = Counter()
    for line_number, line in _lines(path, where, problems):
        columns = line.split()
        if line.startswith(";;"):
            continue
        kind, word = columns[0], _timed(columns[3:6])
        place = f"{where}:{line_number}"
        if len(columns) < 8 or kind not in _RTTM_TYPES:
            detail = "expected: type file channel start duration word subtype name"
            problems.append(Problem(where=place, reason="bad line", detail=detail))
        elif kind == "SPKR-INFO":
            about[columns[1], columns[7]] = _SPEAKER_TYPES.get(columns[6].lower(), (None, None))
        elif kind in _RTTM_METADATA:
            unread[kind] += 1
        elif word is None or (kind == "LEXEME" and word.text.lower() == "<na>"):
            problems.append(Problem(where=place, reason="bad line", detail=f"{kind} without start, duration or word"))
        elif kind in ("NON-LEX", "NON-SPEECH"):
            problems.append(Problem(where=place, reason="not speech", detail=f"{kind} {columns[6]}"))
        elif kind == "SPEAKER":
            turns.append((line_number, columns))
        else:
            name = None if columns[7].lower() in _NOTHING else columns[7]
            spoken.append(Spoken(line_number, columns[1], columns[2], name, word))
    problems += _without_words(turns, spoken, where, about)
    spoken.sort(key=lambda said: (said.recording, said.channel, said.speaker or "", said.word.start_s, said.line))
    segments = sorted(segments_of(spoken, where, about), key=lambda segment: int(segment.where.rpartition(":")[2]))
    document = _document(segments, problems, where, "RTTM", "type file channel start duration word subtype name")
    kinds = ", ".join(f"{kind} ({count})" for kind, count in unread.items())
    notes = (f"lines about words or scoring, not read: {kinds}.",) if kinds else ()
    return Document(segments=document.segments, problems=document.problems, notes=notes)


def _lines(path: Path, where: str, problems: list[Problem]) -> Iterator[tuple[int, str]]:
    """Every line that is not blank; one that is not UTF-8 is a problem."""
    for line_number, line in numbered_lines(path, where):
        if line is None:
            problems.append(Problem(where=f"{where}:{line_number}", reason="not UTF-8"))
        else:
            yield line_number, line.strip()


def _timed(columns: list[str]) -> Word | None:
    """A word from its start, duration and text."""
    if len(columns) < 3:
        return None
    start_s, duration_s = number(columns[0]), number(columns[1])
    if start_s is None or duration_s is None or duration_s < 0:
        return None
    # Microseconds: the sum of two decimals is not itself a short one.
    return Word(text=columns[2], start_s=start_s, end_s=round(start_s + duration_s, 6))


def _without_words(turns: list[Line], spoken: list[Spoken], where: str, about: About) -> Iterator[Problem]:
    """SPEAKER lines during which the file has no word of that speaker."""
    starts: dict[tuple[str, str | None], list[float]] = defaultdict(list)
    for said in spoken:
        starts[said.recording, said.speaker].append(said.word.start_s)
    for times in starts.values():
        times.sort()
    from_zero = any(columns[2] == "0" for _, columns in turns)
    for line_number, columns in turns:
        recording, name = columns[1], columns[7]
        turn = _timed(columns[3:6])
        assert turn is not None  # settled by the caller
        own = starts[recording, name]
        if bisect_left(own, turn.start_s - 0.01) < bisect_left(own, turn.end_s + 0.01):
            continue
        role, gender = about.get((recording, name), (None, None))
        segment = Segment(
            where=f"{where}:{line_number}",
            text="",
            start_s=turn.start_s,
            end_s=turn.end_s,
            speaker=None if name.lower() in _NOTHING else person_in(name, where, recording),
            role=role or role_of(name),
            role_is_guess=role is None,
            gender=gender,
            recording=recording,
            channel=channel(columns[2], from_zero=from_zero),
        )
        detail = "a SPEAKER line says who speaks, not what"
        yield Problem(where=segment.where, reason="no text", detail=detail, segment=segment)


def _document(segments: list[Segment], problems: list[Problem], where: str, name: str, form: str) -> Document:
    if not segments and all(problem.reason in ("bad line", "not UTF-8") for problem in problems):
        found = f"none of {len(problems)} lines is: {form}" if problems else "it holds no line but comments"
        raise Unreadable(where, f"not {name}" if problems else "empty file", found)
    return Document(segments=tuple(segments), problems=tuple(problems))


READERS = (
    FileReader(
        name="stm",
        shape="NIST STM: file channel speaker start end text",
        suffixes=frozenset({".stm"}),
        recognises=recognises_stm,
        parse=parse_stm,
    ),
    FileReader(
        name="ctm",
        shape="NIST CTM: file channel start duration word",
        suffixes=frozenset({".ctm"}),
        recognises=recognises_ctm,
        parse=parse_ctm,
    ),
    FileReader(
        name="rttm",
        shape="NIST RTTM with LEXEME lines; SPEAKER lines alone have no words",
        suffixes=frozenset({".rttm"}),
        recognises=recognises_rttm,
        parse=parse_rttm,
    ),
)
