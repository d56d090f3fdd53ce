"""The adapter as PEFT takes it: `PeftModel.from_pretrained(WhisperForConditionalGeneration, FOLDER)`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from smallvoice.decoding.models import Model
from smallvoice.errors import RecipeError
from smallvoice.exporting import huggingface
from smallvoice.model import saving, weights
from smallvoice.run_folder import LOCAL_BASE

FILES = ("adapter_config.json", "adapter_model.safetensors")


def write(model: Model, out: Path, precision: str) -> None:
    """What training left, as it is.

    Raises:
        RecipeError: it left no adapter but whole weights, the model is no result of training, or its base has no name.
    """
    if model.result is None or not all((model.result / name).is_file() for name in FILES):
        raise RecipeError("There is no adapter: the model's own weights moved. Export it --to huggingface.")
    if saving.base_of(model.result) == LOCAL_BASE:
        raise RecipeError("The adapter's base is a local folder without a public name. Export it --to huggingface.")
    out.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(model.result / name, out / name)


def hear(folder: Path, precision: str, clips: list[np.ndarray], language: str | None) -> list[str]:
    """What transformers' pipeline writes with the adapter on its untouched base.

    Raises:
        WeightsError: the base cannot be had by its name.
    """
    from peft import PeftModel
    from transformers import WhisperFeatureExtractor, pipeline

    base = weights.load(saving.base_of(folder))
    recogniser = pipeline(
        "automatic-speech-recognition",
        model=PeftModel.from_pretrained(base.network, folder).merge_and_unload(),
        tokenizer=base.tokenizer,
        feature_extractor=WhisperFeatureExtractor(feature_size=base.network.config.num_mel_bins),
        device="cpu",
    )
    return huggingface.heard_by(recogniser, clips, language)
