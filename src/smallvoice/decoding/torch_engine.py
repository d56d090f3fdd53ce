"""Free decoding in torch, greedy or with beams, batched, with a key-value cache."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from smallvoice.decoding.beam import beam_search
from smallvoice.decoding.word_times import Word, word_times
from smallvoice.model import window as windows
from smallvoice.model.features import SAMPLE_RATE
from smallvoice.model.prompt import prefix_ids
from smallvoice.model.weights import Whisper
from smallvoice.recipe import DecodeRecipe, WindowRecipe


@dataclass(frozen=True)
class Decoded:
    """What the model wrote for one utterance."""

    text: str
    num_tokens: int
    avg_logprob: float
    """Mean natural-log probability of the tokens, the end token included."""
    capped: bool
    """The token cap ended it: the model would have gone on."""
    words: list[Word] | None = None
    """Where they were asked for; times in seconds from the start of the audio."""


def token_cap(duration_s: float, recipe: DecodeRecipe, max_positions: int, prefix: int) -> int:
    """New tokens allowed: it grows with duration, so that a loop cannot fill the decoder's 448 positions."""
    return min(recipe.tokens_base + math.ceil(recipe.tokens_per_s * duration_s), max_positions - prefix)


class TorchEngine:
    """A loaded Whisper that turns waveforms of one window into text."""

    def __init__(self, whisper: Whisper, window: WindowRecipe, recipe: DecodeRecipe) -> None:
        self.whisper = whisper
        self.window = window
        self.recipe = recipe
        self._max_frames = windows.max_frames(whisper.network)
        config = whisper.generation
        self._suppressed = torch.tensor(config.suppress_tokens or [], dtype=torch.long)
        self._suppressed_first = torch.tensor(config.begin_suppress_tokens or [], dtype=torch.long)

    def num_frames(self, duration_s: float) -> int:
        """The window of an utterance, in log-mel frames."""
        return windows.num_frames(duration_s, self.window, self._max_frames)

    @torch.inference_mode()
    def decode(
        self,
        waveforms: list[np.ndarray],
        frames: int,
        language: str | None,
        *,
        words: bool = False,
        temperature: float = 0.0,
    ) -> list[Decoded]:
        """Decode utterances of one window.

        Args:
            waveforms: float32 at 16 kHz, each of shape = (num_samples,).
            frames: their window in log-mel frames.
            language: forced where the model has languages.
            words: find out when each word was said.
            temperature: above 0 tokens are drawn, whatever the recipe's beams: the same ones each time.

        Raises:
            RecipeError: the model needs a language, or does not have this one.
        """
        network = self.whisper.network
        prefix = prefix_ids(self.whisper.generation, language)
        positions = network.config.max_target_positions
        durations_s = [len(waveform) / SAMPLE_RATE for waveform in waveforms]
        caps = [token_cap(duration_s, self.recipe, positions, len(prefix)) for duration_s in durations_s]
        if words:  # the pass that finds their times adds the end token
            caps = [min(cap, positions - len(prefix) - 1) for cap in caps]
        encoded = windows.encode(network, windows.features(waveforms, frames, network))
        search = (network, encoded, prefix, caps, self._suppressed, self._suppressed_first)
        if self.recipe.beams == 1 or temperature:
            tokens, logprobs = greedy(*search, temperature)
        else:
            tokens, logprobs = beam_search(*search, self.recipe.beams)
        end = self.whisper.generation.eos_token_id
        decoded = [self._decoded(row, logprob, end) for row, logprob in zip(tokens, logprobs, strict=True)]
        if not words:
            return decoded
        texts = [[token for token in row if token != end] for row in tokens]
        timed = word_times(self.whisper, encoded.last_hidden_state, prefix, texts, durations_s, language)
        return [replace(one, words=found) for one, found in zip(decoded, timed, strict=True)]

    def _decoded(self, tokens: list[int], logprob: float, end: int) -> Decoded:
        ended = bool(tokens) and tokens[-1] == end
        text = self.whisper.tokenizer.decode(tokens, skip_special_tokens=True)
        num_tokens = len(tokens) - ended
        return Decoded(" ".join(text.split()), num_tokens, logprob / max(1, len(tokens)), capped=not ended)


def greedy(
    network: torch.nn.Module,
    encoded: object,
    prefix: list[int],
    caps: list[int],
    suppressed: torch.Tensor,
    suppressed_first: torch.Tensor,
    temperature: float = 0.0,
) -> tuple[list[list[int]], list[float]]:
    """Greedy search with a key-value cache.

    Args:
        encoded: the encoder's output for a batch.
        prefix: token ids forced at the start, equal for the batch.
        caps: the most new tokens of each utterance.
        suppressed: token ids never written; `suppressed_first`: not written as the first token.
        temperature: above 0 the next token is drawn, with a seed of its own.

    Returns:
        For each utterance its new tokens (the last is the end token unless the cap came first) and the sum of
        their log-probabilities.
    """
    end = network.generation_config.eos_token_id
    states = encoded.last_hidden_state
    device = states.device
    suppressed, suppressed_first = suppressed.to(device), suppressed_first.to(device)
    rows: list[list[int]] = [[] for _ in caps]
    logprobs = torch.zeros(len(caps), device=device)
    active = [True] * len(caps)
    inputs = torch.tensor(prefix, device=device).expand(len(caps), -1)
    drawing = torch.Generator(device).manual_seed(0)
    cache = None
    for step in range(max(caps)):
        output = network.model.decoder(
            input_ids=inputs, encoder_hidden_states=states, past_key_values=cache, use_cache=True
        )
        cache = output.past_key_values
        logits = network.proj_out(output.last_hidden_state[:, -1]).float()
        logits[:, suppressed] = -torch.inf
        if step == 0:
            logits[:, suppressed_first] = -torch.inf
        if temperature:
            chosen = torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=drawing)
        else:
            chosen = logits.argmax(dim=-1, keepdim=True)
        chances = logits.gather(1, chosen)[:, 0] - logits.logsumexp(dim=-1)
        logprobs += torch.where(torch.tensor(active, device=device), chances, 0.0)
        for index, token in enumerate(chosen[:, 0].tolist()):
            if active[index]:
                rows[index].append(token)
                active[index] = token != end and len(rows[index]) < caps[index]
        if not any(active):
            break
        inputs = chosen
    return rows, logprobs.tolist()
