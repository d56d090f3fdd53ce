from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_run import fill


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    def make(*arguments: Any, **options: Any) -> Path:
        return fill(tmp_path / "run", *arguments, **options)

    return make
