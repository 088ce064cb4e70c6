"""The tools for notebooks: execute in place, time, stamp, and lose nothing when something fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from utils.notebooks import timings
from utils.notebooks.__main__ import main
from utils.notebooks.execute import NotebookError, execute
from utils.notebooks.files import (
    METADATA_KEY,
    ROOT,
    notebook_paths,
    read_notebook,
    setup_source,
    source_digest,
    stamp_repository,
    stamp_setup_cells,
    write_notebook,
    write_text,
)


def write_book(root: Path, **notebooks: list) -> Path:
    """A root with the configuration of the book and some notebooks."""
    (root / "book").mkdir(parents=True)
    shutil.copy(ROOT / "book" / "setup_cell.py", root / "book")
    shutil.copy(ROOT / "_config.yml", root)
    for name, cells in notebooks.items():
        title = v4.new_markdown_cell("# Title")
        setup = v4.new_code_cell("pass", metadata={"tags": ["remove-cell", "setup"]})
        label = v4.new_markdown_cell("later", metadata={"tags": ["time-label"]})
        path = root / "book" / f"{name}.ipynb"
        path.write_text(nbformat.writes(v4.new_notebook(cells=[title, setup, label, *cells])))
    return root


def test_execute_stores_outputs_times_and_a_fingerprint(tmp_path: Path) -> None:
    program = (
        "import os\nprint(6 * 7, os.path.basename(os.getcwd()))\nos.environ['OMP_NUM_THREADS']"
    )
    root = write_book(tmp_path, one=[v4.new_code_cell(program)], two=[v4.new_code_cell("1 + 1")])
    execute(notebook_paths(root=root), root=root)
    notebook = read_notebook(root / "book" / "one.ipynb")
    stream, value = notebook.cells[3].outputs
    assert stream.text == "42 book\n"
    assert value.data["text/plain"] == "'1'"
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == [1, 2]
    assert notebook.metadata[METADATA_KEY]["source_sha256"] == source_digest(notebook)
    measured = timings.load_timings("one", root)
    assert 0 < measured["cpu"]["seconds"] < 60
    assert notebook.cells[2].source == timings.time_label(measured)
    assert "not measured" in notebook.cells[2].source  # the GPU
    before = (root / "book" / "one.ipynb").read_text()
    write_notebook(root / "book" / "one.ipynb", notebook)
    assert (root / "book" / "one.ipynb").read_text() == before, "writing twice changes nothing"


def test_a_failure_names_the_cell_and_leaves_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bad = [v4.new_code_cell("x = 1"), v4.new_code_cell("raise ValueError('the reason')")]
    root = write_book(tmp_path, bad=bad, slow=[v4.new_code_cell("import time; time.sleep(30)")])
    before = {path: path.read_bytes() for path in notebook_paths(root=root)}
    with pytest.raises(NotebookError) as caught:
        execute(notebook_paths(root=root), root=root, timeout=2)
    message = str(caught.value)
    assert "bad.ipynb, cell 5 of 5" in message
    assert "ValueError: the reason" in message
    assert "slow.ipynb: a cell ran longer" in message
    assert {path: path.read_bytes() for path in before} == before
    assert "left as it was" in capsys.readouterr().out


def test_timing_changes_no_output(tmp_path: Path) -> None:
    cells = [v4.new_code_cell("import time; time.perf_counter()")]
    root = write_book(tmp_path, one=cells)
    path = root / "book" / "one.ipynb"
    execute([path], root=root)
    stored = read_notebook(path).cells[3].outputs
    execute([path], root=root, save=False)
    assert read_notebook(path).cells[3].outputs == stored


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "less than 10 seconds"), (42, "about 40 seconds"), (150, "about 2.5 minutes")],
)
def test_durations_claim_no_false_precision(seconds: float, text: str) -> None:
    assert timings.duration(seconds) == text


def test_both_devices_are_kept_and_shown(tmp_path: Path) -> None:
    entry = {"seconds": 12.0, "machine": "one"}
    timings.store_timing("a", "cpu", entry, tmp_path)
    timings.store_timing("a", "cuda", entry | {"machine": "two"}, tmp_path)
    label = timings.time_label(timings.load_timings("a", tmp_path))
    assert "CPU: about 10 seconds (one)" in label
    assert "GPU: about 10 seconds (two)" in label
    assert timings.load_timings("unknown", tmp_path) == {}
    assert "one thread" in timings.machine("cpu")
    assert timings.machine("mps") == "mps"


def test_stamping_writes_one_address_everywhere(tmp_path: Path) -> None:
    root = write_book(tmp_path, one=[], two=[])
    paths = notebook_paths(root=root)
    assert stamp_setup_cells(paths, root) == paths
    assert stamp_setup_cells(paths, root) == []
    url = "https://github.com/owner/attention"
    changed = stamp_repository(url + ".git/", root)
    assert len(changed) == 4
    assert f'url: "{url}"' in (root / "_config.yml").read_text()
    assert f'REPOSITORY_URL = "{url}"' in setup_source(root)
    assert all(read_notebook(path).cells[1].source == setup_source(root) for path in paths)
    stamp_repository("", root)
    assert '  url: ""' in (root / "_config.yml").read_text()
    assert 'REPOSITORY_URL = ""' in setup_source(root)


@pytest.mark.parametrize(
    "url", ["github.com/a/b", 'https://x.org/a/b"', "https://github.com/a", "x"]
)
def test_a_wrong_address_is_refused(url: str, tmp_path: Path) -> None:
    root = write_book(tmp_path, one=[])
    with pytest.raises(ValueError, match="expected https://github.com/owner/name"):
        stamp_repository(url, root)


def test_what_cannot_be_stamped_is_named(tmp_path: Path) -> None:
    root = write_book(tmp_path, one=[])
    path = root / "book" / "one.ipynb"
    notebook = read_notebook(path)
    del notebook.cells[1]
    write_notebook(path, notebook)
    with pytest.raises(ValueError, match="one.ipynb has 0 cells tagged 'setup'"):
        stamp_setup_cells([path], root)
    (root / "_config.yml").write_text("title: x\n")
    with pytest.raises(ValueError, match="_config.yml has 0 places"):
        stamp_repository("https://github.com/a/b", root)


def test_a_failing_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("old")

    def full(*_arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("utils.notebooks.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_names_are_listed() -> None:
    with pytest.raises(ValueError, match="no such notebook: 99-nothing; there are"):
        notebook_paths(["99-nothing"])
    assert notebook_paths(["book/intro.ipynb"]) == [ROOT / "book" / "intro.ipynb"]


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert main(["check", "99-nothing"]) == 1
    assert "no such notebook" in capsys.readouterr().err
    root = write_book(tmp_path, one=[v4.new_code_cell("1")])
    paths = notebook_paths(root=root)
    monkeypatch.setattr("utils.notebooks.__main__.notebook_paths", lambda names: paths)
    monkeypatch.setattr("utils.notebooks.__main__.stamp_repository", lambda url: paths)
    assert main(["stamp"]) == 0
    assert "stamped one.ipynb" in capsys.readouterr().out
    assert main(["repository", "https://github.com/a/b"]) == 0
    assert main(["check"]) == 1
    assert "one.ipynb: cells were not executed" in capsys.readouterr().out
    called = []
    monkeypatch.setattr("utils.notebooks.execute.execute", lambda *a, **k: called.append((a, k)))
    assert main(["execute", "--jobs", "3"]) == 0
    assert main(["time", "--device", "cuda"]) == 0
    assert [(k["device"], k["save"], k["jobs"]) for _, k in called] == [
        ("cpu", True, 3),
        ("cuda", False, 1),
    ]
    assert json.loads(paths[0].read_text())["nbformat"] == 4
