"""Fixtures: the built book, a server for it, and a browser without a network."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from browsing import HTML, Visitor
from chromium import ADVICE, find_chromium
from explorer_pages import ExplorerPage, write_page
from playwright.sync_api import Browser, Page, sync_playwright


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book."""
    if not (HTML / "index.html").is_file():
        pytest.fail(f"no built book in {HTML}: run `make book`")
    return HTML


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium that resolves no host name."""
    path = find_chromium()
    if path is None:
        pytest.fail(ADVICE)
    arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path,
            args=arguments,
            timeout=180_000,  # a busy machine is slow
        )
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


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visitor]:
    """Open pages; at the end of the test nothing foreign was asked for and nothing went wrong."""
    visitor = Visitor(browser)
    with visitor.stack:
        yield visitor
    assert not visitor.problems, "\n".join(sorted(set(visitor.problems)))


@pytest.fixture(scope="session")
def explorers(tmp_path_factory: pytest.TempPathFactory) -> ExplorerPage:
    """A page with every explorer."""
    return write_page(tmp_path_factory.mktemp("explorers"))


@pytest.fixture
def page(explorers: ExplorerPage, visit: Visitor) -> Page:
    return visit(explorers.address)
