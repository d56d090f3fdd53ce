"""Beam search against a slow one that has no cache and no batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests import tiny

from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.model import weights
from smallvoice.model import window as windows
from smallvoice.model.prompt import prefix_ids
from smallvoice.recipe import DecodeRecipe, WindowRecipe

CAPS = DecodeRecipe(tokens_base=6, tokens_per_s=1.0)


def waveforms(number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.normal(0, 0.1, 16_000 + 4_000 * index).astype(np.float32) for index in range(number)]


def slow(whisper: weights.Whisper, waveform: np.ndarray, frames: int, cap: int, beams: int) -> list[int]:
    """The search as it is defined: every prefix goes through the whole decoder again."""
    network, config = whisper.network, whisper.generation
    encoded = windows.encode(network, windows.features([waveform], frames, network)).last_hidden_state
    prefix = prefix_ids(config, "en")
    alive: list[tuple[list[int], float]] = [([], 0.0)]
    finished: list[tuple[list[int], float]] = []
    for step in range(cap):
        candidates = []
        for tokens, score in alive:
            hidden = network.model.decoder(torch.tensor([prefix + tokens]), encoder_hidden_states=encoded)
            logprobs = network.proj_out(hidden.last_hidden_state[0, -1]).float().log_softmax(-1)
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


@pytest.mark.parametrize("beams", [2, 5])
def test_as_without_cache_and_batch(whisper: weights.Whisper, beams: int) -> None:
    recipe = DecodeRecipe(tokens_base=CAPS.tokens_base, tokens_per_s=CAPS.tokens_per_s, beams=beams)
    engine = TorchEngine(whisper, WindowRecipe(), recipe)
    spoken = waveforms(4)
    found = engine.decode(spoken, "en")
    for waveform, decoded in zip(spoken, found, strict=True):
        cap = recipe.tokens_base + int(np.ceil(CAPS.tokens_per_s * len(waveform) / 16_000))
        with torch.inference_mode():
            expected = slow(whisper, waveform, engine.num_frames(len(waveform) / 16_000), cap, beams)
        text = whisper.tokenizer.decode(expected, skip_special_tokens=True)
        assert decoded.text == " ".join(text.split())
        assert decoded.capped == (expected[-1] != whisper.generation.eos_token_id)


def test_the_batch_does_not_matter(whisper: weights.Whisper) -> None:
    spoken = waveforms(6)
    engine = TorchEngine(whisper, WindowRecipe(), DecodeRecipe(tokens_base=6, beams=4))
    together = [decoded.text for decoded in engine.decode(spoken, "en")]
    assert together == [engine.decode([waveform], "en")[0].text for waveform in spoken]
