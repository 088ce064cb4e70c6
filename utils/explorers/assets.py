"""The front end's files, joined: one script and one style sheet for a page, a module for a widget.

Order matters: a file may use what the files before it put on ``globalThis.attentionBook``.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from utils.explorers.engine import engine_script

FOLDER = Path(__file__).parent
FRONT = (
    "elements",
    "numbers",
    "requests",
    "links",
    "matrix",
    "step",
    "tree",
    "view",
    "translation",
    "window",
    "cell",
    "scene",
    "captions",
    "start",
)
STYLES = ("controls", "pictures", "steps", "toys", "captions")


@cache
def _scripts() -> str:
    """The engine and the front end, without comments and indentation."""
    texts = [(FOLDER / "front" / f"{name}.js").read_text(encoding="utf-8") for name in FRONT]
    text = re.sub(r"(?s)/\*\*.*?\*/", "", "\n".join(texts))
    lines = (line.strip() for line in text.splitlines())
    return engine_script() + "\n".join(line for line in lines if line and not line.startswith("//"))


def page_script() -> str:
    """A classic script for a page; works from ``file://``."""
    return _scripts()


def module_script() -> str:
    """The same as a module with anywidget's ``render``."""
    return f"{_scripts()}\nexport default {{ render: globalThis.attentionBook.render }};\n"


@cache
def style() -> str:
    """The style sheet, for pages and widgets."""
    paths = [FOLDER / "front" / f"{name}.css" for name in STYLES]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)
