"""The precision that training takes by itself."""

from __future__ import annotations

import pytest
import torch

from smallvoice.errors import RecipeError
from smallvoice.model import device

CPU = torch.device("cpu")


@pytest.mark.parametrize("flag", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_a_cpu_trains_in_bfloat16_where_it_has_instructions_for_it(monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert device.training_precision("auto", CPU) == "float32"
    monkeypatch.setattr(torch.cpu, flag, lambda: True, raising=False)
    assert device.training_precision("auto", CPU) == "bfloat16"
    assert device.training_precision("float32", CPU) == "float32"
    monkeypatch.delattr(torch.cpu, flag)
    assert device.training_precision("auto", CPU) == "float32", "a torch that does not tell"
    with pytest.raises(RecipeError, match="float16 needs a GPU"):
        device.training_precision("float16", CPU)
