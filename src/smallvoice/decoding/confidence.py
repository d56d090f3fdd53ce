"""What dev says of how often a model's words are right."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Utterance
from smallvoice.decoding.engine import Engine, batches
from smallvoice.scoring.confidence import Calibration, fit, judged
from smallvoice.scoring.normalize import for_language


def words_of(engine: Engine, utterances: Iterable[Utterance], language: str | None) -> list[tuple[float, bool]]:
    """Each scored word that the model writes: its probability, and whether it is right."""
    rows = sorted(utterances, key=lambda row: (row.language or language or "", row.duration_s, row.id))
    found = []
    for spoken, of_language in itertools.groupby(rows, key=lambda row: row.language or language):
        rules = for_language(spoken)
        for batch in batches(of_language, lambda row: row.duration_s, engine, engine.recipe.batch_size):
            decoded = engine.decode([decode_flac(row.audio) for row in batch], spoken, words=True)
            for row, one in zip(batch, decoded, strict=True):
                words = one.words or []
                verdicts = judged([word.text for word in words], row.text, rules)
                found += [
                    (word.probability, right) for word, right in zip(words, verdicts, strict=True) if right is not None
                ]
    return found


def calibrate(engine: Engine, utterances: Iterable[Utterance], language: str | None) -> Calibration | None:
    """Fit a calibration on utterances that training did not learn from; None where they are too few.

    Raises:
        RecipeError: the model needs a language, or does not have this one.
    """
    found = words_of(engine, utterances, language)
    return fit([probability for probability, _ in found], [right for _, right in found])
