"""What transcripts do not say, from elsewhere: a table of speakers, the folders' names, the user's text rules.

What the transcript itself says always wins. Segments too long for Whisper are split here where their words
are timed, so that from here on one segment is one row of the ledger.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smallvoice.corpus import text_rules
from smallvoice.corpus.segment import split_at_pauses
from smallvoice.corpus.speaker_notes import SpeakerNotes
from smallvoice.corpus.transcripts.fields import SPLITS
from smallvoice.corpus.transcripts.people import age_of, gender_of, is_code, role_at, role_of, spelled
from smallvoice.corpus.transcripts.segment import Item, Note, Problem, Recording, Segment
from smallvoice.errors import RecipeError
from smallvoice.languages import language_code
from smallvoice.recipe import CorpusRecipe
from smallvoice.storage import digest, read_text

_FIELDS = ("split", "speaker", "session", "age_years", "gender", "role", "language")
_NAMES = {
    "name": ("name", "speaker", "speaker_id", "participant", "participant_id", "child", "child_id", "id", "spk"),
    "age_years": ("age_years", "age", "years"),
    "age_months": ("age_months", "age_in_months", "months"),
    "gender": ("gender", "sex"),
    "role": ("role",),
    "language": ("language", "lang"),
}
"""The columns of a table of speakers, by what people call them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """What a table says of a speaker."""

    age_years: float | None = None
    gender: str | None = None
    role: str | None = None
    language: str | None = None

    @property
    def known_role(self) -> str | None:
        """The role, or what the age says of it."""
        return self.role or role_at(self.age_years)


