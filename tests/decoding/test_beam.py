"""Beam search, of several views too, against a slow one that has no cache and no batch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from tests import tiny
from transformers import WhisperForConditionalGeneration

from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.decoding.views import VIEWS, in_window
from smallvoice.model import weights
from smallvoice.model import window as windows
from smallvoice.model.features import View
from smallvoice.model.prompt import prefix_ids
from smallvoice.recipe import DecodeRecipe, WindowRecipe

CAPS = DecodeRecipe(tokens_base=6, tokens_per_s=1.0)


def waveforms(number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.normal(0, 0.1, 16_000 + 4_000 * index).astype(np.float32) for index in range(number)]


def encode(network: WhisperForConditionalGeneration, waveform: np.ndarray, frames: int, view: View) -> torch.Tensor:
    heard, window = in_window(view, frames, 3000)
    return windows.encode(network, windows.features([waveform], window, network, heard)).last_hidden_state


def slow(
    whisper: weights.Whisper, waveform: np.ndarray, frames: int, cap: int, beams: int, views: int = 1
) -> list[int]:
    """The search as it is defined: every prefix goes through the whole decoder again, for each view."""
    network, config = whisper.network, whisper.generation
    encodings = [encode(network, waveform, frames, view) for view in VIEWS[:views]]
    prefix = prefix_ids(config, "en")
    alive: list[tuple[list[int], float]] = [([], 0.0)]
    finished: list[tuple[list[int], float]] = []
    for step in range(cap):
        candidates = []
        for tokens, score in alive:
            read = torch.tensor([prefix + tokens])
            hidden = [network.model.decoder(read, encoder_hidden_states=one).last_hidden_state for one in encodings]
            each = [network.proj_out(one[0, -1]).float().log_softmax(-1) for one in hidden]
            logprobs = torch.stack(each).mean(0).log_softmax(-1)
            banned = set(config.suppress_tokens or []) | set((config.begin_suppress_tokens or []) if step == 0 else [])
            logprobs[list(banned)] = -torch.inf
            top = logprobs.topk(2 * beams)
            candidates += [
                ([*tokens, token], score + logprob)
                for logprob, token in zip(top.values.tolist(), top.indices.tolist(), strict=True)
            ]
        candidates.sort(key=lambda found: -found[1])
        alive = []
        for tokens, score in candidates:
            if tokens[-1] == config.eos_token_id:
                finished.append((tokens, score))
            else:
                alive.append((tokens, score))
            if len(alive) == beams:
                break
        finished = finished[:beams]
        if len(finished) == beams:
            break
    found = finished or alive[:1]
    return max(found, key=lambda one: one[1] / len(one[0]))[0]


@pytest.fixture(params=tiny.KINDS)
def whisper(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> weights.Whisper:
    loaded = weights.load(str(tiny_models[request.param]))
    # A random model hardly ever ends; this one does, sooner or later.
    with torch.no_grad():
        loaded.network.proj_out.weight[loaded.generation.eos_token_id] *= 3.0
    return loaded


@pytest.mark.parametrize(
    ("beams", "views", "kind"), [(2, 1, "trim"), (5, 1, "trim"), (1, 3, "trim"), (3, 5, "trim"), (2, 5, "full")]
)
def test_as_without_cache_and_batch(
    whisper: weights.Whisper, beams: int, views: int, kind: Literal["trim", "full"]
) -> None:
    caps = {"tokens_base": CAPS.tokens_base, "tokens_per_s": CAPS.tokens_per_s}
    recipe = DecodeRecipe(**caps, beams=beams, views=views)
    engine = TorchEngine(whisper, WindowRecipe(kind=kind), recipe)
    spoken = waveforms(4)
    found = engine.decode(spoken, "en")
    for waveform, decoded in zip(spoken, found, strict=True):
        cap = recipe.tokens_base + int(np.ceil(CAPS.tokens_per_s * len(waveform) / 16_000))
        with torch.inference_mode():
            expected = slow(whisper, waveform, engine.num_frames(len(waveform) / 16_000), cap, beams, views)
        text = whisper.tokenizer.decode(expected, skip_special_tokens=True)
        assert decoded.text == " ".join(text.split())
        assert decoded.capped == (expected[-1] != whisper.generation.eos_token_id)


@pytest.mark.parametrize(("beams", "views"), [(4, 1), (1, 5), (3, 3)])
def test_the_batch_does_not_matter(whisper: weights.Whisper, beams: int, views: int) -> None:
    spoken = waveforms(6)
    engine = TorchEngine(whisper, WindowRecipe(), DecodeRecipe(tokens_base=6, beams=beams, views=views))
    together = [decoded.text for decoded in engine.decode(spoken, "en")]
    assert together == [engine.decode([waveform], "en")[0].text for waveform in spoken]
