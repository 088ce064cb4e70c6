"""The built pages, as a reader meets them: offline, by double click or served, light or dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import Visitor, page_names
from playwright.sync_api import Page

PAGES = page_names()


def seen_problems(page: Page) -> list[str]:
    """What a reader would miss: mathematics not set, pictures not shown or not described."""
    return page.evaluate(
        """() => {
          const problems = [];
          const sources = document.querySelectorAll("article .math, .bd-article .math");
          for (const source of new Set(sources)) {
            if (!source.querySelector("mjx-container"))
              problems.push("mathematics not set: " + source.textContent.slice(0, 60));
          }
          for (const error of document.querySelectorAll("mjx-merror, [data-mjx-error]"))
            problems.push("wrong mathematics: " + error.textContent.slice(0, 60));
          const body = document.querySelector("article, .bd-article")?.innerText ?? "";
          if (body.includes("$$")) problems.push("a $$ was left in the text");
          for (const image of document.querySelectorAll(".bd-article img")) {
            if (!image.naturalWidth) problems.push("picture not shown: " + image.src.slice(-60));
            if (!image.alt.trim()) problems.push("picture without alt: " + image.src.slice(-60));
          }
          return problems;
        }"""
    )


@pytest.mark.parametrize("name", PAGES)
def test_works_from_a_double_click(name: str, html: Path, visit: Visitor) -> None:
    page = visit((html / f"{name}.html").as_uri())
    assert page.title()
    assert seen_problems(page) == []


def grave_violations(page: Page, **options: object) -> list[str]:
    """What axe calls serious or critical."""
    # Without preload axe does not ask for the style sheets a second time, under a wrong address.
    found = Axe().run(page, options={"preload": False, **options}).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


@pytest.mark.parametrize("name", PAGES)
def test_served_accessible_and_fitting(name: str, served: str, visit: Visitor) -> None:
    """One visit, because mathematics takes longest: light, dark, narrow, everything unfolded."""
    page = visit(f"{served}/{name}.html", scheme="light")
    assert seen_problems(page) == []
    page.evaluate("document.querySelectorAll('button.toggle-button').forEach(b => b.click())")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        page.wait_for_timeout(500)  # colours fade over
        assert grave_violations(page) == [], scheme
        assert overflow(page) <= 0, scheme
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)  # boxes that scroll become focusable when they are measured
    assert overflow(page) <= 0, "390 pixels"
    assert grave_violations(page, rules={"color-contrast": {"enabled": False}}) == [], "390 pixels"


def test_first_page_opens(html: Path, visit: Visitor) -> None:
    page = visit((html / "index.html").as_uri())
    page.wait_for_url("**/book/intro.html")
    assert page.locator("article h1").count() == 1


def test_search_finds_a_page(html: Path, visit: Visitor) -> None:
    page = visit((html / "search.html").as_uri() + "?q=notation")
    page.wait_for_selector("#search-results li a")


def test_a_request_to_another_host_is_noticed(html: Path, visit: Visitor) -> None:
    page = visit((html / "search.html").as_uri())
    asked = page.evaluate("fetch('https://example.org/').then(() => 'reached', () => 'blocked')")
    assert asked == "blocked"
    assert "asked another host: https://example.org/" in visit.problems
    visit.problems.clear()
