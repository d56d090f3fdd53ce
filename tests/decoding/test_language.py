"""The guess of the language is that of transformers' own `detect_language`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests import tiny

from smallvoice.corpus.text_style import TextFacts
from smallvoice.decoding.models import open_model
from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.errors import InputError
from smallvoice.model import weights
from smallvoice.model import window as windows
from smallvoice.model.tuned import TunedFacts
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


def test_a_tuned_model_guesses_as_its_base(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What training has made of the guess does not matter; without the base's weights it is the only one."""
    base, waveforms = open_model(str(tiny_models["multilingual"])), [tiny.tone(1.0, seed) for seed in range(8)]
    engine = base.engine(DecodeRecipe())
    expected = base.detect(waveforms, engine)
    facts = TunedFacts(str(tiny_models["multilingual"]), FULL_WINDOW, None, "corpus", TextFacts("mixed", True, True))
    tuned = replace(open_model(str(tiny_models["multilingual"])), facts=facts)
    with torch.no_grad():
        tuned.whisper.network.model.decoder.layer_norm.weight.neg_()
    spoiled = tuned.engine(DecodeRecipe())
    assert spoiled.detect(waveforms) != expected
    assert tuned.detect(waveforms, spoiled) == expected
    gone = replace(tuned, facts=replace(facts, base="nobody/has-it"), _base=None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert gone.detect(waveforms, spoiled) == spoiled.detect(waveforms)
    assert "guessed by the tuned weights" in caplog.text


def test_an_english_model_has_no_guess(tiny_models: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="English-only"):
        TorchEngine(weights.load(str(tiny_models["english"])), FULL_WINDOW, DecodeRecipe()).detect([tiny.tone(1.0, 0)])
