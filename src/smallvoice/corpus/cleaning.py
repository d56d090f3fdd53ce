"""`apply`: a new corpus without the rows that an audit condemned; the old one stays as it is.

Of the same speaker, session or audio in two splits, test keeps its rows, and dev before train. Rows that nobody can
use (silent, clipped, a text that is not of the audio) leave train and dev; in test they stay, with a flag, because
a test set that is chosen by how it sounds measures something else.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from smallvoice.corpus.building import replacing_folder
from smallvoice.corpus.facts import CorpusCounts
from smallvoice.corpus.findings import Audit, Hit
from smallvoice.corpus.pseudonyms import Pseudonyms
from smallvoice.corpus.shards import CorpusWriter
from smallvoice.corpus.utterance import Corpus, Utterance, open_corpus
from smallvoice.errors import InputError
from smallvoice.storage import digest, read_json, read_jsonl, write_json, write_jsonl

_KINDS = {"S": "speakers", "V": "sessions", "R": "recordings"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cleaned:
    """The corpus that `apply` wrote."""

    path: Path
    facts: dict[str, Any]
    """corpus.json."""
    dropped: dict[str, int]
    """Split -> number of rows."""
    flagged: dict[str, int]


def apply(corpus_path: Path, audit: Audit, out: Path) -> Cleaned:
    """Write a corpus to `out` without the rows that `audit` condemns, and its ledger.

    Raises:
        InputError: the corpus is another than the audited one, `out` is it or holds something, or no row is left.
        ResourceError: no room on the disk.
    """
    corpus = open_corpus(corpus_path)
    if corpus.facts["key"] != audit.key:
        raise InputError(f"{corpus_path}: prepared again since it was audited. Audit it again.")
    _require_new(out, corpus_path)
    fates = audit.fates()
    reasons = _reasons(audit)
    with replacing_folder(out.absolute()) as folder:
        copied = _copy(corpus, folder, fates, reasons)
        if not copied.counts.splits:
            raise InputError(f"{corpus_path}: the audit condemns every row; nothing is left to write.")
        ledger = read_jsonl(corpus_path / "ledger.jsonl")
        write_jsonl(folder / "ledger.jsonl", (_entry(entry, fates, reasons, copied.lost) for entry in ledger))
        _write_people(corpus_path, folder, copied.splits_of)
        facts = _facts(corpus.facts, audit, copied, reasons)
        write_json(folder / "corpus.json", facts)
    return Cleaned(path=out, facts=facts, dropped=dict(copied.dropped), flagged=dict(copied.flagged))


@dataclasses.dataclass
class _Copied:
    """What went over, and what did not."""

    counts: CorpusCounts = dataclasses.field(default_factory=CorpusCounts)
    splits_of: defaultdict[str, set[str]] = dataclasses.field(default_factory=lambda: defaultdict(set))
    dropped: Counter[str] = dataclasses.field(default_factory=Counter)
    flagged: Counter[str] = dataclasses.field(default_factory=Counter)
    lost: dict[str, Utterance] = dataclasses.field(default_factory=dict)
    """The dropped rows, without their audio."""


def _copy(corpus: Corpus, folder: Path, fates: Mapping[str, Hit], reasons: Mapping[str, list[str]]) -> _Copied:
    copied = _Copied()
    with CorpusWriter(folder) as writer:
        for split in corpus.splits():
            for row in corpus.utterances(split):
                hit = fates.get(row.id)
                if hit and hit.fate == "drop":
                    copied.dropped[split] += 1
                    copied.lost[row.id] = dataclasses.replace(row, audio=b"")
                    continue
                if hit:
                    copied.flagged[split] += 1
                    row = dataclasses.replace(row, extra={**row.extra, "flags": _flags(row, reasons)})
                writer.add(row)
                copied.counts.add(row)
                copied.splits_of[row.unit].add(split)
    return copied


def _reasons(audit: Audit) -> dict[str, list[str]]:
    """Id -> what a ledger says of the row, the reason for its fate first."""
    fates = audit.fates()
    reasons: dict[str, list[str]] = defaultdict(list)
    for finding in audit.findings:
        for row in finding.rows:
            label = f"audit: {finding.label}"
            if row.id not in fates or row.fate == "keep" or label in reasons[row.id]:
                continue
            decides = row is fates[row.id]
            reasons[row.id].insert(0 if decides else len(reasons[row.id]), label)
    return reasons


def _flags(row: Utterance, reasons: Mapping[str, list[str]]) -> list[str]:
    return [*dict.fromkeys([*row.extra.get("flags", []), *reasons[row.id]])]


def _entry(
    entry: dict[str, Any], fates: Mapping[str, Hit], reasons: Mapping[str, list[str]], lost: Mapping[str, Utterance]
) -> dict[str, Any]:
    """A line of the old ledger, with what the audit made of it."""
    hit = fates.get(entry.get("id", "")) if entry["fate"] == "kept" else None
    if hit is None:
        return entry
    labels = reasons[hit.id]
    if hit.fate == "flag":
        return {**entry, "flags": [*dict.fromkeys([*entry.get("flags", []), *labels])]}
    row = lost[hit.id]
    # Its words are in the corpus no more, so the ledger has them.
    who = {name: getattr(row, name) for name in ("text", "speaker", "age_years", "gender", "language")}
    return {**entry, "fate": "dropped", "reason": labels[0], "detail": hit.detail, **who}


def _write_people(old: Path, folder: Path, splits_of: Mapping[str, Iterable[str]]) -> None:
    """`speakers.csv` and `split.json`: who has no row left keeps the place, as absent."""
    Pseudonyms.read(old / "speakers.csv").write(folder / "speakers.csv", splits_of)
    content = read_json(old / "split.json")
    places = {unit: split for split, kinds in content["splits"].items() for units in kinds.values() for unit in units}
    left = {split for splits in splits_of.values() for split in splits}
    splits: dict[str, dict[str, list[str]]] = {
        name: {kind: [] for kind in _KINDS.values()} for name in content["splits"] if name in left
    }
    for unit, names in sorted(splits_of.items()):
        for name in names:
            splits[name][_KINDS[unit[0]]].append(unit)
    absent = content["absent"] | {unit: place for unit, place in places.items() if unit not in splits_of}
    leaks = {unit: names for unit, names in content["leaks"].items() if len(set(splits_of.get(unit, ()))) > 1}
    write_json(
        folder / "split.json",
        {**content, "splits": splits, "leaks": leaks, "absent": dict(sorted(absent.items()))},
    )


def _facts(old: dict[str, Any], audit: Audit, copied: _Copied, reasons: Mapping[str, list[str]]) -> dict[str, Any]:
    """corpus.json of the new corpus."""
    why = Counter(reasons[name][0] for name in copied.lost)
    dropped = Counter(old["ledger"]["dropped"]) + why
    num_dropped, num_flagged = copied.dropped.total(), copied.flagged.total()
    notes = [note for note in old["notes"] if not _is_mended(note, copied)]
    # The same decisions about the same corpus give the same corpus.
    decisions = sorted((hit.id, hit.fate, reasons[hit.id]) for hit in audit.fates().values())
    return {
        **old,
        **copied.counts.as_dict(),
        "ledger": {
            "segments": old["ledger"]["segments"],
            "kept": old["ledger"]["kept"] - num_dropped,
            "joined": old["ledger"]["joined"],
            "dropped": dict(sorted(dropped.items(), key=lambda item: (-item[1], item[0]))),
        },
        "notes": [*notes, f"An audit dropped {num_dropped} rows and flagged {num_flagged}; the ledger says which."],
        "audited": {"key": old["key"], "limits": audit.limits, "dropped": num_dropped, "flagged": num_flagged},
        "made_of": None,  # `prepare` did not make it
        "key": digest("audit", old["key"], decisions),
    }


def _is_mended(note: str, copied: _Copied) -> bool:
    """Whether a note of `prepare` says that somebody is in two splits who is so no more."""
    unit = note.removeprefix("Leak: ").split(" ", 1)[0]
    return note.startswith("Leak: ") and len(copied.splits_of.get(unit, ())) < 2


def _require_new(out: Path, corpus: Path) -> None:
    """See that nothing is overwritten: neither the corpus, nor anything else."""
    here, there = out.resolve(), corpus.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise InputError(f"{out}: is, holds or lies in the corpus that was audited. Give a new folder to --apply.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists already and is not empty. Give a new folder to --apply.")
