"""A corpus of two sources: many children who said little, and a few adults who said much."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny

from smallvoice import verbs
from smallvoice.corpus import shards
from smallvoice.recipe import CorpusRecipe, SplitRecipe

CHILDREN, ADULTS = 10, 3
"""Speakers; they said 3 and 10 utterances each."""


def prepare(folder: Path) -> Path:
    """Prepare it, all of it in train, in row groups of 8."""
    children = tiny.write_kaldi(folder / "children", CHILDREN, 3)
    adults = tiny.write_kaldi(folder / "adults", ADULTS, 10)
    (adults / "spk2age").write_text("".join(f"anna{n} {30 + n}\n" for n in range(ADULTS)), encoding="utf-8")
    recipe = CorpusRecipe(language="en", split=SplitRecipe(train=1.0, dev=0.0, test=0.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "MAX_GROUP_ROWS", 8)
        verbs.prepare([str(children), str(adults)], folder / "corpus", recipe=recipe)
    return folder / "corpus"
