"""Greedy decoding: the same at every batch size, capped, and word for word what CTranslate2 decodes."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests import tiny
from tests.conftest import needs_weights

from smallvoice.decoding.banned import Banned
from smallvoice.decoding.decoder import Decoder
from smallvoice.decoding.engine import caps_key, token_cap
from smallvoice.decoding.torch_engine import TorchEngine, greedy
from smallvoice.model import weights
from smallvoice.model import window as windows
from smallvoice.model.prompt import prefix_ids
from smallvoice.model.window import FULL_WINDOW
from smallvoice.recipe import DecodeRecipe, WindowRecipe


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_hypotheses_do_not_depend_on_the_batch(tiny_models: dict[str, Path], kind: str) -> None:
    engine = TorchEngine(weights.load(str(tiny_models[kind])), WindowRecipe(), DecodeRecipe(tokens_base=8))
    waveforms = [tiny.tone(1.0 + 0.2 * (7 * number % 16), number) for number in range(16)]
    assert len({engine.num_frames(len(waveform) / 16_000) for waveform in waveforms}) > 2, "of several windows"
    together = engine.decode(waveforms, "en")
    alone = [engine.decode([waveform], "en")[0] for waveform in waveforms]
    assert [decoded.text for decoded in together] == [decoded.text for decoded in alone]
    assert len({decoded.text for decoded in together}) > 1, "the model hears a difference"


def test_cap_grows_with_duration_and_fits_the_decoder() -> None:
    recipe = DecodeRecipe(tokens_base=10, tokens_per_s=5.0)
    assert token_cap(0.0, recipe, 448, 4) == 10
    assert token_cap(2.1, recipe, 448, 4) == 21
    assert token_cap(1000.0, recipe, 448, 4) == 444
    assert token_cap(1.0, recipe, 448, 4, "en") == token_cap(1.0, recipe, 448, 4)
    assert caps_key("en") == caps_key(None) == [] != caps_key("ka"), (
        "what was decoded before keeps its key, or must not"
    )
    assert (
        token_cap(1.0, recipe, 448, 4, "en")
        < token_cap(1.0, recipe, 448, 4, "hi")
        < token_cap(1.0, recipe, 448, 4, "ka")
    )


def test_capped_is_told_from_ended(tiny_models: dict[str, Path]) -> None:
    whisper = weights.load(str(tiny_models["english"]))
    engine = TorchEngine(whisper, WindowRecipe(), DecodeRecipe(tokens_base=3, tokens_per_s=0.1))
    decoded = engine.decode([tiny.tone(0.5)], "en")[0]
    assert decoded.num_tokens <= 4
    assert decoded.capped == (decoded.num_tokens == 4)


def test_greedy_with_a_cache_equals_greedy_without(tiny_models: dict[str, Path]) -> None:
    whisper = weights.load(str(tiny_models["multilingual"]))
    network, prefix = whisper.network, prefix_ids(whisper.generation, "en")
    none = torch.tensor([], dtype=torch.long)
    with torch.inference_mode():
        states = [
            windows.encode(network, windows.features([tiny.tone(1.0, seed)], frames, network)).last_hidden_state
            for seed, frames in enumerate((200, 300, 200))
        ]
        rows, logprobs = greedy(Decoder(network, states), prefix, [7, 4, 9], Banned(none, none))
        assert [len(row) for row in rows] == [7, 4, 9]
        for index, row in enumerate(rows):
            tokens, total = list(prefix), 0.0
            for token in row:
                hidden = network.model.decoder(
                    input_ids=torch.tensor([tokens]),
                    encoder_hidden_states=states[index],
                )
                scores = network.proj_out(hidden.last_hidden_state[:, -1]).log_softmax(-1)[0]
                assert token == scores.argmax()
                total += float(scores[token])
                tokens.append(token)
            assert logprobs[index] == pytest.approx(total, abs=1e-3)


def first_test_utterances(shared_data: Path, folder: Path, count: int) -> list[np.ndarray]:
    """The first utterances of the default split of the real job, in the order of their ids."""
    from smallvoice import verbs
    from smallvoice.corpus.audio import decode_flac
    from smallvoice.corpus.utterance import open_corpus
    from smallvoice.recipe import CorpusRecipe

    recipe = CorpusRecipe(select="age_years < 18", language="en")
    verbs.prepare(["speechocean762"], folder / "corpus", recipe=recipe, data=shared_data)
    rows = sorted(open_corpus(folder / "corpus").utterances("test"), key=lambda row: row.id)
    return [decode_flac(row.audio) for row in rows[:count]]


def base_folder(folder: Path) -> Path:
    """whisper-base as one CTranslate2 folder, joined from its packages."""
    package = weights.PACKAGES["openai/whisper-base"]
    found = {
        path.name: Path(str(path.locate()))
        for part in package.parts
        for path in importlib.metadata.files(part.package) or []
    }
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"".join(found[part.name].read_bytes() for part in package.parts))
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes(found[name].read_bytes())
    return folder


@pytest.mark.slow
@needs_weights("openai/whisper-base")
def test_base_decodes_as_ctranslate2_does(shared_data: Path, tmp_path: Path) -> None:
    """20 real utterances, greedy, 30 s, no timestamps, the same suppressed tokens."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    folder = base_folder(tmp_path / "base")
    whisper = weights.load(str(folder))
    assert whisper.name == "openai/whisper-base", "known by its content, not by its folder"
    reference = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32")
    prefix = prefix_ids(whisper.generation, "en")
    engine = TorchEngine(whisper, FULL_WINDOW, DecodeRecipe())
    differing = 0
    for waveform in first_test_utterances(shared_data, tmp_path, 20):
        mel = windows.features([waveform], 3000, whisper.network)
        theirs = reference.generate(
            ctranslate2.StorageView.from_array(mel.numpy()),
            [prefix],
            beam_size=1,
            max_length=448,
            suppress_blank=True,
            suppress_tokens=whisper.generation.suppress_tokens,
        )[0].sequences_ids[0]
        ours = engine.decode([waveform], "en")[0]
        if " ".join(whisper.tokenizer.decode(theirs, skip_special_tokens=True).split()) != ours.text:
            differing += 1
            assert _nearly_tied(whisper, mel, prefix, theirs), ours.text
    assert differing <= 1


