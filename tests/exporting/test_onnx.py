"""The export to ONNX: what onnxruntime and transformers.js compute is what torch computes."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import open_corpus
from smallvoice.decoding.models import Model, open_model
from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.errors import RecipeError
from smallvoice.exporting import onnx, parity
from smallvoice.model import window as windows
from smallvoice.recipe import WindowRecipe
from tests import tiny
from tests.conftest import needs_weights

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

NODE = Path(__file__).parent / "node"
CLIPS = [tiny.tone(1.0), tiny.tone(2.5, seed=3)]
TRIMMED = WindowRecipe(kind="trim")


@pytest.fixture(scope="module")
def model(tiny_models: dict[str, Path]) -> Model:
    """A random model, which would never end by itself: it is cut off after 20 tokens."""
    model = open_model(str(tiny_models["multilingual"]))
    model.whisper.network.config.max_target_positions = 40
    model.whisper.network.generation_config.max_length = 40
    return model


@pytest.fixture(scope="module")
def exports(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each precision."""
    out = tmp_path_factory.mktemp("onnx")
    for precision in onnx.PRECISIONS:
        onnx.write(model, out / precision, precision)
    return {precision: out / precision for precision in onnx.PRECISIONS}


def by_torch(model: Model, window: WindowRecipe) -> list[str]:
    """What torch writes, cut off where the runtimes cut off."""
    engine = TorchEngine(model.whisper, window, parity.as_runtimes_cap(model))
    return [engine.decode([clip], "en")[0].text for clip in CLIPS]


def step(recogniser: onnx.Recogniser, tokens: torch.Tensor, states: np.ndarray, past: list[np.ndarray]) -> list[Any]:
    """Logits, and keys and values of all tokens so far."""
    cache = {f"past_key_values.{name}": value for name, value in zip(recogniser.names, past, strict=True)}
    inputs = {"input_ids": tokens.numpy(), "encoder_hidden_states": states, **cache}
    return list(recogniser.decoder.run(None, inputs))


@pytest.mark.parametrize("kind", tiny.KINDS)
@torch.inference_mode()
def test_logits_are_those_of_torch_with_and_without_a_past(
    tiny_models: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    model = open_model(str(tiny_models[kind]))
    network = model.whisper.network
    onnx.write(model, tmp_path, "float32")
    recogniser = onnx.Recogniser(tmp_path, "float32")
    mel = torch.randn(2, network.config.num_mel_bins, 3000, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[50_000, 3, 1, 4, 1, 5], [50_000, 9, 2, 6, 5, 3]])
    said = network(input_features=mel, decoder_input_ids=tokens)
    (states,) = recogniser.encoder.run(None, {"input_features": mel.numpy()})
    np.testing.assert_allclose(states, said.encoder_last_hidden_state.numpy(), atol=1e-4)
    past = [np.repeat(recogniser.nothing, 2, axis=0) for _ in recogniser.names]
    for start, end in ((0, 3), (3, 4), (4, 6)):  # several at once, one, and several behind others
        logits, *past = step(recogniser, tokens[:, start:end], states, past)
        np.testing.assert_allclose(logits, said.logits[:, start:end].numpy(), atol=1e-4)
        assert [value.shape[2] for value in past] == 2 * [end, end, 1500, 1500]


@torch.inference_mode()
def test_the_encoder_hears_windows_of_any_even_length(model: Model, exports: dict[str, Path]) -> None:
    encoder = onnx.Recogniser(exports["float32"], "float32").encoder
    mel = torch.randn(1, 80, 400, generator=torch.Generator().manual_seed(0))
    said = windows.encode(model.whisper.network, mel).last_hidden_state
    assert said is not None
    (states,) = encoder.run(None, {"input_features": mel.numpy()})
    np.testing.assert_allclose(states, said.numpy(), atol=1e-4)


def test_onnxruntime_writes_what_torch_writes(model: Model, exports: dict[str, Path]) -> None:
    said = by_torch(model, windows.FULL_WINDOW)
    assert all(said) and said[0] != said[1]
    assert onnx.hear(exports["float32"], "float32", CLIPS, "en") == said
    assert all(onnx.hear(exports["int8"], "int8", CLIPS, "en"))


def test_onnxruntime_writes_what_torch_writes_at_the_trimmed_window(model: Model, exports: dict[str, Path]) -> None:
    trimmed = Model(**{**vars(model), "window": TRIMMED})
    heard = onnx.hear_trimmed(exports["float32"], "float32", CLIPS, "en", trimmed)
    assert heard == by_torch(model, TRIMMED)


def test_a_language_that_the_model_does_not_have_is_said(exports: dict[str, Path]) -> None:
    with pytest.raises(RecipeError, match="no language 'xx'"):
        onnx.hear(exports["float32"], "float32", CLIPS, "xx")


