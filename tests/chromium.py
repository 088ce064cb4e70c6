"""Where Chromium or Chrome is installed on this machine, or how to get it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
ADVICE = (
    "The browser tests need Chromium or Chrome. Debian: sudo apt-get install chromium. "
    "Ubuntu: sudo snap install chromium. macOS: brew install --cask google-chrome. "
    "If it is installed elsewhere, set CHROMIUM to its path."
)


def find_chromium() -> str | None:
    """Path of the browser: the variable CHROMIUM, else the first that is installed."""
    for candidate in (os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), MAC_CHROME):
        if candidate and Path(candidate).exists():
            return candidate
    return None
