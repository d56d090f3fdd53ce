"""The merged model for transformers: `pipeline("automatic-speech-recognition", model=FOLDER)`."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smallvoice.decoding.models import Model
from smallvoice.model.saving import write_whole_model

if TYPE_CHECKING:
    from transformers import Pipeline


def write(model: Model, out: Path, precision: str) -> None:
    """Weights, tokenizer, feature extractor and generation settings.

    Args:
        precision: `float32`, or `float16`: half the size.
    """
    whisper = model.whisper
    if precision == "float16":  # a copy: the model itself is what the export is compared with
        whisper = replace(whisper, network=copy.deepcopy(whisper.network).half())
    write_whole_model(out, whisper)


def hear(folder: Path, precision: str, clips: list[np.ndarray], language: str | None) -> list[str]:
    """What transformers' pipeline writes: greedy, language forced, without timestamps."""
    from transformers import pipeline

    recogniser = pipeline("automatic-speech-recognition", model=str(folder), dtype="float32", device="cpu")
    return heard_by(recogniser, clips, language)


def heard_by(recogniser: Pipeline, clips: list[np.ndarray], language: str | None) -> list[str]:
    """`hear`, with a pipeline that is loaded."""
    forced = {"language": language, "task": "transcribe"} if recogniser.model.generation_config.is_multilingual else {}
    cap = recogniser.model.config.max_target_positions // 2
    options = {**forced, "num_beams": 1, "do_sample": False, "return_timestamps": False, "max_new_tokens": cap}
    with _without_its_own_warning():
        heard = recogniser(
            [{"raw": clip, "sampling_rate": 16_000} for clip in clips], generate_kwargs=options, batch_size=8
        )
    return [one["text"].strip() for one in heard]


@contextmanager
def _without_its_own_warning() -> Iterator[None]:
    """transformers' Whisper passes itself what transformers then warns of as deprecated."""
    logger = logging.getLogger("transformers.generation.utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
