"""What each process of `test_distributed` does: train; train again, be told to stop half-way, and continue."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

from smallvoice import recipe_file as recipes
from smallvoice.storage import read_json
from smallvoice.training import loop
from smallvoice.training.train import train

STOP_AT = 7


def stop_the_second_process(number: int, num_steps: int, recipe: object) -> float:
    """As if Ctrl-C had reached one process alone."""
    if number == STOP_AT and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGINT)
    return schedule(number, num_steps, recipe)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    recipe, short, corpus, out = map(Path, sys.argv[1:])
    train(recipes.load(recipe), corpus, out / "long")
    train(recipes.load(short), corpus, out / "whole")
    schedule = loop.schedule
    loop.schedule = stop_the_second_process
    try:
        train(recipes.load(short), corpus, out / "cut")
        raise SystemExit("nothing stopped it")
    except KeyboardInterrupt:
        progress = read_json(out / "cut" / "checkpoints" / "member-0" / "last" / "progress.json")
        print(f"stopped after step {progress['step']}", file=sys.stderr)
        loop.schedule = schedule
    train(recipes.load(short), corpus, out / "cut")
