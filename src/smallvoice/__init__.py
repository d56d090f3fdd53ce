"""Fine-tune Whisper on the voices it heard least, and measure honestly what changed.

The verbs of the command line are functions here: `prepare`, `configure`, `train`, `evaluate`, `compare`, `score`,
`report`, `run`, `demo`, `doctor`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["compare", "configure", "demo", "doctor", "evaluate", "prepare", "report", "run", "score", "train"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # 20 ms that `score` need not pay

        return version("smallvoice")
    if name in __all__:
        from smallvoice import judging, verbs

        return getattr(judging, name, None) or getattr(verbs, name)
    raise AttributeError(f"module 'smallvoice' has no attribute {name!r}")
