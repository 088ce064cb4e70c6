"""The explorers for everybody: keyboard, screen reader, narrow and dark, `eval` forbidden."""

from __future__ import annotations

import http.server
import threading
from functools import partial
from pathlib import Path

import pytest
from browsing import ROOT, Visitor
from conftest import QuietHandler
from explorer_pages import OTHER, ExplorerPage
from explorer_reading import ask, translation
from playwright.sync_api import Page, expect
from test_pages import grave_violations, overflow

SCREENSHOTS = ROOT / "_build" / "screenshots"
POLICY = "default-src 'self' 'unsafe-inline'; img-src 'self' data:"  # and so no eval


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_accessible_fitting_and_pictured(
    explorers: ExplorerPage, visit: Visitor, scheme: str, width: int
) -> None:
    page = visit(explorers.address, scheme=scheme, width=width)
    page.get_by_label("Beside it").select_option("local")
    page.get_by_label("Beam size").select_option("3")
    expect(page.locator(".ae-tree")).to_have_count(2)
    ask(page, "the gril does not sleeps")
    page.locator(".ae-details summary").first.click()
    assert overflow(page) <= 0
    assert grave_violations(page) == []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"explorers-{width}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("preference", ["reduce", "no-preference"])
def test_nothing_moves_for_who_wants_no_motion(page: Page, preference: str) -> None:
    page.emulate_media(reduced_motion=preference)
    page.get_by_label("Beside it").select_option("local")
    expect(page.locator(".ae-view")).to_have_count(2)
    moving = page.locator(".attention-explorer").evaluate_all(
        """(explorers) => {
          const lasts = (style) => [style.transitionDuration, style.animationDuration]
            .some((durations) => durations.split(",").some((one) => parseFloat(one) > 0));
          const moves = (node) =>
            [null, "::before", "::after"].some((part) => lasts(getComputedStyle(node, part)));
          return explorers.map((each) => [each.dataset.kind,
            [each, ...each.querySelectorAll("*")].filter(moves).map((node) => node.outerHTML)]);
        }"""
    )
    assert [kind for kind, _ in moving] == ["translation", "window", "cell", "captions"]
    if preference == "reduce":
        assert all(nodes == [] for _, nodes in moving), moving
    else:
        assert dict(moving)["translation"]  # or else this test could not fail


def test_everything_is_reached_with_the_tab_key(page: Page) -> None:
    reached = set()
    page.get_by_label("Source sentence").focus()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => { const e = document.activeElement;
                return e.getAttribute("aria-label") || e.name || e.textContent.slice(0, 20)
                  || e.className }"""
            )
        )
    wanted = {"Example", "Model", "Beside it", "Beam size", "Step of the decoder", "Weight of red"}
    assert wanted | {"Translate", "Forward ▶", "Reset weights"} <= reached


def test_the_bundle_runs_with_eval_forbidden(explorers: ExplorerPage, visit: Visitor) -> None:
    class Strict(QuietHandler):
        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", POLICY)
            super().end_headers()

    with serve(explorers.folder, Strict) as address:
        page = visit(f"{address}/index.html")
        ask(page, OTHER)
        words = explorers.answer("additive", OTHER)["result"]["words"]
        expect(translation(page)).to_have_text(" ".join(words))


class serve:
    """A server for one folder while the block lasts; gives its address."""

    def __init__(self, folder: Path, handler: type) -> None:
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(handler, directory=str(folder))
        )

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
