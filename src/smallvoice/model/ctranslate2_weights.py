"""Whisper in CTranslate2's form (what faster-whisper users hold) to transformers' Whisper.

Sizes are read from the shapes of the weights, ids from the tokenizer, and the rest from `config.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from smallvoice.errors import InputError, WeightsError
from smallvoice.model.ctranslate2_file import Variables, read_variables
from smallvoice.model.merges import complete_merges
from smallvoice.storage import read_text

_GELU = 3
"""`ctranslate2.specs.common_spec.Activation.GELU`."""
_MULTILINGUAL = {51_864: False, 51_865: True, 51_866: True}
_NUM_TIMESTAMPS = 1501
"""<|0.00|> to <|30.00|>: the end of every vocabulary, though not every tokenizer.json lists them."""


def load(
    files: Mapping[str, Path], parts: Sequence[Path]
) -> tuple[WhisperConfig, dict[str, torch.Tensor], GenerationConfig]:
    """Read a CTranslate2 Whisper.

    Args:
        files: `config.json` and `tokenizer.json` by name; what else is there is not looked at.
        parts: `model.bin`, or its parts in order.

    Returns:
        The sizes, the state dict (`to_transformers`), and how the model decodes.

    Raises:
        WeightsError: a file is missing, truncated, foreign, or does not fit the others.
    """
    variables = read_variables(parts)
    where = str(parts[0])
    state = to_transformers(variables, where)
    config = _model_config(variables, state, where)
    generation = _generation_config(files, config)
    for name in ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, getattr(generation, name))
    return config, state, generation


def tokenizer(files: Mapping[str, Path]) -> WhisperTokenizer:
    """The tokenizer of a CTranslate2 Whisper; every token beyond the text is a special token.

    Args:
        files: `tokenizer.json` by name.

    Raises:
        WeightsError: `tokenizer.json` is missing or not a Whisper tokenizer.
    """
    path = _file(files, "tokenizer.json")
    end = "<|endoftext|>"
    tokens = _special_tokens(path)
    # Not the timestamps: transformers takes them for what follows the last special token.
    special = [token for token, number in tokens.items() if number <= tokens["<|notimestamps|>"] and token != end]
    loaded = WhisperTokenizer.from_pretrained(
        path.parent,
        tokenizer_file=str(path),
        local_files_only=True,
        unk_token=end,
        bos_token=end,
        eos_token=end,
        pad_token=end,
        extra_special_tokens=special,
    )
    loaded.name_or_path = ""  # it would carry the path into what is saved
    complete_merges(loaded)
    return loaded


def _file(files: Mapping[str, Path], name: str) -> Path:
    if name not in files:
        raise WeightsError(
            f"{name} is missing beside model.bin. ct2-transformers-converter puts it there with "
            "--copy_files tokenizer.json; it is the same file as in the model's Hugging Face folder."
        )
    return files[name]


def to_transformers(variables: Variables, where: str = "the CTranslate2 model") -> dict[str, torch.Tensor]:
    """Rename, split and widen CTranslate2's variables to transformers' Whisper.

    Returns:
        The state dict of `WhisperForConditionalGeneration` in float32, without `proj_out.weight`, which is
        tied to `model.decoder.embed_tokens.weight`. Quantised weights are dequantised.

    Raises:
        WeightsError: a weight is missing, is left over, or is stored in a form that Whisper does not have.
    """
    source = _Source(variables, where)
    state: dict[str, torch.Tensor] = {}
    for stack in ("encoder", "decoder"):
        state[f"model.{stack}.embed_positions.weight"] = source[f"{stack}/position_encodings/encodings"]
        source.norm(f"{stack}/layer_norm", f"model.{stack}.layer_norm", state)
        for layer in range(_num_layers(variables, stack)):
            old, new = f"{stack}/layer_{layer}", f"model.{stack}.layers.{layer}"
            source.linear(f"{old}/self_attention/linear_0", f"{new}.self_attn", ("q", "k", "v"), state)
            source.linear(f"{old}/self_attention/linear_1", f"{new}.self_attn", ("out",), state)
            source.norm(f"{old}/self_attention/layer_norm", f"{new}.self_attn_layer_norm", state)
            if stack == "decoder":
                source.linear(f"{old}/attention/linear_0", f"{new}.encoder_attn", ("q",), state)
                source.linear(f"{old}/attention/linear_1", f"{new}.encoder_attn", ("k", "v"), state)
                source.linear(f"{old}/attention/linear_2", f"{new}.encoder_attn", ("out",), state)
                source.norm(f"{old}/attention/layer_norm", f"{new}.encoder_attn_layer_norm", state)
            source.plain(f"{old}/ffn/linear_0", f"{new}.fc1", state)
            source.plain(f"{old}/ffn/linear_1", f"{new}.fc2", state)
            source.norm(f"{old}/ffn/layer_norm", f"{new}.final_layer_norm", state)
    source.plain("encoder/conv1", "model.encoder.conv1", state)
    source.plain("encoder/conv2", "model.encoder.conv2", state)
    state["model.decoder.embed_tokens.weight"] = source["decoder/embeddings/weight"]
    source.finish()
    return state


class _Source:
    """Takes weights out of CTranslate2's variables and knows which were taken."""

    def __init__(self, variables: Variables, where: str) -> None:
        self._variables = variables
        self._where = where
        self._taken = {"decoder/projection/weight", "decoder/projection/weight_scale"}

    def __getitem__(self, name: str) -> torch.Tensor:
        """One weight in float32, its own memory."""
        if name not in self._variables:
            raise WeightsError(f"{self._where}: {name} is missing: not a whole Whisper model.")
        stored, scale = self._variables[name], self._variables.get(f"{name}_scale")
        self._taken |= {name, f"{name}_scale"}
        if (stored.dtype.kind == "f") != (scale is None) or f"{name}_zero" in self._variables:
            raise WeightsError(
                f"{self._where}: {name} is quantised in a form that smallvoice cannot undo ({stored.dtype}). "
                "Use the float16, float32, int8 or int16 conversion of this model."
            )
        # Numpy, unlike torch, may read the file's unaligned memory.
        weight = np.array(stored, dtype=np.float32, order="C")
        if scale is not None:
            # One scale for each row (int8), or one for all (int16): stored = weight x scale, rounded.
            weight /= np.asarray(scale, np.float32).reshape((-1,) + (1,) * (weight.ndim - 1))
        return torch.from_numpy(weight)

    def plain(self, old: str, new: str, state: dict[str, torch.Tensor]) -> None:
        state[f"{new}.weight"], state[f"{new}.bias"] = self[f"{old}/weight"], self[f"{old}/bias"]

    def norm(self, old: str, new: str, state: dict[str, torch.Tensor]) -> None:
        state[f"{new}.weight"], state[f"{new}.bias"] = self[f"{old}/gamma"], self[f"{old}/beta"]

    def linear(self, old: str, new: str, names: tuple[str, ...], state: dict[str, torch.Tensor]) -> None:
        """Split a linear layer that stacks several projections along its outputs."""
        weight, bias = self[f"{old}/weight"], self[f"{old}/bias"]
        if weight.ndim != 2 or weight.shape != (len(names) * weight.shape[1], weight.shape[1]):
            raise WeightsError(
                f"{self._where}: {old}/weight has shape {tuple(weight.shape)}; expected {names} stacked."
            )
        pieces = zip(names, weight.chunk(len(names)), bias.chunk(len(names)), strict=True)
        for name, weight_piece, bias_piece in pieces:
            # Clones: safetensors refuses tensors that share memory.
            state[f"{new}.{name}_proj.weight"] = weight_piece.clone() if len(names) > 1 else weight_piece
            if name != "k":
                state[f"{new}.{name}_proj.bias"] = bias_piece.clone() if len(names) > 1 else bias_piece
            elif bias_piece.any():
                raise WeightsError(f"{self._where}: {old} has a bias of the keys, which Whisper does not have.")

    def finish(self) -> None:
        """Refuse a model that holds more than was taken. What has no dimension is a setting, no weight."""
        left = sorted(n for n, value in self._variables.items() if value.ndim and n not in self._taken)
        left = [name for name in left if name != "decoder/alignment_heads"]
        if left:
            raise WeightsError(f"{self._where}: holds {len(left)} weights that Whisper does not have: {left[:3]}.")
        if self._variables.get("decoder/activation", np.int8(_GELU)) != _GELU:
            raise WeightsError(f"{self._where}: decoder/activation is not GELU: not a Whisper model.")


