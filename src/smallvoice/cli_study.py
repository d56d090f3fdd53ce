"""The verbs that train many times."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smallvoice import studies
from smallvoice.cli_app import Common, Count, Split, answer, app


@app.command(sort_key=7)
def search(
    recipe: Path,
    /,
    *,
    corpus: Path,
    out: Path,
    trials: Count = 20,
    set: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    common: Common = Common(),
) -> None:
    """Try settings within ranges, by the word error rate on dev. The same command continues.

    Parameters
    ----------
    recipe
        A recipe with a `search:` block: train.learning_rate: {low: 1e-4, high: 2e-3, log: true}.
    corpus
        A prepared corpus.
    out
        Gets the trainings, the table (search.json) and the best recipe (best.yaml).
    trials
        How many to try.
    set
        A setting: train.epochs=3. May be given several times.
    """
    answer(studies.search(recipe, corpus, out, trials=trials, overrides=set), common, says=str(out / "best.yaml"))


@app.command(name="learning-curve", sort_key=7)
def learning_curve(
    recipe: Path,
    /,
    *,
    corpus: Path,
    out: Path,
    split: Split = "dev",
    set: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    common: Common = Common(),
) -> None:
    """How much would more data help? Trains on 25, 50 and 100 % of the speakers. The same command continues.

    Parameters
    ----------
    corpus
        A prepared corpus.
    out
        Gets the trainings, the figures (learning_curve.json) and the plot.
    split
        Who is decoded; test only where no choice follows from it.
    set
        A setting: train.epochs=3. May be given several times.
    """
    answer(studies.learning_curve(recipe, corpus, out, split=split, overrides=set), common)
