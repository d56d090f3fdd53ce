"""What the columns of a table hold: by their usual names, or by the recipe's `columns`; and its rows as segments.

The names are those of Common Voice, NeMo and DeepSpeech manifests, Hugging Face's audiofolder, Praat's and
ChildProject's tables, and the plain ones of spreadsheets; case, spaces and underscores do not count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from smallvoice.corpus.transcripts.document import Document, Unreadable
from smallvoice.corpus.transcripts.fields import SPLITS, channel, person_in, seconds, squeezed
from smallvoice.corpus.transcripts.people import UNKNOWN, age_of, gender_of, is_role_word, role_of, role_of_word
from smallvoice.corpus.transcripts.segment import Problem, Segment
from smallvoice.errors import RecipeError

_USUAL: dict[str, str] = {
    "text": "text transcript transcription sentence transcripttext transcriptiontext orthographic orthography ortho "
    "rawtext rawtranscription normalizedtext spokentext words utterance utterancetext",
    "audio": "audio audiopath audiofilepath audiofile audiofilename wav wavpath wavfile wavfilename wavefile "
    "path filepath file filename recording recordingpath recordingfile recordingfilename recordingid media mediafile "
    "clip clippath sound soundfile mp3 flac utteranceid uttid utt segmentid id",
    "start": "start starts startsec startsecs startseconds starttime starttimes starttimesec begin begins beginsec "
    "begintime begintimes begintimessmsec onset onsets onsetsec onsetseconds onsettime offset offsets offsetsec "
    "offsetseconds tmin",
    "end": "end ends endsec endsecs endseconds endtime endtimes endtimesec endtimessmsec stop stops stopsec stoptime "
    "finish offset offsets offsetsec offsetseconds offsettime tmax",
    "duration": "duration durations durationsec durationsecs durationseconds dur durs durationssmsec",
    "start_ms": "startms starttimems beginms begintimems begintimemsec onsetms offsetms segmentonset",
    "end_ms": "endms endtimems endtimemsec stopms offsetms segmentoffset",
    "duration_ms": "durationms durms durationmsec",
    "speaker": "speaker speakerid speakername spk spkid spkr clientid child childid kid pupil learner "
    "participant participantid subject subjectid userid talker talkerid",
    "age": "age ageyears ageyear ageinyears speakerage childage",
    "age_months": "agemonths agemonth ageinmonths agemos agemo childagemonths childageinmonths speakeragemonths",
    "gender": "gender sex speakergender childgender speakersex",
    "role": "role speakerrole speakertype participantrole",
    "split": "split subset partition",
    "session": "session sessionid visit visitid",
    "channel": "channel chan channelid channelnumber",
    "language": "language lang locale languagecode languageid",
    "tier": "tier tiername",
}
FIELDS = tuple(_USUAL)
"""What `columns` in a recipe may name."""
_KNOWN = {field: tuple(names.split()) for field, names in _USUAL.items()}

_PERSONAL_WORDS = (
    "name names firstname lastname surname forename fullname nickname initials email mail phone telephone tel mobile "
    "address street city postcode zip birth birthday birthdate dob mother father parent parents guardian contact "
    "ip url uri nom prenom vorname nachname nombre apellido"
)
"""Words in the names of columns that say who somebody is: these never go into rows unasked."""
_PERSONAL = frozenset(_PERSONAL_WORDS.split())
MAX_COLUMNS = 1000
"""Of a table that a person could mean."""
_MAX_EXTRA = 64
"""Characters; longer ones are texts, not facts."""
_GENDERS = {"male_masculine": "m", "female_feminine": "f", "do_not_wish_to_say": None}
"""Common Voice's words, from version 17 on."""


