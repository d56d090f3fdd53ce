"""Text that nobody said: loops, bursts, speech on silence, another language.

Each sign has a threshold that real speech stays under; an utterance can show several. They say where to look, and they
are counted before and after, for fine-tuning can make a model invent less, or more.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable
from typing import Any

from smallvoice.languages import language_code
from smallvoice.scoring import hypotheses
from smallvoice.scoring.alternatives import first_choice
from smallvoice.scoring.function_words import another_language
from smallvoice.scoring.scored import Scored

COMPRESSION_RATIO = 2.4
"""Whisper's own threshold for text that repeats itself (Radford et al., 2022, §4.5): bytes over zlib's bytes."""
REPEATS = 4
"""A run of one to four words so many times in a row, more often than the reference has it, is a loop."""
BURST = 5
"""Insertions in a row."""
WORDS_PER_S = 8.0
"""Faster than anybody speaks; see `AuditLimits.max_words_per_s`."""
SHOWN = 20

_LOOP = re.compile(rf"(?<!\S)(\S+(?: \S+){{0,3}})(?: \1(?!\S)){{{REPEATS - 1},}}")
_SCRIPTS = {
    ("ARABIC",): "ar fa ur",
    ("HEBREW",): "he",
    ("GREEK",): "el",
    ("DEVANAGARI",): "hi mr ne",
    ("CYRILLIC",): "ru uk bg",
    ("CJK",): "zh yue",
    ("CJK", "HIRAGANA", "KATAKANA"): "ja",
    ("HANGUL",): "ko",
    ("THAI",): "th",
    ("LATIN",): "en de fr es it pt nl sv da no fi pl cs sk hu ro tr id vi af",
}
"""Unicode's names of scripts → languages that are written in them alone."""
_SCRIPTS_OF = {language: scripts for scripts, languages in _SCRIPTS.items() for language in languages.split()}


def signs(scored: Scored) -> dict[str, dict[str, Any]]:
    """For each sign how many utterances show it, their share, and the ids of the first few."""
    # Not Whisper's own normaliser, to which "one two three four" is a single word.
    rows, rules = scored.rows, scored.rules("caseless")
    said, heard = (
        [first_choice(words) for words in side] for side in (scored.said("caseless"), scored.heard("caseless"))
    )
    bursts = [_longest_burst([word.kind for word in words]) for words in scored.aligned("caseless")]
    tests: dict[str, Callable[[int], bool]] = {
        "loop": lambda i: _loops(heard[i], said[i]) or _compresses(heard[i], said[i]),
        "burst of insertions": lambda i: bursts[i] >= BURST,
        "faster than speech": lambda i: (
            not rules[i].by_character and _too_fast(len(heard[i]), rows[i].get("duration_s"))
        ),
        "words on silence": lambda i: not said[i] and bool(heard[i]),
        "another script": lambda i: _foreign(hypotheses.heard(rows[i]), rows[i].get("language")),
        "another language": lambda i: _another_language(heard[i], said[i], rows[i].get("language")),
        "nothing written": lambda i: bool(said[i]) and not heard[i],
    }
    found = {name: [row["id"] for i, row in enumerate(rows) if test(i)] for name, test in tests.items()}
    return {
        name: {"utterances": len(ids), "share": len(ids) / len(rows) if rows else None, "ids": ids[:SHOWN]}
        for name, ids in found.items()
    }


def _loops(heard: list[str], said: list[str]) -> bool:
    """Whether a run repeats more often than the reference repeats it."""
    reference = " ".join(said)
    return any(match[0] not in reference for match in _LOOP.finditer(" ".join(heard)))


def _compresses(heard: list[str], said: list[str]) -> bool:
    return compression_ratio(" ".join(heard)) > COMPRESSION_RATIO >= compression_ratio(" ".join(said))


def compression_ratio(text: str) -> float:
    """How many times smaller zlib makes a text; 1 for one of a few words, which it makes larger."""
    content = text.encode("utf-8", "replace")
    return len(content) / len(zlib.compress(content)) if len(content) > 40 else 1.0


def _longest_burst(kinds: list[str]) -> int:
    longest = run = 0
    for kind in kinds:
        run = run + 1 if kind == "insertion" else 0
        longest = max(longest, run)
    return longest


def _too_fast(words: int, duration_s: float | None) -> bool:
    return bool(duration_s) and words > BURST and words / float(duration_s or 1) > WORDS_PER_S


def _foreign(text: str, language: str | None) -> bool:
    """Whether more than half of the letters are of another script than the language's."""
    scripts = _SCRIPTS_OF.get(language_code(language or "en"))
    letters = [unicodedata.name(character, "") for character in text if character.isalpha()]
    return scripts is not None and sum(not name.startswith(scripts) for name in letters) > len(letters) / 2


def _another_language(heard: list[str], said: list[str], language: str | None) -> bool:
    """Whether the small words are those of another language, and the reference's are not."""
    expected = language_code(language or "en")
    return another_language(heard, expected) is not None and another_language(said, expected) is None
