"""What a notebook of the book must hold to: each rule returns the breaches it finds.

nbval compares what a notebook prints with what it stored. These rules close what nbval leaves
open: cells that were never executed, outputs older than their code, blank pictures, pictures
without a description, home paths, and too many cells exempt from comparison.
"""

from __future__ import annotations

import base64
import io
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from nbformat import NotebookNode
from PIL import Image

from utils.notebooks.files import (
    METADATA_KEY,
    ROOT,
    SETUP_TAGS,
    code_cells,
    read_notebook,
    setup_source,
    source_digest,
    tags,
)
from utils.notebooks.timings import load_timings, time_label

IGNORING_TAGS = {"nbval-ignore-output", "nbval-skip", "raises-exception"}
IMAGE_TYPES = ("image/png", "image/jpeg", "image/svg+xml")
PRIVATE_PATH = re.compile(r"(/home/|/root/|/tmp/|/Users/|/private/|/var/folders/|[A-Z]:\\\\?Users)")
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
LONGEST_CELL = 25
LONGEST_MEDIAN = 12
LONGEST_RUN = 150  # seconds
LARGEST_FILE = 3_000_000  # bytes


def output_texts(cell: NotebookNode) -> Iterator[str]:
    """Every textual output of a cell: streams, plain text, HTML, SVG, tracebacks."""
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield "\n".join(output.get("traceback", []))
        for kind, data in output.get("data", {}).items():
            if kind not in ("image/png", "image/jpeg"):
                yield data if isinstance(data, str) else str(data)


def images(cell: NotebookNode) -> list[tuple[str, str]]:
    """The pictures a cell shows, as (media type, data)."""
    return [
        (kind, output["data"][kind])
        for output in cell.get("outputs", [])
        for kind in IMAGE_TYPES
        if kind in output.get("data", {})
    ]


def is_blank(kind: str, data: str) -> bool:
    """Whether a picture shows nothing: one colour only, or axes without anything in them."""
    if kind == "image/svg+xml":
        return len(re.findall(r"<(path|line|rect|circle|text|use|image)\b", data)) < 3
    picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    pixels = np.asarray(picture).reshape(-1, 3)
    drawn = (pixels != pixels[0]).any(axis=1).mean()
    return bool(drawn < 0.002)


def setup_cell(notebook: NotebookNode, root: Path) -> Iterator[str]:
    cells = code_cells(notebook)
    if not cells or "setup" not in tags(cells[0]):
        yield "the first code cell is not the setup cell (tags: remove-cell, setup)"
    elif cells[0].source.strip() != setup_source(root):
        yield "the setup cell differs from book/setup_cell.py: run `make stamp`"
    elif not set(SETUP_TAGS) <= set(tags(cells[0])):
        yield f"the setup cell needs the tags {SETUP_TAGS}"
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        yield "the first cell must be the page's title, '# …'"


def executed(notebook: NotebookNode, root: Path) -> Iterator[str]:
    cells = code_cells(notebook)
    counts = [cell.get("execution_count") for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        yield "cells were not executed from first to last: run `make execute`"
    stored = notebook.metadata.get(METADATA_KEY, {}).get("source_sha256")
    if stored != source_digest(notebook):
        yield "the code changed after the outputs were stored: run `make execute`"


def compared(notebook: NotebookNode, root: Path) -> Iterator[str]:
    cells = code_cells(notebook)
    ignored = [cell for cell in cells if IGNORING_TAGS & set(tags(cell))]
    ignored += [cell for cell in cells if re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE)", cell.source)]
    if len(ignored) * 10 > len(cells):
        yield f"{len(ignored)} of {len(cells)} code cells are not compared; at most one in ten"


def clean_outputs(notebook: NotebookNode, root: Path) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells, 1):
        for text in [cell.source, *output_texts(cell)]:
            if found := PRIVATE_PATH.search(text) or ADDRESS.search(text):
                yield f"cell {number} holds a path or address of one machine: {found[0]}"
        for output in cell.get("outputs", []):
            if output.output_type == "error" and "nbval-raises-exception" not in tags(cell):
                yield f"cell {number} stored an error: {output.ename}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell {number} writes to stderr: {output.text.strip()[:80]}"
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {}) and (
                "text/html" not in output.data
            ):
                yield f"cell {number} shows a widget that would be blank without a kernel"


