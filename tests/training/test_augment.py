"""What augmentation does to sounds whose pitch, formant and length are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from smallvoice.model.features import SAMPLE_RATE, View, log_mel
from smallvoice.recipe import AugmentRecipe
from smallvoice.training import augment
from smallvoice.training.augment import Change

EVERYTHING = AugmentRecipe(speed=0.1, tempo=0.1, pitch=2.0, vocal_tract=0.1)


def buzz(pitch_hz: float, formant_hz: float, seconds: float = 1.0) -> np.ndarray:
    """A harmonic sound with one resonance, then silence: a crude vowel."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros_like(times)
    for harmonic in np.arange(pitch_hz, 7000, pitch_hz):
        sound += np.exp(-(((harmonic - formant_hz) / 300) ** 2)) * np.sin(2 * np.pi * harmonic * times)
    return (0.1 * sound).astype(np.float32)


def formant_hz(mel: torch.Tensor) -> float:
    """The centre of gravity of the loudest mel filters, in Hz."""
    from transformers.audio_utils import mel_to_hertz

    loudness = (10 ** (4 * mel[0, :, 20:60].mean(dim=1) - 4)).numpy()
    centres = np.asarray(mel_to_hertz(np.linspace(0, 45.245640471924965, mel.shape[1] + 2), mel_scale="slaney"))[1:-1]
    return float((loudness * centres).sum() / loudness.sum())


def heard(sound: np.ndarray, change: Change) -> tuple[torch.Tensor, np.ndarray]:
    """Features and waveform after a change."""
    changed = augment.change_speed(sound, change.resample)
    samples = torch.zeros(1, 300 * change.view.hop)
    samples[0, : len(changed)] = torch.from_numpy(changed)
    return log_mel(samples, 80, change.view), changed


def num_loud_frames(mel: torch.Tensor) -> int:
    return int((mel[0].amax(dim=0) > mel.max() - 0.5).sum())


def pitch_hz(sound: np.ndarray) -> float:
    """By autocorrelation."""
    middle = sound[2000:10_000]
    correlation = np.correlate(middle, middle, "full")[len(middle) :]
    lag = 1 + np.argmax(correlation[30:200]) + 30
    return SAMPLE_RATE / float(lag)


@pytest.mark.parametrize(
    ("change", "pitch", "formant", "length"),
    [
        (Change(speed=1.1), 220, 1650, 1 / 1.1),
        (Change(tempo=1.1), 200, 1500, 1 / 1.1),
        (Change(pitch=1.1), 220, 1500, 1.0),
        (Change(vocal_tract=1.1), 200, 1650, 1.0),
        (Change(speed=0.9, tempo=1.1), 180, 1350, 1 / 0.99),
    ],
)
def test_each_change_moves_what_it_says_and_nothing_else(
    change: Change, pitch: float, formant: float, length: float
) -> None:
    mel, changed = heard(buzz(200, 1500), change)
    assert pitch_hz(changed) == pytest.approx(pitch, rel=0.03)
    assert formant_hz(mel) == pytest.approx(formant, rel=0.03)
    assert num_loud_frames(mel) == pytest.approx(100 * length, abs=4)
    assert 1 / change.pace == pytest.approx(length, rel=0.01)


def test_no_change_is_bit_for_bit_whisper() -> None:
    sound = torch.from_numpy(buzz(200, 1500))[None]
    assert Change().view == View()
    assert torch.equal(log_mel(sound, 80, Change().view), log_mel(sound, 80))
    assert augment.change(AugmentRecipe(), 1, 2, "a") == Change()


def test_drawn_from_seed_epoch_and_utterance() -> None:
    def drawn(*key: object) -> Change:
        return augment.change(EVERYTHING, *key)  # type: ignore[arg-type]

    assert drawn(1, 2, "a") == drawn(1, 2, "a")
    assert len({drawn(1, 2, "a"), drawn(2, 2, "a"), drawn(1, 3, "a"), drawn(1, 2, "b")}) == 4
    # Switching one off leaves the others as they were.
    assert augment.change(replace(EVERYTHING, pitch=0.0), 1, 2, "a") == replace(drawn(1, 2, "a"), pitch=1.0)
    many = [augment.change(EVERYTHING, 0, 0, str(number)) for number in range(500)]
    assert 0.9 <= min(c.speed for c in many) < 0.91 and 1.09 < max(c.speed for c in many) <= 1.1
    assert 2 ** (-2 / 12) <= min(c.pitch for c in many) < 0.9 and 1.11 < max(c.pitch for c in many) <= 2 ** (2 / 12)
