"""The headers of a CHAT file: who speaks, how old, in which language, and what the recording is called."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from smallvoice.corpus.transcripts.people import (
    age_years,
    chat_age,
    gender_of,
    is_code,
    is_role_name,
    person,
    role_of,
    role_of_word,
)
from smallvoice.languages import language_code

# CHAT's own list of roles, where the name alone does not tell `people.role_of`.
_ROLES = {
    **dict.fromkeys(("boy", "girl", "playmate"), "child"),
    **dict.fromkeys(("grandmother", "grandfather", "caretaker", "clinician", "doctor", "nurse", "therapist"), "adult"),
    **dict.fromkeys(("attorney", "justice", "babysitter"), "adult"),
}
# What CHAT files write where a name or a corpus belongs, when there is none.
_ROLE_TABLE = """
    adult audience brother child environment family father female friend group guest host informant interviewer
    investigator leader lena male media member mother narrator nonhuman other participant partner playrole relative
    sibling sister speaker student subject target_adult target_child teacher teenager text toy uncertain unidentified
    unknown visitor witness
"""
_ROLE_WORDS = frozenset(_ROLES) | frozenset(_ROLE_TABLE.split())
_NO_CORPUS = frozenset({"", "corpus", "corpus_name", "change_me_later", "change_corpus_later", "change_me_now"})

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_STATUS = {"missing": "its recording is missing", "unlinked": "not linked to its recording", "notrans": "no transcript"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Speaker:
    """A participant."""

    name: str | None
    """The source's name, with its corpus: `Brown/Adam`; of somebody without a name, the code and the transcript."""
    age_years: float | None = None
    gender: str | None = None
    role: str | None = None


@dataclass(slots=True)
class _Person:
    name: str = ""
    role: str = ""
    corpus: str = ""
    age: str = ""
    sex: str = ""
    born: str = ""


@dataclass(slots=True)
class Headers:
    """What the headers say; `where` is what the transcript is called."""

    where: str
    languages: list[str] = field(default_factory=list)
    media: list[str] = field(default_factory=list)
    conversation: bool = False
    """In CA notation."""
    notes: list[str] = field(default_factory=list)
    _date: datetime.date | None = None
    _people: dict[str, _Person] = field(default_factory=dict)

    def speakers(self) -> dict[str, Speaker]:
        """Who stands behind each code, declared or described."""
        return {code: self.speaker(code) for code in self._people}

    def speaker(self, code: str) -> Speaker:
        """Who stands behind a code, which need not be declared."""
        who = self._people.get(code, _Person())
        is_local = is_role_name if who.name else is_code
        name = person(who.name or code, self.where, is_local)
        if name and not is_local(who.name or code) and who.corpus:
            name = f"{who.corpus}/{name}"
        age = self._age(code, who)
        role = _ROLES.get(who.role.lower()) or role_of(who.role)
        return Speaker(
            name=name,
            age_years=age,
            gender=gender_of(who.sex),
            # An age says more than a code such as FA1.
            role=role or (role_of(code) if age is None else role_of_word(code)),
        )

    def _age(self, code: str, who: _Person) -> float | None:
        """In years; where only the date of birth is given, at the date of the recording."""
        age = chat_age(who.age) if who.age else None
        if who.age and age is None:
            self.notes.append(f"The age of {code} is not one, so unknown: {who.age[:40]}.")
        born = _day(who.born)
        if age is not None or born is None or self._date is None or self._date < born:
            return age
        return age_years(str((self._date - born).days / 365.25))

    def _person(self, code: str) -> _Person:
        return self._people.setdefault(code, _Person())

    def read(self, lines: Iterable[str]) -> None:
        """All headers: lines that start with `@`, without line breaks."""
        for line in lines:
            name, _, value = line[1:].partition(":")
            name, value = name.strip().lower(), " ".join(value.split())
            first, _, code = name.partition(" of ")
            if name == "participants":
                for entry in value.split(","):
                    self._participant(entry.split())
            elif name == "id":
                self._id([cell.strip() for cell in value.split("|")])
            elif name == "languages":
                self.languages += [language_code(part) for part in re.split(r"[\s,]+", value) if part]
            elif name == "media":
                self._media(value)
            elif name == "options":
                self.conversation |= any(option.strip().startswith("CA") for option in value.split(","))
            elif name == "date":
                self._date = _day(value)
            elif code and first in ("birth", "age", "sex"):
                who = self._person(code.strip().upper())
                setattr(who, {"birth": "born", "age": "age", "sex": "sex"}[first], value)

    def _participant(self, words: list[str]) -> None:
        """`CHI Ross Target_Child`: a code, perhaps a name, a role."""
        if not words:
            return
        who = self._person(words[0])
        who.role = words[-1] if len(words) > 1 else ""
        name = "_".join(words[1:-1])
        who.name = "" if name.lower() in _ROLE_WORDS else name

    def _id(self, cells: list[str]) -> None:
        """`language|corpus|code|age|sex|group|SES|role|education|custom|`: cells that are empty say nothing."""
        if len(cells) < 5:
            if any(cells):
                self.notes.append(f"An @ID is not read: {'|'.join(cells)[:60]}.")
            return
        who = self._person(cells[2])
        who.corpus = who.corpus if cells[1].lower() in _NO_CORPUS else cells[1]
        who.age = cells[3] or who.age
        who.sex = cells[4] or who.sex
        if len(cells) > 7 and cells[7]:
            who.role = who.role or cells[7]

    def _media(self, value: str) -> None:
        """`name, audio, unlinked`; a name with commas or of another place is in quotation marks."""
        quoted = re.match(r'"([^"]*)"(.*)', value)
        name, rest = (quoted[1], quoted[2]) if quoted else (value.partition(",")[0], value.partition(",")[2])
        if name.strip():
            self.media.append(name.strip())
        for word in re.split(r"[\s,]+", rest):
            if word in _STATUS:
                self.notes.append(f"@Media says: {_STATUS[word]}.")


def _day(text: str) -> datetime.date | None:
    """`28-JUN-2001`."""
    found = re.fullmatch(r"(\d{1,2})-([A-Z]{3})-(\d{4})", text.strip().upper())
    if not found or found[2] not in _MONTHS:
        return None
    try:
        return datetime.date(int(found[3]), _MONTHS.index(found[2]) + 1, int(found[1]))
    except ValueError:
        return None