@torch.inference_mode()
def test_eight_bits_are_close(model: Model, exports: dict[str, Path]) -> None:
    """Each row of a matrix is rounded by itself, to a half of 1 / 127 of its largest value."""
    whole, rounded = (onnx.Recogniser(folder, precision) for precision, folder in exports.items())
    mel = {"input_features": windows.features(CLIPS, 3000, model.whisper.network).numpy()}
    tokens = torch.tensor([[50_258, 3, 1, 4], [50_258, 9, 2, 6]])
    logits = []
    for recogniser in (whole, rounded):
        (states,) = recogniser.encoder.run(None, mel)
        past = [np.repeat(recogniser.nothing, 2, axis=0) for _ in recogniser.names]
        logits.append(step(recogniser, tokens, states, past)[0])
    assert 0 < np.abs(logits[1] - logits[0]).max() < 0.1 * np.abs(logits[0]).max()


def test_the_folder_is_what_transformers_js_looks_for(exports: dict[str, Path]) -> None:
    beside = {"config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"}
    for (precision, folder), (dtype, suffix) in zip(exports.items(), onnx.PRECISIONS.values(), strict=True):
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        graphs = {f"onnx/encoder_model{suffix}.onnx", f"onnx/decoder_model_merged{suffix}.onnx"}
        assert names == beside | graphs | {"tokenizer_config.json"}, precision
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert config["model_type"] == "whisper" and config["transformers.js_config"]["dtype"] == dtype
    sizes = [sum(path.stat().st_size for path in folder.glob("onnx/*")) for folder in exports.values()]
    assert sizes[1] < 0.4 * sizes[0]


def test_weights_too_large_for_one_file_lie_beside_it(
    model: Model, exports: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "LARGEST", 0)
    onnx.write(model, tmp_path, "float32")
    assert (tmp_path / "onnx" / "decoder_model_merged.onnx_data").stat().st_size > 4 * 16 * 51_865
    assert onnx.hear(tmp_path, "float32", CLIPS, "en") == onnx.hear(exports["float32"], "float32", CLIPS, "en")
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    parts = {"encoder_model.onnx": 1, "decoder_model_merged.onnx": 1}
    assert config["transformers.js_config"]["use_external_data_format"] == parts


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with transformers.js: installed here from `node/package-lock.json`, or of SMALLVOICE_NODE_MODULES."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("no Node here: put node and npm on the PATH")
    folder = tmp_path_factory.mktemp("node")
    for name in ("hear.js", "package.json", "package-lock.json"):
        shutil.copy(NODE / name, folder)
    if installed := os.environ.get("SMALLVOICE_NODE_MODULES"):
        (folder / "node_modules").symlink_to(Path(installed).resolve(), target_is_directory=True)
        yield folder
        return
    # No scripts: onnxruntime-node's would fetch libraries for CUDA.
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=30000"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.skip(f"transformers.js cannot be installed: {done.stderr.strip()[-200:]}")
    yield folder
    shutil.rmtree(folder / "node_modules")  # 500 MB, and pytest keeps what is of its last runs


def by_transformers_js(node: Path, model: Model, folder: Path, clips: list[np.ndarray], scratch: Path) -> list[str]:
    """What transformers.js under Node writes; `scratch` is a folder for the clips."""
    paths = [scratch / f"{number}.raw" for number in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        path.write_bytes(clip.astype("<f4").tobytes())
    tokens = str(model.whisper.network.config.max_target_positions // 2)
    command = ["node", "hear.js", "en", tokens, str(folder), *map(str, paths)]
    done = subprocess.run(command, cwd=node, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.slow
def test_transformers_js_writes_the_same(
    model: Model, exports: dict[str, Path], node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "LARGEST", 0)
    onnx.write(model, tmp_path / "parts", "float32")
    for folder, precision in (
        (exports["float32"], "float32"),
        (tmp_path / "parts", "float32"),
        (exports["int8"], "int8"),
    ):
        heard = by_transformers_js(node, model, folder, CLIPS, tmp_path)
        assert heard == onnx.hear(folder, precision, CLIPS, "en"), (folder, precision)


@pytest.mark.slow
@needs_weights("openai/whisper-base")
def test_transformers_js_writes_what_the_real_adapter_writes(
    real_clips: Path, real_adapter: str, node: Path, tmp_path: Path
) -> None:
    adapter = open_model(real_adapter)
    onnx.write(adapter, tmp_path / "float32", "float32")
    rows = list(itertools.islice(open_corpus(real_clips).utterances("dev"), 8))
    heard = by_transformers_js(node, adapter, tmp_path / "float32", [decode_flac(row.audio) for row in rows], tmp_path)
    assert all(heard) and heard == parity.by_torch(adapter, rows, windows.FULL_WINDOW, "en")