class Completer:
    """Fills in what a recipe's `speakers`, `pattern` and `text_rules` know.

    Raises:
        InputError: a file that cannot be read. RecipeError: a table, pattern or rule that cannot be right.
    """

    def __init__(self, recipe: CorpusRecipe) -> None:
        self.max_segment_s = recipe.max_segment_s
        self.people = read_people(Path(recipe.speakers)) if recipe.speakers else {}
        self.pattern = compile_pattern(recipe.pattern) if recipe.pattern else None
        self.rules = text_rules.load(Path(recipe.text_rules)) if recipe.text_rules else None
        self.used: set[str] = set()
        self.unmatched = 0
        self.odd = SpeakerNotes()

    def fingerprint(self) -> str:
        """A digest of the content of the files that the recipe names."""
        people = {name: [p.age_years, p.gender, p.role, p.language] for name, p in sorted(self.people.items())}
        return digest(people, self.rules.fingerprint if self.rules else None)

    def complete(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items with what could be filled in; afterwards, notes of what fitted nothing."""
        for item in items:
            if isinstance(item, Recording):
                yield self._recording(item)
            elif isinstance(item, Problem):
                yield self._problem(item)
            else:
                yield item
        yield from self._notes()

    def _recording(self, recording: Recording) -> Recording:
        known = self._from_path(recording.path)
        segments = [self._segment(piece, known) for segment in recording.segments for piece in self._pieces(segment)]
        for segment in segments:
            self.odd.add(segment, recording.path)
        return replace(
            recording,
            split=recording.split or known.get("split"),
            session=_spelled(known.get("session") or recording.session),
            segments=tuple(segments),
        )

    def _problem(self, problem: Problem) -> Problem:
        problem = replace(problem, session=_spelled(problem.session))
        if problem.segment is None:
            return problem
        known = self._from_path(problem.where)
        segment = self._segment(problem.segment, known)
        return replace(problem, segment=segment, split=problem.split or known.get("split"))

    def _pieces(self, segment: Segment) -> list[Segment]:
        """A long segment, split before rules change its words: but not where a rule means text across the pieces."""
        pieces = split_at_pauses(segment, self.max_segment_s)
        if self.rules and len(pieces) > 1:
            apart = " ".join(self.rules.apply(piece.text).text for piece in pieces)
            if apart.split() != self.rules.apply(segment.text).text.split():
                return [segment]
        return pieces

    def _segment(self, segment: Segment, known: dict[str, Any]) -> Segment:
        speaker = _spelled(_who(segment.speaker, known.get("speaker")))
        person = self._person(speaker)
        changes: dict[str, Any] = {"speaker": speaker}
        for name in ("age_years", "gender", "role", "language"):
            values = [getattr(segment, name), getattr(person, name), known.get(name)]
            if name == "role" and segment.role and segment.role_is_guess:
                values.insert(0, person.known_role)
            changes[name] = next((value for value in values if value is not None), None)
        if changes["language"]:
            changes["language"] = language_code(changes["language"])
        if self.rules:
            cleaned = self.rules.apply(segment.text)
            changes |= {"text": cleaned.text, "flags": (*segment.flags, *cleaned.flags)}
            if cleaned.text != segment.text:
                changes["extra"] = {**segment.extra, "as_transcribed": segment.text}
        return replace(segment, **changes)

    def _person(self, speaker: str | None) -> Person:
        """Of a code that means somebody else in each transcript (`visit1:CHI`), the code's own row will do."""
        if speaker is None:
            return Person()
        for name in (speaker, speaker.rpartition(":")[2], speaker.rpartition("/")[2]):
            if name in self.people:
                self.used.add(name)
                return self.people[name]
        self.unmatched += bool(self.people)
        return Person()

    def _from_path(self, path: str) -> dict[str, Any]:
        found = self.pattern.match(path) if self.pattern else None
        if found is None:
            return {}
        known: dict[str, Any] = {name: value for name, value in found.groupdict().items() if value}
        if "session" in known:  # the folders above are part of its name: another child's `day1` is another day
            known["session"] = path[: found.end("session")]
        known["split"] = SPLITS.get(known.get("split", "").lower())
        known["age_years"] = age_of(known.get("age_years", ""))
        known["gender"] = gender_of(known.get("gender"))
        known["role"] = role_of(known.get("role"))
        return known

    def _notes(self) -> Iterator[Note]:
        absent = sorted(set(self.people) - self.used)
        if absent:
            shown = ", ".join(absent[:5])
            yield Note(message=f"{len(absent)} rows of the table of speakers fit nobody: {shown}.")
        if self.unmatched:
            yield Note(message=f"{self.unmatched} segments are of speakers who are not in the table of speakers.")
        yield from self.odd.notes()
        self.used, self.unmatched, self.odd = set(), 0, SpeakerNotes()


_TARGETS = frozenset({"CHI", "TAR", "KCHI", "CHILD", "INFANT"})
"""Codes of the child whom a folder is called after."""


def _who(said: str | None, folder: str | None) -> str | None:
    """A name that a transcript gives wins; a code (`visit1:CHI`) is the folder's child, or somebody of that child's."""
    if folder is None or said is None:
        return said or folder
    code = said.rpartition(":")[2]
    if ":" not in said or not is_code(code):
        return said
    return folder if code.upper() in _TARGETS else f"{folder}:{code}"


def _spelled(name: str | None) -> str | None:
    return name and spelled(name)


def read_people(path: Path) -> dict[str, Person]:
    """A table of speakers: CSV, TSV or with semicolons; a column of names and any of age, gender, role, language.

    Raises:
        InputError: it cannot be opened or is not UTF-8.
        RecipeError: no column of names, a name given twice, an age or role that cannot be right, each with its line.
    """
    text = read_text(path).removeprefix("\ufeff")
    header = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    columns = {column.strip().lower(): column for column in rows.fieldnames or () if column}
    where = {field: next((columns[n] for n in names if n in columns), None) for field, names in _NAMES.items()}
    if where["name"] is None:
        expected = ", ".join(_NAMES["name"])
        raise RecipeError(f"{path}:1: no column of names. Expected one of {expected}; found: {header}.")
    people: dict[str, Person] = {}
    problems: list[str] = []
    try:
        lines = [(rows.line_num, row) for row in rows]
    except csv.Error as error:
        raise RecipeError(f"{path}:{rows.line_num}: not a table: {error}.") from None
    for line, row in lines:
        cells = {field: (row.get(column) or "").strip() for field, column in where.items() if column}
        name = spelled(cells["name"])
        place = f"{path}:{line}"
        if not name:
            continue
        age, months, role = (cells.get(field, "") for field in ("age_years", "age_months", "role"))
        years = age_of(age) if age else age_of(months, in_months=True)
        if name in people:
            problems.append(f"{place}: {name} is given twice.")
        if (age or months) and years is None:
            problems.append(f"{place}: the age of {name} is {age or months!r}, not a number of years.")
        if role and role_of(role) is None and role != "unknown":
            problems.append(f"{place}: the role of {name} is {role!r}, not child or adult.")
        people[name] = Person(
            age_years=years,
            gender=gender_of(cells.get("gender")),
            role=role_of(role),
            language=cells.get("language") or None,
        )
    if problems:
        raise RecipeError(*problems)
    return people


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """`{split}/{speaker}/{session}`: what the folders and the name of a recording say, from the source's top.

    Each name stands for a stretch without a slash; what follows the pattern in the path is not looked at.

    Raises:
        RecipeError: an unknown name, one given twice, or none at all.
    """
    parts = re.split(r"\{(\w*)\}", pattern.strip("/"))
    names = parts[1::2]
    wrong = sorted({name for name in names if name not in (*_FIELDS, "")})
    if wrong or len(set(names) - {""}) != len([name for name in names if name]) or not any(names):
        raise RecipeError(
            f"pattern: {pattern!r}: expected something like {{split}}/{{speaker}}/{{session}}. "
            f"Each name once, of: {', '.join(_FIELDS)}; {{}} stands for anything."
        )
    body = ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            body += re.escape(part)
        else:
            body += f"(?P<{part}>[^/]+?)" if part else "[^/]+?"
    return re.compile(body + r"(?=$|/|\.[^./]*$)")
