from __future__ import annotations

from pathlib import Path

import pytest
from tests.decoding.hearing import Heard

from smallvoice.decoding import transcribe


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Heard]:
    """Every engine that is opened writes "the small dog"."""
    made: list[Heard] = []
    opened = transcribe.open_model

    def open_model(*arguments: object) -> object:
        model = opened(*arguments)
        engine = Heard(model.engine(transcribe.DecodeRecipe()), "the small dog")
        made.append(engine)
        object.__setattr__(model, "engine", lambda decode: engine)
        return model

    monkeypatch.setattr(transcribe, "open_model", open_model)
    return made


@pytest.fixture
def model(tiny_models: dict[str, Path]) -> str:
    return str(tiny_models["english"])
