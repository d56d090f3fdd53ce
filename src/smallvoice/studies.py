"""The verbs that train many times: `search` and `learning-curve`, on the command line and from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from smallvoice import recipe_file as recipes
from smallvoice.errors import require
from smallvoice.terminal import TrainingProgress, console, progress


def search(
    recipe: Path, corpus: Path, out: Path, *, trials: int = 20, overrides: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Try settings in the ranges of the recipe's `search:` block, by the dev score; the same command continues.

    Returns:
        The content of `search.json`.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    require("torch", extra="train", why="A search")
    from smallvoice.training import search as searching
    from smallvoice.training import search_space

    space = search_space.load(recipe, overrides)
    with progress("searching") as update:
        told = _Told(update, trial=searching.line)
        result = searching.search(space, corpus, out, trials=trials, report=told)
    console.print(searching.table(result))
    return result


def learning_curve(
    recipe: Path, corpus: Path, out: Path, *, split: str = "dev", overrides: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Train on 25, 50 and 100 % of the speakers: how much would more data help? The same command continues.

    Returns:
        The content of `learning_curve.json`.

    Raises:
        SmallvoiceError: anything a user can mend.
    """
    require("torch", extra="train", why="A learning curve")
    from smallvoice.training import curve

    with progress("training") as update:
        told = _Told(update, share=curve.line)
        result = curve.learning_curve(recipes.load(recipe, overrides), corpus, out, split=split, report=told)
    console.print(curve.table(result))
    return result


class _Told(TrainingProgress):
    """Training's own progress, and a line where the next one begins."""

    def __init__(self, update: Callable[[int, int, str], None], **lines: Callable[[dict[str, Any]], str]) -> None:
        super().__init__(update, members=1)
        self.lines = lines

    def __call__(self, row: dict[str, Any]) -> None:
        if row["kind"] in self.lines:
            console.print(self.lines[row["kind"]](row))
        elif row["kind"] in ("step", "dev"):
            super().__call__({"member": 0, **row})
