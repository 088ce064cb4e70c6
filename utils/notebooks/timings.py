"""How long each notebook takes, measured, and the sentence each page shows about it."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from utils.notebooks.files import ROOT, tags, write_text


def timings_path(name: str, root: Path = ROOT) -> Path:
    """Where one notebook's measured times are stored."""
    return root / "book" / "results" / "timings" / f"{name}.json"


def load_timings(name: str, root: Path = ROOT) -> dict[str, Any]:
    """One notebook's measured times by device ("cpu", "cuda"); empty if never measured."""
    path = timings_path(name, root)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def store_timing(name: str, device: str, measured: dict[str, Any], root: Path = ROOT) -> None:
    """Record one notebook's time on one kind of device; the others' stay."""
    timings = load_timings(name, root) | {device: measured}
    path = timings_path(name, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(timings, indent=2, sort_keys=True) + "\n")


def processor_name() -> str:
    """The processor's name as the system tells it, else its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine(device: str) -> str:
    """A description of the hardware a measurement ran on."""
    if device == "cpu":
        return f"{processor_name()}, {os.cpu_count()} cores, one thread used"
    import torch  # only here: everything else in these tools works without it

    return torch.cuda.get_device_name() if device.startswith("cuda") else device


def duration(seconds: float) -> str:
    """A duration that claims no more precision than it has."""
    if seconds < 10:
        return "less than 10 seconds"
    if seconds < 110:
        return f"about {5 * round(seconds / 5)} seconds"
    return f"about {seconds / 60:.1f} minutes"


def time_label(measured: dict[str, Any]) -> str:
    """The generated sentence about time and hardware.

    Args:
        measured: what `load_timings` gives for a notebook.
    """
    parts = []
    for device, title in (("cpu", "CPU"), ("cuda", "GPU")):
        if device in measured:
            entry = measured[device]
            parts.append(f"{title}: {duration(entry['seconds'])} ({entry['machine']})")
        else:
            parts.append(f"{title}: not measured")
    return f"**Time and hardware.** {'. '.join(parts)}."


def write_time_label(notebook: NotebookNode, measured: dict[str, Any]) -> None:
    """Put the generated sentence into the cell tagged ``time-label``, if there is one."""
    for cell in notebook.cells:
        if "time-label" in tags(cell):
            cell.source = time_label(measured)
