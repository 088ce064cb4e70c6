"""The experiments by name, and the one way to run them."""

import importlib
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from utils.experiments.store import RESULTS, store_run

EXPERIMENTS: tuple[str, ...] = (
    "source-order",
    "gated-units",
    "context-width",
    "short-to-long",
    "attention-lengths",
    "alignment-ablations",
    "luong-general",
    "luong-scores",
    "luong-windows",
    "luong-feeding",
    "visual-attention",
    "sight",
    "even-looking",
    "translation-quality",
    "translation-ablations",
)


def experiment_module(name: str) -> ModuleType:
    """Import an experiment. Names have hyphens, modules underscores.

    Raises:
        ValueError: no such experiment; the known ones are listed.
    """
    if name not in EXPERIMENTS:
        known = ", ".join(EXPERIMENTS)
        raise ValueError(f"no experiment is called {name!r}; there are: {known}")
    return importlib.import_module(f"utils.experiments.{name.replace('-', '_')}")


def run_experiment(
    name: str,
    *,
    seeds: list[int] | None = None,
    quick: bool = False,
    folder: Path = RESULTS,
) -> list[dict[str, Any]]:
    """Run an experiment for some seeds; each seed's records are stored as soon as it is done."""
    module = experiment_module(name)
    settings = {**module.SETTINGS, **module.QUICK} if quick else module.SETTINGS
    collected = []
    for seed in module.SEEDS if seeds is None else seeds:
        started = time.monotonic()
        records = module.run(seed, settings)
        store_run(
            name,
            seed=seed,
            settings=settings,
            records=records,
            seconds=time.monotonic() - started,
            folder=folder,
        )
        collected += [{"seed": seed, **record} for record in records]
    return collected
