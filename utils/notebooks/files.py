"""Read and write the book's notebooks: where they are, their setup cell, their fingerprint."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
SETUP_TAGS = ["remove-cell", "setup"]
METADATA_KEY = "attention_book"


def notebook_paths(names: Sequence[str] = (), root: Path = ROOT) -> list[Path]:
    """The book's notebooks in order, or only those named.

    Args:
        names: names such as ``01-rnn``, with or without ``.ipynb`` and ``book/``; empty = all.
        root: root of the book's clone.
    Raises:
        ValueError: a name is not a notebook of the book (the known ones are listed).
    """
    known = {path.stem: path for path in sorted((root / "book").glob("*.ipynb"))}
    if not names:
        return list(known.values())
    stems = [Path(name).name.removesuffix(".ipynb") for name in names]
    unknown = [stem for stem in stems if stem not in known]
    if unknown:
        raise ValueError(f"no such notebook: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[stem] for stem in stems]


def read_notebook(path: Path) -> NotebookNode:
    """One notebook, in the current format (4)."""
    return nbformat.read(path, as_version=4)


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: an interrupt or a full disk leaves the old one as it was."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_notebook(path: Path, notebook: NotebookNode) -> None:
    """Normalise, validate and replace one notebook (see `write_text`)."""
    normalise(notebook)
    nbformat.validate(notebook)
    write_text(path, nbformat.writes(notebook) + "\n")


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that hold something, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def setup_source(root: Path = ROOT) -> str:
    """The text of the setup cell, which is the same in every notebook."""
    return (root / "book" / "setup_cell.py").read_text(encoding="utf-8").strip()


def source_digest(notebook: NotebookNode) -> str:
    """A fingerprint of the code that the stored outputs belong to.

    The setup cell is left out: stamping the repository's address changes no result.
    """
    digest = hashlib.sha256()
    for cell in code_cells(notebook):
        if "setup" not in tags(cell):
            digest.update(cell.source.strip().encode() + b"\0")
    return digest.hexdigest()


def normalise(notebook: NotebookNode) -> None:
    """Remove, in place, what differs from one execution or editor to the next."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    kept = notebook.metadata.get(METADATA_KEY)
    notebook.metadata.clear()
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    if kept:
        notebook.metadata[METADATA_KEY] = kept
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        # Named after its source: writing the same notebook twice gives the same file.
        name = hashlib.sha256(f"{cell.cell_type}\0{cell.source}".encode()).hexdigest()[:10]
        seen[name] = seen.get(name, 0) + 1
        cell["id"] = name if seen[name] == 1 else f"{name}-{seen[name]}"
        for volatile in ("execution", "ExecuteTime", "collapsed", "scrolled", "outputId", "id"):
            cell.metadata.pop(volatile, None)


def stamp_setup_cells(paths: Iterable[Path], root: Path = ROOT) -> list[Path]:
    """Copy the shared setup cell into notebooks; returns those that changed.

    Raises:
        ValueError: a notebook has no cell with the tag ``setup``.
    """
    source = setup_source(root)
    changed = []
    for path in paths:
        notebook = read_notebook(path)
        cells = [cell for cell in notebook.cells if "setup" in tags(cell)]
        if len(cells) != 1:
            raise ValueError(f"{path.name} has {len(cells)} cells tagged 'setup', expected 1")
        if cells[0].source != source:
            cells[0].source = source
            write_notebook(path, notebook)
            changed.append(path)
    return changed


def stamp_repository(url: str, root: Path = ROOT) -> list[Path]:
    """Write the repository's public address wherever the book needs it.

    That is ``_config.yml`` (launch and repository buttons) and the setup cell, from there in
    every notebook. An empty address takes it out again.

    Args:
        url: e.g. ``https://github.com/owner/name``.
        root: root of the clone to stamp.
    Returns:
        The files that changed.
    Raises:
        ValueError: the address is not one of a repository, or a file lost its place for it.
    """
    url = url.strip().removesuffix("/").removesuffix(".git")
    if url and not re.fullmatch(r"(https://[\w.-]+/[\w.-]+/[\w.-]+|file:///[^\s\"']+)", url):
        raise ValueError(
            f"{url!r} is not a repository's address; expected https://github.com/owner/name"
        )
    changed = []
    places = {
        root / "_config.yml": r"(?m)^(  url: )\".*\"$",
        root / "book" / "setup_cell.py": r"(?m)^(REPOSITORY_URL = )\".*?\"",
    }
    for path, pattern in places.items():
        before = path.read_text(encoding="utf-8")
        after, count = re.subn(pattern, lambda match: f'{match[1]}"{url}"', before)
        if count != 1:
            raise ValueError(f"{path.name} has {count} places for the address, expected 1")
        if after != before:
            write_text(path, after)
            changed.append(path)
    return changed + stamp_setup_cells(notebook_paths(root=root), root)
