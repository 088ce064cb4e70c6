"""Fixtures: the built book, a browser without a network, and pages that record what went wrong."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, Route, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("ATTENTION_BOOK_HTML", ROOT / "_build" / "html")).resolve()
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def page_names() -> list[str]:
    """Every page of the table of contents, and the search page."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    text = str(contents)
    return [*re.findall(r"(?:root|file)': '([^']+)'", text), "search"]


def chromium_path() -> str:
    """The installed Chromium or Chrome."""
    candidates = [os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS), MAC_CHROME]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            return candidate
    pytest.fail("no Chromium or Chrome found: install one, or set CHROMIUM to its path")


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book."""
    if not (HTML / "index.html").is_file():
        pytest.fail(f"no built book in {HTML}: run `make book`")
    return HTML


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium that resolves no host name."""
    arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path(), args=arguments)
        yield chromium
        chromium.close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each on stderr."""

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="session")
def served(html: Path) -> Iterator[str]:
    """Address of the built book on 127.0.0.1."""
    handler = partial(QuietHandler, directory=str(html))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


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
        context = self.browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        self.stack.callback(context.close)
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


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visitor]:
    """Open pages; at the end of the test nothing foreign was asked for and nothing went wrong."""
    visitor = Visitor(browser)
    with visitor.stack:
        yield visitor
    assert not visitor.problems, "\n".join(sorted(set(visitor.problems)))
