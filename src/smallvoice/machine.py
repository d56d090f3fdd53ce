"""The machine in numbers: what a time or a memory figure must be read beside. Never its name or its user's."""

from __future__ import annotations

import math
import os
import platform
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil

PACKAGES: tuple[str, ...] = (
    "smallvoice",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "ctranslate2",
    "numpy",
    "jiwer",
)
PACKAGES += ("whisper-normalizer", "pyarrow", "soundfile", "soxr")


def versions() -> dict[str, str]:
    """Python and the packages that results depend on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def facts() -> dict[str, Any]:
    """Processor, cores, memory, operating system."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
    }


def peak_memory_bytes() -> int:
    """The most resident memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts in bytes, Linux in KiB


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def energy_j() -> float | None:
    """Joules that this machine's counters have counted so far, of processors (RAPL) and NVIDIA GPUs (NVML) together.

    Only the difference of two readings means anything, and it is of the whole machine: other work counts too. None
    where nothing is counted, or only for other users than this one.
    """
    counted = [joules for joules in (_processor_joules(), _gpu_joules()) if joules is not None]
    return sum(counted) if counted else None


RAPL = Path("/sys/class/powercap")
"""One folder for each processor package, `intel-rapl:0`, named `package-0`; AMD's too. Its parts (`intel-rapl:0:0`) are
counted in it, and the platform beside it (`psys`) counts it again."""
MOST_WATTS = 400.0
"""Of a processor package: its counter begins anew after so many joules, and nobody can tell how often."""


def _processor_joules() -> float | None:
    found = [_number(package / "energy_uj") for package in _packages()]
    known = [microjoules / 1e6 for microjoules in found if microjoules is not None]
    return sum(known) if known else None


def countable_s() -> float:
    """For so long the counters of `energy_j` cannot have begun anew; infinite where nothing says that they do."""
    counted = (package for package in _packages() if _number(package / "energy_uj") is not None)
    ranges = (_number(package / "max_energy_range_uj") for package in counted)
    return min((most / 1e6 / MOST_WATTS for most in ranges if most), default=math.inf)


def _packages() -> list[Path]:
    return [path for path in sorted(RAPL.glob("intel-rapl:?")) if _text(path / "name").startswith("package-")]


def _number(path: Path) -> int | None:
    return int(text) if (text := _text(path)).isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):  # most systems let only the administrator read the counters
        return ""


def _gpu_joules() -> float | None:
    try:
        import pynvml

        pynvml.nvmlInit()
        devices = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(device) for device in devices) / 1e3 if devices else None
    except Exception:  # without the package, a driver or a counter: NVML has an error class for each
        return None


def matmul_gflops(seconds: float = 0.15) -> float:
    """Float32 matrix products per second, in units of 10⁹ operations: the best of three sizes.

    Times on shared machines mean little without the rate measured in the same run. Uses torch where it is
    loaded, so that the threads are the ones that the work uses; numpy else.

    Args:
        seconds: how long each size is tried for.
    """
    torch = sys.modules.get("torch")
    best = 0.0
    for size in (1024, 2048, 4096):
        if torch is not None:
            a = b = torch.ones(size, size)
        else:
            a = b = np.ones((size, size), dtype=np.float32)
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            before = time.perf_counter()
            a @ b
            best = max(best, 2 * size**3 / (time.perf_counter() - before) / 1e9)
    return best
