"""What reading the transcripts alone tells, before any audio is decoded: who speaks, and how much there is to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from smallvoice.corpus.pseudonyms import Known
from smallvoice.corpus.sources import Source, items
from smallvoice.corpus.transcripts.people import is_code
from smallvoice.corpus.transcripts.segment import Note, Problem, Recording
from smallvoice.recipe import CorpusRecipe


@dataclass
class Survey:
    """What reading the transcripts alone tells."""

    people: list[Known] = field(default_factory=list)
    num_items: int = 0
    """Segments, unusable lines and orphan files."""
    brings: dict[str, set[str]] = field(default_factory=dict)
    """Source name -> the splits that its layout brings."""
    units: set[tuple[str, str]] = field(default_factory=set)
    """Source and name of each speaker, session or recording that needs a place in a split."""
    notes: list[str] = field(default_factory=list)


def survey(sources: list[Source], recipe: CorpusRecipe) -> Survey:
    """Read all transcripts, no audio.

    Raises:
        InputError: a source is missing, empty, or of no known shape.
    """
    found = Survey()
    people: dict[tuple[str, str, str], Known] = {}
    for source in sources:
        nameless: set[str] = set()
        brings = found.brings.setdefault(source.name, set())
        for item in items(source, recipe):
            if isinstance(item, Note):
                found.notes.append(f"{source.name}: {item.message}")
                continue
            found.num_items += len(item.segments) if isinstance(item, Recording) else 1
            if item.split:
                brings.add(item.split)
            if isinstance(item, Recording) and not (source.split or item.split):
                place = item.session or item.path
                found.units |= {(source.name, segment.speaker or place) for segment in item.segments}
            for person in _people(source, item):
                people[person.key] = person
                _, colon, code = person.name.rpartition(":")
                if person.kind == "speaker" and colon and is_code(code):
                    nameless.add(person.name)
        if len(nameless) > 1:
            found.notes.append(
                f"{source.name}: {len(nameless)} speakers have a code (CHI) and no name; each transcript's is taken "
                "for another person. If one person has several, say who is who: --pattern where the folders do."
            )
    found.people = list(people.values())
    return found


def _people(source: Source, item: Recording | Problem) -> Iterator[Known]:
    if item.session is not None:
        yield Known(kind="session", source=source.name, name=item.session)
    lost = (item.segment,) if isinstance(item, Problem) and item.segment else ()
    for segment in item.segments if isinstance(item, Recording) else lost:
        if segment.speaker is not None:
            yield Known(
                kind="speaker",
                source=source.name,
                name=segment.speaker,
                age_years=segment.age_years,
                gender=segment.gender,
            )
