"""`speakers.csv`: who is behind the pseudonyms. It stays in the corpus folder and never leaves the machine.

    pseudonym,kind,source,name,age_years,gender,split
    S0001,speaker,speechocean762,0001,6,m,train

Numbers are given once, to all speakers of a source in the order of a hash (so that they say nothing about the
names), selected or not, and are kept when the corpus is prepared again. Sessions are numbered the same way
(`V0001`).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smallvoice.corpus.split import hash_order
from smallvoice.errors import InputError
from smallvoice.storage import read_text, replacing

Kind = Literal["speaker", "session"]
_PREFIX: dict[Kind, str] = {"speaker": "S", "session": "V"}
_COLUMNS = ("pseudonym", "kind", "source", "name", "age_years", "gender", "split")


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A speaker or session as its source has it. Equal names in two sources are two people."""

    kind: Kind
    source: str
    name: str
    age_years: float | None = None
    gender: str | None = None

    @property
    def key(self) -> tuple[Kind, str, str]:
        return self.kind, self.source, self.name


class Pseudonyms:
    """A pseudonym for each speaker and session."""

    def __init__(self) -> None:
        self._known: dict[tuple[Kind, str, str], Known] = {}
        self._names: dict[tuple[Kind, str, str], str] = {}

    def of(self, kind: Kind, source: str, name: str | None) -> str | None:
        """The pseudonym, or None of an unknown speaker."""
        return None if name is None else self._names[kind, source, name]

    @property
    def people(self) -> Iterable[Known]:
        """Everybody, those of an earlier time included."""
        return self._known.values()

    def add(self, people: Iterable[Known]) -> None:
        """Number those who have no pseudonym yet, in the order of a hash."""
        given = {person.key: person for person in people}
        newcomers = [person for key, person in given.items() if key not in self._names]
        self._known |= given
        last = {kind: self._last(kind) for kind in _PREFIX}
        for person in sorted(newcomers, key=lambda person: hash_order(person.source, person.name)):
            last[person.kind] += 1
            self._names[person.key] = f"{_PREFIX[person.kind]}{last[person.kind]:04d}"

    def _last(self, kind: Kind) -> int:
        return max((int(name[1:]) for key, name in self._names.items() if key[0] == kind), default=0)

    @classmethod
    def read(cls, path: Path) -> Pseudonyms:
        """The table of a corpus that was prepared before; empty where there is none.

        Raises:
            InputError: a row that `write` would not have written.
        """
        table = cls()
        if not path.exists():
            return table
        for number, row in enumerate(csv.DictReader(io.StringIO(read_text(path), newline="")), 2):
            kind = row.get("kind")
            if kind not in ("speaker", "session") or not re.fullmatch(r"[SV]\d{4,}", row.get("pseudonym") or ""):
                raise InputError(f"{path}:{number}: not a row of speakers.csv. Prepare into a new folder.")
            known = Known(
                kind="speaker" if kind == "speaker" else "session",
                source=row["source"],
                name=row["name"],
                age_years=float(row["age_years"]) if row["age_years"] else None,
                gender=row["gender"] or None,
            )
            table._known[known.key] = known
            table._names[known.key] = row["pseudonym"]
        return table

    def write(self, path: Path, splits: Mapping[str, Iterable[str]]) -> None:
        """Write the table; `splits` has the splits of each pseudonym that is in the corpus."""
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            for key, pseudonym in sorted(self._names.items(), key=lambda item: item[1]):
                person = self._known[key]
                age = "" if person.age_years is None else f"{person.age_years:g}"
                split = "+".join(sorted(splits.get(pseudonym, ())))
                writer.writerow([pseudonym, person.kind, person.source, person.name, age, person.gender or "", split])
