"""Operations and memory of training, from a model's shape alone."""

from __future__ import annotations

from transformers import WhisperConfig

from smallvoice.decoding.engine import CPU_FRAMES
from smallvoice.model import adapt

TOKENS_PER_S = 3.0
"""Text tokens in a second of children's speech; speechocean762 has 2.6."""
KEPT_VECTORS = 28
"""Vectors of `d_model` that an encoder layer with LoRA keeps for each position until its gradient is known, from the
peak memory of training as speechocean762_base does without dropout: 2.0 GB. `plan.py` measures it instead."""
COPIED_VECTORS = 17
"""So many more where each adapter keeps its own copy of what it hears. The same steps with dropout: 2.6 GB."""
PROCESS_BYTES = 0.55e9
"""Python, torch and transformers before any weight."""


def forward_flop(config: WhisperConfig, frames: int, tokens: float) -> float:
    """Operations of one forward pass, 2 for each multiply-add: encoder, cross keys and values, decoder, output.

    Args:
        frames: log-mel frames of the window.
        tokens: of prefix and text.
    """
    d, positions = config.d_model, frames / 2
    conv = 2 * 3 * d * (frames * config.num_mel_bins + positions * d)
    encoder_layer = 8 * positions * d**2 + 4 * positions**2 * d + 4 * positions * d * config.encoder_ffn_dim
    self_attention = 8 * tokens * d**2 + 4 * tokens**2 * d
    cross_attention = 4 * tokens * d**2 + 4 * positions * d**2 + 4 * tokens * positions * d
    decoder_layer = self_attention + cross_attention + 4 * tokens * d * config.decoder_ffn_dim
    output = 2 * tokens * d * config.vocab_size
    return conv + config.encoder_layers * encoder_layer + config.decoder_layers * decoder_layer + output


def memory_bytes(
    config: WhisperConfig,
    count: adapt.ParameterCount,
    rows: int,
    frames: int,
    decoded: int,
    *,
    copies: bool = False,
    recomputed: bool = False,
) -> float:
    """The most memory that training needs: weights, optimiser, and what a step keeps for its gradients.

    The encoder's share of that is `KEPT_VECTORS` for each position; the logits are kept three times.

    Args:
        rows, frames: of the largest batch that is encoded at once.
        decoded: utterances that the base model decodes at once, at its full window.
        copies: each adapter keeps its own copy of what it hears: with dropout, and where PEFT's own layer runs.
        recomputed: layers keep only their inputs, and one at a time all that it computes.
    """
    vectors = KEPT_VECTORS + (COPIED_VECTORS if copies else 0)
    vectors = vectors + config.encoder_layers if recomputed else vectors * config.encoder_layers
    kept = vectors * 4 * config.d_model * frames / 2
    logits = 3 * 4 * config.vocab_size * TOKENS_PER_S * frames / 100
    held = PROCESS_BYTES + 4 * count.total + 16 * count.trainable
    return held + max(rows * (kept + logits), decoding_bytes(config, decoded))


def decoding_bytes(config: WhisperConfig, decoded: int, frames: tuple[int, int] = CPU_FRAMES) -> float:
    """What decoding at the full window needs: three buffers of the encoder's widest layer for what is encoded at once,
    and the keys and values of a batch's audio.

    Args:
        decoded: the most utterances of a batch.
        frames: encoded at once, and of a batch: `frames_at_once` of the device.
    """
    window = config.max_source_positions
    encoded, kept = (max(window, min(decoded * window, most / 2)) for most in frames)
    return 4 * (3 * config.encoder_ffn_dim * encoded + 2 * config.d_model * config.decoder_layers * kept)
