"""Free decoding in torch, greedy or with beams, batched, with a key-value cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from smallvoice.decoding import language as languages
from smallvoice.decoding.banned import Banned
from smallvoice.decoding.beam import beam_search
from smallvoice.decoding.decoder import Decoder
from smallvoice.decoding.engine import Decoded, by_window, frames_at_once, in_order, token_cap
from smallvoice.decoding.word_times import Word, word_times
from smallvoice.model import window as windows
from smallvoice.model.device import describe
from smallvoice.model.features import SAMPLE_RATE
from smallvoice.model.prompt import prefix_ids
from smallvoice.model.weights import Whisper
from smallvoice.recipe import DecodeRecipe, WindowRecipe


class TorchEngine:
    """A loaded Whisper that turns waveforms into text."""

    def __init__(self, whisper: Whisper, window: WindowRecipe, recipe: DecodeRecipe) -> None:
        self.whisper = whisper
        self.window = window
        self.recipe = recipe
        self._encoded_frames, self.batch_frames = frames_at_once(whisper.network.device, whisper.network.config)
        self._max_frames = windows.max_frames(whisper.network)
        self._banned = Banned.of(whisper.generation, whisper.network.device)

    def num_frames(self, duration_s: float) -> int:
        """The window of an utterance, in log-mel frames."""
        return windows.num_frames(duration_s, self.window, self._max_frames)

    def facts(self) -> dict[str, Any]:
        """What decodes: runtime, device, precision."""
        return {"runtime": "torch", "device": describe(self.whisper.network.device), "precision": "float32"}

    @torch.inference_mode()
    def detect(self, waveforms: list[np.ndarray]) -> list[str]:
        """Guess the language of each utterance; a code such as `en`.

        Raises:
            InputError: the model is English-only.
        """
        places = by_window(waveforms, self, self._encoded_frames)
        found = [name for states in self._encoded(waveforms, places) for name in languages.guess(self.whisper, states)]
        return in_order(found, places)

    @torch.inference_mode()
    def decode(
        self, waveforms: list[np.ndarray], language: str | None, *, words: bool = False, temperature: float = 0.0
    ) -> list[Decoded]:
        """Decode utterances, each at its own window.

        Args:
            waveforms: float32 at 16 kHz, each of shape = (num_samples,).
            language: forced where the model has languages.
            words: find out when each word was said.
            temperature: above 0 tokens are drawn, whatever the recipe's beams: the same ones each time.

        Raises:
            RecipeError: the model needs a language, or does not have this one.
        """
        network = self.whisper.network
        prefix = prefix_ids(self.whisper.generation, language)
        positions = network.config.max_target_positions - int(words)  # the pass that finds times adds the end token
        places = by_window(waveforms, self, self._encoded_frames)
        durations_s = [len(waveforms[place]) / SAMPLE_RATE for part in places for place in part]
        caps = [token_cap(duration_s, self.recipe, positions, len(prefix), language) for duration_s in durations_s]
        states = self._encoded(waveforms, places)
        search = (Decoder(network, states), prefix, caps, self._banned)
        if self.recipe.beams == 1 or temperature:
            tokens, logprobs = greedy(*search, temperature)
        else:
            tokens, logprobs = beam_search(*search, self.recipe.beams)
        most = positions - len(prefix)
        decoded = [self._decoded(row, logprob, most) for row, logprob in zip(tokens, logprobs, strict=True)]
        if words:
            timed = self._words(states, prefix, tokens, durations_s, language)
            decoded = [replace(one, words=found) for one, found in zip(decoded, timed, strict=True)]
        return in_order(decoded, places)

    def _encoded(self, waveforms: list[np.ndarray], places: list[list[int]]) -> list[torch.Tensor]:
        """The encoder's output of each part, shape = (utterances, positions, d_model)."""
        network = self.whisper.network
        encoded = []
        for part in places:
            frames = self.num_frames(len(waveforms[part[0]]) / SAMPLE_RATE)
            mel = windows.features([waveforms[place] for place in part], frames, network)
            encoded.append(windows.encode(network, mel).last_hidden_state)
        return encoded

    def _words(
        self,
        states: list[torch.Tensor],
        prefix: list[int],
        tokens: list[list[int]],
        durations_s: list[float],
        language: str | None,
    ) -> list[list[Word]]:
        end = self.whisper.generation.eos_token_id
        texts = [[token for token in row if token != end] for row in tokens]
        timed: list[list[Word]] = []
        for part in states:
            these = slice(len(timed), len(timed) + len(part))
            timed += word_times(self.whisper, part, prefix, texts[these], durations_s[these], language)
        return timed

    def _decoded(self, tokens: list[int], logprob: float, most: int) -> Decoded:
        ended = bool(tokens) and tokens[-1] == self.whisper.generation.eos_token_id
        text = self.whisper.tokenizer.decode(tokens, skip_special_tokens=True)
        num_tokens, mean = len(tokens) - ended, logprob / max(1, len(tokens))
        full = not ended and num_tokens == most
        return Decoded(" ".join(text.split()), num_tokens, mean, capped=not ended, full=full)


def greedy(
    decoder: Decoder, prefix: list[int], caps: list[int], banned: Banned, temperature: float = 0.0
) -> tuple[list[list[int]], list[float]]:
    """The likeliest next token, again and again.

    Args:
        prefix: token ids forced at the start, equal for the batch.
        caps: the most new tokens of each utterance.
        temperature: above 0 the next token is drawn, with a seed of its own.

    Returns:
        For each utterance its new tokens (the last is the end token unless the cap came first) and the sum of
        their log-probabilities.
    """
    device = decoder.device
    rows: list[list[int]] = [[] for _ in caps]
    logprobs = [0.0] * len(caps)
    live = list(range(len(caps)))
    active = set(live)
    inputs = torch.tensor(prefix, device=device).expand(len(caps), 1, -1)
    drawing = torch.Generator(device).manual_seed(0)
    while active:
        logits = decoder.step(inputs)[:, 0]
        banned.forbid(logits, first=not rows[live[0]])
        if temperature:
            chosen = torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=drawing)
        else:
            chosen = logits.argmax(dim=-1, keepdim=True)
        chances = logits.gather(1, chosen)[:, 0] - logits.logsumexp(dim=-1)
        for index, token, chance in zip(live, chosen[:, 0].tolist(), chances.tolist(), strict=True):
            if index in active:
                rows[index].append(token)
                logprobs[index] += chance
                if token == decoder.end or len(rows[index]) == caps[index]:
                    active.remove(index)
        inputs = chosen[:, None]
        going = [place for place, index in enumerate(live) if index in active]
        if len(going) <= len(live) / 2:
            live = [live[place] for place in going]
            kept = torch.tensor(going, dtype=torch.long, device=device)
            decoder.keep(kept)
            inputs = inputs[kept]
    return rows, logprobs
