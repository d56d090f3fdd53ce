"""Tiny random Whispers of each kind, and short synthetic recordings: what hermetic tests run on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES

KINDS = {"english": (51_864, 80), "multilingual": (51_865, 80), "128 mels": (51_866, 128)}
"""Vocabulary and mel filters of each kind of Whisper."""


def write_tokenizer(path: Path, vocab_size: int) -> None:
    """A tokenizer of bytes, filled up so that every special token has the id that Whisper gives it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = [chr(byte) for byte in printable] + [chr(256 + number) for number in range(len(others))]
    num_text = 50_256 if vocab_size == 51_864 else 50_257
    vocab = {token: number for number, token in enumerate(alphabet)}
    vocab |= {f"filler{number}": number for number in range(len(alphabet), num_text)}
    languages = list(LANGUAGES)[: 100 if vocab_size == 51_866 else 99]
    names = ["endoftext", "startoftranscript", *languages, "translate", "transcribe", "startoflm"]
    names += ["startofprev", "nospeech" if vocab_size == 51_866 else "nocaptions", "notimestamps"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": num_text + number, "content": f"<|{name}|>", **flags} for number, name in enumerate(names)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": [], "unk_token": None, "fuse_unk": False},
    }
    path.write_text(json.dumps(content), encoding="utf-8")


def load_tokenizer(folder: Path) -> WhisperTokenizer:
    from smallvoice.model import ctranslate2_weights

    return ctranslate2_weights.tokenizer({"tokenizer.json": folder / "tokenizer.json"})


def write_model(folder: Path, kind: str) -> Path:
    """A Hugging Face folder with a random Whisper of the kind: two layers, 16 dimensions, the full 30 s window."""
    vocab_size, num_mels = KINDS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer.json", vocab_size)
    tokenizer = load_tokenizer(folder)
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = WhisperForConditionalGeneration(
            WhisperConfig(
                vocab_size=vocab_size,
                num_mel_bins=num_mels,
                d_model=16,
                encoder_layers=2,
                decoder_layers=2,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=32,
                decoder_ffn_dim=32,
                pad_token_id=tokenizer.pad_token_id,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                decoder_start_token_id=tokenizer.convert_tokens_to_ids("<|startoftranscript|>"),
            )
        )
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    network.generation_config = generation_config(tokenizer, kind)
    network.save_pretrained(folder)
    return folder


def generation_config(tokenizer: WhisperTokenizer, kind: str) -> GenerationConfig:
    def ids(*names: str) -> dict[str, int]:
        return {name: tokenizer.convert_tokens_to_ids(name) for name in names}

    languages = list(LANGUAGES)[: 100 if kind == "128 mels" else 99]
    tasks = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("transcribe", "translate")}
    multilingual = {"lang_to_id": ids(*(f"<|{name}|>" for name in languages)), "task_to_id": tasks}
    return GenerationConfig(
        decoder_start_token_id=tokenizer.convert_tokens_to_ids("<|startoftranscript|>"),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.eos_token_id,
        no_timestamps_token_id=tokenizer.convert_tokens_to_ids("<|notimestamps|>"),
        is_multilingual=kind != "english",
        max_length=448,
        suppress_tokens=[1, 2, 7],
        begin_suppress_tokens=[220, tokenizer.eos_token_id],
        **(multilingual if kind != "english" else {}),
    )


def tone(seconds: float, seed: int = 0) -> np.ndarray:
    """A warbling tone with noise: short synthetic audio, 16 kHz."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * 16_000)) / 16_000
    wave = 0.3 * np.sin(2 * np.pi * (200 + 40 * seed % 300) * times) * (1 + 0.5 * np.sin(2 * np.pi * 3 * times))
    return (wave + rng.normal(0, 0.01, len(times))).astype(np.float32)


def write_kaldi(folder: Path, speakers: int = 8, utterances: int = 3) -> Path:
    """A Kaldi data folder of synthetic recordings: children of 5 to 12, upper-case text."""
    (folder / "audio").mkdir(parents=True)
    words = ["THE", "CAT", "DOG", "SEES", "A", "RED", "BALL", "AND", "RUNS", "HOME"]
    rng = np.random.default_rng(1)
    lines: dict[str, list[str]] = {"text": [], "wav.scp": [], "utt2spk": [], "spk2age": [], "spk2gender": []}
    for speaker in range(speakers):
        name = f"anna{speaker}"
        lines["spk2age"].append(f"{name} {5 + speaker % 8}")
        lines["spk2gender"].append(f"{name} {'fm'[speaker % 2]}")
        for number in range(utterances):
            key = f"{name}-{number}"
            soundfile.write(folder / f"audio/{key}.flac", tone(0.6 + 0.3 * number, 10 * speaker + number), 16_000)
            lines["text"].append(f"{key} {' '.join(rng.choice(words, 3 + number))}")
            lines["wav.scp"].append(f"{key} audio/{key}.flac")
            lines["utt2spk"].append(f"{key} {name}")
    for file, content in lines.items():
        (folder / file).write_text("\n".join(content) + "\n", encoding="utf-8")
    return folder
