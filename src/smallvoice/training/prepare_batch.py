"""A planned batch to what the network hears and what it should write."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Utterance
from smallvoice.model import window as windows
from smallvoice.model.features import SAMPLE_RATE
from smallvoice.training import augment, noise
from smallvoice.training.batches import Batch, Reader
from smallvoice.training.labels import Labels, collate, join
from smallvoice.training.noise import Sounds
from smallvoice.training.packing import Item

if TYPE_CHECKING:
    from smallvoice.training.loop import Member


def prepare(member: Member, reader: Reader, batch: Batch) -> tuple[torch.Tensor, Labels]:
    """Features, shape = (hearings, batch, num_mels, frames), and labels of a batch, augmented.

    There are two hearings where they are to be written alike (`train.consistency`): of one waveform, with formants and
    masks drawn anew.
    """
    utterances = reader.read(batch)
    sounds = member.planner.sounds
    waveforms = [hear(item, spoken, sounds, member.seed) for item, spoken in zip(batch, utterances, strict=True)]
    hearings = 2 if member.recipe.train.consistency else 1
    mel = torch.stack([_features(member, batch, waveforms, again=bool(number)) for number in range(hearings)])
    return mel, _labels(member, reader, batch, utterances)


def _features(member: Member, batch: Batch, waveforms: list[np.ndarray], *, again: bool) -> torch.Tensor:
    """The first hearing, or the second; shape = (batch, num_mels, frames)."""
    recipe = member.recipe.augment
    changes = [item.change for item in batch]
    if again:
        tracts = [augment.vocal_tract_again(recipe, member.seed, item.epoch, item.key) for item in batch]
        changes = [
            item.change if item.silence else replace(item.change, vocal_tract=tract)
            for item, tract in zip(batch, tracts, strict=True)
        ]
    views = [one.view for one in changes]
    mel = windows.features(waveforms, batch[0].frames, member.whisper.network, views)
    if recipe.time_masks or recipe.mel_masks:
        for row, item, waveform in zip(mel, batch, waveforms, strict=True):
            rng = augment.draw(member.seed, item.epoch, f"{item.key}/masks{'/again' if again else ''}")
            num_frames = len(waveform) // item.change.view.hop
            augment.mask_features(row, min(mel.shape[-1], num_frames), recipe, rng)
    return mel


def hear(item: Item, spoken: list[Utterance], sounds: Sounds, seed: int) -> np.ndarray:
    """The audio of an item after its change, shape = (num_samples,)."""

    def draw_for(purpose: str) -> np.random.Generator:
        return augment.draw(seed, item.epoch, f"{item.key}/{purpose}")

    if item.silence:
        return sounds.silence(round(item.duration_s * SAMPLE_RATE), draw_for("noise"))
    return augment.apply(_joined(item, spoken, draw_for("pauses")), item.change, sounds, draw_for)


def _joined(item: Item, spoken: list[Utterance], rng: np.random.Generator) -> np.ndarray:
    """The utterances one after the other, with pauses of the speaker's own background between them."""
    pieces: list[np.ndarray] = []
    length = 0
    for part, utterance in zip(item.parts, spoken, strict=True):
        if pieces:
            pieces.append(noise.pause(pieces[-1], max(0, round(part.start_s * SAMPLE_RATE) - length), rng))
            length += len(pieces[-1])
        pieces.append(decode_flac(utterance.audio))
        length += len(pieces[-1])
    return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]


def _labels(member: Member, reader: Reader, batch: Batch, utterances: list[list[Utterance]]) -> Labels:
    window, prefix_length = member.recipe.window, member.prefix_length
    sequences, prefixes = [], []
    text_ids = partial(_text_ids, member)
    for item, spoken in zip(batch, utterances, strict=True):
        tokens = [member.tokens(utterance) for utterance in spoken]
        if item.silence:  # the prefix and the end
            tokens = [[*tokens[0][:prefix_length], tokens[0][-1]]]
        previous = itertools.chain.from_iterable(map(text_ids, reader.utterances(item, item.previous)))
        times_s = item.times_s if window.timestamps and not item.silence else None
        sequence, prefix = join(member.whisper, tokens, prefix_length, times_s, list(previous))
        sequences.append(sequence)
        prefixes.append(prefix)
    return collate(sequences, prefixes, member.whisper.generation.eos_token_id)


def _text_ids(member: Member, utterance: Utterance) -> list[int]:
    return member.tokens(utterance)[member.prefix_length : -1]
