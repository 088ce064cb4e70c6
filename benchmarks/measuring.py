"""Measure variants side by side: interleaved, by processor time, medians and spread."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from utils.checkpoints import atomic_write


def processor_seconds(work: Callable[[], object]) -> float:
    """Seconds of processor time that `work` takes.

    With one thread that is its time on an idle machine: waiting while other programs have the
    core does not count, though the caches they fill do.
    """
    begin = time.process_time()
    work()
    return time.process_time() - begin


def device_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that `work` takes: processor time on a CPU, time on the wall on a GPU."""
    if device.type == "cpu":
        return processor_seconds(work)
    torch.cuda.synchronize(device)
    begin = time.perf_counter()
    work()
    torch.cuda.synchronize(device)  # a GPU works on after Python has gone ahead
    return time.perf_counter() - begin


def interleave(
    variants: dict[str, Callable[[int], float]],
    repetitions: int,
    report: Callable[[str], object],
    *,
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Measure every variant once a repetition, so that a slow minute hits all of them.

    Args:
        variants: each maps the repetition's number to a rate; every second repetition runs them
            in the opposite order. Repetition -1 warms up and is thrown away.
        warm_up: False leaves that repetition out, where warming up takes less.
    """
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for repetition in range(-1 if warm_up else 0, repetitions):
        order = list(variants) if repetition % 2 else list(reversed(variants))
        for name in order:
            rate = variants[name](max(repetition, 0))
            if repetition >= 0:
                rates[name].append(rate)
                report(f"{repetition + 1}/{repetitions}  {name}: {rate:,.1f}")
    return rates


def summarise(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {
        "median": statistics.median(values),
        "minimum": min(values),
        "maximum": max(values),
    }


def ratio(rates: dict[str, list[float]], over: str, under: str) -> dict[str, float]:
    """Rate of `over` per rate of `under`, taken in each repetition before the median."""
    return summarise([a / b for a, b in zip(rates[over], rates[under], strict=True)])


def matmul_peak(dtype: torch.dtype, size: int) -> float:
    """Operations a processor second in a product of two (size, size) matrices, best of 5."""
    left, right = torch.randn(2, size, size).to(dtype)
    seconds = min(processor_seconds(lambda: left @ right) for _ in range(5))
    return 2 * size**3 / seconds


def store(path: Path, results: dict) -> None:
    """Write results as JSON, whole or not at all."""
    with atomic_write(path) as file:
        file.write(json.dumps(results, indent=2) + "\n")
