"""What a user sees while work goes on: progress with rate and time left, on standard error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True, highlight=False, markup=False, emoji=False)
"""Everything but the JSON document of `--json` goes here.

What is in square brackets or between colons is text (`[noise]`, `:er:`), in transcripts, names and paths as in our own
words: what is to be bold or red says so with `style`, or is a `rich.text.Text`.
"""


def show_log(*, debug: bool) -> None:
    """Send the package's log to standard error."""
    handler = RichHandler(console=console, show_time=False, show_path=False, show_level=False)
    logger = logging.getLogger("smallvoice")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if debug else logging.INFO)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar; the function that it yields is told (done, total, note)."""
    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None, note="")

        def update(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield update


class TrainingProgress:
    """Turns rows of metrics into a bar and, where nobody watches, into a line now and then."""

    def __init__(self, update: Callable[[int, int, str], None], members: int) -> None:
        self.update = update
        self.members = members
        self.loss: float | None = None

    def __call__(self, row: dict[str, Any]) -> None:
        if row["kind"] not in ("step", "dev"):
            return  # what the log has said already
        member = row["member"]
        who = f"adapter {member + 1} of {self.members}, " if self.members > 1 else ""
        if row["kind"] == "dev":
            rate = "no words" if row["wer"] is None else f"{100 * row['wer']:.1f} %"
            best = ", the best so far" if row["best"] else ""
            console.print(f"  {who}step {row['step']}: dev WER {rate} normalised{best}")
            return
        self.loss = row["loss"] if self.loss is None else 0.95 * self.loss + 0.05 * row["loss"]
        done, total = member * row["of"] + row["step"], self.members * row["of"]
        self.update(done, total, f"loss {self.loss:.2f}, {row['utterances_per_s']:.1f} utterances/s")
        if not console.is_terminal and row["step"] % 50 == 0:
            console.print(f"  {who}step {row['step']} of {row['of']}: loss {self.loss:.3f}")