def figures(notebook: NotebookNode, root: Path) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells, 1):
        pictures = images(cell)
        if not pictures:
            continue
        if len(pictures) > 1:
            yield f"cell {number} shows {len(pictures)} pictures; one a cell, each with its caption"
        options = cell.metadata.get("mystnb", {})
        figure = options.get("figure", {})
        for found, what in (
            (options.get("image", {}).get("alt"), "image.alt"),
            (figure.get("caption"), "figure.caption"),
            (figure.get("name"), "figure.name"),
        ):
            if not found:
                yield f"cell {number} shows a picture without metadata mystnb.{what}"
        if any(is_blank(*picture) for picture in pictures):
            yield f"cell {number} shows a blank picture"


def short_cells(notebook: NotebookNode, root: Path) -> Iterator[str]:
    lengths = {}
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code" or "setup" in tags(cell) or not cell.source.strip():
            continue
        lengths[number] = len(cell.source.strip().splitlines())
        if lengths[number] > LONGEST_CELL:
            yield f"cell {number} has {lengths[number]} lines, at most {LONGEST_CELL}"
        if cell.source.rstrip().endswith(";"):
            yield f"cell {number} ends in ';', which hides nothing when the outputs are compared"
    if lengths and statistics.median(lengths.values()) > LONGEST_MEDIAN:
        yield f"half of the cells have more than {LONGEST_MEDIAN} lines"


def exercises(notebook: NotebookNode, root: Path) -> Iterator[str]:
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    labels = re.findall(
        r"(?m)^`{3,}\{exercise(?:-start)?\}[^\n]*\n(?::[^\n]*\n)*?:label: (\S+)", text
    )
    solved = re.findall(r"(?m)^`{3,}\{solution(?:-start)?\} (\S+)((?:\n:[^\n]*)*)", text)
    if re.match(r"\d\d-", notebook.get("stem", "")) and not 4 <= len(labels) <= 6:
        yield f"there are {len(labels)} exercises with a label, expected 4 to 6"
    for label in sorted(set(labels) - {name for name, _ in solved}):
        yield f"exercise {label} has no solution"
    for name, options in solved:
        if ":class: dropdown" not in options:
            yield f"the solution of {name} is not collapsed (:class: dropdown)"
    if text.count("{solution-start}") != text.count("{solution-end}"):
        yield "a solution-start has no solution-end"


def labelled_time(notebook: NotebookNode, root: Path) -> Iterator[str]:
    measured = load_timings(notebook.get("stem", ""), root)
    labels = [cell.source for cell in notebook.cells if "time-label" in tags(cell)]
    if labels != [time_label(measured)]:
        yield "the cell tagged time-label does not hold the measured time: run `make execute`"
    if measured.get("cpu", {}).get("seconds", 0) > LONGEST_RUN:
        yield f"takes {measured['cpu']['seconds']:.0f} s, at most {LONGEST_RUN}"


RULES: tuple[Callable[[NotebookNode, Path], Iterator[str]], ...] = (
    setup_cell,
    executed,
    compared,
    clean_outputs,
    figures,
    short_cells,
    exercises,
    labelled_time,
)


def check(path: Path, root: Path = ROOT) -> list[str]:
    """Every breach of the rules in one notebook, in words; empty if there is none."""
    notebook = read_notebook(path)
    notebook["stem"] = path.stem  # not part of the format: only lets a rule know the chapter
    found = [breach for rule in RULES for breach in rule(notebook, root)]
    if path.stat().st_size > LARGEST_FILE:
        found.append(f"the file is larger than {LARGEST_FILE / 1e6:.0f} MB: draw smaller pictures")
    return found
