"""Whisper's decoder one token after the other, for utterances of any windows side by side.

The keys and values of the audio are computed once and shared by all hypotheses of an utterance; a shorter window is
masked behind its end, so that what an utterance gives does not depend on what stands beside it. What is written is
fed to the network's own layers, so whatever training put into them is heard.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional
from transformers import WhisperForConditionalGeneration


class Decoder:
    """The state of a search: what each hypothesis of each utterance has seen so far."""

    def __init__(self, network: WhisperForConditionalGeneration, states: Sequence[torch.Tensor]) -> None:
        """Begin with the encoder's output.

        Args:
            states: utterances of one window each, shape = (utterances, positions, d_model).
        """
        self._network = network
        self._layers = network.model.decoder.layers
        self._heads = network.config.decoder_attention_heads
        self._past = 0
        self.device = states[0].device
        self.end: int = network.generation_config.eos_token_id
        self._written: list[tuple[torch.Tensor, torch.Tensor]] = []
        """Keys and values of the text, of each layer: (utterances, hypotheses, heads, tokens, head size)."""
        longest = max(part.shape[1] for part in states)
        self._audio = [
            (
                self._shared(layer.encoder_attn.k_proj, states, longest),
                self._shared(layer.encoder_attn.v_proj, states, longest),
            )
            for layer in self._layers
        ]
        """Keys and values of the audio, of each layer: (utterances, heads, positions, head size)."""
        self._mask = _mask(states, longest)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read tokens, and say what may come next.

        Args:
            tokens: shape = (utterances, hypotheses, new).

        Returns:
            Logits behind the last of them, float32, shape = (utterances, hypotheses, vocabulary).
        """
        utterances, hypotheses, new = tokens.shape
        decoder = self._network.model.decoder
        positions = decoder.embed_positions.weight[self._past : self._past + new]
        hidden = decoder.embed_tokens(tokens.reshape(-1, new)) + positions
        for number, layer in enumerate(self._layers):
            normal = layer.self_attn_layer_norm(hidden)
            found = self._of_text(number, layer.self_attn, normal, hypotheses)
            hidden = hidden + _of_few_rows(layer.self_attn.out_proj, found)
            normal = layer.encoder_attn_layer_norm(hidden)
            found = self._of_audio(number, layer.encoder_attn, normal, hypotheses)
            hidden = hidden + _of_few_rows(layer.encoder_attn.out_proj, found)
            normal = layer.final_layer_norm(hidden)
            hidden = hidden + _of_few_rows(layer.fc2, functional.gelu(_of_few_rows(layer.fc1, normal)))
        self._past += new
        logits = _of_few_rows(self._network.proj_out, decoder.layer_norm(hidden[:, -1])).float()
        return logits.view(utterances, hypotheses, -1)

    def reorder(self, parents: torch.Tensor) -> None:
        """Go on with some of the hypotheses: `parents` says which of the last, shape = (utterances, hypotheses)."""
        rows = torch.arange(len(parents), device=parents.device)[:, None]
        self._written = [(keys[rows, parents], values[rows, parents]) for keys, values in self._written]

    def keep(self, utterances: torch.Tensor) -> None:
        """Go on with some of the utterances: their places, shape = (utterances,)."""
        self._written = [(keys[utterances], values[utterances]) for keys, values in self._written]
        self._audio = [(keys[utterances], values[utterances]) for keys, values in self._audio]
        self._mask = None if self._mask is None else self._mask[utterances]

    def _shared(self, linear: torch.nn.Module, states: Sequence[torch.Tensor], longest: int) -> torch.Tensor:
        parts = [self._split(linear(part)) for part in states]
        if len(parts) == 1:
            return parts[0]
        return torch.cat([functional.pad(part, (0, 0, 0, longest - part.shape[2])) for part in parts])

    def _split(self, hidden: torch.Tensor) -> torch.Tensor:
        """shape = (rows, length, d_model) → (rows, heads, length, head size)."""
        return hidden.unflatten(-1, (self._heads, -1)).transpose(1, 2)

    def _of_text(self, number: int, attention: torch.nn.Module, hidden: torch.Tensor, hypotheses: int) -> torch.Tensor:
        """Attention to what has been written, the new tokens included."""
        queries, keys, values = (
            self._split(_of_few_rows(linear, hidden))
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        if self._past:
            keys = torch.cat([self._written[number][0].flatten(0, 1), keys], dim=2)
            values = torch.cat([self._written[number][1].flatten(0, 1), values], dim=2)
        kept = (keys.unflatten(0, (-1, hypotheses)), values.unflatten(0, (-1, hypotheses)))
        self._written[number : number + 1] = [kept]
        # Several new tokens come first of all: a prefix.
        found = functional.scaled_dot_product_attention(queries, keys, values, is_causal=queries.shape[2] > 1)
        return found.transpose(1, 2).flatten(2)

    def _of_audio(self, number: int, attention: torch.nn.Module, hidden: torch.Tensor, hypotheses: int) -> torch.Tensor:
        """Attention to the audio: an utterance's hypotheses are as many queries to the same keys."""
        keys, values = self._audio[number]
        rows, new, size = hidden.shape
        queries = self._split(_of_few_rows(attention.q_proj, hidden).view(-1, hypotheses * new, size))
        found = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=self._mask)
        return found.transpose(1, 2).reshape(rows, new, size)


def _of_few_rows(linear: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """What a linear layer makes of a row for each hypothesis, shape = (rows, …, size).

    On a CPU the weight stands first in the product: MKL reads it two to five times as slowly where few rows do.
    """
    if hidden.device.type != "cpu" or type(linear) is not torch.nn.Linear:  # an adapter's layer does more
        found: torch.Tensor = linear(hidden)
        return found
    rows = hidden.flatten(0, -2).t()
    bias = linear.bias
    product = linear.weight @ rows if bias is None else torch.addmm(bias[:, None], linear.weight, rows)
    return product.t().contiguous().view(*hidden.shape[:-1], -1)


def _mask(states: Sequence[torch.Tensor], longest: int) -> torch.Tensor | None:
    """Which positions are an utterance's own, shape = (utterances, 1, 1, longest); None where all are."""
    if all(part.shape[1] == longest for part in states):
        return None
    lengths = torch.tensor([part.shape[1] for part in states for _ in part], device=states[0].device)
    return (torch.arange(longest, device=lengths.device) < lengths[:, None])[:, None, None]
