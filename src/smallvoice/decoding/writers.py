"""A transcript in the forms that subtitles, spreadsheets, Praat and ELAN read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from smallvoice.decoding.cues import Spoken, apart, cues
from smallvoice.decoding.long_form import Segment
from smallvoice.decoding.word_times import Word
from smallvoice.storage import json_text


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording."""

    duration_s: float
    language: str | None
    segments: list[Segment]
    facts: dict[str, Any]
    """Which model, how it decoded: what a reader of the JSON must know."""


def as_json(transcript: Transcript) -> str:
    return json_text({**transcript.facts, **content(transcript)}, indent=1) + "\n"


def from_json(found: dict[str, Any]) -> Transcript | None:
    """The inverse of `as_json`; None where somebody has changed the file so that it is no transcript."""
    facts = {name: value for name, value in found.items() if name not in _CONTENT}
    try:
        segments = [
            Segment(**{**segment, "words": [Word(**word) for word in segment["words"]]})
            for segment in found["segments"]
        ]
        transcript = Transcript(found["duration_s"], found["language"], segments, facts)
        for write in (as_textgrid, as_csv):  # which use every time and number
            write(transcript)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return transcript


_CONTENT = ("duration_s", "language", "text", "segments")


def content(transcript: Transcript) -> dict[str, Any]:
    """What the JSON says of the recording."""
    return {
        "duration_s": transcript.duration_s,
        "language": transcript.language,
        "text": " ".join(segment.text for segment in transcript.segments),
        "segments": [asdict(segment) for segment in transcript.segments],
    }


def as_text(transcript: Transcript) -> str:
    """A line for each segment."""
    return "".join(f"{segment.text}\n" for segment in transcript.segments)


def as_srt(transcript: Transcript) -> str:
    return "\n".join(
        f"{number}\n{_clock(start_s, ',')} --> {_clock(end_s, ',')}\n{text}\n"
        for number, (start_s, end_s, text) in enumerate(cues(transcript.segments, transcript.duration_s), 1)
    )


def as_vtt(transcript: Transcript) -> str:
    return "WEBVTT\n" + "".join(
        f"\n{_clock(start_s, '.')} --> {_clock(end_s, '.')}\n{escape(text)}\n"
        for start_s, end_s, text in cues(transcript.segments, transcript.duration_s)
    )


def as_csv(transcript: Transcript) -> str:
    """A row for each word: its segment, times, text, probability and confidence."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["segment", "start_s", "end_s", "word", "probability", "confidence"])
    for number, segment in enumerate(transcript.segments, 1):
        for word in segment.words:
            sure = "" if word.confidence is None else f"{word.confidence:.3f}"
            rows.writerow([number, word.start_s, word.end_s, word.text, f"{word.probability:.3f}", sure])
    return file.getvalue()


def as_textgrid(transcript: Transcript) -> str:
    """Praat's long form, with a tier of segments and one of words."""
    found = list(_tiers(transcript))
    # Many words at the end of a very short recording may need a few milliseconds more than there are.
    end_s = max([transcript.duration_s, *(spoken[-1][1] for _, spoken in found if spoken)])
    tiers = [(name, _intervals(spoken, end_s)) for name, spoken in found]
    end = f"{end_s:.3f}"
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers, 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(intervals)}"]
        for place, (start_s, end_s, text) in enumerate(intervals, 1):
            quoted = text.replace('"', '""')
            lines += [f"        intervals [{place}]:", f"            xmin = {start_s:.3f}"]
            lines += [f"            xmax = {end_s:.3f}", f'            text = "{quoted}"']
    return "\n".join(lines) + "\n"


def as_elan(transcript: Transcript) -> str:
    """An ELAN document (EAF 3.0) with a tier of segments and one of words, both aligned to time."""
    slots: list[int] = []
    tiers: list[str] = []
    for name, spoken in _tiers(transcript):
        annotations = []
        for start_s, end_s, text in spoken:
            first = len(slots) + 1
            slots += [round(1000 * start_s), round(1000 * end_s)]
            annotations.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{first}" TIME_SLOT_REF1="ts{first}" '
                f'TIME_SLOT_REF2="ts{first + 1}"><ANNOTATION_VALUE>{escape(_printable(text))}</ANNOTATION_VALUE>'
                "</ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        tiers.append(f'<TIER LINGUISTIC_TYPE_REF="spoken" TIER_ID={quoteattr(name)}>{"".join(annotations)}</TIER>')
    times = "".join(f'<TIME_SLOT TIME_SLOT_ID="ts{n}" TIME_VALUE="{slot}"/>' for n, slot in enumerate(slots, 1))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ANNOTATION_DOCUMENT AUTHOR="smallvoice" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">'
        '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>'
        f"<TIME_ORDER>{times}</TIME_ORDER>{''.join(tiers)}"
        '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="spoken" TIME_ALIGNABLE="true"/>'
        "</ANNOTATION_DOCUMENT>\n"
    )


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": as_text,
    "srt": as_srt,
    "vtt": as_vtt,
    "csv": as_csv,
    "textgrid": as_textgrid,
    "eaf": as_elan,
    "json": as_json,
}
SUFFIXES = {"textgrid": "TextGrid"}
"""Of files, where it is not the format's name."""


def _tiers(transcript: Transcript) -> Iterator[tuple[str, list[Spoken]]]:
    """Segments and words, made not to overlap: neither Praat nor ELAN takes that in one tier."""
    segments = [(segment.start_s, segment.end_s, segment.text) for segment in transcript.segments]
    words = [(word.start_s, word.end_s, word.text) for segment in transcript.segments for word in segment.words]
    for name, spoken in (("segments", segments), ("words", words)):
        yield name, list(apart(spoken, transcript.duration_s))


def _intervals(spoken: list[Spoken], duration_s: float) -> list[Spoken]:
    """The whole of the recording in intervals, silence as empty ones."""
    found, reached = [], 0.0
    for start_s, end_s, text in spoken:
        if start_s > reached:
            found.append((reached, start_s, ""))
        found.append((start_s, end_s, _printable(text)))
        reached = end_s
    if reached < duration_s or not found:
        found.append((reached, duration_s, ""))
    return found


def _printable(text: str) -> str:
    """Without what XML has no place for: most control characters, lone surrogates, U+FFFE and U+FFFF."""
    return _NOT_IN_XML.sub("", text)


_NOT_IN_XML = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _clock(seconds: float, point: str) -> str:
    """3725.5 → `01:02:05,500`."""
    milliseconds = round(1000 * seconds)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
