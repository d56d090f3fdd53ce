"""The encoder at the length of the audio."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests import tiny

from smallvoice.model import weights
from smallvoice.model import window as windows
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import WindowRecipe


@given(duration_s=st.floats(0, 40), margin_s=st.floats(0.02, 2), step_s=st.floats(0.02, 3))
def test_window_holds_audio_and_margin(duration_s: float, margin_s: float, step_s: float) -> None:
    frames = windows.num_frames(duration_s, WindowRecipe(margin_s=margin_s, step_s=step_s), 3000)
    assert frames % 2 == 0
    assert 0 < frames <= 3000
    assert frames == 3000 or frames / 100 >= duration_s + margin_s - 0.011
    assert frames == 3000 or frames / 100 <= duration_s + margin_s + step_s + 0.031, "no larger than needed"


def test_full_window_is_what_whisper_knows() -> None:
    assert windows.num_frames(1.0, FULL_WINDOW, 3000) == 3000


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_full_window_equals_transformers(tiny_models: dict[str, Path], kind: str) -> None:
    network = weights.load(str(tiny_models[kind])).network
    mel = windows.features([tiny.tone(1.0)], 3000, network)
    assert mel.shape == (1, network.config.num_mel_bins, 3000)
    with torch.no_grad():
        expected = network.get_encoder()(mel).last_hidden_state
        assert torch.allclose(windows.encode(network, mel).last_hidden_state, expected, atol=1e-5)


@pytest.mark.parametrize("frames", [2, 150, 2998])
def test_shorter_windows_use_the_first_positions(tiny_models: dict[str, Path], frames: int) -> None:
    network = weights.load(str(tiny_models["multilingual"])).network
    mel = windows.features([tiny.tone(1.0)], frames, network)
    with torch.no_grad():
        hidden = windows.encode(network, mel).last_hidden_state
        network.get_encoder().embed_positions.weight[frames // 2 :] = torch.nan  # rows beyond must not be read
        again = windows.encode(network, mel).last_hidden_state
    assert hidden.shape == (1, frames // 2, network.config.d_model)
    assert torch.equal(hidden, again)
