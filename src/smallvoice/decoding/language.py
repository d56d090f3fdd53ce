"""Which language is spoken, as Whisper itself guesses it: the likeliest language token after the start token."""

from __future__ import annotations

import numpy as np
import torch

from smallvoice.errors import InputError
from smallvoice.model import window as windows
from smallvoice.model.weights import Whisper


@torch.inference_mode()
def detect(whisper: Whisper, waveforms: list[np.ndarray], frames: int) -> list[str]:
    """Guess the language of each utterance (Radford et al., 2022, §2.3).

    Args:
        waveforms: float32 at 16 kHz, each of shape = (num_samples,).
        frames: their window in log-mel frames.

    Returns:
        Codes such as `en`.

    Raises:
        InputError: the model is English-only.
    """
    config, network = whisper.generation, whisper.network
    if not config.is_multilingual:
        raise InputError(f"{whisper.name} is English-only: it cannot tell languages apart.")
    names, tokens = zip(*config.lang_to_id.items(), strict=True)
    encoded = windows.encode(network, windows.features(waveforms, frames, network))
    start = torch.full((len(waveforms), 1), config.decoder_start_token_id, device=network.device)
    hidden = network.model.decoder(input_ids=start, encoder_hidden_states=encoded.last_hidden_state).last_hidden_state
    logits = network.proj_out(hidden[:, -1])[:, list(tokens)]
    return [names[index].strip("<|>") for index in logits.argmax(dim=-1).tolist()]
