"""Where results live: `book/results/NAME.json`, one file an experiment, one entry a seed."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from utils.checkpoints import atomic_write

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "book" / "results"
FORMAT = 1


def describe_machine() -> dict[str, Any]:
    """What a measured time depends on: processor, threads, torch, accelerator."""
    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def describe_commit() -> str:
    """The code's commit, with "+changes" if files differed from it; "unknown" outside git."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "utils")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changed else "")


def _git(*arguments: str) -> str:
    finished = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return finished.stdout.strip()


def results_path(name: str, folder: Path = RESULTS) -> Path:
    """The file of an experiment's results."""
    return folder / f"{name}.json"


def store_run(
    name: str,
    *,
    seed: int,
    settings: dict[str, Any],
    records: list[dict[str, Any]],
    seconds: float,
    folder: Path = RESULTS,
) -> Path:
    """Add one seed's records to an experiment's file, in place of an older run of that seed.

    A file of other settings is not mixed with this run: it is begun anew.

    Returns:
        The file written.
    """
    path = results_path(name, folder)
    stored = {"format": FORMAT, "experiment": name, "settings": settings, "runs": []}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["settings"] == json.loads(json.dumps(settings)):
            stored = before
    run = {
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": describe_commit(),
        "machine": describe_machine(),
        "seconds": round(seconds, 1),
        "records": records,
    }
    others = [other for other in stored["runs"] if other["seed"] != seed]
    stored["runs"] = sorted([*others, run], key=lambda each: each["seed"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(json.dumps(stored, indent=1) + "\n")
    return path


def load_results(
    name: str, *, minimum_seeds: int = 1, folder: Path = RESULTS
) -> list[dict[str, Any]]:
    """Read an experiment's records, each with its seed.

    Args:
        name: as in `python -m utils.experiments NAME`.
        minimum_seeds: how many seeds a claim made from the results needs.
    Raises:
        FileNotFoundError: there are no results; the command that makes them is named.
        ValueError: the file is of another format or holds too few seeds.
    """
    path = results_path(name, folder)
    again = f"run `python -m utils.experiments {name}`"
    if not path.exists():
        raise FileNotFoundError(f"no results at {path.name} in {path.parent.name}: {again}")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not readable JSON ({error}): {again}") from error
    if stored.get("format") != FORMAT or stored.get("experiment") != name:
        raise ValueError(
            f"{path.name} holds experiment {stored.get('experiment')!r} in format "
            f"{stored.get('format')!r}, expected {name!r} in format {FORMAT}: {again}"
        )
    seeds = [run["seed"] for run in stored["runs"]]
    if len(seeds) < minimum_seeds:
        raise ValueError(
            f"{path.name} holds seeds {seeds}, at least {minimum_seeds} are needed: {again}"
        )
    return [{"seed": run["seed"], **record} for run in stored["runs"] for record in run["records"]]


def load_settings(name: str, *, folder: Path = RESULTS) -> dict[str, Any]:
    """The settings an experiment's stored results were made with."""
    load_results(name, folder=folder)
    return json.loads(results_path(name, folder).read_text(encoding="utf-8"))["settings"]
