"""Every notebook holds to the book's rules, and every rule catches what it is there for."""

from __future__ import annotations

import base64
import copy
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nbformat import NotebookNode, v4
from PIL import Image

from utils.notebooks.files import (
    METADATA_KEY,
    ROOT,
    code_cells,
    notebook_paths,
    setup_source,
    source_digest,
    write_notebook,
)
from utils.notebooks.rules import check, is_blank
from utils.notebooks.timings import store_timing, time_label

NOTEBOOKS = notebook_paths()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebook_holds_to_the_rules(path: Path) -> None:
    breaches = check(path)
    assert not breaches, "\n" + "\n".join(breaches)


def test_all_notebooks_have_the_same_setup_cell() -> None:
    cells = {code_cells(copy.deepcopy(read))[0].source.strip() for read in map(_read, NOTEBOOKS)}
    assert cells == {setup_source()}


def _read(path: Path) -> NotebookNode:
    from utils.notebooks.files import read_notebook

    return read_notebook(path)


def picture(*, blank: bool = False) -> str:
    """A small PNG: a diagonal on white, or nothing."""
    pixels = np.full((40, 40, 3), 255, dtype=np.uint8)
    if not blank:
        pixels[np.arange(40), np.arange(40)] = 0
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def exercise(name: str) -> str:
    """An exercise and its collapsed solution."""
    return (
        f"```{{exercise}} Title\n:label: ex-{name}\nText.\n```\n\n"
        f"```{{solution-start}} ex-{name}\n:label: sol-{name}\n:class: dropdown\n```\n\nWords.\n\n"
        "```{solution-end}\n```"
    )


def good_notebook() -> NotebookNode:
    """A chapter that breaks no rule."""
    described = {
        "image": {"alt": "A diagonal"},
        "figure": {"caption": "A diagonal.", "name": "fig-a"},
    }
    drawn = v4.new_output("display_data", {"image/png": picture()})
    cells = [
        v4.new_markdown_cell("# Title"),
        v4.new_code_cell(setup_source(), metadata={"tags": ["remove-cell", "setup"]}),
        v4.new_markdown_cell(
            time_label({"cpu": {"seconds": 20, "machine": "one"}}),
            metadata={"tags": ["time-label"]},
        ),
        v4.new_code_cell("print(1)", outputs=[v4.new_output("stream", name="stdout", text="1\n")]),
        v4.new_code_cell("draw()", metadata={"mystnb": described}, outputs=[drawn]),
        v4.new_markdown_cell("\n\n".join(exercise(name) for name in "abcd")),
    ]
    cells += [v4.new_code_cell(f"x = {number}") for number in range(10)]
    notebook = v4.new_notebook(cells=cells)
    for number, cell in enumerate(code_cells(notebook), 1):
        cell.execution_count = number
    notebook.metadata[METADATA_KEY] = {"source_sha256": source_digest(notebook)}
    return notebook


def breaches_of(notebook: NotebookNode, tmp_path: Path, *, seconds: float = 20) -> list[str]:
    (tmp_path / "book").mkdir(exist_ok=True)
    (tmp_path / "book" / "setup_cell.py").write_text(setup_source())
    store_timing("01-x", "cpu", {"seconds": seconds, "machine": "one"}, tmp_path)
    path = tmp_path / "book" / "01-x.ipynb"
    write_notebook(path, notebook)
    return check(path, tmp_path)


def test_a_good_notebook_breaks_no_rule(tmp_path: Path) -> None:
    assert breaches_of(good_notebook(), tmp_path) == []


def unexecuted(notebook: NotebookNode) -> None:
    notebook.cells[3].execution_count = None


def out_of_order(notebook: NotebookNode) -> None:
    notebook.cells[3].execution_count = 7


def stale(notebook: NotebookNode) -> None:
    notebook.cells[3].source = "print(2)"


def ignored(notebook: NotebookNode) -> None:
    for cell in notebook.cells[-2:]:
        cell.metadata["tags"] = ["nbval-ignore-output"]


def ignored_by_comment(notebook: NotebookNode) -> None:
    for cell in notebook.cells[-2:]:
        cell.source = "# NBVAL_IGNORE_OUTPUT\n1"


def home_path(notebook: NotebookNode) -> None:
    notebook.cells[3].outputs[0].text = "/home/somebody/book"


def address(notebook: NotebookNode) -> None:
    notebook.cells[3].outputs[0].text = "<object at 0x7f00aabbccdd>"


def warning(notebook: NotebookNode) -> None:
    notebook.cells[3].outputs[0].name = "stderr"


def error(notebook: NotebookNode) -> None:
    notebook.cells[3].outputs = [v4.new_output("error", ename="E", evalue="", traceback=[])]


