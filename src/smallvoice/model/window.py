"""The encoder at the length of the audio instead of 30 seconds.

Whisper's encoder is convolutions and self-attention: nothing in it needs 3,000 frames but the table of
positions, of which a shorter window uses the first rows. It has no padding mask either, so whatever fills a
window is heard. Therefore the window of an utterance depends on its own duration alone, it is filled with
zeros before the spectrogram is computed, and a batch holds utterances of one window: no hypothesis and no loss
depends on the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from smallvoice.model.features import FRAMES_PER_SECOND, HOP_LENGTH, View, log_mel
from smallvoice.recipe import WindowRecipe

FULL_WINDOW = WindowRecipe(kind="full")
"""What the base model knows."""


def num_frames(duration_s: float, window: WindowRecipe, max_frames: int) -> int:
    """Log-mel frames of the smallest window that holds the audio and its margin; even, at most `max_frames`.

    A `full` or `packed` model hears the whole window, a `mixed` one the trimmed: what most of training was.
    """
    if window.kind in ("full", "packed"):
        return max_frames
    step = step_frames(window)
    needed = math.ceil(duration_s * FRAMES_PER_SECOND) + round(window.margin_s * FRAMES_PER_SECOND)
    return min(max_frames, step * math.ceil(needed / step))


def step_frames(window: WindowRecipe) -> int:
    """Trimmed windows are multiples of so many log-mel frames."""
    return max(2, 2 * round(window.step_s * FRAMES_PER_SECOND / 2))


def max_frames(network: WhisperForConditionalGeneration) -> int:
    """Log-mel frames of the full window: two for each position of the encoder."""
    return 2 * int(network.config.max_source_positions)


def features(
    waveforms: list[np.ndarray],
    frames: int,
    network: WhisperForConditionalGeneration,
    views: Sequence[View] | None = None,
) -> torch.Tensor:
    """Log-mel features of utterances of one window.

    Args:
        waveforms: float32 at 16 kHz, each of shape = (num_samples,); samples beyond the window are cut.
        frames: the window, in log-mel frames.
        views: how training hears each utterance; else as it is.

    Returns:
        shape = (len(waveforms), num_mels, frames), on the network's device.
    """
    num_mels, device = network.config.num_mel_bins, network.device
    if views is None:
        return log_mel_of(waveforms, frames, num_mels, device)
    rows = [
        log_mel(_filled([waveform], frames * view.hop).to(device), num_mels, view)
        for waveform, view in zip(waveforms, views, strict=True)
    ]
    return torch.cat(rows)


def log_mel_of(waveforms: list[np.ndarray], frames: int, num_mels: int, device: torch.device) -> torch.Tensor:
    """`features` of utterances as they are, for a network that is not torch's."""
    return log_mel(_filled(waveforms, frames * HOP_LENGTH).to(device), num_mels)


def _filled(waveforms: list[np.ndarray], num_samples: int) -> torch.Tensor:
    """Waveforms followed by zeros, or cut, shape = (len(waveforms), num_samples)."""
    samples = torch.zeros(len(waveforms), num_samples)
    for row, waveform in zip(samples, waveforms, strict=True):
        kept = torch.from_numpy(waveform[:num_samples])
        row[: len(kept)] = kept
    return samples


def encode(network: WhisperForConditionalGeneration, mel: torch.Tensor) -> BaseModelOutput:
    """Run the encoder on a window of any even length.

    Args:
        mel: shape = (batch, num_mels, frames).

    Returns:
        `last_hidden_state` of shape = (batch, frames / 2, d_model).
    """
    encoder = network.get_encoder()
    hidden = functional.gelu(encoder.conv1(mel))
    hidden = functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    for layer in encoder.layers:
        hidden = layer(hidden, None)
    return BaseModelOutput(last_hidden_state=encoder.layer_norm(hidden))
