"""The book as a whole: its pages, its configuration, and a copy that knows its public address."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from utils.notebooks.files import ROOT, notebook_paths, setup_source, stamp_repository

CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = re.findall(r"'(?:root|file)': '([^']+)'", str(CONTENTS))
FOREIGN = re.compile(r"""(?:src|href)=["']((?:https?:)?//[^"']+)""")


def test_the_table_of_contents_lists_every_page_and_no_other() -> None:
    book = ROOT / "book"
    written = {f"book/{path.stem}" for path in [*book.glob("*.ipynb"), *book.glob("*.md")]}
    assert len(PAGES) == len(set(PAGES))
    assert set(PAGES) == written


def test_the_address_is_the_same_everywhere() -> None:
    configuration = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    url = re.search(r'(?m)^REPOSITORY_URL = "(.*?)"', setup_source())
    assert url and url[1] == configuration["repository"]["url"]


def test_pins_are_exact_and_within_the_package_s_bounds() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", pin) for pin in pins), pins
    assert "torch>=2.4" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_vendored_mathematics_has_its_licence_and_is_not_injected_everywhere() -> None:
    vendor = ROOT / "book" / "assets" / "vendor"
    assert all((folder / "LICENSE").is_file() for folder in vendor.iterdir())
    assert not (ROOT / "_static").exists(), "Jupyter Book would put all it holds into every page"


def build(root: Path) -> Path:
    """Build the book of a root strictly; returns the folder of its pages."""
    (root / "utils").symlink_to(ROOT / "utils")  # the explorers' scripts come from there
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ".", "-W", "-n", "-q"]
    done = subprocess.run(
        [*command, "--keep-going"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "_build" / "html"


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of a copy that knows its public address."""
    root = tmp_path_factory.mktemp("stamped")
    shutil.copytree(ROOT / "book", root / "book")
    for name in ("_toc.yml", "_config.yml"):
        shutil.copy(ROOT / name, root)
    stamp_repository("https://github.com/owner/attention", root=root)
    return build(root)


def test_a_stamped_book_links_to_colab(stamped: Path) -> None:
    base = "https://colab.research.google.com/github/owner/attention/blob/main/book"
    for path in notebook_paths():
        page = (stamped / "book" / f"{path.stem}.html").read_text(encoding="utf-8")
        assert f'href="{base}/{path.name}"' in page
        assert "mybinder.org" not in page and "thebe" not in page.lower()
        assert 'href="https://github.com/owner/attention"' in page


def test_pages_load_nothing_from_elsewhere(stamped: Path) -> None:
    """Links may lead elsewhere; scripts, styles, fonts and pictures may not."""
    for page in stamped.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", text):
            found = FOREIGN.search(tag)
            assert found is None or 'rel="canonical"' in tag, f"{page.name}: {tag}"
        assert 'preload" as="font"' not in text


def test_an_unstamped_book_shows_no_button(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    for name in ("assets", "extensions", "images"):
        shutil.copytree(ROOT / "book" / name, tmp_path / "book" / name)
    for name in ("intro.ipynb", "setup_cell.py", "references.bib"):
        shutil.copy(ROOT / "book" / name, tmp_path / "book")
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "book" / "intro.ipynb").write_text(
        '{"cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Title"}],'
        ' "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    stamp = re.sub(r'(?m)^  url: ".*"$', '  url: ""', (tmp_path / "_config.yml").read_text())
    (tmp_path / "_config.yml").write_text(stamp)
    page = (build(tmp_path) / "book" / "intro.html").read_text(encoding="utf-8")
    for word in ("colab", "dropdown-launch-buttons", "dropdown-source-buttons", "github.com"):
        assert word not in page.lower(), word


def test_a_warning_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    for name in ("assets", "extensions", "images"):
        shutil.copytree(ROOT / "book" / name, tmp_path / "book" / name)
    shutil.copy(ROOT / "book" / "references.bib", tmp_path / "book")
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    (tmp_path / "book" / "intro.md").write_text("# Title\n\nSee {eq}`eq-nowhere`.\n")
    with pytest.raises(AssertionError, match="eq-nowhere"):
        build(tmp_path)
