"""What a stage of a run cost: time, memory, energy."""

from __future__ import annotations

import time

from smallvoice import machine


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
        if seconds > elapsed or now is None or self.energy_j is None or now < self.energy_j:
            return {**cost, "seconds": seconds}
        return {**cost, "seconds": seconds, "energy_j": now - self.energy_j}
