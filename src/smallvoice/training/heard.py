"""What training heard: one line for each hearing of an utterance, with what was drawn for it.

The file is read and cut line by line: it is as long as training, memory is not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smallvoice.errors import InputError
from smallvoice.storage import json_line, no_space_as_error
from smallvoice.training.augment import NOTHING
from smallvoice.training.batches import Step
from smallvoice.training.packing import Item
from smallvoice.training.sampling import Rows

FILE = "heard.jsonl"


class Heard:
    """`heard.jsonl` of a member; what was written after the checkpoint that training continues from is cut off."""

    def __init__(
        self, folder: Path, rows: Rows, step: int, *, again: Callable[[Item], float] | None = None, writes: bool = True
    ) -> None:
        """Args:
        step: the last one that is kept.
        again: the vocal tract of an utterance's second hearing; None where each is heard once.
        writes: whether this process writes; of several, the first does, for all.
        """
        self.path = folder / FILE
        self.rows = rows
        self.again = again
        self.writes = writes
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            _cut(self.path, step)

    def add(self, number: int, step: Step) -> None:
        """Append a step that was done, counted from 1."""
        if not self.writes:
            return
        lines = [json_line({"step": number, **row}) for batch in step for item in batch for row in self._lines(item)]
        with no_space_as_error(self.path), self.path.open("a", encoding="utf-8") as file:
            file.writelines(lines)

    def _lines(self, item: Item) -> Iterator[dict[str, Any]]:
        drawn: dict[str, Any] = {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(item.change).items()
            if value != getattr(NOTHING, name)
        }
        if self.again and not item.silence:
            drawn["vocal_tract_again"] = round(self.again(item), 4)
        if item.silence:
            drawn["silence"] = True
        if item.full:
            drawn["full"] = True
        if item.previous:
            drawn["previous"] = len(item.previous)
        for place, part in enumerate(item.parts):
            if len(item.parts) > 1:
                drawn["place"] = place
            described = self.rows.described(part.number)
            duration_s = round(part.duration_s, 3)
            yield {"epoch": item.epoch, "id": part.utterance_id, **described, "duration_s": duration_s, **drawn}


def summary(path: Path) -> dict[str, Any]:
    """How often each source, role and age band was heard, and for how many hours, as recorded.

    Returns:
        `heard`, `hours` and `silences` (clips without speech, not among the others); `by`: `source`, `role` and
        `age`, each a dict of names with their `heard` and `hours`; `changed`: how often each change was drawn.

    Raises:
        InputError: missing, or a damaged line.
    """
    by: dict[str, dict[str, list[float]]] = {name: defaultdict(lambda: [0, 0.0]) for name in ("source", "role", "age")}
    changed: dict[str, int] = defaultdict(int)
    heard, silences, seconds = 0, 0, 0.0
    drawn = {*asdict(NOTHING), "full", "previous"}
    for row in _rows(path):
        if row.get("silence"):
            silences += 1
            continue
        heard += 1
        seconds += row["duration_s"]
        for name, counts in by.items():
            counts[row[name]][0] += 1
            counts[row[name]][1] += row["duration_s"]
        for name in drawn & row.keys():
            changed[name] += 1
    return {
        "heard": heard,
        "hours": seconds / 3600,
        "silences": silences,
        "by": {
            name: {key: {"heard": int(n), "hours": s / 3600} for key, (n, s) in sorted(counts.items())}
            for name, counts in by.items()
        },
        "changed": dict(sorted(changed.items())),
    }


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(f"{path}:{number}: not valid JSON: {error.msg}.") from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None


def _cut(path: Path, step: int) -> None:
    """Keep the lines of steps up to `step`; the steps are in order, so the file is cut at the first other one."""
    if not path.is_file():
        path.touch()
    with path.open("r+b") as file:
        kept = 0
        for line in file:
            if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                break
            kept += len(line)
        file.truncate(kept)
