"""Rules that no linter knows: devices are explicit, imports change nothing, files stay small."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "utils").rglob("*.py"))
# What creates a tensor on the default device unless it is told which.
CREATORS = set(
    "arange as_tensor empty eye full linspace logspace normal ones rand randint randn randperm "
    "tensor tril_indices triu_indices zeros".split()
)
LONGEST_FILE = {"utils": 450, "tests": 700}  # lines
BARE_NAMES = {"utils", "helpers", "misc", "common"}


def without_device(source: str) -> list[str]:
    """The calls in some source that create a tensor without saying where."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id == "torch" and node.func.attr in CREATORS:
            # `**options` may hold the device: what it holds is known only when it runs.
            if not any(keyword.arg in ("device", None) for keyword in node.keywords):
                found.append(f"line {node.lineno}: torch.{node.func.attr} without device=")
    return found


def test_the_check_for_devices_sees_a_missing_one() -> None:
    assert without_device("torch.zeros(3)") == ["line 1: torch.zeros without device="]
    assert without_device("torch.zeros(3, device=x.device); x.new_zeros(3)") == []


def touches_tensors(path: Path) -> bool:
    """Whether a module belongs to the code that may run on a GPU."""
    files = ("losses.py", "captioning_loss.py", "decoding.py", "training.py")
    return path.relative_to(ROOT / "utils").parts[0] in ("models", *files)


@pytest.mark.parametrize("path", [*filter(touches_tensors, MODULES)], ids=lambda path: path.stem)
def test_every_tensor_is_created_on_a_named_device(path: Path) -> None:
    assert without_device(path.read_text(encoding="utf-8")) == []


STATE = """
import json, os, random, sys, warnings
import matplotlib, numpy, torch
import seaborn, torch.utils.checkpoint  # they add warning filters of their own
def state():
    return [
        repr(random.getstate())[:2000], repr(numpy.random.get_state())[:2000],
        torch.initial_seed(), torch.get_rng_state().tolist()[:64],
        torch.get_num_threads(), str(torch.get_default_dtype()),
        torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(),
        str(matplotlib.get_backend(auto_select=False)),
        # reading the entry "backend" would choose one
        repr({key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}),
        sorted(os.environ.items()), len(warnings.filters), os.getcwd(), list(sys.path),
    ]
before = state()
import importlib, pkgutil, utils
for module in pkgutil.walk_packages(utils.__path__, "utils."):
    importlib.import_module(module.name)
after = state()
print(json.dumps([index for index, pair in enumerate(zip(before, after)) if pair[0] != pair[1]]))
"""


def test_importing_the_package_changes_no_global_state() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STATE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(
    "path", [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda path: path.stem
)
def test_files_stay_small_and_are_named_for_what_they_hold(path: Path) -> None:
    longest = LONGEST_FILE[path.relative_to(ROOT).parts[0]]
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest
    assert path.stem not in BARE_NAMES


def test_packages_hold_only_a_docstring() -> None:
    explorers = ROOT / "utils" / "explorers"
    # what a reader types, explore(model), and the list of the engine's scripts
    meant = {explorers / "__init__.py", explorers / "engine" / "__init__.py"}
    for path in set((ROOT / "utils").rglob("__init__.py")) - meant:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        docstrings = [
            n for n in body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
        ]
        assert len(body) == len(docstrings) <= 1, f"{path} holds code"
