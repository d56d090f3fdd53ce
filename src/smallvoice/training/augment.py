"""Augmentation of training audio, drawn from (seed, epoch, utterance): a continued run hears the same."""

from __future__ import annotations

import hashlib

import numpy as np
import soxr
import torch

from smallvoice.model.features import SAMPLE_RATE
from smallvoice.recipe import AugmentRecipe


def draw(seed: int, epoch: int, utterance: str) -> np.random.Generator:
    """The random numbers of one utterance in one epoch."""
    key = hashlib.sha256(f"{seed}/{epoch}/{utterance}".encode()).digest()
    return np.random.default_rng(int.from_bytes(key[:8], "little"))


def speed_factor(recipe: AugmentRecipe, seed: int, epoch: int, utterance: str) -> float:
    """How much faster the utterance is played: between 1 - speed and 1 + speed."""
    if not recipe.speed:
        return 1.0
    return 1.0 + recipe.speed * draw(seed, epoch, utterance).uniform(-1.0, 1.0)


def vocal_tract_warp(recipe: AugmentRecipe, seed: int, epoch: int, utterance: str) -> float:
    """How much higher the formants come out: between 1 - vocal_tract and 1 + vocal_tract."""
    return 1.0 + recipe.vocal_tract * draw(seed, epoch, f"{utterance}/vocal_tract").uniform(-1.0, 1.0)


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
