"""Is a word's confidence true of speakers whom neither training nor its calibration heard?

    smallvoice run RECIPE --folds 5 --out FOLDS
    python benchmarks/confidence.py FOLDS/fold-* --select "age_years < 18"

Each RUN decodes the test split of its own corpus greedily, in torch; with `--export ctranslate2-int8` that folder of
its `exports/` does, with the two numbers that were fitted in torch. All runs' words are pooled: for each tenth of them,
the least sure first, the mean of what the model thinks, of the confidence, and the share that is right; then the
expected calibration error of both (Naeini et al., 2015), and how often a right word stands above a wrong one.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

import numpy as np

from smallvoice import machine
from smallvoice.corpus.utterance import open_corpus
from smallvoice.decoding.confidence import words_of
from smallvoice.decoding.models import open_model
from smallvoice.recipe import DecodeRecipe
from smallvoice.run_folder import RunFolder
from smallvoice.scoring.confidence import expected_calibration_error

TENTHS = 10


def words_of_run(run: Path, options: argparse.Namespace) -> list[tuple[float, float, bool]]:
    """What the model thinks of each word, its confidence, and whether it is right."""
    folder = RunFolder(run)
    model = open_model(str(folder.path / "exports" / options.export if options.export else run))
    if model.facts is None or model.facts.calibration is None:
        raise SystemExit(f"{run}: has no calibration.")
    confidence = model.facts.calibration.confidence
    engine = model.engine(DecodeRecipe())
    corpus = open_corpus(folder.corpus)
    words = words_of(engine, corpus.utterances(options.split, options.select), corpus.facts["language"])
    return [(thought, confidence(thought), right) for thought, right in words]


def above(sure: np.ndarray, right: np.ndarray) -> float:
    """How often a right word stands above a wrong one; half where they are alike (area under the ROC curve)."""
    wrong = np.sort(sure[~right])
    below = np.searchsorted(wrong, sure[right], "left") + np.searchsorted(wrong, sure[right], "right")
    return float(below.mean() / 2 / len(wrong))


def table(words: list[tuple[float, float, bool]]) -> str:
    thought, sure, right = (np.array(column) for column in zip(*words, strict=True))
    lines = ["| words | the model thinks | confidence | right |", "|---|---|---|---|"]
    for part in np.array_split(np.argsort(sure, kind="stable"), TENTHS):
        means = " | ".join(f"{100 * column[part].mean():.1f} %" for column in (thought, sure, right))
        lines.append(f"| {len(part)} | {means} |")
    means = " | ".join(f"{100 * column.mean():.1f} %" for column in (thought, sure, right))
    lines.append(f"| **{len(words):,}** | {means} |")
    raw, fitted = (expected_calibration_error(column.tolist(), right.tolist(), TENTHS) for column in (thought, sure))
    lines.append(
        f"\nExpected calibration error: {100 * raw:.1f} % of what the model thinks, {100 * fitted:.1f} % of confidence."
    )
    lines.append(f"A right word stands above a wrong one {100 * above(sure, right):.1f} times of a hundred.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--split", default="test")
    parser.add_argument("--select")
    parser.add_argument("--export", help="a folder in RUN/exports that decodes instead, such as ctranslate2-int8")
    options = parser.parse_args()
    print(f"{date.today()}, {machine.facts()['processor']}\n")
    words = [word for run in options.runs for word in words_of_run(run, options)]
    print(table(words))


if __name__ == "__main__":
    main()
