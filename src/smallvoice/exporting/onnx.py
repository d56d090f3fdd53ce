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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smallvoice.decoding.models import Model
from smallvoice.exporting import huggingface, onnx_graph
from smallvoice.model.features import SAMPLE_RATE
from smallvoice.model.prompt import prefix_ids
from smallvoice.storage import read_text

PRECISIONS = {"float32": ("fp32", ""), "int8": ("q8", "_quantized")}
"""What transformers.js calls each, and what its files' names end in."""
ENCODER, DECODER = "encoder_model", "decoder_model_merged"
LARGEST = 2**31 - 1
"""Bytes that one protobuf can hold; the weights of a larger graph lie beside it, as `.onnx_data`."""


def write(model: Model, out: Path, precision: str) -> None:
    """Both graphs, and what transformers and transformers.js read beside them.

    Args:
        precision: `float32`, or `int8`: the matrices alone, and what is multiplied with them, rounded as it comes.
    """
    dtype, suffix = PRECISIONS[precision]
    with tempfile.TemporaryDirectory(prefix="smallvoice-") as temporary:
        huggingface.write(model, Path(temporary), "float32")
        shutil.copytree(temporary, out, ignore=shutil.ignore_patterns("*.safetensors*"), dirs_exist_ok=True)
    folder = out / "onnx"
    folder.mkdir(exist_ok=True)
    beside = {}
    network = model.whisper.network
    for name, graph in ((ENCODER, onnx_graph.encoder(network)), (DECODER, onnx_graph.decoder(network))):
        path = folder / f"{name}{suffix}.onnx"
        if precision == "int8":
            _write_rounded(graph.model(), path)
        else:
            _write(graph.model(), path)
        beside[path.name] = path.with_name(f"{path.name}_data").is_file()
    settings = {"dtype": dtype, "use_external_data_format": beside}
    config = {**json.loads(read_text(out / "config.json")), "transformers.js_config": settings}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _write(proto: Any, path: Path) -> None:
    import onnx

    large = proto.ByteSize() > LARGEST
    onnx.save_model(proto, path, save_as_external_data=large, location=f"{path.name}_data" if large else None)


def _write_rounded(proto: Any, path: Path) -> None:
    """Matrices in eight bits without a sign: with one, a sum overflows on processors that have no VNNI.

    The token embedding is one of them, for it is both looked up and, turned over, multiplied with.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(prefix="smallvoice-") as temporary:
        whole = Path(temporary) / path.name
        _write(proto, whole)
        quantize_dynamic(
            whole, path, op_types_to_quantize=["MatMul", "Gather", "Transpose"], weight_type=QuantType.QUInt8
        )


def hear(folder: Path, precision: str, clips: list[np.ndarray], language: str | None) -> list[str]:
    """What onnxruntime writes: greedy, language forced, without timestamps, in the window of 30 s.

    Raises:
        RecipeError: the model needs a language, or does not have this one.
    """
    from transformers import GenerationConfig, WhisperFeatureExtractor, WhisperTokenizer

    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    settings = GenerationConfig.from_pretrained(folder)
    prefix = prefix_ids(settings, language)
    recogniser = Recogniser(folder, precision)
    texts = []
    for clip in clips:
        features = extractor(clip, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features
        tokens = recogniser.greedy(
            features,
            prefix,
            settings.suppress_tokens or [],
            settings.begin_suppress_tokens or [],
            settings.eos_token_id,
        )
        texts.append(tokenizer.decode(tokens, skip_special_tokens=True).strip())
    return texts


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
        while len(prefix) + len(written) < self.positions:
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
