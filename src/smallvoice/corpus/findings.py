"""What an audit found, and how it says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import RenderableType
from rich.text import Text

Severity = Literal["leak", "warning", "note"]
"""`leak`: a test that is not one. `warning`: look at these rows. `note`: know it when you read the results."""
Fate = Literal["drop", "flag", "keep"]

RANK = {"train": 0, "dev": 1, "test": 2}
"""Of two splits with the same in them, the lower one loses it; test loses nothing."""
_SHOWN = 3
"""Rows named on the terminal; `--json` has them all."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding."""

    severity: Severity
    label: str
    """What a ledger or a flag says of such a row, after `audit: `."""
    advice: str
    fate: Fate = "keep"
    """What `apply` does to such a row of train or dev."""
    in_test: Fate = "keep"
    """What it does to one of test: never `drop`."""


_RETIME = "Listen to some (smallvoice inspect --html): is the text of this audio, are its times right?"
_KINDS = {
    "speaker-in-splits": Kind(
        "leak",
        "speaker in another split",
        "Leave the splits to prepare (it keeps a speaker in one), or correct the split that the source brings.",
    ),
    "session-in-splits": Kind(
        "leak",
        "session in another split",
        "What was recorded together shares room and voices: put each session into one split.",
    ),
    "audio-in-splits": Kind("leak", "audio in another split", "Find out which copy is right, and remove the other."),
    "audio-overlap": Kind(
        "leak",
        "audio overlaps another split",
        "Two segments of one recording share audio: put the recording into one split, or mend their times.",
    ),
    "recording-in-splits": Kind(
        "warning",
        "recording in several splits",
        "Each voice may be heard behind the other's words. Keep one role (prepare --roles child), or name sessions.",
    ),
    "audio-other-text": Kind(
        "warning", "same audio, other text", "At most one text can be right: correct it in the source.", "drop", "flag"
    ),
    "audio-repeated": Kind("note", "audio given twice", "It counts twice in training and in scores.", "drop", "flag"),
    "silent": Kind("warning", "silent", "Nothing can be heard: find the audio, or leave the row out.", "drop", "flag"),
    "mostly-silent": Kind("warning", "mostly silent", _RETIME, "drop", "flag"),
    "too-fast": Kind("warning", "too many words for the time", _RETIME, "drop", "flag"),
    "too-slow": Kind("warning", "too few words for the time", _RETIME, "drop", "flag"),
    "too-quiet": Kind(
        "warning", "very quiet", "Listen to some: a wrong channel, or a microphone that was off?", "drop", "flag"
    ),
    "too-loud": Kind(
        "warning", "very loud", "Listen to some: speech is never this loud unless it is distorted.", "drop", "flag"
    ),
    "clipped": Kind(
        "warning", "clipped", "Use a recording from before it was made louder, if there is one.", "drop", "flag"
    ),
    "noisy": Kind("warning", "very noisy", "Listen to some: is there speech at all?", "drop", "flag"),
    "markup": Kind(
        "warning",
        "markup in the text",
        "Signs of a transcriber's convention are not words: turn them into words with prepare --text-rules.",
        "flag",
        "flag",
    ),
    "characters": Kind(
        "warning",
        "unexpected characters",
        "A letter of another script or an unusual sign: a slip, or a wrong encoding. Correct it in the source.",
        "flag",
        "flag",
    ),
    "digits": Kind(
        "note",
        "digits in the text",
        "7 can be read in several ways: write what was said, or let training write numbers as words.",
        "flag",
        "flag",
    ),
    "nothing-heard": Kind(
        "warning",
        "no word of the text was heard",
        "A wrong text, wrong times, or speech too hard for the model: listen before you remove any.",
        "flag",
        # Flags in test set rows apart in comparisons: those must not be the rows that a model finds hard.
    ),
    "shared-text": Kind(
        "note",
        "text in another split",
        "Usual where children read from one list. Scores then say little about sentences never seen; say so.",
    ),
    "near-text": Kind(
        "note",
        "text but for one word in another split",
        "Usual where prompts are made from one pattern; read it together with the equal texts.",
    ),
}
"""In the order in which findings are shown."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that a finding is about."""

    id: str
    split: str
    detail: str
    fate: Fate = "keep"
    """What `apply` would do to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditFinding:
    """One kind of thing, and every row it was found in."""

    kind: str
    what: str
    """A sentence."""
    rows: tuple[Hit, ...]

    @property
    def severity(self) -> Severity:
        return _KINDS[self.kind].severity

    @property
    def label(self) -> str:
        return _KINDS[self.kind].label

    @property
    def advice(self) -> str:
        return _KINDS[self.kind].advice

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "severity": self.severity,
            "what": self.what,
            "count": len(self.rows),
            "advice": self.advice,
            "rows": [{"id": row.id, "split": row.split, "detail": row.detail, "apply": row.fate} for row in self.rows],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """Everything that an audit found in a corpus."""

    corpus: Path
    key: str
    """The corpus's own: what it was made of."""
    num_rows: int
    duration_s: float
    limits: dict[str, float]
    findings: tuple[AuditFinding, ...]
    """Leaks first."""

    @property
    def leaks(self) -> tuple[AuditFinding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    def fates(self) -> dict[str, Hit]:
        """What `apply` does to which row: only those it drops or flags. `detail` says why."""
        fates: dict[str, Hit] = {}
        for finding in self.findings:
            for row in finding.rows:
                earlier = fates.get(row.id)
                if row.fate != "keep" and (earlier is None or (row.fate, earlier.fate) == ("drop", "flag")):
                    fates[row.id] = row
        return fates

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "corpus": str(self.corpus),
            "key": self.key,
            "utterances": self.num_rows,
            "hours": round(self.duration_s / 3600, 4),
            "leaks": len(self.leaks),
            "limits": self.limits,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def fate_of(kind: str, split: str) -> Fate:
    """What `apply` does to a row of a split."""
    return _KINDS[kind].in_test if split == "test" else _KINDS[kind].fate


def in_order(findings: Iterable[AuditFinding]) -> tuple[AuditFinding, ...]:
    """Findings with rows, in the order of the table of kinds."""
    kinds = list(_KINDS)
    order = {"leak": 0, "warning": 1, "note": 2}
    found = [finding for finding in findings if finding.rows]
    return tuple(sorted(found, key=lambda finding: (order[finding.severity], kinds.index(finding.kind))))


def plural(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def describe(audit: Audit) -> list[RenderableType]:
    """Each finding in three lines: what it is, its first rows, what to do."""
    counts = Counter(finding.severity for finding in audit.findings)
    severities: tuple[Severity, ...] = ("leak", "warning", "note")
    found = ", ".join(plural(counts[severity], severity) for severity in severities if counts[severity])
    size = f"{plural(audit.num_rows, 'utterance')}, {audit.duration_s / 3600:.2f} h"
    lines: list[RenderableType] = [f"{audit.corpus}: {size}: {found or 'nothing found'}"]
    for finding in audit.findings:
        lines.append(Text.assemble((finding.severity, "bold"), f" {finding.kind}: {finding.what}"))
        shown = "; ".join(f"{row.id} ({row.split}: {row.detail})" for row in finding.rows[:_SHOWN])
        more = f"; and {len(finding.rows) - _SHOWN:,} more" if len(finding.rows) > _SHOWN else ""
        lines += [f"  {shown}{more}", f"  {finding.advice}"]
    if fates := Counter(hit.fate for hit in audit.fates().values()):
        does = " and ".join(f"{fate}s {plural(fates[fate], 'row')}" for fate in ("drop", "flag") if fates[fate])
        lines.append(f"--apply OUT {does}, in a new corpus; it drops none of test.")
    return lines
