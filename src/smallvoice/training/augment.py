"""Augmentation of training audio, drawn from (seed, epoch, utterance): a continued run hears the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import soxr
import torch

from smallvoice.model.features import HOP_LENGTH, SAMPLE_RATE, View
from smallvoice.recipe import AugmentRecipe


def draw(seed: int, epoch: int, utterance: str) -> np.random.Generator:
    """The random numbers of one utterance in one epoch."""
    key = hashlib.sha256(f"{seed}/{epoch}/{utterance}".encode()).digest()
    return np.random.default_rng(int.from_bytes(key[:8], "little"))


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to an utterance in one epoch: factors, 1 where nothing does.

    Playing audio `resample` times as fast moves tempo, pitch and formants alike. What should stay is put back when
    the features are computed: formants by the warp of the mel filters, tempo by the distance between frames.
    """

    speed: float = 1.0
    tempo: float = 1.0
    pitch: float = 1.0
    vocal_tract: float = 1.0

    @property
    def resample(self) -> float:
        """How much faster the waveform is played."""
        return self.speed * self.pitch

    @property
    def view(self) -> View:
        """How its features are computed."""
        return View(warp=self.vocal_tract / self.pitch, hop=round(HOP_LENGTH * self.tempo / self.pitch))

    @property
    def pace(self) -> float:
        """How many times shorter it comes out, in frames."""
        return self.resample * self.view.hop / HOP_LENGTH


def change(recipe: AugmentRecipe, seed: int, epoch: int, utterance: str) -> Change:
    """The change of an utterance in an epoch; each factor is drawn evenly from its range."""
    rng = draw(seed, epoch, utterance)
    shares = rng.uniform(-1.0, 1.0, size=4)  # always all four: switching one on leaves the others' draws
    return Change(
        speed=1.0 + recipe.speed * shares[0],
        tempo=1.0 + recipe.tempo * shares[1],
        pitch=2.0 ** (recipe.pitch * shares[2] / 12),
        vocal_tract=1.0 + recipe.vocal_tract * shares[3],
    )


def change_speed(waveform: np.ndarray, factor: float) -> np.ndarray:
    """Resample so that the waveform is `factor` times as fast and as high. Shape = (num_samples,)."""
    if factor == 1.0:
        return waveform
    return soxr.resample(waveform, SAMPLE_RATE * factor, SAMPLE_RATE).astype(np.float32)


def mask_features(mel: torch.Tensor, num_audio_frames: int, recipe: AugmentRecipe, rng: np.random.Generator) -> None:
    """SpecAugment in place (Park et al., 2019), without time warping.

    Args:
        mel: shape = (num_mels, frames).
        num_audio_frames: masks in time fall inside the audio, not into the silence that fills the window.
    """
    blank = mel.mean()
    for _ in range(recipe.time_masks):
        width = int(rng.uniform(0, recipe.time_mask_share) * num_audio_frames)
        start = int(rng.uniform(0, max(1, num_audio_frames - width)))
        mel[:, start : start + width] = blank
    for _ in range(recipe.mel_masks):
        width = int(rng.uniform(0, recipe.mel_mask_share) * mel.shape[0])
        start = int(rng.uniform(0, mel.shape[0] - width))
        mel[start : start + width] = blank
