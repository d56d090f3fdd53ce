"""How much is decoded at once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import WhisperConfig

from smallvoice.decoding.engine import CPU_FRAMES, GPU_FRAMES, frames_at_once

BASE = WhisperConfig(d_model=512, decoder_layers=6)
LARGE = WhisperConfig(d_model=1280, decoder_layers=32, num_mel_bins=128)


@pytest.mark.parametrize(
    ("config", "gb", "most"),
    [
        (BASE, 16, GPU_FRAMES),
        (LARGE, 80, GPU_FRAMES),
        (LARGE, 16, 24_414),  # eight full windows: 4 GB of keys and values
        (LARGE, 1, 3000),  # less than one there is not
    ],
)
def test_a_gpu_keeps_no_more_of_the_audio_than_fits(
    monkeypatch: pytest.MonkeyPatch, config: WhisperConfig, gb: int, most: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=gb * 10**9))
    assert frames_at_once(torch.device("cuda"), config) == (most, most)
    assert frames_at_once(torch.device("cpu"), config) == CPU_FRAMES
