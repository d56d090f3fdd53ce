"""ELAN annotation documents (EAF): https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf

Annotations of a tier are tied to the time line, or refer to an annotation of another tier: to all of it
(Symbolic_Association), or to a share of it (Symbolic_Subdivision). A time that is not given is interpolated evenly
between the times before and after it in TIME_ORDER.

A tier that depends on another one holds what is said about an utterance (a translation, `vcm@CHI`, `xds@CHI`), and a
tier of a controlled vocabulary holds codes; so only the other tiers are read, unless the user chooses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from smallvoice.corpus.transcripts import people, tiers
from smallvoice.corpus.transcripts.document import Document, FileReader, Head
from smallvoice.corpus.transcripts.segment import Problem, Segment, number
from smallvoice.corpus.transcripts.xml import Element, read_xml
from smallvoice.recipe import CorpusRecipe

_UNITS_PER_S = {"milliseconds": 1000.0, "PAL-frames": 25.0, "NTSC-frames": 30_000 / 1001}
_NOBODY = frozenset({"multi", "various", "several", "unknown", "unspecified"}) | people.UNKNOWN
"""Participants that are no one person: the tier's name says more."""
_NO_LANGUAGE = frozenset({"und", "mul", "mis", "zxx", ""})
"""ISO 639-3: undetermined, several, uncoded, none."""

_Span = tuple[float, float]
"""Start and end in the units of the file."""


def recognises(head: Head) -> bool:
    return "<ANNOTATION_DOCUMENT" in head.text


