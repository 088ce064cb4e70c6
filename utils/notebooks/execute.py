"""Execute the book's notebooks in place, several at once, and measure how long each takes."""

from __future__ import annotations

import asyncio
import datetime
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from utils.notebooks.files import (
    METADATA_KEY,
    ROOT,
    code_cells,
    read_notebook,
    source_digest,
    write_notebook,
)
from utils.notebooks.timings import load_timings, machine, store_timing, write_time_label

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class NotebookError(RuntimeError):
    """A notebook failed; the message names it, the cell and the error."""


def describe_failure(path: Path, notebook: NotebookNode, error: Exception) -> str:
    """One readable message: which notebook, which cell, what happened."""
    number = next(
        (
            index
            for index, cell in enumerate(notebook.cells, 1)
            if any(output.output_type == "error" for output in cell.get("outputs", []))
        ),
        None,
    )
    place = f"cell {number} of {len(notebook.cells)}" if number else "the kernel"
    if isinstance(error, CellExecutionError):
        source = notebook.cells[number - 1].source if number else ""
        return f"{path.name}, {place}:\n\n{source}\n\n{error.ename}: {error.evalue}"
    if isinstance(error, CellTimeoutError):
        return f"{path.name}: a cell ran longer than the limit"
    return f"{path.name}, {place}: {error}"


def drop_widget_views(notebook: NotebookNode) -> None:
    """Keep a widget's HTML alone: the widget dies with its kernel, and its id is random."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "text/html" in output.get("data", {}):
                output.data.pop(WIDGET_VIEW, None)


async def run_cells(
    path: Path, notebook: NotebookNode, *, device: str, timeout: int
) -> dict[str, Any]:
    """Execute one notebook in memory, in its own folder.

    Returns:
        ``cpu_seconds`` of the kernel and ``wall_seconds``.
    Raises:
        NotebookError: a cell failed, took longer than ``timeout`` seconds, or the kernel died.
    """
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        coalesce_streams=True,
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.reset_execution_trackers()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "ATTENTION_BOOK_DEVICE": device,
        "PYTHONHASHSEED": "0",
    }
    started = time.perf_counter()
    try:
        async with client.async_setup_kernel(env=environment):
            for index, cell in enumerate(notebook.cells):
                await client.async_execute_cell(cell, index)
            # The kernel is about to be stopped: ask the system what it used while it lives.
            used = psutil.Process(client.km.provisioner.process.pid).cpu_times()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(describe_failure(path, notebook, error)) from None
    drop_widget_views(notebook)
    return {
        "cpu_seconds": round(used.user + used.system, 1),
        "wall_seconds": round(time.perf_counter() - started, 1),
    }


async def execute_one(
    path: Path, *, device: str, timeout: int, save: bool, root: Path
) -> dict[str, Any]:
    """Execute one notebook; store its time and, with ``save``, its outputs."""
    notebook = read_notebook(path)
    used = await run_cells(path, notebook, device=device, timeout=timeout)
    measured = used | {
        # One thread: what the kernel used is what a reader waits for on an idle machine.
        "seconds": used["cpu_seconds"] if device == "cpu" else used["wall_seconds"],
        "machine": machine(device),
        "date": datetime.date.today().isoformat(),
    }
    store_timing(path.stem, device, measured, root)
    if not save:  # the outputs stay those of the processor; only the sentence is renewed
        notebook = read_notebook(path)
    else:
        notebook.metadata[METADATA_KEY] = {"source_sha256": source_digest(notebook)}
    write_time_label(notebook, load_timings(path.stem, root))
    write_notebook(path, notebook)
    return measured


async def _execute_all(
    paths: Sequence[Path], *, device: str, timeout: int, save: bool, jobs: int, root: Path
) -> list[str]:
    semaphore = asyncio.Semaphore(jobs)
    failures: list[str] = []

    async def one(path: Path) -> None:
        async with semaphore:
            try:
                measured = await execute_one(
                    path, device=device, timeout=timeout, save=save, root=root
                )
            except NotebookError as error:
                failures.append(str(error))
                print(f"{path.name}: failed, left as it was", flush=True)
            else:
                count = len(code_cells(read_notebook(path)))
                seconds = f"{measured['cpu_seconds']:.0f} s of CPU"
                print(f"{path.name}: {count} code cells, {seconds}", flush=True)

    await asyncio.gather(*(one(path) for path in paths))
    return failures


def execute(
    paths: Sequence[Path],
    *,
    device: str = "cpu",
    timeout: int = 600,
    save: bool = True,
    jobs: int = 2,
    root: Path = ROOT,
) -> None:
    """Execute notebooks in place: outputs, times and the sentence about the time are renewed.

    Args:
        paths: notebooks of the book.
        device: what the code in them trains on: "cpu" or "cuda". Stored outputs are those of
            the CPU, so that every machine can compare them.
        timeout: limit for one cell, in seconds.
        save: False only measures.
        jobs: how many run at once, one thread each.
        root: root of the book's clone.
    Raises:
        NotebookError: at least one failed; those are left exactly as they were.
    """
    failures = asyncio.run(
        _execute_all(paths, device=device, timeout=timeout, save=save, jobs=jobs, root=root)
    )
    if failures:
        raise NotebookError("\n\n".join(failures))
