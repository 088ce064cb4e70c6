"""Run the command line as a reader would, and read what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def one_line(text: str) -> str:
    """The one line on stderr that says what went wrong."""
    assert text.startswith("error: ") and text.count("\n") == 1, text
    return text


def start(*arguments: object, **streams: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "utils", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a shell that runs tests in the background ignores Ctrl-C, and children inherit that
        preexec_fn=_heed_interrupts if os.name == "posix" else None,
        **streams,
    )


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