def parse(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every annotation with text: a segment, or a problem that says why it is none.

    Raises:
        Unreadable: not XML, or another kind of XML.
    """
    root = read_xml(path, where, root="ANNOTATION_DOCUMENT")
    header = next(root.children("HEADER"), Element("HEADER", {}, 0))
    all_tiers = [_tier(element) for element in root.children("TIER")]
    spans = _Spans(root, all_tiers)
    codes = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.elements("LINGUISTIC_TYPE") if _is_coded(kind)}
    media = _media(header)
    per_s = _UNITS_PER_S.get(header.get("TIME_UNITS"), 1000.0)
    origins_s = _origins_s(media)
    origin_s = media[0].origin_s if media else 0.0
    segments: list[Segment] = []
    problems: list[Problem] = []
    for tier in all_tiers:
        reason = _why_not(tier, codes, recipe.tiers)
        for annotation in tier.annotations:
            if not annotation.text:
                continue
            span = spans.of(annotation)
            segment = _segment(annotation, tier, where, span and (span[0] / per_s, span[1] / per_s), origin_s)
            why, detail = reason or ("", f"tier {tier.name}")
            if not why and span is None:
                why, detail = "annotation without time", annotation.found
            if why:
                problems.append(Problem(where=segment.where, reason=why, detail=detail, segment=segment))
            else:
                segments.append(segment)
    return Document(
        segments=tuple(segments),
        problems=tuple(problems),
        media=tuple(origins_s),
        shifts_s=tuple(one - origin_s for one in origins_s.values()),
        notes=tuple(_notes(root, all_tiers, media)),
    )


@dataclass(slots=True)
class _Annotation:
    name: str
    line: int
    text: str
    slots: tuple[str, str] | None
    """Where it begins and ends, of one tied to the time line."""
    refers_to: str = ""
    """The annotation that it is about, of one that is not."""
    previous: str = ""
    """The one before it, of several about the same."""

    @property
    def found(self) -> str:
        return f"time slots {self.slots[0]}, {self.slots[1]}" if self.slots else f"refers to {self.refers_to or 'none'}"


@dataclass(slots=True)
class _Tier:
    name: str
    parent: str
    kind: str
    """Its linguistic type."""
    speaker: str | None
    role: str | None
    language: str | None
    annotations: list[_Annotation] = field(default_factory=list)


def _tier(element: Element) -> _Tier:
    name, participant, language = element.get("TIER_ID"), element.get("PARTICIPANT"), element.get("LANG_REF")
    # Templates name dependent tiers `translation@anna`.
    named = tiers.speaker_of(name.rpartition("@")[2])
    speaker = named if participant.lower() in _NOBODY else participant
    return _Tier(
        name=name,
        parent=element.get("PARENT_REF"),
        kind=element.get("LINGUISTIC_TYPE_REF"),
        speaker=speaker,
        role=people.role_of(speaker) or people.role_of(named),
        language=None if language in _NO_LANGUAGE else language,
        annotations=[
            _annotation(inner) for annotation in element.children("ANNOTATION") for inner in annotation.children()
        ],
    )


def _annotation(element: Element) -> _Annotation:
    value = next(element.children("ANNOTATION_VALUE"), element)
    is_reference = element.tag == "REF_ANNOTATION"
    return _Annotation(
        name=element.get("ANNOTATION_ID"),
        line=value.line,
        text=element.text,
        slots=None if is_reference else (element.get("TIME_SLOT_REF1"), element.get("TIME_SLOT_REF2")),
        refers_to=element.get("ANNOTATION_REF"),
        previous=element.get("PREVIOUS_ANNOTATION"),
    )


def _segment(annotation: _Annotation, tier: _Tier, where: str, span_s: _Span | None, origin_s: float) -> Segment:
    return Segment(
        where=f"{where}:{annotation.line}",
        text=annotation.text,
        start_s=span_s[0] + origin_s if span_s else None,
        end_s=span_s[1] + origin_s if span_s else None,
        speaker=people.person(tier.speaker, where),
        role=tier.role,
        role_is_guess=True,
        language=tier.language,
        tier=tier.name,
    )


def _why_not(tier: _Tier, codes: set[str], patterns: list[str]) -> tuple[str, str] | None:
    """Why the annotations of a tier are no segments: reason and detail."""
    if patterns:
        return None if tiers.is_chosen(tier.name, patterns) else ("tier not chosen", f"tier {tier.name}")
    if tier.parent:
        return "dependent tier", f"tier {tier.name} is about {tier.parent}"
    if tier.kind in codes:
        return "tier of codes", f"tier {tier.name} has a controlled vocabulary"
    if tier.name.lower() in tiers.NOTES:
        return "tier of notes", f"tier {tier.name}"
    return None


def _is_coded(kind: Element) -> bool:
    return bool(kind.get("CONTROLLED_VOCABULARY_REF"))


class _Spans:
    """When each annotation is, in the units of the file."""

    def __init__(self, root: Element, all_tiers: list[_Tier]) -> None:
        self._spans: dict[int, _Span] = {}
        slots = _slot_times(root)
        about: dict[str, dict[int, list[_Annotation]]] = {}
        """Annotation -> those that refer to it, by tier."""
        reached: list[_Annotation] = []
        for number_of_tier, tier in enumerate(all_tiers):
            for annotation in tier.annotations:
                if annotation.slots is None:
                    about.setdefault(annotation.refers_to, {}).setdefault(number_of_tier, []).append(annotation)
                    continue
                start, end = slots.get(annotation.slots[0]), slots.get(annotation.slots[1])
                if start is not None and end is not None:
                    self._spans[id(annotation)] = (start, end)
                    reached.append(annotation)
        # From the time line outwards; what refers to itself in a circle is never reached.
        while reached:
            parent = reached.pop()
            for children in about.pop(parent.name, {}).values():
                self._share_out(self._spans[id(parent)], children)
                reached += children

    def of(self, annotation: _Annotation) -> _Span | None:
        return self._spans.get(id(annotation))

    def _share_out(self, span: _Span, children: list[_Annotation]) -> None:
        """Equal parts of a time for the annotations of one tier that refer to it."""
        start, end = span
        part = (end - start) / len(children)
        for index, child in enumerate(_ordered(children)):
            last = index == len(children) - 1
            self._spans[id(child)] = (start + index * part, end if last else start + (index + 1) * part)


def _ordered(children: list[_Annotation]) -> list[_Annotation]:
    """Each after the one that it names as the one before it; what names nothing known, in the order of the file."""
    following: dict[str, list[_Annotation]] = {}
    names = {child.name for child in children}
    for child in children:
        following.setdefault(child.previous if child.previous in names else "", []).append(child)
    ordered: list[_Annotation] = []
    waiting = following.pop("", [])[::-1]
    while waiting:
        child = waiting.pop()
        ordered.append(child)
        waiting += following.pop(child.name, [])[::-1]
    circular = [child for rest in following.values() for child in rest]
    return ordered + circular


def _slot_times(root: Element) -> dict[str, float]:
    """Time slots in the units of the file; one without a time lies evenly between those before and after it."""
    times: dict[str, float] = {}
    pending: list[str] = []
    before: float | None = None
    for order in root.children("TIME_ORDER"):
        for slot in order.children("TIME_SLOT"):
            name, time = slot.get("TIME_SLOT_ID"), number(slot.get("TIME_VALUE"))
            if time is None:
                pending.append(name)
                continue
            if before is not None:
                step = (time - before) / (len(pending) + 1)
                times.update({waiting: before + step * place for place, waiting in enumerate(pending, 1)})
            times[name] = before = time
            pending = []
    return times


@dataclass(frozen=True, slots=True)
class _Media:
    relative: str
    absolute: str
    is_audio: bool
    origin_s: float
    """Where in the file the annotations' time line begins."""


def _media(header: Element) -> list[_Media]:
    """The files that the document is about, audio before video."""
    found = [
        _Media(
            relative=unquote(element.get("RELATIVE_MEDIA_URL")),
            absolute=unquote(element.get("MEDIA_URL")),
            is_audio=element.get("MIME_TYPE").startswith("audio/"),
            origin_s=(number(element.get("TIME_ORIGIN")) or 0.0) / 1000,
        )
        for element in header.children("MEDIA_DESCRIPTOR")
    ]
    return sorted(found, key=lambda media: not media.is_audio)


def _origins_s(media: list[_Media]) -> dict[str, float]:
    """Name of each -> its origin. Relative paths as they are; of those of the annotator's machine, the file's name."""
    named = [(one.relative, one.origin_s) for one in media]
    named += [(one.absolute.replace("\\", "/").rpartition("/")[2], one.origin_s) for one in media]
    origins_s: dict[str, float] = {}
    for name, origin_s in named:
        if name.strip("./"):
            origins_s.setdefault(name, origin_s)
    return origins_s


def _notes(root: Element, all_tiers: list[_Tier], media: list[_Media]) -> Iterator[str]:
    annotations = [annotation for tier in all_tiers for annotation in tier.annotations]
    empty = sum(not annotation.text for annotation in annotations)
    if empty:
        yield f"{empty} of {len(annotations)} annotations are empty"
    astray = sum(1 for value in root.elements("ANNOTATION_VALUE") if value.text) - (len(annotations) - empty)
    if astray > 0:
        yield f"{astray} annotations stand outside tiers and are not read"
    if any(one.origin_s != media[0].origin_s for one in media):
        yield "its media begin at different times; times are those of the one that is read"


READER = FileReader(
    name="elan",
    shape="ELAN annotations (.eaf): time-aligned and symbolic tiers",
    suffixes=frozenset({".eaf"}),
    recognises=recognises,
    parse=parse,
)
