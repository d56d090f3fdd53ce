"""When each word was said: the decoder's attention to the audio, aligned by dynamic time warping.

As OpenAI's whisper does it (`whisper/timing.py`): the attention of a few heads that follow the audio is normalised over
the tokens, smoothed, and the cheapest monotone path through it says where each token begins. It needs one more pass of
the decoder over the finished text, which also gives each word its probability.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import WhisperTokenizer

from smallvoice.model.weights import Whisper
from smallvoice.scoring.normalize import is_spaced

SECONDS_PER_POSITION = 0.02
"""The encoder has a position for every two log-mel frames."""
MEDIAN_WIDTH = 7
"""Positions over which attention is smoothed, as OpenAI's."""


@dataclass(frozen=True)
class Word:
    """A word of a transcript."""

    text: str
    start_s: float
    end_s: float
    probability: float
    """Of its tokens, given the ones before: their product. As the model thinks; see `confidence`."""
    confidence: float | None = None
    """How often such a word is right; None where no dev has told."""


@torch.inference_mode()
def word_times(
    whisper: Whisper,
    states: torch.Tensor,
    prefix: list[int],
    texts: list[list[int]],
    durations_s: list[float],
    language: str | None,
) -> list[list[Word]]:
    """The words of each utterance of a batch, in order; times from the start of its audio.

    Args:
        states: the encoder's output, shape = (batch, positions, d_model).
        prefix: token ids forced at the start.
        texts: the token ids written for each utterance, without the end token.
        durations_s: of the audio: attention behind it counts nothing.
    """
    network = whisper.network
    end = whisper.generation.eos_token_id
    sequences = [[*prefix, *text, end] for text in texts]
    longest = max(map(len, sequences))
    inputs = torch.tensor([row + [end] * (longest - len(row)) for row in sequences], device=states.device)
    heads = alignment_heads(whisper)
    with _watched(network, sorted({layer for layer, _ in heads})) as seen:
        hidden = network.model.decoder(input_ids=inputs, encoder_hidden_states=states, use_cache=False)
    found = []
    for row, (text, duration_s) in enumerate(zip(texts, durations_s, strict=True)):
        if not text:
            found.append([])
            continue
        positions = min(states.shape[1], max(1, math.ceil(duration_s / SECONDS_PER_POSITION)))
        length = len(sequences[row])
        weights = torch.stack([_attention(network, seen, layer, head, row, length, positions) for layer, head in heads])
        starts = _token_starts(weights, len(prefix)) * SECONDS_PER_POSITION
        logits = network.proj_out(hidden.last_hidden_state[row, len(prefix) - 1 : length - 2]).float()
        logprobs = logits.log_softmax(dim=-1).gather(1, torch.tensor(text, device=states.device)[:, None])[:, 0]
        found.append(words_of(whisper.tokenizer, text, starts.tolist(), logprobs.tolist(), language))
    return found


