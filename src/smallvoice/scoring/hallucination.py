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
from smallvoice.scoring.groups import Row
from smallvoice.scoring.normalize import Normaliser
from smallvoice.scoring.scored import Scored

COMPRESSION_RATIO = 2.4
"""Whisper's own threshold for text that repeats itself (Radford et al., 2022, §4.5): bytes over zlib's bytes."""
REPEATS = 4
"""A run of one to four words so many times in a row, more often than the reference has it, is a loop."""
BURST = 5
"""Insertions in a row."""
LETTERS = 3
"""So many times as many where a character is counted as a word."""
WORDS_PER_S = 8.0
"""Faster than anybody speaks; see `AuditLimits.max_words_per_s`."""
SHOWN = 20

_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]")
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
        "loop": lambda i: (
            _loops(heard[i], said[i]) or _compresses(*(_joined(side[i], rules[i]) for side in (heard, said)))
        ),
        "burst of insertions": lambda i: bursts[i] >= BURST * (LETTERS if rules[i].by_character else 1),
        "faster than speech": lambda i: (
            not rules[i].by_character and _too_fast(len(heard[i]), rows[i].get("duration_s"))
        ),
        "words on silence": lambda i: not said[i] and bool(heard[i]),
        "another script": lambda i: _another_script(rows[i]),
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


def _joined(words: list[str], rules: Normaliser) -> str:
    """A text without the spaces that stand between its characters only because each is counted."""
    return ("" if rules.by_character else " ").join(words)


def _compresses(heard: str, said: str) -> bool:
    return compression_ratio(heard) > COMPRESSION_RATIO >= compression_ratio(said)


def compression_ratio(text: str) -> float:
    """How many times smaller zlib makes a text; 1 for one of a few words, which it makes larger.

    With a byte a letter: in UTF-8 two of the three bytes of a Georgian letter are the same, and any sentence loops.
    Where a character is as much as a syllable or a word it has the bytes of one.
    """
    numbers = {letter: number for number, letter in enumerate(dict.fromkeys(text))}
    plain = text.isascii() or len(numbers) > 256 or _EAST_ASIAN.search(text) is not None
    content = text.encode("utf-8", "replace") if plain else bytes(numbers[letter] for letter in text)
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


def _another_script(row: Row) -> bool:
    """Whether what was written is of another script, and what was said is not."""
    language = row.get("language")
    return _foreign(hypotheses.heard(row), language) and not _foreign(str(row["reference"]), language)


def _another_language(heard: list[str], said: list[str], language: str | None) -> bool:
    """Whether the small words are those of another language, and the reference's are not."""
    expected = language_code(language or "en")
    return another_language(heard, expected) is not None and another_language(said, expected) is None
