"""LENA recordings (.its): who is heard when, as the LENA software finds it in day-long recordings.

LENA transcribes nothing: it gives each stretch of the recording to a class of speaker (CHN: the child who wears the
recorder, near; CXN another child, FAN a woman, MAN a man; F for N: faint; TVN, NON, OLN, SIL ...), so every Segment
is a problem with the reason `no text`, that holds its times, its class and what is known of the child. A Segment that
somebody gave a transcript (text in it, or an attribute `text` or `transcript`) is read as a segment.

The maker publishes no definition; the names are those of files and of https://github.com/HomeBankCode/rlena. The
child's age is `chronologicalAge` or its like, where the file has one: dates are often shifted to make it anonymous.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from smallvoice.corpus.transcripts import people
from smallvoice.corpus.transcripts.document import Document, FileReader, Head
from smallvoice.corpus.transcripts.segment import Problem, Segment, number
from smallvoice.corpus.transcripts.xml import Element, read_xml
from smallvoice.recipe import CorpusRecipe

CHILD = frozenset({"CHN", "CHF"})
"""The classes of the child who wears the recorder."""
_GENDERS = {"FAN": "f", "FAF": "f", "MAN": "m", "MAF": "m"}
_AGES = ("chronologicalage", "age", "avamodelage", "vcvmodelage", "algorithmage")
"""What files call the child's age, the most exact first."""
_TEXTS = ("text", "transcript", "transcription")
_TIME = re.compile(r"PT?(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:\.[0-9]*)?)S)?")
_AGE = re.compile(r"P(?:([0-9]{1,3})Y)?(?:([0-9]{1,4})M)?(?:([0-9]{1,5})D)?")
_DAYS_PER_YEAR = 365.25


def recognises(head: Head) -> bool:
    return bool(re.search(r"<(?:!DOCTYPE )?ITS\s", head.text))


def parse(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every Segment: a problem, for it has no text, or a segment, where it has.

    Raises:
        Unreadable: not XML, or another kind of XML.
    """
    root = read_xml(path, where, root="ITS", doctype=True)
    child = _child(root)
    segments: list[Segment] = []
    problems: list[Problem] = []
    for element in root.elements("Segment"):
        segment = _segment(element, child, where)
        if not segment.text:
            detail = "LENA says who is heard, not what is said"
            problems.append(Problem(where=segment.where, reason="no text", detail=detail, segment=segment))
        elif segment.start_s is None or segment.end_s is None:
            detail = f"from {element.get('startTime')!r} to {element.get('endTime')!r}"
            problems.append(Problem(where=segment.where, reason="bad times", detail=detail, segment=segment))
        else:
            segments.append(segment)
    media = root.get("fileName").replace("\\", "/")
    return Document(segments=tuple(segments), problems=tuple(problems), media=(media,) if media.strip("./") else ())


@dataclass(frozen=True, slots=True)
class _Child:
    age_years: float | None
    gender: str | None


def _child(root: Element) -> _Child:
    """What the file says of the child who wears the recorder."""
    known: dict[str, str] = {}
    for tag in ("ChildInfo", "PrimaryChild", "Child"):
        for element in root.elements(tag):
            for name, value in element.attributes.items():
                known.setdefault(name.lower(), value.strip())
    stated = [age for age in (_age(known.get(name, "")) for name in _AGES) if age is not None]
    recorded = next((element.get("startClockTime") for element in root.elements("Recording")), "")
    age_years = stated[0] if stated else _years_between(known.get("dob", ""), recorded)
    return _Child(age_years, people.gender_of(known.get("gender")))


def _segment(element: Element, child: _Child, where: str) -> Segment:
    code = element.get("spkr")
    is_child = code in CHILD
    text = next((element.get(name) for name in _TEXTS if element.get(name)), element.text)
    return Segment(
        where=f"{where}:{element.line}",
        text=" ".join(text.split()),
        start_s=_seconds(element.get("startTime")),
        end_s=_seconds(element.get("endTime")),
        speaker=people.person(code, where),
        age_years=child.age_years if is_child else None,
        gender=child.gender if is_child else _GENDERS.get(code),
        role=people.role_of(code),
        tier=code or None,
    )


def _seconds(text: str) -> float | None:
    """`PT1.23S` in seconds."""
    found = _TIME.fullmatch(text)
    if found is None or not any(found.groups()):
        return None
    hours, minutes, seconds = (number(part or "0") for part in found.groups())
    if hours is None or minutes is None or seconds is None:
        return None
    return 3600 * hours + 60 * minutes + seconds


def _age(text: str) -> float | None:
    """`P21M` or `P1Y9M`, or a plain number of months, in years."""
    found = _AGE.fullmatch(text)
    if found and any(found.groups()):
        years, months, days = (int(part or 0) for part in found.groups())
        return people.age_years(str(years + months / 12 + days / _DAYS_PER_YEAR))
    months_only = number(text)
    return None if months_only is None else people.age_years(str(months_only / 12))


def _years_between(born: str, recorded: str) -> float | None:
    try:
        days = (date.fromisoformat(recorded[:10]) - date.fromisoformat(born[:10])).days
    except ValueError:
        return None
    return people.age_years(str(days / _DAYS_PER_YEAR))


READER = FileReader(
    name="lena",
    shape="LENA recordings (.its): times and classes of speakers, without text",
    suffixes=frozenset({".its"}),
    recognises=recognises,
    parse=parse,
)
