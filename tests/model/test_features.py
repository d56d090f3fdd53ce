"""Log-mel features equal those of transformers' extractor, at 30 s and at every trimmed window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests import tiny
from transformers import WhisperFeatureExtractor

from smallvoice.model.features import HOP_LENGTH, log_mel


def ours(samples: np.ndarray, frames: int, num_mels: int = 80) -> torch.Tensor:
    filled = torch.zeros(1, frames * HOP_LENGTH)
    filled[0, : len(samples)] = torch.from_numpy(samples)
    return log_mel(filled, num_mels)[0]


def theirs(samples: np.ndarray, num_mels: int = 80) -> torch.Tensor:
    extractor = WhisperFeatureExtractor(feature_size=num_mels)
    return torch.from_numpy(extractor(samples, sampling_rate=16_000)["input_features"][0])


def check(samples: np.ndarray, num_mels: int = 80) -> None:
    expected = theirs(samples, num_mels)
    assert torch.allclose(ours(samples, 3000, num_mels), expected, atol=1e-4)
    shortest = 2 * int(np.ceil((len(samples) / HOP_LENGTH + 2) / 2))
    for frames in range(shortest, 3000, 250):
        trimmed = ours(samples, frames, num_mels)
        assert trimmed.shape == (num_mels, frames)
        assert torch.allclose(trimmed, expected[:, :frames], atol=1e-4), f"window of {frames} frames"


@pytest.mark.parametrize("num_mels", [80, 128])
def test_synthetic_audio(num_mels: int) -> None:
    check(tiny.tone(2.345), num_mels)


@pytest.mark.parametrize("samples", [np.zeros(16_000, np.float32), tiny.tone(30.0)], ids=["silence", "all of 30 s"])
def test_edges(samples: np.ndarray) -> None:
    assert torch.allclose(ours(samples, 3000), theirs(samples), atol=1e-4)


def test_neighbours_do_not_matter() -> None:
    loud, quiet = torch.from_numpy(tiny.tone(1.0)), 0.001 * torch.from_numpy(tiny.tone(1.0, seed=3))
    together = log_mel(torch.stack([loud, quiet]), 80)
    assert torch.equal(together[1], log_mel(quiet[None], 80)[0])


def test_real_audio(shared_data: Path) -> None:
    for path in sorted((shared_data / "speechocean762" / "audio").rglob("*.flac"))[::250]:
        check(soundfile.read(path, dtype="float32")[0])