def _num_layers(variables: Variables, stack: str) -> int:
    found = (re.match(rf"{stack}/layer_(\d+)/", name) for name in variables)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def _model_config(variables: Variables, state: Mapping[str, torch.Tensor], where: str) -> WhisperConfig:
    """The sizes, all of them read from shapes."""
    vocab_size, d_model = state["model.decoder.embed_tokens.weight"].shape
    if vocab_size not in _MULTILINGUAL:
        raise WeightsError(
            f"{where}: a vocabulary of {vocab_size:,} tokens; Whisper's have "
            f"{', '.join(f'{size:,}' for size in _MULTILINGUAL)}."
        )
    # Every Whisper of OpenAI has heads of 64; the file says its own number since CTranslate2 3.
    encoder_heads, decoder_heads = (
        int(variables.get(f"{stack}/num_heads", np.int16(d_model // 64))) for stack in ("encoder", "decoder")
    )
    if min(encoder_heads, decoder_heads) < 1 or d_model % encoder_heads or d_model % decoder_heads:
        raise WeightsError(f"{where}: {encoder_heads}, {decoder_heads} attention heads do not divide {d_model}.")
    return WhisperConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        num_mel_bins=state["model.encoder.conv1.weight"].shape[1],
        encoder_layers=_num_layers(variables, "encoder"),
        decoder_layers=_num_layers(variables, "decoder"),
        encoder_attention_heads=encoder_heads,
        decoder_attention_heads=decoder_heads,
        encoder_ffn_dim=state["model.encoder.layers.0.fc1.weight"].shape[0],
        decoder_ffn_dim=state["model.decoder.layers.0.fc1.weight"].shape[0],
        max_source_positions=state["model.encoder.embed_positions.weight"].shape[0],
        max_target_positions=state["model.decoder.embed_positions.weight"].shape[0],
        begin_suppress_tokens=None,
    )


def _generation_config(files: Mapping[str, Path], config: WhisperConfig) -> GenerationConfig:
    """Rebuild what the conversion to CTranslate2 drops.

    Ids are read from the tokenizer: an English-only model's are one less than a multilingual's.
    """
    path = _file(files, "tokenizer.json")
    tokens = _special_tokens(path)
    multilingual = _MULTILINGUAL[config.vocab_size]
    expected = tokens["<|notimestamps|>"] + 1 + _NUM_TIMESTAMPS
    if expected != config.vocab_size:
        raise WeightsError(
            f"{path}: belongs to a vocabulary of {expected:,} tokens, but the weights have {config.vocab_size:,}."
        )
    ct2 = _json_object(_file(files, "config.json"))
    end = tokens["<|endoftext|>"]
    settings: dict[str, Any] = {
        "decoder_start_token_id": tokens["<|startoftranscript|>"],
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "no_timestamps_token_id": tokens["<|notimestamps|>"],
        "prev_sot_token_id": tokens["<|startofprev|>"],
        "is_multilingual": multilingual,
        "max_length": config.max_target_positions,
        "max_initial_timestamp_index": 50,  # 1 s, as in OpenAI's decoding.py
        "return_timestamps": False,
        "suppress_tokens": ct2.get("suppress_ids"),
        "begin_suppress_tokens": ct2.get("suppress_ids_begin"),
    }
    if ct2.get("alignment_heads"):
        settings["alignment_heads"] = ct2["alignment_heads"]
    if multilingual:
        languages = {token: number for token, number in tokens.items() if token[2:-2] in LANGUAGES}
        settings["lang_to_id"] = languages
        settings["task_to_id"] = {name: tokens[f"<|{name}|>"] for name in ("transcribe", "translate")}
    return GenerationConfig(**settings)


def _special_tokens(path: Path) -> dict[str, int]:
    """The added tokens of a `tokenizer.json` by content, in the order of their ids."""
    added = _json_object(path).get("added_tokens", [])
    try:
        tokens = {str(token["content"]): int(token["id"]) for token in sorted(added, key=lambda token: token["id"])}
    except (KeyError, TypeError, ValueError):
        raise WeightsError(f"{path}: its added_tokens are not a list of tokens with id and content.") from None
    needed = ("endoftext", "startoftranscript", "translate", "transcribe", "startofprev", "notimestamps")
    missing = [f"<|{name}|>" for name in needed if f"<|{name}|>" not in tokens]
    if missing:
        raise WeightsError(f"{path}: not a Whisper tokenizer: it has no {', '.join(missing)}.")
    return tokens


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
    except InputError as error:
        raise WeightsError(str(error)) from None
    except json.JSONDecodeError as error:
        raise WeightsError(f"{path}:{error.lineno}: not valid JSON: {error.msg}.") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a JSON object, found {type(content).__name__}.")
    return content
