"""The layers of the package, as pyproject.toml draws them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINT = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_imports_point_down() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_an_import_that_points_up_is_caught(tmp_path: Path) -> None:
    (tmp_path / "utils" / "models").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for name in ("__init__.py", "models/__init__.py", "training.py"):
        (tmp_path / "utils" / name).write_text("")
    for name in ("datasets", "notebooks"):
        (tmp_path / "utils" / f"{name}.py").write_text("")
    assert lint(tmp_path).returncode == 0, lint(tmp_path).stdout
    (tmp_path / "utils" / "models" / "cells.py").write_text("import utils.training\n")
    assert "utils.models.cells -> utils.training" in lint(tmp_path).stdout
    (tmp_path / "utils" / "models" / "cells.py").write_text("import matplotlib\n")
    assert "utils.models.cells -> matplotlib" in lint(tmp_path).stdout
    (tmp_path / "utils" / "models" / "cells.py").write_text("")
    (tmp_path / "utils" / "helpers.py").write_text("")
    assert lint(tmp_path).returncode != 0, "a module without a layer must be caught"
