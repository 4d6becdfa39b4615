"""What a run is made on: versions, machine, kernel."""

import platform
from pathlib import Path

import numpy as np
import torch

from action_indrnn import __version__, kernels, processes


def facts(device: torch.device) -> dict[str, str | int]:
    """Returns what a run's numbers and speed may follow from besides its settings, for a reader."""
    found: dict[str, str | int] = {
        "program": f"action-indrnn {__version__}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "processes": processes.count(),
        "recurrence": kernels.backend(torch.empty(1000, 1, 1, device=device)),
    }
    return found


def _processor() -> str:
    """The processor's name where Linux tells it, else its kind."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
