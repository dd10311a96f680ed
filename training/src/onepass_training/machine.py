"""What a run ran on, and what it took."""

import os
import platform
import resource
import subprocess
from pathlib import Path

import numpy as np
import torch


def machine() -> dict[str, str | int]:
    """CPU model, cores, and the versions that decide speed and digits."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def commit() -> str:
    """The short commit of the code, with a + where files of the package differ from it; "unknown" outside a checkout."""
    here = Path(__file__).parent.parent
    said = [_git(here, "rev-parse", "--short", "HEAD"), _git(here, "status", "--porcelain", "--", str(here))]
    if said[0] is None:
        return "unknown"
    return said[0] + ("+" if said[1] else "")


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(directory), *arguments], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def peak_memory_mib() -> int:
    """Most memory that this process has held resident."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
