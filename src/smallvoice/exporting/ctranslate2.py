"""For CTranslate2, and so for faster-whisper: `WhisperModel(FOLDER)`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from smallvoice.decoding.models import Model
from smallvoice.exporting import huggingface
from smallvoice.exporting.parity import as_runtimes_cap
from smallvoice.model.features import SAMPLE_RATE

WINDOW_SAMPLES = 30 * SAMPLE_RATE


def write(model: Model, out: Path, precision: str) -> None:
    """CTranslate2's own conversion of the merged model, with the files that faster-whisper wants beside it.

    Args:
        precision: `float32`, `float16` or `int8`.
    """
    from ctranslate2.converters import TransformersConverter

    with tempfile.TemporaryDirectory(prefix="smallvoice-") as temporary:
        huggingface.write(model, Path(temporary), "float32")
        copied = ["tokenizer.json", "preprocessor_config.json"]
        converter = TransformersConverter(temporary, copy_files=copied)
        converter.convert(str(out), quantization=precision, force=True)


def hear_trimmed(
    folder: Path, precision: str, clips: list[np.ndarray], language: str | None, model: Model
) -> list[str]:
    """What smallvoice's own engine for CTranslate2 writes at the model's window, greedily."""
    from smallvoice.decoding.ctranslate2_engine import CTranslate2Engine

    engine = CTranslate2Engine(folder, model.whisper, model.window, as_runtimes_cap(model))
    return [one.text for one in engine.decode(clips, language)]


def hear(folder: Path, precision: str, clips: list[np.ndarray], language: str | None) -> list[str]:
    """What faster-whisper writes: greedy, language forced, without timestamps or a second try.

    A clip is filled with silence up to the window. faster-whisper itself fills the features with zeros, which is no
    silence to Whisper, and has no option for it: of 40 children's clips in float16 3 then had another word, which
    conversion had not changed; of 10 others in float32 none.
    """
    from faster_whisper import WhisperModel

    recogniser = WhisperModel(str(folder), device="cpu", compute_type="int8" if precision == "int8" else "float32")
    texts = []
    for clip in clips:
        segments, _ = recogniser.transcribe(
            np.pad(clip, (0, max(0, WINDOW_SAMPLES - len(clip)))),
            language=language,
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
        )
        texts.append(" ".join(segment.text.strip() for segment in segments))
    return texts
