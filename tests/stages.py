"""Run every test of the book, stage by stage, and say at the end what held (`make test`)."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from chromium import ADVICE, find_chromium

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
STRICT = ROOT / "_build" / "strict"
PYTEST = [sys.executable, "-m", "pytest", "-q", "-n", "2"]
NEED_MULTI30K = ("07-translation.ipynb",)
GET_MULTI30K = "from utils.datasets import multi30k as m; [m.fetch(name) for name in m.SHA256]"
skipped: list[str] = []


def run(*command: str | Path, **environment: str) -> bool:
    """Run one command in the root; True if it succeeded."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def style() -> bool:
    """Lint and formatting of code and notebooks."""
    return run(BIN / "ruff", "check", ".") & run(BIN / "ruff", "format", "--check", ".")


def unit() -> bool:
    """Unit and property tests, layers, rules for notebooks; coverage of utils."""
    reason = why_no_multi30k()  # downloads it, so that these tests find it
    if reason is not None:
        print("tests that need Multi30k are skipped:", reason, flush=True)
    return run(
        *PYTEST, "tests", "--ignore=tests/browser", "--cov", "--cov-report=term:skip-covered"
    )


@functools.cache
def why_no_multi30k() -> str | None:
    """Why Multi30k is not to be had, or None; what is not there yet is downloaded."""
    command = [sys.executable, "-c", GET_MULTI30K]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def notebooks() -> bool:
    """Every notebook, executed afresh and compared with its stored outputs."""
    found = sorted((ROOT / "book").glob("*.ipynb"))
    reason = why_no_multi30k()
    if reason is not None:
        skipped.extend(f"{name}: {reason}" for name in NEED_MULTI30K)
        print("skipped", *skipped, sep="\n  ", flush=True)
        found = [path for path in found if path.name not in NEED_MULTI30K]
    options = "--nbval --nbval-current-env --nbval-cell-timeout=600 -n 2 --dist loadscope".split()
    sanitise = f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"
    return bool(found) and run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *options,
        sanitise,
        *found,
        ATTENTION_BOOK_DEVICE="cpu",
        PYTHONHASHSEED="0",
    )


def build() -> bool:
    """The whole book from nothing; a warning is an error."""
    shutil.rmtree(STRICT, ignore_errors=True)
    options = "-W -n --keep-going -q --path-output".split()
    return run(BIN / "jupyter-book", "build", ".", *options, STRICT)


def browser() -> bool:
    """The pages just built, in headless Chromium without a network."""
    html = STRICT / "_build" / "html"
    return run(*PYTEST, "tests/browser", ATTENTION_BOOK_HTML=str(html))


STAGES: dict[str, Callable[[], bool]] = {
    stage.__name__: stage for stage in (style, unit, notebooks, build, browser)
}


def main(names: list[str]) -> int:
    """Run the named stages, or all; returns the exit status."""
    unknown = set(names) - set(STAGES)
    if unknown:
        print(f"unknown stages {sorted(unknown)}; there are {list(STAGES)}", file=sys.stderr)
        return 2
    if "browser" in (names or STAGES) and find_chromium() is None:
        print(ADVICE, file=sys.stderr)  # said now and not after minutes of other tests
        return 2
    summary = []
    for name, stage in STAGES.items():
        if names and name not in names:
            continue
        print(f"\n=== {name}: {stage.__doc__}", flush=True)
        started = time.monotonic()
        held = stage()
        verdict = "passed" if held else "FAILED"
        summary.append((name, verdict, time.monotonic() - started))
    print("\n=== summary")
    for name, verdict, seconds in summary:
        print(f"{name:<10} {verdict:<7} {seconds:6.0f} s")
    for line in skipped:
        print(f"skipped: {line}")
    return int(any(verdict == "FAILED" for _, verdict, _ in summary))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
