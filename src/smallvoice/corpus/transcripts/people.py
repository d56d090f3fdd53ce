"""Codes for people that transcripts use (CHI, FA1, MOT): whose they are, and what they say about the role."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import PurePosixPath

from smallvoice.corpus.transcripts.segment import number

# CHAT: the CHILDES manual's codes; LENA: its speaker classes; ChildProject: VTC and ACLEW tiers.
_CHILD = re.compile(r"(CHI|TAR|KCHI|OCH|CHN|CHF|CXN|CXF|BRO|SIS|SIB|BAB|INFANT|CHILD|KID|PUPIL|[FMU]C\d*|UC\d*|CH\d+)")
_ADULT = re.compile(
    r"(MOT|FAT|MAM|DAD|GRM|GRF|GRA|AUN|UNC|INV|EXP|OBS|TEA|ADU|ADULT|FAN|FAF|MAN|MAF|FEM|MAL|[FMU]A\d*|"
    r"TEACHER|MOTHER|FATHER|INVESTIGATOR|EXAMINER|INTERVIEWER)"
)
_NOBODY = re.compile(
    r"(SPEECH|STU|STUDENT|CLI|CLIENT|PAT|PATIENT|SPK_?\d*|SPEAKER[_ ]?\d*|PAR\d*|UNK|UNKNOWN|ENV|SIL|NOF|NON|"
    r"OLN|OLF|TVN|TVF|EE\d*)"
)
_ROLE = re.compile(r"(?!NON_|NOT_|NO_)(?!.*_OF_)(?:\w+_)(CHILD|ADULT)")
_ABBREVIATION = re.compile(
    r"CHI|KCHI|TAR|OCH|CHN|CHF|CXN|CXF|KID|BRO|SIS|SIB|MOT|FAT|MAM|DAD|FEM|MAL|FAN|FAF|MAN|MAF|INV|EXP|OBS|TEA|ADU|STU|PAR"
)
"""Codes without a number, in capitals or small letters; `Fan`, `Man`, `FC01`, `SPK001` are names where names stand."""
_WORD = re.compile(
    r"CHILD|INFANT|PUPIL|STUDENT|ADULT|TEACHER|MOTHER|FATHER|INVESTIGATOR|EXAMINER|INTERVIEWER|CLIENT|PATIENT|"
    r"PARTICIPANT|SPEAKER"
)
_DIARISED = re.compile(r"(SPK_?|SPEAKER[_ ]?)\d{0,2}")
ADULT_YEARS = 18
MAX_AGE_YEARS = 120


def role_of(code: str | None) -> str | None:
    """`child` or `adult`, where a code or a role (`Target_Child`, `Mother`) says so; else None."""
    name = re.sub(r"[\s_-]+", "_", (code or "").strip().upper())
    if listed := _ROLE.fullmatch(name):
        return listed[1].lower()
    if _CHILD.fullmatch(name) or name in ("CHILDREN", "BROTHER", "SISTER", "SIBLING"):
        return "child"
    if _ADULT.fullmatch(name):
        return "adult"
    return None


def is_code(name: str) -> bool:
    """Whether a tier's name says what somebody is, not who: in another file it is somebody else's."""
    upper = name.upper()
    return any(pattern.fullmatch(upper) for pattern in (_CHILD, _ADULT, _NOBODY))


def is_role_word(name: str) -> bool:
    """As `is_code`, of a column that holds the names of speakers: there an id is an identity, and few words are not."""
    return is_role_name(name) and (name in (name.upper(), name.lower()) or bool(_WORD.fullmatch(name.upper())))


def is_role_name(name: str) -> bool:
    """As `is_role_word`, of the name that CHAT gives beside a code: `Dad`, `Exp`."""
    return bool(_ABBREVIATION.fullmatch(name.upper()) or _WORD.fullmatch(name.upper()))


def is_label(name: str) -> bool:
    """As `is_role_word`, of what programs that tell speakers apart may have written: `spk0`, `SPEAKER_00`."""
    return is_role_word(name) or is_diarised(name)


def is_diarised(name: str) -> bool:
    """Whether a name looks like one that a program gives."""
    return _DIARISED.fullmatch(name.upper()) is not None


def role_of_word(name: str) -> str | None:
    """The role that a name in a column tells: only a word for it does."""
    return role_of(name) if is_role_word(name) else None


def person(name: str | None, where: str, is_local: Callable[[str], bool] = is_code) -> str | None:
    """A speaker's name in the source: a code is one person per transcript, a name one person throughout.

    Args:
        where: what the transcript is called.
        is_local: whether a name is a code.
    """
    if not name:
        return None
    return f"{PurePosixPath(where).with_suffix('')}:{name}" if is_local(name) else name


def spelled(name: str) -> str:
    """A name in one spelling: `ë` is one character, as macOS's file names do not have it; white space is single."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def in_one_case(name: str) -> str:
    """What names share that differ in case or leading zeros alone: `Kid07`, `kid7`."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.casefold())


_AGE_WITH_UNITS = re.compile(
    r"(?:(\d{1,3}(?:[.,]\d{1,4})?)\s?(?:years?|yrs?|y|yo)\b\.?(?:\s?old\b)?)?,?\s?(?:and\s)?"
    r"(?:(\d{1,4}(?:[.,]\d{1,4})?)\s?(?:months?|mos?|mths?|m)\b\.?(?:\s?old\b)?)?"
)


def age_of(text: str, *, in_months: bool = False) -> float | None:
    """A plausible age in years, however it is written: `4.5`, `4,5`, `4;06.12`, `4y6m`, `4 years`, `54 months`.

    Args:
        in_months: whether a plain number counts months.
    """
    written = " ".join(text.lower().split())
    plain = number(written.replace(",", "."))
    if plain is not None:
        return age_years(f"{plain / 12:.6f}" if in_months else str(plain))
    found = _AGE_WITH_UNITS.fullmatch(re.sub(r"(?<=[a-z])(?=\d)", " ", written))
    if not found or not any(found.groups()):
        return chat_age(text)
    years, months = (float((part or "0").replace(",", ".")) for part in found.groups())
    return age_years(f"{years + months / 12:.6f}")


def chat_age(text: str) -> float | None:
    """An age as CHAT writes it (`2;06.15`, `2;6`, `;11.`) in years, or None."""
    found = re.fullmatch(r"\s*(\d{0,3});(?:(\d{1,2})(?:\.(\d{0,2}))?)?\.?\s*", text)
    if not found or not any(found.groups()):
        return None
    years, months, days = (int(part or 0) for part in found.groups())
    if months > 12 or days > 31:
        return None
    return age_years(str(years + months / 12 + days / 365.25))


def age_years(text: str) -> float | None:
    """A plausible age in years, or None."""
    years = number(text)
    return years if years is not None and 0 <= years <= MAX_AGE_YEARS else None


def role_at(age_years: float | None) -> str | None:
    """`child` or `adult` by age; None where it is not known."""
    if age_years is None:
        return None
    return "child" if age_years < ADULT_YEARS else "adult"


_GENDERS = {"male": "m", "boy": "m", "man": "m", "female": "f", "girl": "f", "woman": "f"}
UNKNOWN = frozenset({"", "-", "u", "unk", "unknown", "n", "na", "n/a", "nan", "none", "null", "?"})
"""How tables write that they do not know."""


def gender_of(text: str | None) -> str | None:
    """`f`, `m`, or the word that the source has; None where it does not say."""
    word = (text or "").strip().lower()
    return None if word in UNKNOWN else _GENDERS.get(word, word)
