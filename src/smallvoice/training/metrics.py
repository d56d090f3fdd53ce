"""What a training says of itself while it runs, and how it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smallvoice.storage import json_line, no_space_as_error, recover_jsonl, write_jsonl

log = logging.getLogger(__name__)


class Metrics:
    """Rows of `metrics.jsonl`; what was written after the checkpoint that training continues from is dropped.

    Kinds: `step`; `dev`, a decoding of dev; `memory`, less is encoded at once from here on; `stopped`, training
    ended before its last step.
    """

    def __init__(self, path: Path, step: int, report: Callable[[dict[str, Any]], None], *, writes: bool) -> None:
        """Args:
        writes: whether this process writes and reports; of several, the first does.
        """
        self.path, self.report, self.writes = path, report, writes
        if writes:
            rows = recover_jsonl(path) if step else []
            write_jsonl(path, [row for row in rows if row["step"] <= step])

    def add(self, row: dict[str, Any]) -> None:
        if not self.writes:
            return
        with no_space_as_error(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json_line(row))
        if row["kind"] in ("step", "dev"):
            self.report(row)


@contextmanager
def stop_between_steps(*, at_once: bool) -> Iterator[threading.Event]:
    """Ctrl-C ends training after the step at hand.

    Args:
        at_once: a second Ctrl-C ends it there and then. Not where several processes train: their launcher passes on
            what the terminal has already sent to all of them.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(*_: object) -> None:
        if stopped.is_set() and at_once:
            raise KeyboardInterrupt
        if not stopped.is_set():
            log.warning("Stopping after this step%s.", "; press Ctrl-C again to stop at once" if at_once else "")
        stopped.set()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
