"""What dev says of how often a model's words are right."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from smallvoice.corpus.utterance import Utterance
from smallvoice.decoding.engine import Engine, decode_utterances
from smallvoice.scoring.confidence import Calibration, fit, judged
from smallvoice.scoring.normalize import for_language


def words_of(engine: Engine, utterances: Iterable[Utterance], language: str | None) -> list[tuple[float, bool]]:
    """Each scored word that the model writes: its probability, and whether it is right."""
    found = []
    decoded = decode_utterances(utterances, engine, language, engine.recipe.batch_size, words=True)
    for row, one in itertools.chain.from_iterable(decoded):
        words = one.words or []
        verdicts = judged([word.text for word in words], row.text, for_language(row.language or language))
        pairs = zip(words, verdicts, strict=True)
        found += [(word.probability, right) for word, right in pairs if right is not None]
    return found


def calibrate(engine: Engine, utterances: Iterable[Utterance], language: str | None) -> Calibration | None:
    """Fit a calibration on utterances that training did not learn from; None where they are too few.

    Raises:
        RecipeError: the model needs a language, or does not have this one.
    """
    found = words_of(engine, utterances, language)
    return fit([probability for probability, _ in found], [right for _, right in found])
