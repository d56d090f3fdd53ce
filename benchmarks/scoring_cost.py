"""What scoring costs: the whole `score` process on 100 lines, and a million words with 10,000 resamples.

    python benchmarks/scoring_cost.py

`score` is started ten times after two that warm the disk, and the median of the wall clock is given. The million words
are 100,000 utterances of 1,000 speakers with errors drawn by chance: the intervals and the bootstrap alone, then the
whole comparison, which normalises, aligns and counts them in every form.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from smallvoice.recipe import EvaluateRecipe
from smallvoice.scoring import compare, significance

SENTENCE = "the small voice said that a rabbit went into the wood and did not come back before seven o'clock"
SPEAKERS, UTTERANCES, LENGTH = 1_000, 100_000, 10


def whole_process(folder: Path) -> list[float]:
    """Seconds of each start of `smallvoice score` on 100 lines."""
    lines = [f"u{number} the small voice said {number} words isn't it" for number in range(100)]
    for name in ("ref", "hyp"):
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "smallvoice", "score", str(folder / "ref"), str(folder / "hyp")]
    times = []
    for _ in range(12):
        started = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.monotonic() - started)
    return times[2:]


def rows(system: str, error_rate: float) -> list[dict[str, Any]]:
    words = SENTENCE.split()
    chance, errors = random.Random(0), random.Random(system)
    found = []
    for number in range(UTTERANCES):
        said = [chance.choice(words) for _ in range(LENGTH)]
        heard = [errors.choice(words) if errors.random() < error_rate else word for word in said]
        facts = {"id": str(number), "system": system, "speaker": f"S{number % SPEAKERS}", "language": "en"}
        found.append({**facts, "reference": " ".join(said), "hypothesis": " ".join(heard)})
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(f"score, 100 lines, whole process: median {statistics.median(whole_process(Path(folder))):.2f} s of 10")
    rng = np.random.default_rng(0)
    for speakers in (SPEAKERS, UTTERANCES):
        words = rng.multinomial(UTTERANCES * LENGTH, np.full(speakers, 1 / speakers))
        counts = [rng.binomial(words, 0.2), words, rng.binomial(words, 0.19), words]
        started = time.monotonic()
        significance.change(np.stack(counts, axis=1), 10_000, 0, 0.95)
        seconds = time.monotonic() - started
        print(f"a million words of {speakers:,} speakers, intervals and 10,000 resamples: {seconds:.1f} s")
    base, tuned = rows("base", 0.2), rows("tuned", 0.15)
    started = time.monotonic()
    compare.compare(base, tuned, EvaluateRecipe())
    print(
        f"compare of a million words, every form, alignment and grouping, from rows: {time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
