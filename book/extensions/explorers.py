"""Sphinx extension: the explorers' script and style sheet, on the pages that have an explorer.

The files are joined from ``utils/explorers`` into the built book's ``_static``; the weights of the
models lie beside them, in ``_static/models``, and are loaded by the script when they are needed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from utils.explorers import assets  # noqa: E402  (the book's own code is not installed)

SCRIPT, STYLE = "explorers.js", "explorers.css"


def write_assets(app: Sphinx) -> None:
    """Put both files where the pages will look for them, before any page is written."""
    if app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    (static / SCRIPT).write_text(assets.page_script(), encoding="utf-8")
    (static / STYLE).write_text(assets.style(), encoding="utf-8")


def add_assets(
    app: Sphinx, _page: str, _template: str, context: dict, _doctree: nodes.document | None
) -> None:
    """Add both to a page with an explorer, and to no other."""
    if 'class="attention-explorer"' in context.get("body", ""):
        app.add_css_file(STYLE)
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the hooks."""
    app.connect("builder-inited", write_assets)
    app.connect("html-page-context", add_assets)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
