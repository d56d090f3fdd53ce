"""What a stage of a run cost: time, memory, energy."""

from __future__ import annotations

import time
from collections.abc import Sequence

from smallvoice import machine
from smallvoice.run_folder import RunFolder
from smallvoice.storage import read_marker, write_json

COSTS = ("seconds", "energy_j", "last_part", "precision", "matmul_gflops")
"""What a stage's marker says of its cost."""


class Started:
    """When a stage began, and what the machine's energy counters said then."""

    def __init__(self) -> None:
        self.time, self.energy_j = time.monotonic(), machine.energy_j()

    def cost(self, done: object) -> dict[str, float | bool | str]:
        """Seconds since, the most memory, and joules where they are counted; a counter that has begun anew gives none.
        Of training its precision too, which is the machine's choice.

        Args:
            done: what the stage's verb returned. Training that was cut off knows the time and memory of all its parts;
                decoding does not (`decode_s` is null), and what is given is that of the last part, said as such.
        """
        facts = done if isinstance(done, dict) else {}
        cost: dict[str, float | bool | str] = {
            "peak_memory_bytes": max(machine.peak_memory_bytes(), facts.get("peak_memory_bytes", 0))
        }
        if "precision" in facts:
            cost["precision"] = facts["precision"]
        elapsed, now = time.monotonic() - self.time, machine.energy_j()
        if facts.get("decode_s", 0.0) is None:
            return {**cost, "seconds": elapsed, "last_part": True}
        seconds = max(elapsed, facts.get("seconds", 0.0))
        unknown = now is None or self.energy_j is None or now < self.energy_j
        if unknown or seconds > elapsed or elapsed > machine.countable_s():
            return {**cost, "seconds": seconds}
        return {**cost, "seconds": seconds, "energy_j": now - self.energy_j}


def say_where(folder: RunFolder, stages: Sequence[str]) -> None:
    """Write what times and figures of a run must be read beside, from the markers of its stages."""
    markers = {stage: marker for stage in stages if (marker := read_marker(folder.path, stage))}
    write_json(
        folder.provenance,
        {
            "versions": machine.versions(),
            "machine": machine.facts(),
            "stages": {
                stage: {name: marker[name] for name in COSTS if name in marker} for stage, marker in markers.items()
            },
            "peak_memory_bytes": max(marker["peak_memory_bytes"] for marker in markers.values()),
        },
    )
