"""The gate before an export: what conversion alone changed, heard by the runtime that users will use.

Both sides decode the same clips at the same window, greedily, in the forced language, without timestamps and without a
second try; one is the tuned model in torch and float32, the other the export. An export has to pass at 30 s and, where
its runtime can hear it, at the model's own window. What the window costs is said apart.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Utterance
from smallvoice.decoding.engine import decode_utterances
from smallvoice.decoding.models import Model
from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import DecodeRecipe, WindowRecipe
from smallvoice.scoring import wording
from smallvoice.scoring.normalize import for_language
from smallvoice.scoring.word_errors import ErrorCounts, count_all, total
from smallvoice.storage import digest, read_json, write_json

MOST_CLIPS = 200
SHOWN = 3
"""Clips of a refused window that the terminal shows."""

Hear = Callable[[list[np.ndarray], str | None], list[str]]
"""What a runtime writes for waveforms in a language."""
HearTrimmed = Callable[[list[np.ndarray], str | None, Model], list[str]]
"""The same at the window of the model that was exported."""


@dataclass(frozen=True)
class Limits:
    """How far an export may be from the model."""

    points: float
    """Its normalised WER may be so much higher."""
    words: float
    """So many of its words may be others."""


EXACT = Limits(points=0.005, words=0.02)
ROUNDED = Limits(points=0.01, words=0.05)
"""For weights of eight bits and fewer."""
ROUNDED_PRECISIONS = frozenset({"int8", "q8_0", "q5_0"})


def limits(precision: str) -> Limits:
    return ROUNDED if precision in ROUNDED_PRECISIONS else EXACT


@dataclass(frozen=True)
class Parity:
    """One export against the model."""

    clips: int
    window: str
    wer_model: float | None
    wer_export: float | None
    words_differ: float | None
    """Word errors of the export's text against the model's, as a share of the model's words."""
    limits: Limits
    differing: list[dict[str, str]]
    """Clips that differ: id, what the model wrote, what the export wrote."""

    @property
    def within_limits(self) -> bool:
        worse = (self.wer_export or 0.0) - (self.wer_model or 0.0)
        return worse <= self.limits.points and (self.words_differ or 0.0) <= self.limits.words

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "within_limits": self.within_limits}

    def sentence(self) -> str:
        return (
            f"{self.window}, {wording.count(self.clips, 'clip')}: normalised WER {wording.percent(self.wer_model)} in "
            f"torch, {wording.percent(self.wer_export)} exported; {wording.percent(self.words_differ)} of words differ"
        )

    def examples(self) -> list[str]:
        """The first clips that differ, in lines for a terminal: id, and below it both texts."""
        return [
            line
            for clip in self.differing[:SHOWN]
            for line in (f"  {clip['id']}", f"    torch:    {clip['model']}", f"    exported: {clip['export']}")
        ]


