"""What a user may call a model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smallvoice.decoding.models import open_model
from smallvoice.errors import InputError
from smallvoice.run_folder import RunFolder
from smallvoice.storage import write_json


def _hub_of(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """A hub of folders, and what is asked for, of its cache and of itself."""
    asked: list[tuple[str, bool]] = []

    def download(name: str, *, local_files_only: bool, **_: Any) -> str:
        asked.append((name, local_files_only))
        if name not in folders or local_files_only:
            raise OSError(name)
        return str(folders[name])

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return asked


def test_an_uploaded_model_decodes_as_it_was_trained(
    tuned_run: Path, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models--me--tuned" / "snapshots" / "0f"
    shutil.copytree(tuned_run / "adapter", folder)
    for file, key in (("smallvoice.json", "base"), ("adapter_config.json", "base_model_name_or_path")):
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**content, key: "me/base"}))
    base = tmp_path / "models--me--base" / "snapshots" / "0f"
    shutil.copytree(tiny_models["multilingual"], base)
    asked = _hub_of({"me/tuned": folder, "me/base": base}, monkeypatch)
    model, there = open_model("me/tuned"), open_model(str(tuned_run))
    assert asked[0] == ("me/tuned", False), "as it is now, not as it was"
    assert model.facts and there.facts and model.facts == replace(there.facts, base="me/base")
    assert model.window == there.window and model.key == there.key
    for (name, one), (_, other) in zip(
        *(each.whisper.network.state_dict().items() for each in (model, there)), strict=True
    ):
        assert torch.equal(one, other), name


def test_other_weights_of_the_hub_are_a_base(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models--me--tuned" / "snapshots" / "0f"
    shutil.copytree(tiny_models["english"], folder)
    _hub_of({"me/tuned": folder}, monkeypatch)
    model = open_model("me/tuned")
    assert model.facts is None and model.system == "base" and model.whisper.name == "me/tuned"


def test_a_run_over_folds_says_which_models_it_has(tmp_path: Path) -> None:
    write_json(tmp_path / "folds.json", {"number": 3, "folds": []})
    with pytest.raises(InputError, match=r"fold-1 to .*fold-3.*run RECIPE --set corpus.split.test=0 --out .*-all"):
        open_model(str(tmp_path))
    recipe = RunFolder(tmp_path).recipe
    recipe.write_text("name: nursery\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"smallvoice run {recipe} --set corpus.split.test=0 --out {tmp_path}-all"):
        open_model(str(tmp_path))


def test_an_updated_model_of_the_hub_has_another_key(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    for commit in ("0f", "1a", "1a"):
        folder = tmp_path / "models--me--tuned" / "snapshots" / commit
        if not folder.exists():
            shutil.copytree(tiny_models["english"], folder)
        _hub_of({"me/tuned": folder}, monkeypatch)
        keys.append(open_model("me/tuned").key)
    assert keys[0] != keys[1] == keys[2]