def _key(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what."""

    names: Mapping[str, str]
    """Field -> the column's name in the table."""
    others: tuple[str, ...]
    """Columns that may go into `extra`."""

    @property
    def are_usable(self) -> bool:
        """Whether segments can be made: text, and which audio or at least which part of it."""
        return "text" in self.names and bool({"audio", "start", "start_ms"} & set(self.names))


def guessed(header: Sequence[str]) -> Columns:
    """The columns whose names are usual."""
    return _matched(header, {}, ())


def are_asked(names: Sequence[str], asked: Iterable[str]) -> bool:
    """Whether cells are the names that are asked for, of which those by number say nothing."""
    wanted = {_key(name) for name in asked if name and not name.isdecimal()}
    return bool(wanted) and wanted <= set(map(_key, names))


def chosen(header: Sequence[str], asked: Mapping[str, str], where: str) -> Columns:
    """The columns that the recipe names, and for the other fields those with usual names; none where it names "".

    Raises:
        RecipeError: `columns` names a field that there is not.
        Unreadable: the table lacks a column that `columns` names, or one that holds text or names audio; or it has
            absurdly many.
    """
    unknown = [field for field in asked if field not in FIELDS]
    if unknown:
        raise RecipeError(f"columns: {', '.join(unknown)} is not known. Known are: {', '.join(FIELDS)}.")
    if len(header) > MAX_COLUMNS:
        raise Unreadable(where, "too many columns", f"{len(header)}; a table has at most {MAX_COLUMNS}")
    found = ", ".join(name[:40] for name in header[:40]) or "none"
    named: dict[str, str] = {}
    for field, wanted in asked.items():
        if not wanted:
            continue
        fits = [name for name in header if name == wanted] or [name for name in header if _key(name) == _key(wanted)]
        if not fits and wanted.isdecimal() and len(wanted) < 5:
            fits = list(header[max(int(wanted) - 1, 0) :])
        if not fits:
            raise Unreadable(where, "no such column", f"there is no {wanted!r} for {field}; the columns are: {found}")
        named[field] = fits[0]
    absent = [name for field, wanted in asked.items() if not wanted for name in (field, f"{field}_ms")]
    columns = _matched(header, named, [name for name in absent if name not in named])
    if "text" not in columns.names:
        detail = f"the columns are: {found}; say which holds the words with columns: {{text: NAME}}"
        raise Unreadable(where, "no text column", detail)
    if not columns.are_usable:
        detail = f"the columns are: {found}; say which names the recording with columns: {{audio: NAME}}"
        raise Unreadable(where, "no audio column", detail)
    return columns


def _matched(header: Sequence[str], named: Mapping[str, str], absent: Sequence[str]) -> Columns:
    names = dict(named)
    taken = set(named.values())
    free = {_key(name): name for name in reversed(header) if name not in taken}
    has_onset = any(name.startswith("onset") for name in free)
    for field in FIELDS:
        if field in names or field in absent:
            continue
        for name in _KNOWN[field]:
            # With an onset, an offset is the end; else it is where to start (NeMo).
            if name.startswith("offset") and has_onset == field.startswith("start"):
                continue
            if name in free:
                names[field] = free.pop(name)
                break
    taken = set(names.values())
    return Columns(names, tuple(dict.fromkeys(name for name in header if name not in taken and not _is_personal(name))))


def header_of(first: Sequence[object], asked: Mapping[str, str], width: int = 0) -> tuple[list[str], bool]:
    """The names of the columns, and whether the first row gives them.

    Args:
        first: the cells of the first row.
        asked: the recipe's `columns`; where it gives numbers, there is no header, unless there clearly is one.
        width: of the widest row, where rows may be wider than the header.
    """
    names = [text_of(cell) for cell in first]
    names += [""] * (width - len(names))
    by_number = any(wanted.isdecimal() and wanted not in names for wanted in asked.values())
    if by_number and not guessed(names).are_usable:
        return [str(number) for number in range(1, len(names) + 1)], False
    given: dict[str, int] = {}
    for position, name in enumerate(names):
        given.setdefault(name or f"column {position + 1}", position)
    return [
        name if name and given[name] == position else f"{name or 'column'} {position + 1}"
        for position, name in enumerate(names)
    ], True


@lru_cache(maxsize=4096)
def _is_personal(name: str) -> bool:
    words = re.findall(r"[^\W\d_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    return bool(_PERSONAL & {*words, _key(name)})


def text_of(value: object) -> str:
    """A cell as text: 12.0 is `12`, None is empty."""
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isnan(value):  # how pandas writes that there is nothing
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value.strip()
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        return ""


def scalars(row: Mapping[str, object], known: str = "") -> dict[str, Any]:
    """The cells that are short facts: no texts, no paths or addresses, nothing that says who somebody is.

    Args:
        known: the recording's path and the speaker: what repeats a part of them may be a name.
    """
    short: dict[str, Any] = {}
    known = known.lower()
    for name, value in row.items():
        if _is_personal(name) or len(name) > _MAX_EXTRA:
            continue
        if isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < 1e15):
            short[name] = value
        elif isinstance(value, str) and _is_fact(value.strip(), known):
            short[name] = value.strip()
    return short


def _is_fact(value: str, known: str) -> bool:
    """Whether a text is short, no path, no address, and no part of what names the recording or the speaker."""
    names_somebody = len(value) > 2 and value.lower() in known
    return 0 < len(value) <= _MAX_EXTRA and not set(value) & set("/\\@") and not names_somebody


def segment_of(
    columns: Columns, row: Mapping[str, object], place: str, where: str, *, from_zero: bool
) -> Segment | str:
    """A row as a segment, or what is wrong with it.

    Args:
        place: the row, for people.
        where: the table.
        from_zero: whether its channels are counted from 0.
    """
    cells = {field: row.get(name) for field, name in columns.names.items()}
    text = {field: text_of(value) for field, value in cells.items() if not isinstance(value, dict | list)}
    if "text" not in text:
        return "the text is not text"
    start_s, end_s, wrong = _times(cells)
    if wrong:
        return wrong
    audio = cells.get("audio")
    recording = text_of(audio.get("path") if isinstance(audio, dict) else audio) or None
    speaker = text.get("speaker", "")
    age = age_of(text.get("age", ""))
    age = age if age is not None else age_of(text.get("age_months", ""), in_months=True)
    gender = text.get("gender", "").lower().replace(" ", "_")
    split, role = text.get("split", ""), role_of(text.get("role"))
    unsettled = {
        columns.names[field]: row[columns.names[field]]
        for field, settled in (("age", age is not None), ("split", split.lower() in SPLITS), ("role", role is not None))
        if field in text and not settled and text[field].lower() not in UNKNOWN
    }
    return Segment(
        where=place,
        text=squeezed(text["text"]),
        start_s=start_s,
        end_s=end_s,
        speaker=None if speaker.lower() in UNKNOWN else person_in(speaker, where, recording, is_role_word),
        age_years=age,
        gender=_GENDERS[gender] if gender in _GENDERS else gender_of(gender),
        role=role or role_of_word(speaker),
        role_is_guess=role is None,
        language=None if text.get("language", "").lower() in UNKNOWN else text["language"],
        tier=text.get("tier") or None,
        recording=recording,
        channel=channel(text.get("channel", ""), from_zero=from_zero),
        split=SPLITS.get(split.lower()),
        session=text.get("session") or None,
        extra=scalars({name: row.get(name) for name in columns.others} | unsettled, f"{recording} {speaker}"),
    )


def _times(cells: Mapping[str, object]) -> tuple[float | None, float | None, str]:
    """Start, end, and what is wrong with them. A duration without a start is that of the whole recording."""
    found: dict[str, float | None] = {}
    for field in ("start", "end", "duration"):
        for name, unit_s in ((field, 1.0), (f"{field}_ms", 0.001)):
            written = text_of(cells.get(name))
            if written.lower() in UNKNOWN:
                continue
            value = seconds(cells[name])
            if value is None:
                return None, None, f"{name} is not a time: {written[:40]!r}"
            found[field] = round(value * unit_s, 6) if unit_s != 1 else value
    start_s, end_s, duration_s = (found.get(field) for field in ("start", "end", "duration"))
    if start_s is not None and end_s is None and duration_s is not None:
        end_s = round(start_s + duration_s, 6)
    return start_s, end_s, ""


def document_of(
    columns: Columns,
    rows: Sequence[tuple[int, Mapping[str, object]]],
    problems: Iterable[Problem],
    where: str,
    notes: tuple[str, ...] = (),
) -> Document:
    """Rows (with their line numbers) as segments; a row without audio, or with times that are none, as a problem."""
    segments: list[Segment] = []
    bad = list(problems)
    channel_name = columns.names.get("channel", "")
    from_zero = any(text_of(row.get(channel_name)) == "0" for _, row in rows) if channel_name else True
    for line, row in rows:
        place = f"{where}:{line}"
        found = segment_of(columns, row, place, where, from_zero=from_zero)
        if isinstance(found, str):
            lost = Segment(where=place, text=squeezed(text_of(row.get(columns.names["text"]))))
            bad.append(Problem(where=place, reason="bad row", detail=found, segment=lost))
        elif "audio" in columns.names and found.recording is None:
            detail = f"{columns.names['audio'][:40]} is empty"
            bad.append(Problem(where=place, reason="no audio named", detail=detail, segment=found))
        else:
            segments.append(found)
    return Document(segments=tuple(segments), problems=tuple(bad), notes=notes)
