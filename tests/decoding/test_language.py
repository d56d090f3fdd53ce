"""The guess of the language is that of transformers' own `detect_language`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import tiny

from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.errors import InputError
from smallvoice.model import weights
from smallvoice.model import window as windows
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import DecodeRecipe


@pytest.mark.parametrize("kind", ["multilingual", "128 mels"])
def test_it_guesses_what_transformers_guesses(tiny_models: dict[str, Path], kind: str) -> None:
    whisper = weights.load(str(tiny_models[kind]))
    waveforms = [tiny.tone(1.0, seed) for seed in range(4)]
    found = TorchEngine(whisper, FULL_WINDOW, DecodeRecipe()).detect(waveforms)
    mel = windows.features(waveforms, 3000, whisper.network)
    tokens = whisper.network.detect_language(input_features=mel, generation_config=whisper.generation)
    names = {token: name for name, token in whisper.generation.lang_to_id.items()}
    assert [f"<|{name}|>" for name in found] == [names[int(token)] for token in torch.as_tensor(tokens).flatten()]


def test_an_english_model_has_no_guess(tiny_models: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="English-only"):
        TorchEngine(weights.load(str(tiny_models["english"])), FULL_WINDOW, DecodeRecipe()).detect([tiny.tone(1.0, 0)])
