"""Augmentation of training audio, drawn from (seed, epoch, utterance): a continued run hears the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import soxr
import torch

from smallvoice.model.features import HOP_LENGTH, SAMPLE_RATE, View
from smallvoice.recipe import AugmentRecipe
from smallvoice.training import noise
from smallvoice.training.noise import Sounds


def draw(seed: int, epoch: int, utterance: str) -> np.random.Generator:
    """The random numbers of one utterance in one epoch."""
    key = hashlib.sha256(f"{seed}/{epoch}/{utterance}".encode()).digest()
    return np.random.default_rng(int.from_bytes(key[:8], "little"))


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to an utterance in one epoch; as it is made, nothing does.

    Playing audio `resample` times as fast moves tempo, pitch and formants alike. What should stay is put back when
    the features are computed: formants by the warp of the mel filters, tempo by the distance between frames.
    """

    speed: float = 1.0
    tempo: float = 1.0
    pitch: float = 1.0
    vocal_tract: float = 1.0
    volume_db: float = 0.0
    noise: str = ""
    """What is added: `recorded`, `coloured` or `babble`; empty: nothing."""
    snr_db: float = 0.0
    """How far the speech is above the noise."""
    room: str = ""
    """`recorded` or `synthesised`; empty: none."""
    rt60_s: float = 0.0
    """How long a synthesised room takes to fall by 60 dB."""
    tail_s: float = 0.0
    """Silence after the audio."""

    @property
    def no_slower(self) -> Change:
        """The same, but for an utterance that would not have a place in the window any more."""
        return replace(self, speed=max(1.0, self.speed), tempo=max(1.0, self.tempo))

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


RT60_S = (0.1, 0.6)
"""Of furnished rooms: a bedroom to a classroom."""
BABBLE_SHARE = 0.3
"""Of synthesised noise; the rest is coloured."""
NOTHING = Change()


def change(recipe: AugmentRecipe, seed: int, epoch: int, utterance: str) -> Change:
    """The change of an utterance in an epoch; each factor is drawn evenly from its range."""
    rng = draw(seed, epoch, utterance)
    # Always all numbers, in this order: switching one change on leaves the others' draws.
    shares = rng.uniform(-1.0, 1.0, size=5)
    has_noise, kind, snr, has_room, rt60, has_tail, tail = rng.random(7)
    return replace(
        _noise(recipe, kind, snr) if has_noise < recipe.noise else NOTHING,
        speed=1.0 + recipe.speed * shares[0],
        tempo=1.0 + recipe.tempo * shares[1],
        pitch=2.0 ** (recipe.pitch * shares[2] / 12),
        vocal_tract=1.0 + recipe.vocal_tract * shares[3],
        volume_db=recipe.volume_db * shares[4],
        room=("recorded" if recipe.room_folder else "synthesised") if has_room < recipe.room else "",
        rt60_s=_between(RT60_S, rt60) if has_room < recipe.room and not recipe.room_folder else 0.0,
        tail_s=recipe.tail_s * tail if has_tail < recipe.tail else 0.0,
    )


def vocal_tract_again(recipe: AugmentRecipe, seed: int, epoch: int, utterance: str) -> float:
    """That of an utterance's second hearing, where it is heard twice at once (`train.consistency`)."""
    return float(1.0 + recipe.vocal_tract * draw(seed, epoch, f"{utterance}/again").uniform(-1.0, 1.0))


def _noise(recipe: AugmentRecipe, kind: float, snr: float) -> Change:
    synthesised = "babble" if kind < BABBLE_SHARE else "coloured"
    least, most = recipe.noise_snr_db
    return Change(noise="recorded" if recipe.noise_folder else synthesised, snr_db=_between((least, most), snr))


def _between(ends: tuple[float, float], share: float) -> float:
    return float(ends[0] + (ends[1] - ends[0]) * share)


def apply(
    waveform: np.ndarray, change: Change, sounds: Sounds, draw_for: Callable[[str], np.random.Generator]
) -> np.ndarray:
    """A waveform after its change, but for what the features do (`Change.view`) and the silence after it.

    In the order in which it happens: the speaker, the room, the noise in it, the recorder's level.

    Args:
        waveform: shape = (num_samples,).
        draw_for: the random numbers of a purpose, so that none moves another's.
    """
    heard = change_speed(waveform, change.resample)
    if change.room:
        heard = noise.reverberate(heard, sounds.response(change.rt60_s, draw_for("room")))
    if change.noise:
        rng = draw_for("noise")
        added = noise.babble(heard, rng) if change.noise == "babble" else sounds.noise(len(heard), rng)
        heard = noise.add_noise(heard, added, change.snr_db)
    if change.volume_db:
        heard = heard * np.float32(10 ** (change.volume_db / 20))
    return heard


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
