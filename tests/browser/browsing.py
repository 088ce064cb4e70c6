"""What the browser tests share: the pages, the browser, and visits that record what went wrong."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import yaml
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, Route

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("ATTENTION_BOOK_HTML", ROOT / "_build" / "html")).resolve()


def page_names() -> list[str]:
    """Every page of the table of contents, and the search page."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [*re.findall(r"'(?:root|file)': '([^']+)'", str(contents)), "search"]


class Visitor:
    """Opens pages and remembers what went wrong on them."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.problems: list[str] = []
        self.stack = contextlib.ExitStack()

    def block(self, route: Route) -> None:
        """Let only files and this machine through; note everything else."""
        url = route.request.url
        if re.match(r"(file:|data:|blob:|http://127\.0\.0\.1:)", url):
            route.continue_()
        else:
            self.problems.append(f"asked another host: {url}")
            route.abort()

    def note_console(self, message: ConsoleMessage) -> None:
        """Note errors; a page may talk to itself otherwise."""
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def note_response(self, response: Response) -> None:
        """Note what the server did not have."""
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {response.url}")

    def __call__(self, url: str, *, scheme: str = "light", width: int = 1280) -> Page:
        """Open a page in a fresh profile and wait until its mathematics is set."""
        context = self.browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        self.stack.callback(context.close)
        context.set_default_timeout(120_000)  # a busy machine is slow, not wrong
        context.route("**/*", self.block)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        page.on("console", self.note_console)
        page.on("requestfailed", lambda sent: self.problems.append(f"did not load: {sent.url}"))
        page.on("response", self.note_response)
        page.goto(url, wait_until="load")
        page.wait_for_function("!window.MathJax || MathJax.startup?.promise !== undefined")
        page.evaluate("window.MathJax?.startup?.promise")
        return page
