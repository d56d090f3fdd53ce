"""A recording of any length to a transcript: where somebody speaks, in batches, with a guard against loops."""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from smallvoice.corpus.audio import SAMPLING_RATE, Int16, as_float, forget
from smallvoice.decoding import speech
from smallvoice.decoding.engine import Decoded, Engine, batches
from smallvoice.decoding.word_times import Word
from smallvoice.scoring.hallucination import COMPRESSION_RATIO, WORDS_PER_S, compression_ratio

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Tried one after the other where a text loops (Radford et al., 2022, §4.5)."""
MIN_LOGPROB = -1.0
"""Per token; less is a guess. Whisper's own threshold."""
TOUCHED_S = 0.15
"""So much of a word reaches into speech beyond a pause without being said there: attention is no sharper."""
TIMES = 3
"""So often in a row, faster than anybody speaks, is a loop."""

Report = Callable[[float, float], None]


@dataclass(frozen=True)
class Segment:
    """A stretch of speech and what was said in it; times in seconds from the start of the recording."""

    start_s: float
    end_s: float
    text: str
    words: list[Word]
    avg_logprob: float
    """Mean natural-log probability of a token, of a loop's that were left out too."""
    temperature: float
    """0, or what it took to end a loop."""
    doubtful: bool
    """No draw ended its loop, whose repetitions without time are left out; or the model would have gone on."""


def transcribe(
    samples: Int16,
    heard: speech.Heard,
    engine: Engine,
    language: str | None,
    report: Report = lambda seconds, whole: None,
) -> list[Segment]:
    """Everything that is said in a recording, in order.

    Args:
        samples: shape = (num_samples,), 16 kHz.
        heard: where somebody speaks in them.
        language: forced where the model has languages.
        report: told how many seconds of speech have been decoded, and of how many.

    Raises:
        RecipeError: the model needs a language, or does not have this one.
    """
    segments: list[Segment] = []
    done_s, whole_s = 0.0, sum(map(_length_s, heard.stretches))
    ordered = sorted(heard.stretches, key=_length_s)
    for batch in batches(ordered, _length_s, engine, engine.recipe.batch_size):
        waveforms = [as_float(np.asarray(samples[first:last])) for first, last in batch]
        decoded = engine.decode(waveforms, language, words=True)
        for span, waveform, one in zip(batch, waveforms, decoded, strict=True):
            for part, guarded in _parts(engine, span, waveform, language, one):
                segments.append(_segment(part, heard.spoken, guarded))
        forget(samples)
        done_s += sum(map(_length_s, batch))
        report(done_s, whole_s)
    return sorted((segment for segment in segments if segment.text), key=lambda segment: segment.start_s)


def _length_s(span: speech.Span) -> float:
    return (span[1] - span[0]) / SAMPLING_RATE


@dataclass(frozen=True)
class _Guarded:
    """What is taken for what was said in a stretch."""

    decoded: Decoded
    temperature: float = 0.0
    doubtful: bool = False


def _parts(
    engine: Engine, span: speech.Span, waveform: np.ndarray, language: str | None, decoded: Decoded
) -> Iterator[tuple[speech.Span, _Guarded]]:
    """A stretch and its text; where the decoder has no room for it, that of its halves, parted where it is softest.

    Twenty seconds of Georgian are twice as many tokens as it holds.
    """
    middle = speech.softest(waveform) if decoded.full and not _repeats(decoded) else 0
    if not middle:
        yield span, _guarded(engine, waveform, language, decoded)
        return
    halves = waveform[:middle], waveform[middle:]
    spans = (span[0], span[0] + middle), (span[0] + middle, span[1])
    for one, half, text in zip(spans, halves, engine.decode([*halves], language, words=True), strict=True):
        yield from _parts(engine, one, half, language, text)


def _guarded(engine: Engine, waveform: np.ndarray, language: str | None, decoded: Decoded) -> _Guarded:
    """What was decoded; where it loops the first draw that does not, and if all do, that without its repetitions."""
    if not loops(decoded):
        return _Guarded(decoded)
    for temperature in TEMPERATURES:
        again = engine.decode([waveform], language, words=True, temperature=temperature)[0]
        if not loops(again) and again.avg_logprob > MIN_LOGPROB:
            return _Guarded(again, temperature)
    return _Guarded(_once(decoded), doubtful=True)


