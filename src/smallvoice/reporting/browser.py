"""What the utterance browser of the page holds: every utterance, or the worst where there are many, as compact JSON."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallvoice.corpus.utterance import open_corpus
from smallvoice.reporting.worst import Utterance, worst
from smallvoice.scoring.groups import Row

MOST = 2_000
"""Utterances."""
MOST_BYTES = 2_300_000
"""Of all of them, audio left out; the page then stays under 3 MB."""
_KINDS = {"equal": "e", "substitution": "s", "insertion": "i", "deletion": "d", None: ""}


@dataclass(frozen=True)
class Browser:
    """The content of the page's script element, and what to say about it."""

    content: str
    shown: int
    of: int


def browser(base: list[Row], tuned: list[Row], audio: dict[str, bytes]) -> Browser:
    """Every utterance of a comparison, those with the most errors first.

    Args:
        base, tuned: the same utterances in the same order (`hypotheses.pair`).
        audio: FLAC by the id of its utterance, for players; empty where the page holds none.
    """
    chosen = worst(base, tuned, shown=MOST, perfect=True)
    durations = {row["id"]: row.get("duration_s") or 0.0 for row in base}
    entries = []
    size = 0
    for one in chosen:
        entry = _json(_entry(one, durations[one.id]))
        size += len(entry.encode("utf-8", "replace"))
        if size > MOST_BYTES:
            break
        if one.id in audio:
            player = f"data:audio/flac;base64,{base64.b64encode(audio[one.id]).decode()}"
            entry = f'{entry[:-1]},"p":"{player}"}}'
        entries.append(entry)
    return Browser(f"[{','.join(entries)}]", len(entries), len(base))


def _json(entry: dict[str, Any]) -> str:
    # Inside a script element nothing but this sequence ends it.
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _entry(one: Utterance, duration_s: float) -> dict[str, Any]:
    return {
        "i": one.id,
        "a": one.about,
        "d": round(duration_s, 1),
        "w": one.tuned.words,
        "b": one.base.errors,
        "t": one.tuned.errors,
        "r": int(one.direction == "rtl"),
        "f": [*one.problems, *(f"flagged: {flag}" for flag in one.flags)],
        "m": one.left_out,
        "c": [[c.reference, c.base[0], _KINDS[c.base[1]], c.tuned[0], _KINDS[c.tuned[1]]] for c in one.columns],
    }


def audio_of(corpus: Path, split: str) -> dict[str, bytes]:
    """The recordings of a split, for a page that its maker wants to hear.

    Raises:
        InputError: no such corpus, or no such split.
    """
    return {row.id: row.audio for row in open_corpus(corpus).utterances(split)}