def alignment_heads(whisper: Whisper) -> list[tuple[int, int]]:
    """Layer and head of the attention that follows the audio; where nobody says, all of the upper half's."""
    known = getattr(whisper.generation, "alignment_heads", None)
    if known:
        return [(layer, head) for layer, head in known]
    config = whisper.network.config
    layers = range(config.decoder_layers // 2, config.decoder_layers)
    return [(layer, head) for layer in layers for head in range(config.decoder_attention_heads)]


@contextmanager
def _watched(network: torch.nn.Module, layers: list[int]) -> Iterator[dict[tuple[int, str], torch.Tensor]]:
    """Keep the queries and keys of some layers' attention to the audio: (layer, `q` or `k`) → (batch, length, d)."""
    seen: dict[tuple[int, str], torch.Tensor] = {}
    handles = []
    for layer in layers:
        attention = network.model.decoder.layers[layer].encoder_attn
        for kind in "qk":

            def keep(_: object, __: object, output: torch.Tensor, key: tuple[int, str] = (layer, kind)) -> None:
                seen[key] = output

            handles.append(getattr(attention, f"{kind}_proj").register_forward_hook(keep))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _attention(
    network: torch.nn.Module,
    seen: dict[tuple[int, str], torch.Tensor],
    layer: int,
    head: int,
    row: int,
    length: int,
    positions: int,
) -> torch.Tensor:
    """What one head looks at, shape = (length, positions)."""
    size = network.config.d_model // network.config.decoder_attention_heads
    part = slice(head * size, (head + 1) * size)
    queries, keys = seen[layer, "q"][row, :length, part], seen[layer, "k"][row, :positions, part]
    return (queries.float() @ keys.float().T * size**-0.5).softmax(dim=-1)


def _token_starts(weights: torch.Tensor, prefix: int) -> NDArray[np.float64]:
    """The position at which each token of the text begins, and where the last one ends: shape = (tokens + 1,).

    Args:
        weights: shape = (heads, prefix + tokens + 1, positions).
    """
    spread = weights.std(dim=-2, keepdim=True, unbiased=False).clamp(min=1e-9)
    normal = (weights - weights.mean(dim=-2, keepdim=True)) / spread
    matrix = _smoothed(normal).mean(dim=0)[prefix - 1 : -1]
    return token_starts(*warp(-matrix.cpu().double().numpy()))


def token_starts(tokens: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where each token begins on a path of tokens and positions, shape = (tokens,)."""
    begins = np.flatnonzero(np.diff(tokens, prepend=-1))
    return positions[begins].astype(np.float64)


def _smoothed(weights: torch.Tensor) -> torch.Tensor:
    """A median filter along the last dimension; what is shorter than half of it stays."""
    half = MEDIAN_WIDTH // 2
    if weights.shape[-1] <= half:
        return weights
    padded = functional.pad(weights, (half, half), mode="reflect")
    return padded.unfold(-1, MEDIAN_WIDTH, 1).median(dim=-1).values


def warp(cost: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cheapest path from corner to corner that never goes back (dynamic time warping; Sakoe & Chiba, 1978).

    Args:
        cost: shape = (rows, columns).

    Returns:
        The row and the column of each step.
    """
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    came = np.zeros((rows, columns), np.int8)
    for diagonal in range(rows + columns - 1):  # each needs only the two before it
        i = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        j = diagonal - i
        options = np.stack([total[i, j], total[i, j + 1], total[i + 1, j]])
        came[i, j] = best = options.argmin(axis=0)
        total[i + 1, j + 1] = cost[i, j] + np.take_along_axis(options, best[None], axis=0)[0]
    path = [(rows - 1, columns - 1)]
    while path[-1] != (0, 0):
        i, j = path[-1]
        path.append(((i - 1, j - 1), (i - 1, j), (i, j - 1))[came[i, j]])
    steps = np.array(path[::-1])
    return steps[:, 0], steps[:, 1]


def words_of(
    tokenizer: WhisperTokenizer, text: list[int], starts: list[float], logprobs: list[float], language: str | None
) -> list[Word]:
    """Tokens to words; punctuation belongs to the word before it, and takes no time.

    Args:
        text: token ids, without the end token.
        starts: when each token begins, and when the last one ends, in seconds.
        logprobs: of each token, natural logarithm.
    """
    words: list[Word] = []
    for first, last, spoken in split(tokenizer, text, language):
        written = tokenizer.decode(text[first:last], skip_special_tokens=True).strip()
        if written:
            probability = math.exp(sum(logprobs[first:spoken]))
            words.append(Word(written, starts[first], max(starts[first], starts[spoken]), probability))
    return words


def split(tokenizer: WhisperTokenizer, text: list[int], language: str | None) -> list[tuple[int, int, int]]:
    """Where each word's tokens begin and end, and where those end that are not punctuation behind it.

    In a language without spaces a word is what one or more tokens write as whole characters. Korean has spaces: it is
    scored by characters only because where they stand is not agreed on.
    """
    words: list[tuple[int, int, int]] = []
    whole = tokenizer.decode(text, clean_up_tokenization_spaces=False)
    first = 0
    for end in range(1, len(text) + 1):
        piece = tokenizer.decode(text[first:end], clean_up_tokenization_spaces=False)
        if "\ufffd" in piece and not whole.startswith(tokenizer.decode(text[:end], clean_up_tokenization_spaces=False)):
            continue  # part of a character, which the tokens behind it complete
        mark = bool(piece.strip()) and all(character in _MARKS for character in piece.strip())
        if words and mark and not piece.startswith(" "):
            begin, _, spoken = words[-1]
            words[-1] = (begin, end, spoken)
        elif words and not piece.startswith(" ") and (is_spaced(language) or language == "ko"):
            words[-1] = (words[-1][0], end, end)
        else:
            words.append((first, end, end))
        first = end
    return words


_MARKS = frozenset(string.punctuation) - frozenset("%&@$#'") | frozenset("。，！？：、；”’）】》…—")
"""Written behind a word and not said."""
