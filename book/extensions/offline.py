"""Sphinx extension: pages that ask no other host for anything and open from a double click.

Three things are undone or made to depend on the book's public address:

- It preloads icon fonts. Under ``file://`` a browser blocks such a preload and reports an error;
  the icons are drawn by a script and never need the fonts, so the links are removed.
- The bibliography claims the role of a list without having list items; the role is removed.
- Launch and repository buttons appear only once ``make repository URL=…`` has stamped an
  address: no button is better than a broken one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

UNWANTED = re.compile(
    r'<link rel="preload" as="font"[^>]*>\n?|(?<=<div) role="list"(?= class="cit)'
)


def show_buttons(app: Sphinx, config: Config) -> None:
    """Turn the buttons that need the repository's address on or off."""
    options = config.html_theme_options
    known = bool(options.get("repository_url"))
    launch = {"thebe": False, "notebook_interface": "classic"}
    if known:
        launch["colab_url"] = "https://colab.research.google.com"
    options["launch_buttons"] = launch
    options["use_repository_button"] = known
    options["use_issues_button"] = known


def clean_pages(app: Sphinx, exception: Exception | None) -> None:
    """Take out of the built pages what is unwanted; a second time changes nothing."""
    if exception is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        clean = UNWANTED.sub("", text)
        if clean != text:
            page.write_text(clean, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the hooks."""
    # After Jupyter Book has read the configuration, before the theme reads it.
    app.connect("config-inited", show_buttons, priority=100)
    app.connect("build-finished", clean_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
