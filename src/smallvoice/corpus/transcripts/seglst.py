"""SegLST, the segments of CHiME and meeteval: https://github.com/fgnt/meeteval#file-formats

    [{"session_id": "rec1", "speaker": "Ann", "start_time": 0.5, "end_time": 2.0, "words": "..."}, ...]

Times are seconds, as numbers or text, or `H:MM:SS.ss`. Other keys are kept where they are short.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smallvoice.corpus.transcripts.columns import scalars, text_of
from smallvoice.corpus.transcripts.document import Document, FileReader, Head, Unreadable, read_text
from smallvoice.corpus.transcripts.fields import channel, person_in, seconds, squeezed
from smallvoice.corpus.transcripts.people import UNKNOWN, gender_of, is_label, role_of_word
from smallvoice.corpus.transcripts.segment import Problem, Segment
from smallvoice.recipe import CorpusRecipe

_KEYS = ("session_id", "speaker", "start_time", "end_time", "words", "gender", "language", "channel")
_SPACE = re.compile(r"[ \t\r\n]*")


def recognises(head: Head) -> bool:
    start = head.text.lstrip()
    return start.startswith("[") and all(f'"{key}"' in start for key in ("words", "start_time", "end_time"))


def parse(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every object of the list.

    Raises:
        Unreadable: not a list of objects.
    """
    segments: list[Segment] = []
    problems: list[Problem] = []
    for line, found in json_objects(read_text(path, where), where):
        place = f"{where}:{line}"
        if isinstance(found, str):
            problems.append(Problem(where=place, reason="bad JSON", detail=found))
            continue
        segment = _segment(found, place, where)
        if None in (segment.start_s, segment.end_s):
            times = f"{text_of(found.get('start_time'))[:40]!r}, {text_of(found.get('end_time'))[:40]!r}"
            detail = f"start_time and end_time are not seconds: {times}"
            problems.append(Problem(where=place, reason="bad line", detail=detail, segment=segment))
        else:
            segments.append(segment)
    return Document(segments=tuple(segments), problems=tuple(problems))


def json_objects(text: str, where: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The objects of a JSON list with the line of each; what is wrong, as a sentence, for what is not an object.

    Raises:
        Unreadable: not a list.
    """
    decoder = json.JSONDecoder()
    position = _after_space(text, 0)
    if text[position : position + 1] != "[":
        raise Unreadable(where, "not a JSON list", f"it starts with {text[position : position + 20]!r}")
    line = 1 + text.count("\n", 0, position)
    counted = position
    position = _after_space(text, position + 1)
    while text[position : position + 1] != "]":
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:  # digits without end are a ValueError too
            reason = getattr(error, "msg", "too deep or too long")
            yield line, f"{reason}; the rest of the file is not read"
            return
        yield line, value if isinstance(value, dict) else "not an object"
        position = _after_space(text, position)
        if text[position : position + 1] == ",":
            position = _after_space(text, position + 1)
        elif text[position : position + 1] != "]":
            line += text.count("\n", counted, position)
            yield line, "the list is cut off" if position == len(text) else "no comma; the rest of the file is not read"
            return


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _segment(found: dict[str, Any], place: str, where: str) -> Segment:
    words, speaker = found.get("words"), text_of(found.get("speaker"))
    if isinstance(words, list):
        words = " ".join(text_of(word) for word in words)
    recording = text_of(found.get("session_id")) or None
    return Segment(
        where=place,
        text=squeezed(text_of(words)),
        start_s=seconds(found.get("start_time")),
        end_s=seconds(found.get("end_time")),
        speaker=None if speaker.lower() in UNKNOWN else person_in(speaker, where, recording, is_label),
        role=role_of_word(speaker),
        role_is_guess=True,
        gender=gender_of(text_of(found.get("gender"))),
        language=text_of(found.get("language")) or None,
        recording=recording,
        channel=channel(text_of(found.get("channel")), from_zero=True),
        extra=scalars({key: value for key, value in found.items() if key not in _KEYS}),
    )


READER = FileReader(
    name="seglst",
    shape="SegLST: a JSON list of objects with session_id, speaker, start_time, end_time, words",
    suffixes=frozenset({".json"}),
    sure_of_name=False,
    recognises=recognises,
    parse=parse,
)
