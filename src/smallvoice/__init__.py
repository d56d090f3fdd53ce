"""Fine-tune Whisper on the voices it heard least, and measure honestly what changed.

The verbs of the command line are functions here: `prepare`, `configure`, `train`, `evaluate`, `compare`, `score`,
`report`, `transcribe`, `export`, `push`, `run`, `demo`, `doctor`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["compare", "configure", "demo", "doctor", "evaluate", "prepare", "report", "run", "score", "train"]
__all__ += ["export", "push", "transcribe"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # 20 ms that `score` need not pay

        return version("smallvoice")
    if name in __all__:
        from smallvoice import judging, publishing, using, verbs

        return next(getattr(place, name) for place in (judging, publishing, using, verbs) if hasattr(place, name))
    raise AttributeError(f"module 'smallvoice' has no attribute {name!r}")
