"""For whisper.cpp: one file in the layout that its loader reads.

    magic, 11 sizes, the mel filters, the vocabulary as bytes, then each tensor: dimensions, name, type, data

As whisper.cpp's own conversion: weights of two and more dimensions in float16 (or quantised, if they have two), biases,
norms and positions in float32, the convolutions' biases as columns. Names are those of OpenAI's state dict.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from smallvoice.decoding.models import Model
from smallvoice.model.features import SAMPLE_RATE, mel_filters
from smallvoice.model.window import max_frames, num_frames
from smallvoice.storage import replacing

MAGIC = 0x67676D6C
PRECISIONS = {"f16": (1, 1), "q8_0": (7, 8), "q5_0": (8, 6)}
"""Each one's number as a file's type and as a tensor's (ggml's GGML_FTYPE and GGML_TYPE)."""
BLOCK = 32
"""Values that share a scale in a quantised row; of all Whispers every row holds a multiple of it."""
_QUANTISED = 2_000
"""Added to a quantised file's type: version 2 of ggml's quantisation."""
_FLOAT32 = 0
_WHOLE = frozenset({"encoder.positional_embedding", "decoder.positional_embedding"})

_RENAMED = (
    ("model.", ""),
    (".layers.", ".blocks."),
    (".self_attn_layer_norm.", ".attn_ln."),
    (".encoder_attn_layer_norm.", ".cross_attn_ln."),
    (".self_attn.", ".attn."),
    (".encoder_attn.", ".cross_attn."),
    (".q_proj.", ".query."),
    (".k_proj.", ".key."),
    (".v_proj.", ".value."),
    (".out_proj.", ".out."),
    (".fc1.", ".mlp.0."),
    (".fc2.", ".mlp.2."),
    (".final_layer_norm.", ".mlp_ln."),
    ("encoder.layer_norm.", "encoder.ln_post."),
    ("decoder.layer_norm.", "decoder.ln."),
    ("encoder.embed_positions.weight", "encoder.positional_embedding"),
    ("decoder.embed_positions.weight", "decoder.positional_embedding"),
    ("decoder.embed_tokens.weight", "decoder.token_embedding.weight"),
)


def write(model: Model, out: Path, precision: str) -> None:
    """Write `out`, a file such as `ggml-model.bin`.

    Args:
        precision: `f16`, `q8_0` or `q5_0`.
    """
    whisper = model.whisper
    config, kind = whisper.network.config, PRECISIONS[precision]
    sizes = (
        config.vocab_size,
        config.max_source_positions,
        config.d_model,
        config.encoder_attention_heads,
        config.encoder_layers,
        config.max_target_positions,
        config.d_model,
        config.decoder_attention_heads,
        config.decoder_layers,
        config.num_mel_bins,
        kind[0] if precision == "f16" else _QUANTISED + kind[0],
    )
    with replacing(out) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("I11i", MAGIC, *sizes))
        mel = np.ascontiguousarray(mel_filters(config.num_mel_bins, torch.device("cpu")).numpy().T)
        file.write(struct.pack("2i", *mel.shape) + mel.tobytes())
        words = vocabulary(whisper.tokenizer, whisper.generation.eos_token_id)
        file.write(struct.pack("i", len(words)))
        for word in words:
            file.write(struct.pack("i", len(word)) + word)
        for name, values in _tensors(whisper.network):
            _write_tensor(file, name, values, precision)


def named_as_openai(network: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight under its name in OpenAI's state dict."""
    for name, tensor in network.state_dict().items():
        if name == "proj_out.weight":  # the token embedding once more
            continue
        for theirs, ours in _RENAMED:
            name = name.replace(theirs, ours)
        yield name, tensor.detach().cpu().float()


def _tensors(network: torch.nn.Module) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for name, tensor in named_as_openai(network):
        values = tensor.numpy()
        yield name, values[:, None] if name in ("encoder.conv1.bias", "encoder.conv2.bias") else values


def _write_tensor(file: IO[bytes], name: str, values: NDArray[np.float32], precision: str) -> None:
    small = values.ndim < 2 or name in _WHOLE or name.endswith("bias")
    if small:
        number, data = _FLOAT32, np.ascontiguousarray(values, np.float32).tobytes()
    elif precision == "f16" or values.ndim != 2 or values.shape[1] % BLOCK:
        number, data = PRECISIONS["f16"][1], values.astype(np.float16).tobytes()
    else:
        from gguf import GGMLQuantizationType
        from gguf.quants import quantize

        number = PRECISIONS[precision][1]
        data = quantize(np.ascontiguousarray(values), GGMLQuantizationType[precision.upper()]).tobytes()
    written = name.encode()
    file.write(struct.pack("3i", values.ndim, len(written), number))
    file.write(struct.pack(f"{values.ndim}i", *reversed(values.shape)) + written + data)


def vocabulary(tokenizer: object, num_text: int) -> list[bytes]:
    """The bytes of every token before the first special one."""
    byte_of = _bytes_by_character()
    names = (tokenizer.convert_ids_to_tokens(number) for number in range(num_text))  # type: ignore[attr-defined]
    return [bytes(byte_of[character] for character in name) for name in names]


def _bytes_by_character() -> dict[str, int]:
    """How byte-level vocabularies write each byte (GPT-2): printable ones as they are, the others from U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def hear_trimmed(path: Path, precision: str, clips: list[np.ndarray], language: str | None, model: Model) -> list[str]:
    """What whisper.cpp writes where it hears as much as the model was trained on: `audio_ctx`."""
    longest = max_frames(model.whisper.network)
    frames = (num_frames(len(clip) / SAMPLE_RATE, model.window, longest) for clip in clips)
    return hear(path, precision, clips, language, [number // 2 for number in frames])


def hear(
    path: Path, precision: str, clips: list[np.ndarray], language: str | None, audio_ctx: list[int] | None = None
) -> list[str]:
    """What whisper.cpp writes: greedy, language forced, without timestamps or a second try.

    Args:
        audio_ctx: positions of the encoder for each clip; its full window else.
    """
    from pywhispercpp.model import Model as Recogniser

    recogniser = Recogniser(
        str(path),
        redirect_whispercpp_logs_to=None,
        print_progress=False,
        print_realtime=False,
        n_threads=torch.get_num_threads(),  # its own number may be more than there is: they wait for each other busily
        # Its flash attention hears what fills up the next multiple of 256 positions, which is no matter of conversion:
        # with it 2 of 33 words of 8 children's clips were others at 30 s, 5 of 60 at a shorter window; without it none.
        context_params={"flash_attn": False},
    )
    texts = []
    for number, clip in enumerate(clips):
        segments = recogniser.transcribe(
            clip,
            language=language or "en",
            single_segment=True,
            no_context=True,
            no_timestamps=True,
            temperature_inc=0.0,
            audio_ctx=audio_ctx[number] if audio_ctx else 0,
        )
        texts.append(" ".join(segment.text.strip() for segment in segments))
    return texts