def widget(notebook: NotebookNode) -> None:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    notebook.cells[3].outputs = [v4.new_output("display_data", view)]


def blank(notebook: NotebookNode) -> None:
    notebook.cells[4].outputs[0].data["image/png"] = picture(blank=True)


def no_alt(notebook: NotebookNode) -> None:
    del notebook.cells[4].metadata["mystnb"]["image"]


def no_caption(notebook: NotebookNode) -> None:
    del notebook.cells[4].metadata["mystnb"]["figure"]["caption"]


def two_pictures(notebook: NotebookNode) -> None:
    notebook.cells[4].outputs *= 2


def long_cell(notebook: NotebookNode) -> None:
    notebook.cells[3].source = "\n".join(["print(1)"] * 26)


def long_cells(notebook: NotebookNode) -> None:
    for cell in notebook.cells[-9:]:
        cell.source = "\n".join(["print(1)"] * 13)


def semicolon(notebook: NotebookNode) -> None:
    notebook.cells[3].source = "print(1);"


def other_setup(notebook: NotebookNode) -> None:
    notebook.cells[1].source += "\nmore = 1"


def no_setup(notebook: NotebookNode) -> None:
    notebook.cells[1].metadata["tags"] = []


def shown_setup(notebook: NotebookNode) -> None:
    notebook.cells[1].metadata["tags"] = ["setup"]


def no_title(notebook: NotebookNode) -> None:
    notebook.cells[0].source = "Title"


def few_exercises(notebook: NotebookNode) -> None:
    notebook.cells[5].source = exercise("a")


def no_solution(notebook: NotebookNode) -> None:
    notebook.cells[5].source = notebook.cells[5].source.replace("solution-start} ex-a", "note} x")


def open_solution(notebook: NotebookNode) -> None:
    notebook.cells[5].source = notebook.cells[5].source.replace(":class: dropdown", "", 1)


def other_time(notebook: NotebookNode) -> None:
    notebook.cells[2].source = "**Time and hardware.** One second."


BREAKS: list[tuple[Callable[[NotebookNode], None], str]] = [
    (unexecuted, "were not executed from first to last"),
    (out_of_order, "were not executed from first to last"),
    (stale, "the code changed after the outputs were stored"),
    (ignored, "2 of 13 code cells are not compared"),
    (ignored_by_comment, "2 of 13 code cells are not compared"),
    (home_path, "path or address of one machine: /home/"),
    (address, "path or address of one machine: 0x7f00"),
    (warning, "cell 4 writes to stderr"),
    (error, "cell 4 stored an error: E"),
    (widget, "cell 4 shows a widget"),
    (blank, "cell 5 shows a blank picture"),
    (no_alt, "without metadata mystnb.image.alt"),
    (no_caption, "without metadata mystnb.figure.caption"),
    (two_pictures, "cell 5 shows 2 pictures"),
    (long_cell, "cell 4 has 26 lines"),
    (long_cells, "half of the cells have more than 12 lines"),
    (semicolon, "ends in ';'"),
    (other_setup, "differs from book/setup_cell.py"),
    (no_setup, "the first code cell is not the setup cell"),
    (shown_setup, "the setup cell needs the tags"),
    (no_title, "the first cell must be the page's title"),
    (few_exercises, "there are 1 exercises with a label"),
    (no_solution, "exercise ex-a has no solution"),
    (open_solution, "the solution of ex-a is not collapsed"),
    (other_time, "does not hold the measured time"),
]


@pytest.mark.parametrize(("breaking", "message"), BREAKS, ids=[b.__name__ for b, _ in BREAKS])
def test_a_rule_catches_its_breach(
    breaking: Callable[[NotebookNode], None], message: str, tmp_path: Path
) -> None:
    notebook = good_notebook()
    breaking(notebook)
    assert message in "\n".join(breaches_of(notebook, tmp_path))


def test_a_slow_or_large_notebook_is_caught(tmp_path: Path) -> None:
    notebook = good_notebook()
    notebook.cells[3].source += "#" * 3_000_001
    found = "\n".join(breaches_of(notebook, tmp_path, seconds=151))
    assert "takes 151 s, at most 150" in found
    assert "larger than 3 MB" in found


def test_blank_pictures_are_told_from_drawn_ones() -> None:
    assert is_blank("image/png", picture(blank=True))
    assert not is_blank("image/png", picture())
    assert is_blank("image/svg+xml", "<svg><rect/></svg>")
    assert not is_blank("image/svg+xml", "<svg><rect/><path/><text/><line/></svg>")


def test_the_book_has_notebooks() -> None:
    assert ROOT / "book" / "intro.ipynb" in NOTEBOOKS
