"""Codes for people that transcripts use (CHI, FA1, MOT): whose they are, and what they say about the role."""

from __future__ import annotations

import re
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
MAX_AGE_YEARS = 120


def role_of(code: str | None) -> str | None:
    """`child` or `adult`, where a code or a role (`Target_Child`, `Mother`) says so; else None."""
    name = (code or "").upper().replace("-", "_")
    if _CHILD.fullmatch(name) or name.endswith(("_CHILD", "CHILDREN")) or name in ("BROTHER", "SISTER", "SIBLING"):
        return "child"
    if _ADULT.fullmatch(name) or name.endswith("_ADULT"):
        return "adult"
    return None


def is_code(name: str) -> bool:
    """Whether a name says what somebody is, not who: in another file it is somebody else's."""
    upper = name.upper()
    return any(pattern.fullmatch(upper) for pattern in (_CHILD, _ADULT, _NOBODY))


def person(name: str | None, where: str) -> str | None:
    """A speaker's name in the source: a code is one person per transcript, a name one person throughout.

    Args:
        where: what the transcript is called.
    """
    if not name:
        return None
    return f"{PurePosixPath(where).with_suffix('')}:{name}" if is_code(name) else name


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


_GENDERS = {"male": "m", "boy": "m", "man": "m", "female": "f", "girl": "f", "woman": "f"}
UNKNOWN = frozenset({"", "-", "u", "unk", "unknown", "n", "na", "n/a", "nan", "none", "null", "?"})
"""How tables write that they do not know."""


def gender_of(text: str | None) -> str | None:
    """`f`, `m`, or the word that the source has; None where it does not say."""
    word = (text or "").strip().lower()
    return None if word in UNKNOWN else _GENDERS.get(word, word)
