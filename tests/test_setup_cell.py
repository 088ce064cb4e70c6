"""The hidden first cell of every notebook, run in clean environments.

Three places: inside a clone, as a downloaded notebook, and in Colab (a stand-in for
``google.colab``, a local repository at the stamped address, and two packages missing). Each runs
in a virtual environment of its own, where the installed packages are linked in one by one, so
that some can be left out. Nothing is downloaded: what is missing comes from a folder.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from utils.notebooks.files import (
    ROOT,
    code_cells,
    notebook_paths,
    read_notebook,
    setup_source,
    stamp_repository,
)

MISSING = ("sacrebleu", "sentencepiece")
REPORT = """
import importlib.util, os, sys, utils.runtime
from importlib.metadata import version
print("root", os.path.dirname(os.path.dirname(utils.runtime.__file__)))
print("folder", os.getcwd())
print("torch", version("torch"))
names = ("sacrebleu", "sentencepiece")
print("missing", any(importlib.util.find_spec(name) is None for name in names))
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that lacks some packages, and a folder to install them from."""

    python: Path
    wheels: Path

    def run(self, source: str, folder: Path) -> subprocess.CompletedProcess:
        """Run a program in a folder, with no network and nothing of this process's paths."""
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": os.devnull,
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [self.python, "-c", source],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )


def make_wheel(folder: Path, name: str, version: str) -> None:
    """A package that can be installed and imported and holds nothing."""
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", f"__version__ = '{version}'\n")
        wheel.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{information}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{information}/RECORD", "")


def make_environment(folder: Path) -> Environment:
    """A fresh environment with all installed packages but some, and a tempting newer torch."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    installed = Path(sysconfig.get_paths()["purelib"])
    packages = folder / "packages"
    packages.mkdir()
    for entry in installed.iterdir():
        if not entry.name.lower().startswith((*MISSING, "pip", "setuptools", "_distutils")):
            (packages / entry.name).symlink_to(entry)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = folder / "venv" / "lib" / version / "site-packages"
    (own / "linked.pth").write_text(f"{packages}\n")
    wheels = folder / "wheels"
    wheels.mkdir()
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    for name in MISSING:
        pinned = next(line for line in pins if line.startswith(name)).split("==")[1]
        make_wheel(wheels, name, pinned)
    make_wheel(wheels, "torch", "99.0")
    return Environment(python, wheels)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return make_environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose notebooks carry its own (file) address."""
    folder = tmp_path_factory.mktemp("published") / "attention"
    for name in ("utils", "book"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "vendor")
        )
    for name in ("_toc.yml", "_config.yml", "requirements.txt"):
        shutil.copy(ROOT / name, folder / name)
    stamp_repository(folder.as_uri(), root=folder)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "book"]):
        subprocess.run([*git, *command], cwd=folder, check=True, capture_output=True)
    return folder


def setup_text(path: Path) -> str:
    return code_cells(read_notebook(path))[0].source


def facts(done: subprocess.CompletedProcess) -> dict[str, str]:
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


NAMES = [path.stem for path in notebook_paths()]
COLAB = """
import sys, types
sys.modules["google"] = types.ModuleType("google")
sys.modules["google.colab"] = sys.modules["google"].colab = types.ModuleType("google.colab")
"""


@pytest.mark.parametrize("name", NAMES)
def test_in_colab_the_repository_is_cloned_and_torch_stays(
    name: str, environment: Environment, stamped: Path, tmp_path: Path
) -> None:
    from importlib.metadata import version

    cell = setup_text(stamped / "book" / f"{name}.ipynb")
    found = facts(environment.run(COLAB + cell + REPORT, tmp_path))
    clone = (tmp_path / "attention-book").resolve()
    assert Path(found["root"]).resolve() == clone
    assert Path(found["folder"]).resolve() == clone / "book"
    assert found["torch"] == version("torch")
    assert found["missing"] == "False"
    if name == NAMES[0]:  # a second run (the runtime restarted) finds the clone
        assert facts(environment.run(COLAB + cell + REPORT, tmp_path)) == found


@pytest.mark.parametrize("name", NAMES)
def test_in_a_clone_nothing_is_fetched(
    name: str, environment: Environment, stamped: Path, tmp_path: Path
) -> None:
    cell = setup_text(ROOT / "book" / f"{name}.ipynb")
    found = facts(environment.run(cell + REPORT, ROOT / "book"))
    assert Path(found["root"]).resolve() == ROOT
    assert Path(found["folder"]).resolve() == ROOT / "book"


def test_only_what_is_missing_is_installed(stamped: Path, tmp_path: Path) -> None:
    fresh = make_environment(tmp_path)
    for name in MISSING:
        before = fresh.run(f"import {name}", tmp_path)
        assert "ModuleNotFoundError" in before.stderr, "the stand-in must lack the package"
    own = next((tmp_path / "venv" / "lib").glob("python3*")) / "site-packages"
    names = {entry.name for entry in own.iterdir()}
    cell = setup_text(stamped / "book" / f"{NAMES[0]}.ipynb")
    (tmp_path / "empty").mkdir()
    assert facts(fresh.run(COLAB + cell + REPORT, tmp_path / "empty"))["missing"] == "False"
    added = {entry.name for entry in own.iterdir()} - names
    assert added and all(name.startswith(MISSING) for name in added), added


def test_every_package_that_the_code_needs_is_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    cell = ast.parse(setup_source())
    (looked_for,) = (
        ast.literal_eval(node.value)
        for node in ast.walk(cell)
        if isinstance(node, ast.Assign) and node.targets[0].id == "NEEDED"
    )
    assert needed <= set(looked_for.values())
    for module in looked_for:
        assert importlib.util.find_spec(module), module


def test_a_lost_notebook_says_what_to_do(environment: Environment, tmp_path: Path) -> None:
    cell = setup_text(ROOT / "book" / f"{NAMES[0]}.ipynb")
    if 'REPOSITORY_URL = ""' not in cell:
        pytest.skip("the repository's address is known: a lost notebook clones it")
    done = environment.run(cell, tmp_path)
    assert done.returncode != 0
    assert "inside a clone of the book" in done.stderr


def test_a_failing_download_is_an_error(environment: Environment, tmp_path: Path) -> None:
    cell = setup_text(ROOT / "book" / f"{NAMES[0]}.ipynb")
    lines = [
        f'REPOSITORY_URL = "{(tmp_path / "nothing").as_uri()}"'
        if line.startswith("REPOSITORY_URL")
        else line
        for line in cell.splitlines()
    ]
    (tmp_path / "empty").mkdir()
    done = environment.run("\n".join(lines), tmp_path / "empty")
    assert done.returncode != 0
    assert "CalledProcessError" in done.stderr