def over_speakers(units: dict[int, str], most: int) -> set[int]:
    """Places of at most `most` clips, the same ones for the same corpus: in turn of every speaker, each one's in order.

    What the last turn has room for is spread over the speakers, because a corpus may be sorted by age or source.

    Args:
        units: who says the clip at each place.
    """
    turns: dict[int, list[int]] = defaultdict(list)
    said: Counter[str] = Counter()
    for place, unit in units.items():
        turns[said[unit]].append(place)
        said[unit] += 1
    chosen: set[int] = set()
    for places in turns.values():
        room = min(len(places), most - len(chosen))
        chosen |= {places[number * len(places) // room] for number in range(room)}
    return chosen


def as_runtimes_cap(model: Model) -> DecodeRecipe:
    """Half of the decoder's positions, 224, as OpenAI's own decoding, CTranslate2 and (but for four) whisper.cpp."""
    most = model.whisper.network.config.max_target_positions // 2
    return DecodeRecipe(tokens_base=most - 1, tokens_per_s=1e-6)  # of any duration one more


def by_torch(model: Model, clips: list[Utterance], window: WindowRecipe, language: str | None) -> list[str]:
    """What the model writes, greedily and with no cap but the runtimes' own, in the order of `clips`."""
    engine = TorchEngine(model.whisper, window, as_runtimes_cap(model))
    batches = decode_utterances(clips, engine, language, engine.recipe.batch_size)
    texts = {utterance.id: decoded.text for utterance, decoded in itertools.chain.from_iterable(batches)}
    return [texts[clip.id] for clip in clips]


def compare(
    clips: list[Utterance], model: list[str], export: list[str], window: str, language: str | None, allowed: Limits
) -> Parity:
    """The texts of both, clip by clip."""
    rules = for_language(language)
    said = [rules.reference(clip.text) for clip in clips]
    left, right = ([rules.words(text) for text in texts] for texts in (model, export))
    between = total(count_all(left, right))
    return Parity(
        clips=len(clips),
        window=window,
        wer_model=_rate(count_all(said, left)),
        wer_export=_rate(count_all(said, right)),
        words_differ=between.rate,
        limits=allowed,
        differing=[
            {"id": clip.id, "model": a, "export": b}
            for clip, a, b, words_a, words_b in zip(clips, model, export, left, right, strict=True)
            if words_a != words_b
        ],
    )


def _rate(counts: list[ErrorCounts]) -> float | None:
    return total(counts).rate


@dataclass(frozen=True)
class Checked:
    """Everything that was found of one export."""

    full: Parity
    """At 30 s."""
    own: Parity | None
    """At the model's own window, where the runtime can; None where it cannot, or where that is 30 s too."""
    window_cost: dict[str, Any]
    """What the window costs the model itself: its WER at its own and at 30 s."""

    @property
    def windows(self) -> list[Parity]:
        return [self.full, self.own] if self.own else [self.full]

    @property
    def refused(self) -> list[Parity]:
        """Windows at which the export is farther from the model than it may be: each of them decides."""
        return [window for window in self.windows if not window.within_limits]


def has_own_window(model: Model) -> bool:
    """Whether it hears less than 30 s of a short clip."""
    return model.window.kind in ("trim", "mixed")


def references(model: Model, clips: list[Utterance], language: str | None, kept: Path) -> tuple[list[str], list[str]]:
    """What the model writes at 30 s and at its own window: found once for all exports of a model, and kept."""
    key = digest(
        model.key,
        asdict(model.window),
        model.engine(DecodeRecipe()).facts(),
        torch.__version__,
        [clip.id for clip in clips],
        language,
        asdict(as_runtimes_cap(model)),
    )
    found = read_json(kept) if kept.is_file() else {}
    if found.get("key") != key:
        full = by_torch(model, clips, FULL_WINDOW, language)
        own = by_torch(model, clips, model.window, language) if has_own_window(model) else full
        found = {"at_30_s": full, "at_own_window": own}
        write_json(kept, {"key": key, **found})
    return found["at_30_s"], found["at_own_window"]


def check(
    model: Model,
    clips: list[Utterance],
    texts: tuple[list[str], list[str]],
    hear: Hear,
    hear_trimmed: HearTrimmed | None,
    precision: str,
    language: str | None,
) -> Checked:
    """Compare an export with the model, at 30 s and at the model's own window.

    Args:
        texts: what the model writes there, as `references` found it.
    """
    waveforms = [decode_flac(clip.audio) for clip in clips]
    allowed = limits(precision)
    at_30_s, at_own = texts
    full = compare(clips, at_30_s, hear(waveforms, language), "30 s", language, allowed)
    own = None
    if hear_trimmed and has_own_window(model):
        exported = hear_trimmed(waveforms, language, model)
        own = compare(clips, at_own, exported, "its own window", language, allowed)
    rules = for_language(language)
    said = [rules.reference(clip.text) for clip in clips]
    cost = {
        "own_window": asdict(model.window),
        "wer_own_window": _rate(count_all(said, [rules.words(text) for text in at_own])),
        "wer_30_s": full.wer_model,
    }
    return Checked(full, own, cost)
