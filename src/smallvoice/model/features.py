"""Waveform to log-mel spectrogram, as Whisper computes it (Radford et al., 2022, §2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from transformers.audio_utils import mel_filter_bank

SAMPLE_RATE = 16_000
N_FFT = 400  # 25 ms
HOP_LENGTH = 160  # 10 ms: 100 frames a second
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_LENGTH


VTLP_LIMIT_HZ = 4_800.0
"""Up to here vocal-tract length perturbation scales frequencies; above, it bends them back (Jaitly & Hinton, 2013)."""


@dataclass(frozen=True, slots=True)
class View:
    """How training hears an utterance: its formants moved, its tempo changed, its pitch as it is."""

    warp: float = 1.0
    """Vocal-tract warp; above 1 the formants come out higher, as of a shorter tract."""
    hop: int = HOP_LENGTH
    """Samples from one frame to the next; above 160 the speech comes out faster."""


def log_mel(samples: torch.Tensor, num_mels: int, view: View = View()) -> torch.Tensor:
    """Log-mel features of waveforms that are already filled with zeros up to their window.

    Args:
        samples: float32, shape = (batch, num_samples), 16 kHz, num_samples a multiple of the hop (160).
        num_mels: 80, or 128 for large-v3.

    Returns:
        shape = (batch, num_mels, num_samples / 160). Each utterance's own maximum sets its floor, 8 below it in
        log10, so that neither neighbours in the batch nor the length of the silence after it change a frame.
    """
    window = torch.hann_window(N_FFT, device=samples.device)
    stft = torch.stft(samples, N_FFT, view.hop, window=window, return_complex=True)
    power = stft[..., :-1].abs().square()  # as Whisper: the frame centred on the last sample is dropped
    mel = _warped_filters(num_mels, samples.device, round(view.warp, 2)).T @ power
    log_spec = mel.clamp(min=1e-10).log10()
    floor = log_spec.amax(dim=(1, 2), keepdim=True) - 8.0
    return (torch.maximum(log_spec, floor) + 4.0) / 4.0


@lru_cache
def mel_filters(num_mels: int, device: torch.device) -> torch.Tensor:
    """The Slaney mel filters, shape = (1 + N_FFT / 2, num_mels)."""
    bank = mel_filter_bank(
        num_frequency_bins=1 + N_FFT // 2,
        num_mel_filters=num_mels,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank).to(device=device, dtype=torch.float32)


@lru_cache(maxsize=128)
def _warped_filters(num_mels: int, device: torch.device, warp: float) -> torch.Tensor:
    """Mel filters that hear warp * f where the speaker said f, shape = (1 + N_FFT / 2, num_mels).

    The piecewise linear map of Jaitly & Hinton (2013), "Vocal Tract Length Perturbation (VTLP) improves speech
    recognition", eq. 1; the power between two bins is interpolated.
    """
    filters = mel_filters(num_mels, device)
    if warp == 1.0:
        return filters
    nyquist = SAMPLE_RATE / 2
    bins = np.linspace(0.0, nyquist, 1 + N_FFT // 2)
    knee = VTLP_LIMIT_HZ * min(warp, 1.0) / warp
    heard = np.interp(bins, [0.0, knee * warp, nyquist], [0.0, knee, nyquist])
    position = heard / nyquist * (len(bins) - 1)
    lower = np.minimum(position.astype(int), len(bins) - 2)
    share = position - lower
    rows = np.arange(len(bins))
    take = np.zeros((len(bins), len(bins)), dtype=np.float32)  # warped power = take @ power
    take[rows, lower] = 1.0 - share
    take[rows, lower + 1] = share
    return torch.from_numpy(take).to(device).T @ filters
