"""The prefix of labels and of decoding: one start token, language and task where the model has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from smallvoice.errors import RecipeError
from smallvoice.languages import WHISPERS, language_code
from smallvoice.model import weights
from smallvoice.model.prompt import prefix_ids
from smallvoice.training.labels import IGNORED, collate, token_ids

PREFIXES = {
    "english": "<|startoftranscript|><|notimestamps|>",
    "multilingual": "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>",
    "128 mels": "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>",
}


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_labels(tiny_models: dict[str, Path], kind: str) -> None:
    whisper = weights.load(str(tiny_models[kind]))
    ids = token_ids(whisper, "we call", "en")
    start, end = whisper.generation.decoder_start_token_id, whisper.generation.eos_token_id
    assert ids.count(start) == 1
    assert ids[-1] == end
    prefix = prefix_ids(whisper.generation, "en")
    assert "".join(whisper.tokenizer.convert_ids_to_tokens(prefix)) == PREFIXES[kind]
    assert ids[: len(prefix)] == prefix
    assert whisper.tokenizer.decode(ids[len(prefix) : -1]) == " we call"


def test_loss_covers_text_and_end_only() -> None:
    labels = collate([[1, 2, 10, 11, 99], [1, 2, 12, 99]], prefix_length=2, padding=99)
    assert labels.inputs.tolist() == [[1, 2, 10, 11], [1, 2, 12, 99]]
    assert labels.targets.tolist() == [[IGNORED, 10, 11, 99], [IGNORED, 12, 99, IGNORED]]
    assert labels.num_tokens == 5


def test_language_must_be_known(tiny_models: dict[str, Path]) -> None:
    multilingual = weights.load(str(tiny_models["multilingual"])).generation
    with pytest.raises(RecipeError, match=r"--set corpus\.language=en"):
        prefix_ids(multilingual, None)
    with pytest.raises(RecipeError, match=r"no language 'klingon'.*, fr,"):
        prefix_ids(multilingual, "klingon")
    assert prefix_ids(multilingual, "fr") != prefix_ids(multilingual, "en")
    with pytest.raises(RecipeError, match="English-only"):
        prefix_ids(weights.load(str(tiny_models["english"])).generation, "fr")


def test_whispers_languages_are_known_by_name_and_code() -> None:
    assert frozenset(LANGUAGES) == WHISPERS
    for name, code in TO_LANGUAGE_CODE.items():
        assert language_code(name.title()) == language_code(code) == code
