"""What the tests of several runtimes share: real clips, and the adapter that comes with the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from smallvoice import recipe_file as recipes
from smallvoice import verbs


@pytest.fixture(scope="session")
def real_clips(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Utterances of two speakers."""
    corpus = tmp_path_factory.mktemp("real") / "corpus"
    recipe = recipes.build({"corpus": {"language": "en", "select": "age_years == 8"}}).corpus
    verbs.prepare(["speechocean762"], corpus, recipe=recipe, split="dev")
    return corpus


@pytest.fixture(scope="session")
def real_adapter() -> str:
    """Of whisper-base."""
    return str(Path(__file__).parents[2] / "models" / "speechocean762_base")