def _once(decoded: Decoded) -> Decoded:
    """A text without the repetitions that nobody could have said in their time."""
    left, begin = list(enumerate(decoded.words or [])), 0
    while rattle := _rattle([word for _, word in left], begin):
        run, size = rattle
        copies = [left[first : min(first + size, run.stop)] for first in range(run.start, run.stop, size)]
        # A part of a copy that does not end the text goes on otherwise: it was said.
        cut_short = run.stop < len(left) and len(copies[-1]) < size
        spoken = [copy for copy in copies[: len(copies) - cut_short] if not _too_fast([word for _, word in copy])]
        spoken += copies[-1:] * cut_short
        if spoken == copies:
            begin = run.stop
            continue
        left = [*left[: run.start], *itertools.chain.from_iterable(spoken), *left[run.stop :]]
    return _only(decoded, {place for place, _ in left})


def _only(decoded: Decoded, kept: set[int]) -> Decoded:
    """A text with these of its words; spaces stay as the language has them."""
    pieces, begin = [], 0
    for place, word in enumerate(decoded.words or []):
        found = decoded.text.find(word.text, begin)
        end = found + len(word.text) if found >= 0 else begin
        if place in kept:
            pieces.append(decoded.text[begin:end])
        begin = end
    words = decoded.words and [word for place, word in enumerate(decoded.words) if place in kept]
    return replace(decoded, text="".join([*pieces, decoded.text[begin:]]).strip(), words=words)


def _placed(word: Word, spoken: list[tuple[float, float]]) -> Word:
    """A word's times without the silence that attention counts to it: before the first word, and around pauses."""
    overlapping = [(begin, end) for begin, end in spoken if begin < word.end_s and end > word.start_s]
    held = [(begin, end) for begin, end in overlapping if min(end, word.end_s) - max(begin, word.start_s) >= TOUCHED_S]
    overlapping = held or overlapping
    start_s, end_s = word.start_s, word.end_s
    if overlapping:
        start_s, end_s = max(start_s, overlapping[0][0]), min(end_s, overlapping[-1][1])
    return replace(word, start_s=round(start_s, 3), end_s=round(max(start_s, end_s), 3))


def loops(decoded: Decoded) -> bool:
    """Whether a text repeats itself, or had to be cut off."""
    return decoded.capped or _repeats(decoded)


def _repeats(decoded: Decoded) -> bool:
    return compression_ratio(decoded.text) > COMPRESSION_RATIO or _rattle(decoded.words or []) is not None


def _rattle(words: list[Word], begin: int = 0) -> tuple[range, int] | None:
    """The places, from `begin` on, of words that repeat those before them twice or more, faster than anybody speaks,
    and how many words each time; None where none do.

    A few words are too short a text for zlib; and a child does say "no no no". But the model's loop has no audio of its
    own: alignment finds no time for its words.
    """
    said = [word.text.casefold().strip(string.punctuation) for word in words]
    for size in range(1, (len(words) - begin) // TIMES + 1):
        run = 0
        for place in range(begin + size, len(words)):
            run = run + 1 if said[place] == said[place - size] else 0
            if run >= (TIMES - 1) * size and _too_fast(words[place - run + 1 : place + 1]):
                last = place + 1
                while last < len(words) and said[last] == said[last - size]:
                    last += 1
                return range(place - run + 1, last), size
    return None


def _too_fast(words: list[Word]) -> bool:
    seconds = words[-1].end_s - words[0].start_s
    timeless = sum(word.end_s <= word.start_s for word in words)
    return len(words) > WORDS_PER_S * seconds or 2 * timeless > len(words)


def _segment(span: speech.Span, spoken: list[speech.Span], guarded: _Guarded) -> Segment:
    decoded = guarded.decoded
    start_s, end_s = span[0] / SAMPLING_RATE, span[1] / SAMPLING_RATE
    inside = [(a / SAMPLING_RATE, b / SAMPLING_RATE) for a, b in spoken if a < span[1] and b > span[0]]
    words = [
        _placed(replace(word, start_s=start_s + word.start_s, end_s=min(end_s, start_s + word.end_s)), inside)
        for word in decoded.words or []
    ]
    return Segment(
        start_s=round(words[0].start_s if words else start_s, 3),
        end_s=round(max(word.end_s for word in words) if words else end_s, 3),
        text=decoded.text,
        words=words,
        avg_logprob=decoded.avg_logprob,
        temperature=guarded.temperature,
        doubtful=guarded.doubtful,
    )
