"""Which language is spoken, as Whisper itself guesses it: the likeliest language token after the start token."""

from __future__ import annotations

import torch

from smallvoice.decoding.decoder import Decoder
from smallvoice.model.weights import Whisper


@torch.inference_mode()
def guess(whisper: Whisper, states: torch.Tensor) -> list[str]:
    """Guess the language of each utterance (Radford et al., 2022, §2.3).

    Args:
        states: the encoder's output, shape = (utterances, positions, d_model).

    Returns:
        Codes such as `en`.

    Raises:
        InputError: the model is English-only.
    """
    whisper.require_languages()
    config = whisper.generation
    names, tokens = zip(*config.lang_to_id.items(), strict=True)
    start = torch.full((len(states), 1, 1), config.decoder_start_token_id, device=states.device)
    logits = Decoder(whisper.network, [states]).step(start)[:, 0, list(tokens)]
    return [names[index].strip("<|>") for index in logits.argmax(dim=-1).tolist()]
