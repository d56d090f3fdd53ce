"""What two rows have in common that they should not: a speaker, a session, audio, a text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

from smallvoice.corpus.findings import RANK, AuditFinding, Hit, fate_of
from smallvoice.corpus.text_checks import NearTexts

_MIN_WORDS = 5
"""Of shorter texts that differ in one word nothing follows: "I see a cat", "I see a dog"."""
_SHARED = 0.5
"""The share of the shorter of two segments above which their audio counts as the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What is kept of a row: some hundred bytes, no audio."""

    id: str
    split: str
    speaker: str | None
    session: str | None
    recording: str
    start_s: float
    """Without margin."""
    end_s: float
    digest: bytes | None
    """Of the samples; None of silence, which is the same everywhere."""
    text: str
    """`text_checks.compared`."""


Groups = dict[Hashable, list[Seen]]


def between_rows(rows: list[Seen]) -> Iterator[AuditFinding]:
    """Every finding that needs more than one row."""
    yield _leak("speaker-in-splits", _spread(rows, lambda row: row.speaker), "Speakers")
    yield _leak("session-in-splits", _spread(rows, lambda row: row.session), "Sessions")
    copies = {key: group for key, group in _groups(rows, lambda row: row.digest).items() if len(group) > 1}
    yield _leak("audio-in-splits", _spread(rows, lambda row: row.digest), "Audio, sample for sample,")
    yield from _recordings(_spread(rows, lambda row: row.recording))
    yield _other_text(copies)
    yield _repeated(copies)
    yield from _texts(rows)


def _groups(rows: Iterable[Seen], key: Callable[[Seen], Hashable]) -> Groups:
    groups: Groups = defaultdict(list)
    for row in rows:
        if key(row) is not None:
            groups[key(row)].append(row)
    return groups


def _spread(rows: Iterable[Seen], key: Callable[[Seen], Hashable]) -> Groups:
    """The groups that are in more than one split."""
    return {name: group for name, group in _groups(rows, key).items() if len({row.split for row in group}) > 1}


def _places(group: Iterable[Seen]) -> list[str]:
    """The splits of a group, the one that matters most first."""
    return sorted({row.split for row in group}, key=lambda split: (-RANK.get(split, 0), split))


def _leak(kind: str, groups: Groups, thing: str) -> AuditFinding:
    """All rows of the groups; the split that matters most keeps its own."""
    hits = []
    for name, group in groups.items():
        places = _places(group)
        called = name if isinstance(name, str) else f"the audio of {group[0].id}"
        detail = f"{called} is in {' and '.join(places)}"
        hits += [Hit(row.id, row.split, detail, "keep" if row.split == places[0] else "drop") for row in group]
    return AuditFinding(kind=kind, what=f"{thing} in more than one split: {len(groups):,}.", rows=tuple(hits))


def _recordings(groups: Groups) -> Iterator[AuditFinding]:
    """Recordings in several splits: segments that share audio are a leak, the others worth knowing."""
    overlapping: dict[str, Hit] = {}
    spread: list[Hit] = []
    num_spread = 0
    for name, group in groups.items():
        for lower, higher in _overlaps(group):
            shared = min(lower.end_s, higher.end_s) - max(lower.start_s, higher.start_s)
            detail = f"{shared:.2f} s of it are also in {{}} ({{}})"
            overlapping[lower.id] = Hit(lower.id, lower.split, detail.format(higher.id, higher.split), "drop")
            kept = Hit(higher.id, higher.split, detail.format(lower.id, lower.split))
            overlapping.setdefault(higher.id, kept)
        if all(row.session is None for row in group):
            num_spread += 1
            detail = f"{name} is in {' and '.join(_places(group))}"
            spread += [Hit(row.id, row.split, detail) for row in group]
    what = f"Segments that share most of their audio with one of another split: {len(overlapping):,}."
    yield AuditFinding(kind="audio-overlap", what=what, rows=tuple(overlapping.values()))
    what = f"Recordings of several speakers who are in more than one split: {num_spread:,}."
    yield AuditFinding(kind="recording-in-splits", what=what, rows=tuple(spread))


def _overlaps(group: list[Seen]) -> Iterator[tuple[Seen, Seen]]:
    """Pairs in different splits that share most of the shorter one, the one of the lower split first.

    Each row is held against the one of each split that ends last among those before it: linear, also where all
    overlap.
    """
    last: dict[str, Seen] = {}
    for row in sorted(group, key=lambda row: (row.start_s, row.end_s)):
        for split, other in last.items():
            shared = min(row.end_s, other.end_s) - row.start_s
            shorter = min(row.end_s - row.start_s, other.end_s - other.start_s)
            # Equal samples are reported as such.
            if split != row.split and shared > _SHARED * shorter and row.digest != other.digest:
                lower, higher = sorted((row, other), key=lambda one: RANK.get(one.split, 0))
                yield lower, higher
        if row.split not in last or row.end_s > last[row.split].end_s:
            last[row.split] = row


def _other_text(copies: Groups) -> AuditFinding:
    hits = []
    num_groups = 0
    for group in copies.values():
        if len({row.text for row in group}) == 1:
            continue
        num_groups += 1
        for row in group:
            other = next(one for one in group if one.text != row.text)
            detail = f"{other.id} ({other.split}) has the same audio and another text"
            hits.append(Hit(row.id, row.split, detail, fate_of("audio-other-text", row.split)))
    what = f"Rows with the audio of another row, but not its text: {len(hits):,}, of {num_groups:,} different audios."
    return AuditFinding(kind="audio-other-text", what=what, rows=tuple(hits))


def _repeated(copies: Groups) -> AuditFinding:
    """Equal audio and text more than once in a split: all but the first, which is kept."""
    hits = []
    for group in copies.values():
        for same in _groups(group, lambda row: (row.split, row.text)).values():
            first, *others = same
            fate = fate_of("audio-repeated", first.split)
            hits += [Hit(row.id, row.split, f"as {first.id}", fate) for row in others]
    what = f"Rows that repeat the audio and the text of another row of their split: {len(hits):,}."
    return AuditFinding(kind="audio-repeated", what=what, rows=tuple(hits))


def _texts(rows: list[Seen]) -> Iterator[AuditFinding]:
    """Texts of dev and test that another split has too, as they are or but for one word."""
    by_split: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.text:
            by_split[row.split][row.text].append(row.id)
    splits = sorted(by_split, key=lambda split: RANK.get(split, 0))
    equal: list[Hit] = []
    near: list[Hit] = []
    shares = []
    for position, split in enumerate(splits):
        lower = splits[:position]
        found = {text: other for other in reversed(lower) for text in by_split[split] if text in by_split[other]}
        equal_here = [
            Hit(name, split, f"the text of {by_split[other][text][0]} ({other})")
            for text, other in found.items()
            for name in by_split[split][text]
        ]
        near += _near(by_split, split, lower)
        equal += equal_here
        if equal_here:
            total = sum(map(len, by_split[split].values()))
            shares.append(f"{len(equal_here):,} of {total:,} in {split}")
    what = f"Rows with a text that another split has too: {', '.join(shares)}."
    yield AuditFinding(kind="shared-text", what=what, rows=tuple(equal))
    what = f"Rows with a text that differs in one word from one of another split: {len(near):,}."
    yield AuditFinding(kind="near-text", what=what, rows=tuple(near))


def _near(by_split: dict[str, dict[str, list[str]]], split: str, lower: list[str]) -> Iterator[Hit]:
    """Rows of a split whose text, not there itself, is one word away from one of a lower split."""
    known = by_split[split]
    own = [
        text
        for text in known
        if text.count(" ") + 1 >= _MIN_WORDS and not any(text in by_split[other] for other in lower)
    ]
    if not own or not lower:
        return
    index = NearTexts(own)
    found: set[str] = set()
    for other in lower:
        for text, names in by_split[other].items():
            for near in index.take(text):
                if near not in found:
                    found.add(near)
                    yield from (Hit(name, split, f"but for one word, {names[0]} ({other})") for name in known[near])
