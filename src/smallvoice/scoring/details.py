"""Which errors: characters, whole utterances, and the words that are confused, inserted and deleted most."""

from __future__ import annotations

from collections import Counter
from typing import Any

from smallvoice.scoring.scored import Scored
from smallvoice.scoring.word_errors import AlignedWord

MOST = 20
"""Entries of each list."""


def details(scored: Scored) -> dict[str, Any]:
    """What `score` says of the normalised form beyond its word error rate.

    Returns:
        `cer`: characters, errors and their ratio, spaces between words included; `perfect`, `over_100`: how many
        utterances have no error, or more errors than words; `confused`, `inserted`, `deleted`: the most frequent.
    """
    rules, aligned = scored.rules("normalised"), scored.aligned("normalised")
    steps = [word for words in aligned for word in words]
    wrong = [sum(word.kind != "equal" for word in words) for words in aligned]
    said = [sum(word.reference is not None for word in words) for words in aligned]
    return {
        "cer": _character_errors(aligned, ["" if rule.by_character else " " for rule in rules]),
        "perfect": sum(errors == 0 for errors in wrong),
        "over_100": sum(errors > words for errors, words in zip(wrong, said, strict=True)),
        "confused": [
            {"reference": pair[0], "hypothesis": pair[1], "count": count}
            for pair, count in _most((w.reference, w.hypothesis) for w in steps if w.kind == "substitution")
        ],
        "inserted": _words(word.hypothesis for word in steps if word.kind == "insertion"),
        "deleted": _words(word.reference for word in steps if word.kind == "deletion"),
    }


def _character_errors(aligned: list[list[AlignedWord]], spaces: list[str]) -> dict[str, int | float | None]:
    from rapidfuzz.distance import Levenshtein

    characters = errors = 0
    for words, space in zip(aligned, spaces, strict=True):
        said = space.join(word.reference for word in words if word.reference is not None)
        heard = space.join(word.hypothesis for word in words if word.hypothesis is not None)
        characters += len(said)
        errors += Levenshtein.distance(said, heard)
    return {"characters": characters, "errors": errors, "cer": errors / characters if characters else None}


def _most(items: Any) -> list[tuple[Any, int]]:
    """The most frequent, ties in order of the alphabet."""
    return sorted(Counter(items).items(), key=lambda found: (-found[1], found[0]))[:MOST]


def _words(words: Any) -> list[dict[str, str | int]]:
    return [{"word": word, "count": count} for word, count in _most(words)]
