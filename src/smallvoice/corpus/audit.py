"""`audit`: is the test a test, is the text that of the audio, can the audio be used?

One pass over the rows, one row group in memory at a time; what is kept of a row for comparing it with others is
some hundred bytes. Nothing is changed; `apply` writes a new corpus.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from smallvoice.corpus.audio import decode_flac, to_int16
from smallvoice.corpus.cleaning import apply
from smallvoice.corpus.findings import Audit, AuditFinding, Hit, describe, fate_of, in_order
from smallvoice.corpus.limits import AuditLimits
from smallvoice.corpus.overlaps import Seen, between_rows
from smallvoice.corpus.signal import SILENCE_DBFS, Signal, measure
from smallvoice.corpus.text_checks import compared, content, named, num_letters
from smallvoice.corpus.text_style import numbers_as_words
from smallvoice.corpus.utterance import Corpus, Utterance, open_corpus
from smallvoice.errors import InputError
from smallvoice.storage import read_jsonl

__all__ = ["Audit", "AuditFinding", "apply", "audit", "describe"]

_SLACK_S = 0.25
"""Added to the time of a row before its text is called too long."""

Report = Callable[[int, int, str], None]
"""Told how many rows are done, how many there are, and of which split."""


def audit(
    corpus_path: Path,
    *,
    hypotheses: Path | None = None,
    limits: AuditLimits | None = None,
    report: Report | None = None,
) -> Audit:
    """Look for leaks between splits, and for rows whose text or audio cannot be right.

    Args:
        hypotheses: a file that `evaluate` wrote for a split of this corpus, best of a model that was not trained
            on it: rows of whose text it heard no word are reported.

    Raises:
        InputError: not a prepared corpus, or hypotheses that are not of it.
    """
    corpus = open_corpus(corpus_path)
    limits = limits or AuditLimits()
    splits = corpus.splits()
    checks = _RowChecks(limits, _own_scripts(corpus, limits.own_script), _hypotheses(hypotheses))
    rows: list[Seen] = []
    duration_s = 0.0
    for split in splits:
        for row in corpus.utterances(split):
            signal = measure(to_int16(decode_flac(row.audio)))
            checks.add(row, signal)
            rows.append(_seen(row, signal))
            duration_s += row.duration_s
            if report:
                report(len(rows), sum(splits.values()), split)
    checks.require_all_found(hypotheses)
    return Audit(
        corpus=corpus_path,
        key=corpus.facts["key"],
        num_rows=len(rows),
        duration_s=duration_s,
        limits=dataclasses.asdict(limits),
        findings=in_order([*between_rows(rows), *checks.findings()]),
    )


def _seen(row: Utterance, signal: Signal) -> Seen:
    return Seen(
        id=row.id,
        split=row.split,
        speaker=row.speaker,
        session=row.session,
        recording=row.recording,
        start_s=row.extra.get("segment_start_s", row.start_s),
        end_s=row.extra.get("segment_end_s", row.end_s),
        digest=None if signal.is_silent else signal.digest,
        text=compared(row.text),
    )


class _RowChecks:
    """What a row shows by itself."""

    def __init__(self, limits: AuditLimits, scripts: dict[str | None, set[str]], heard: dict[str, str | None]) -> None:
        self.limits = limits
        self.scripts = scripts
        self.heard = heard
        """Id -> hypothesis; None where decoding failed. What is left at the end is of no row."""
        self.num_heard = len(heard)
        self.hits: dict[str, list[tuple[float, Hit]]] = defaultdict(list)
        """Kind -> how bad, and the row."""

    def add(self, row: Utterance, signal: Signal) -> None:
        self._signal(row, signal)
        self._rate(row)
        self._text(row)
        if row.id in self.heard:
            self._heard(row, self.heard.pop(row.id))

    def _signal(self, row: Utterance, signal: Signal) -> None:
        limits = self.limits
        if signal.is_silent:
            self._hit(row, "silent", f"never above {SILENCE_DBFS:g} dBFS in {row.duration_s:.2f} s")
            return
        level, clipped, silence, snr = signal.level_dbfs, signal.clipped, signal.silence, signal.snr_db
        if level < limits.min_level_dbfs:
            self._hit(row, "too-quiet", f"{level:.1f} dBFS", -level)
        if level > limits.max_level_dbfs:
            self._hit(row, "too-loud", f"{level:.1f} dBFS", level)
        if clipped > limits.max_clipped:
            self._hit(row, "clipped", f"{100 * clipped:.2g} % of samples at full scale", clipped)
        if silence > limits.max_silence:
            self._hit(row, "mostly-silent", f"{100 * silence:.0f} % below {SILENCE_DBFS:g} dBFS", silence)
        if snr is not None and snr < limits.min_snr_db:
            self._hit(row, "noisy", f"{snr:.1f} dB", -snr)

    def _rate(self, row: Utterance) -> None:
        limits = self.limits
        # The margin is not the speaker's time.
        extra = row.extra
        time_s = extra["segment_end_s"] - extra["segment_start_s"] if "segment_end_s" in extra else row.duration_s
        num_words, letters = len(row.text.split()), num_letters(row.text)
        words_per_s, letters_per_s = num_words / time_s, letters / time_s
        detail = f"{num_words} words in {time_s:.2f} s"
        # A short word may take a tenth of a second, and times are often rounded to one.
        slack = time_s / (time_s + _SLACK_S)
        if slack * words_per_s > limits.max_words_per_s or slack * letters_per_s > limits.max_letters_per_s:
            self._hit(row, "too-fast", detail, letters_per_s)
        # Numbers in digits have no letters to count.
        elif letters and words_per_s < limits.min_words_per_s and letters_per_s < limits.min_letters_per_s:
            self._hit(row, "too-slow", detail, -letters_per_s)

    def _text(self, row: Utterance) -> None:
        found = content(row.text)
        if found.digits:
            self._hit(row, "digits", found.digits)
        if found.markup:
            self._hit(row, "markup", found.markup)
        strange = found.other + "".join(
            letters for script, letters in found.letters.items() if script not in self.scripts.get(row.language, set())
        )
        if strange:
            self._hit(row, "characters", named(strange))

    def _heard(self, row: Utterance, hypothesis: str | None) -> None:
        if hypothesis is None:
            return
        text, heard = (set(compared(numbers_as_words(words, row.language)).split()) for words in (row.text, hypothesis))
        if text and not text & heard:
            detail = f"heard {_shortened(hypothesis)!r} for {_shortened(row.text)!r}" if heard else "heard nothing"
            self._hit(row, "nothing-heard", detail, len(text))

    def _hit(self, row: Utterance, kind: str, detail: str, badness: float = 0.0) -> None:
        self.hits[kind].append((badness, Hit(row.id, row.split, detail, fate_of(kind, row.split))))

    def findings(self) -> Iterator[AuditFinding]:
        """Each kind that was found, the worst rows first."""
        for kind, hits in self.hits.items():
            rows = [hit for _, hit in sorted(hits, key=lambda found: -found[0])]
            what = f"{_what(kind, self.limits)}: {len(rows):,}"
            of = f" of {self.num_heard:,} decoded" if kind == "nothing-heard" else ""
            yield AuditFinding(kind=kind, what=f"{what}{of}.", rows=tuple(rows))

    def require_all_found(self, hypotheses: Path | None) -> None:
        if self.heard:
            shown = ", ".join(list(self.heard)[:5])
            raise InputError(
                f"{hypotheses}: {len(self.heard)} of {self.num_heard} ids are of no row of this corpus: {shown}. "
                "Give the hypotheses of a split of this corpus, as it is now."
            )


def _own_scripts(corpus: Corpus, least: float) -> dict[str | None, set[str]]:
    """Language -> the scripts that hold at least this share of its letters."""
    letters: dict[str | None, Counter[str]] = defaultdict(Counter)
    for split in corpus.splits():
        for batch in corpus.columns(split, ["text", "language"]).to_batches():
            for text, language in zip(batch["text"].to_pylist(), batch["language"].to_pylist(), strict=True):
                for script, own in content(text).letters.items():
                    letters[language][script] += sum(map(text.count, own))
    return {
        language: {script for script, count in counts.items() if count >= least * counts.total()}
        for language, counts in letters.items()
    }


def _what(kind: str, limits: AuditLimits) -> str:
    """What a kind of finding is, in words and numbers."""
    return {
        "silent": f"Rows in which nothing is above {SILENCE_DBFS:g} dBFS",
        "mostly-silent": f"Rows of which more than {100 * limits.max_silence:g} % is below {SILENCE_DBFS:g} dBFS",
        "too-fast": f"Rows with more than {limits.max_words_per_s:g} words or {limits.max_letters_per_s:g} letters "
        "a second",
        "too-slow": f"Rows with fewer than {limits.min_words_per_s:g} words and {limits.min_letters_per_s:g} letters "
        "a second",
        "too-quiet": f"Rows with a level under {limits.min_level_dbfs:g} dBFS",
        "too-loud": f"Rows with a level over {limits.max_level_dbfs:g} dBFS",
        "clipped": f"Rows with more than {100 * limits.max_clipped:g} % of their samples clipped",
        "noisy": f"Rows with an estimated signal-to-noise ratio under {limits.min_snr_db:g} dB",
        "digits": "Rows with digits in their text",
        "markup": "Rows with signs of markup in their text",
        "characters": "Rows with characters that are neither plain punctuation nor letters of their language's script",
        "nothing-heard": "Rows of whose text the model heard no word",
    }[kind]


def _shortened(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[:most].rstrip()} …"


def _hypotheses(path: Path | None) -> dict[str, str | None]:
    """Id -> hypothesis; None where decoding failed.

    Raises:
        InputError: not a file of hypotheses.
    """
    found: dict[str, str | None] = {}
    rows: list[dict[str, Any]] = read_jsonl(path) if path else []
    for number, row in enumerate(rows, 1):
        name, hypothesis = row.get("id"), row.get("hypothesis")
        if not isinstance(name, str) or not isinstance(hypothesis, str):
            raise InputError(f"{path}: row {number} is not a hypothesis: it needs an id and a hypothesis, both text.")
        found[name] = hypothesis if row.get("error") is None else None
    if path and not found:
        raise InputError(f"{path}: no hypotheses in it. `smallvoice evaluate` writes them.")
    return found