def _nearly_tied(whisper: weights.Whisper, mel: torch.Tensor, prefix: list[int], theirs: list[int]) -> bool:
    """Whether the two best logits lie within 1e-3 at the first token where the two differ."""
    network, generation = whisper.network, whisper.generation
    with torch.inference_mode():
        states = windows.encode(network, mel).last_hidden_state
        hidden = network.model.decoder(input_ids=torch.tensor([prefix + theirs]), encoder_hidden_states=states)
        logits = network.proj_out(hidden.last_hidden_state[0, len(prefix) - 1 :])
    logits[:, generation.suppress_tokens] = -torch.inf
    logits[0, generation.begin_suppress_tokens] = -torch.inf
    for row, token in zip(logits, [*theirs, generation.eos_token_id], strict=True):
        if row.argmax() != token:
            best = row.topk(2).values
            return bool(best[0] - best[1] < 1e-3)
    return False


@pytest.mark.slow
@needs_weights("openai/whisper-base")
def test_real_hypotheses_do_not_depend_on_the_batch(shared_data: Path) -> None:
    paths = sorted((shared_data / "speechocean762" / "audio").rglob("*.flac"))[::150]
    waveforms = [soundfile.read(path, dtype="float32")[0] for path in paths][:16]
    engine = TorchEngine(weights.load("base"), WindowRecipe(), DecodeRecipe())
    together = engine.decode(waveforms, "en")
    assert [decoded.text for decoded in together] == [engine.decode([w], "en")[0].text for w in waveforms]
