"""For onnxruntime alone, and for transformers.js in Node and browsers: `pipeline(TASK, FOLDER)`.

    config.json, generation_config.json, tokenizer.json, ...   as for transformers, without the weights
    onnx/encoder_model.onnx           features to states
    onnx/decoder_model_merged.onnx    tokens, states and what was kept to logits and what to keep, for every step

In int8 the two end in `_quantized.onnx`, as transformers.js calls them; it finds out from config.json.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smallvoice.decoding.models import Model
from smallvoice.exporting import huggingface, onnx_graph
from smallvoice.model import window
from smallvoice.model.features import SAMPLE_RATE
from smallvoice.model.prompt import prefix_ids
from smallvoice.storage import read_text, write_text

PRECISIONS = {"float32": ("fp32", ""), "int8": ("q8", "_quantized")}
"""What transformers.js calls each, and what its files' names end in."""
ENCODER, DECODER = "encoder_model", "decoder_model_merged"
LARGEST = 2_000_000_000
"""Bytes of weights in one file, which protobuf ends at 2^31; of a larger graph they lie beside it, in `.onnx_data`."""


def write(model: Model, out: Path, precision: str) -> None:
    """Both graphs, and what transformers and transformers.js read beside them.

    Args:
        precision: `float32`, or `int8`: the matrices in eight bits, a third of the size.
    """
    dtype, suffix = PRECISIONS[precision]
    with tempfile.TemporaryDirectory(prefix="smallvoice-") as temporary:
        huggingface.write(model, Path(temporary), "float32")
        shutil.copytree(temporary, out, ignore=shutil.ignore_patterns("*.safetensors*"), dirs_exist_ok=True)
    (out / "onnx").mkdir(exist_ok=True)
    parts = {}
    for name, build in ((ENCODER, onnx_graph.encoder), (DECODER, onnx_graph.decoder)):
        path = out / "onnx" / f"{name}{suffix}.onnx"
        parts[path.name] = _save(build(model.whisper.network, rounded=precision == "int8"), path)
    settings = {"dtype": dtype, "use_external_data_format": parts}
    config = {**json.loads(read_text(out / "config.json")), "transformers.js_config": settings}
    write_text(out / "config.json", json.dumps(config, indent=2) + "\n")


def _save(graph: onnx_graph.Graph, path: Path) -> int:
    """Write a graph. Returns how many files lie beside it: 1 where it is too large for one file, else 0."""
    import onnx

    large = sum(values.nbytes for values in graph.values.values()) > LARGEST
    beside = f"{path.name}_data" if large else None
    onnx.save_model(graph.model(), path, save_as_external_data=large, location=beside)
    return int(large)


def hear(folder: Path, precision: str, clips: list[np.ndarray], language: str | None) -> list[str]:
    """What onnxruntime writes: greedy, language forced, without timestamps, in the window of 30 s.

    Raises:
        RecipeError: the model needs a language, or does not have this one.
    """
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    mels = (extractor(clip, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features for clip in clips)
    return _written(folder, precision, mels, language)


def hear_trimmed(
    folder: Path, precision: str, clips: list[np.ndarray], language: str | None, model: Model
) -> list[str]:
    """What onnxruntime writes where it hears as much as the model was trained on."""
    network = model.whisper.network
    lengths = (window.num_frames(len(clip) / SAMPLE_RATE, model.window, window.max_frames(network)) for clip in clips)
    mels = (window.features([clip], frames, network) for clip, frames in zip(clips, lengths, strict=True))
    return _written(folder, precision, (mel.cpu().numpy() for mel in mels), language)


def _written(folder: Path, precision: str, mels: Iterable[NDArray[np.float32]], language: str | None) -> list[str]:
    from transformers import GenerationConfig, WhisperTokenizer

    tokenizer = WhisperTokenizer.from_pretrained(folder)
    settings = GenerationConfig.from_pretrained(folder)
    prefix = prefix_ids(settings, language)
    recogniser = Recogniser(folder, precision)
    never, not_first = settings.suppress_tokens or [], settings.begin_suppress_tokens or []
    tokens = (recogniser.greedy(mel, prefix, never, not_first, settings.eos_token_id) for mel in mels)
    return [tokenizer.decode(one, skip_special_tokens=True).strip() for one in tokens]


class Recogniser:
    """Both graphs of a folder, loaded."""

    def __init__(self, folder: Path, precision: str) -> None:
        from onnxruntime import InferenceSession

        suffix = PRECISIONS[precision][1]
        self.encoder, self.decoder = (
            InferenceSession(folder / "onnx" / f"{name}{suffix}.onnx", providers=["CPUExecutionProvider"])
            for name in (ENCODER, DECODER)
        )
        config = json.loads(read_text(folder / "config.json"))
        self.positions: int = config["max_target_positions"]
        self.names = list(onnx_graph.cache_names(config["decoder_layers"]))
        heads = config["decoder_attention_heads"]
        self.nothing = np.zeros((1, heads, 0, config["d_model"] // heads), np.float32)

    def greedy(
        self, features: NDArray[np.float32], prefix: list[int], never: list[int], not_first: list[int], end: int
    ) -> list[int]:
        """The tokens after the prefix, the end token not among them.

        Args:
            features: shape = (1, num_mels, frames).
            never: token ids that are not written; `not_first`: not as the first.
        """
        (states,) = self.encoder.run(None, {"input_features": features})
        cache = {f"past_key_values.{name}": self.nothing for name in self.names}
        written: list[int] = []
        inputs = prefix
        while len(written) < self.positions // 2:  # OpenAI's own bound
            ids = np.array([inputs], np.int64)
            logits, *kept = self.decoder.run(None, {"input_ids": ids, "encoder_hidden_states": states, **cache})
            cache = {f"past_key_values.{name}": values for name, values in zip(self.names, kept, strict=True)}
            scores = logits[0, -1]
            scores[never] = -np.inf
            if not written:
                scores[not_first] = -np.inf
            token = int(scores.argmax())
            if token == end:
                break
            written.append(token)
            inputs = [token]
        return written
