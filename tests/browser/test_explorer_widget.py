"""The front end as a widget has it: another engine answers, by messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import Visitor
from explorer_pages import OTHER, TEXT, ExplorerPage
from explorer_reading import ask, expect_matrix, renormalised, translation
from playwright.sync_api import Page, expect

from utils.explorers import assets


@pytest.fixture
def widget(explorers: ExplorerPage, visit: Visitor) -> Iterator[Page]:
    """A page where `render` draws the explorer and Python answers, as a kernel would."""
    page = visit(explorers.address)

    def reply(message: dict) -> dict:
        try:
            answer = explorers.engines[message["model"]].answer(message["request"])
            return {"id": message["id"], "answer": answer}
        except ValueError as error:
            return {"id": message["id"], "error": str(error)}

    page.expose_function("askKernel", reply)
    setup = {
        "kind": "translation",
        "models": [{"name": name, "title": name} for name in ("additive", "fixed")],
        "examples": explorers.examples,
        "shown": explorers.answer("additive", TEXT),
    }
    page.evaluate(
        """(setup) => {
          document.querySelector("main").replaceChildren();
          const listeners = [];
          const model = {
            get: () => setup,
            on: (_, listener) => listeners.push(listener),
            send: async (message) => {
              const answer = await window.askKernel(message);
              listeners.forEach((listener) => listener(answer));
            },
          };
          attentionBook.render({ model, el: document.querySelector("main") });
        }""",
        setup,
    )
    yield page


def test_a_kernel_answers_the_same_front_end(explorers: ExplorerPage, widget: Page) -> None:
    steps = explorers.answer("additive", TEXT)["result"]["steps"]
    expect_matrix(widget, steps)
    ask(widget, OTHER)
    result = explorers.answer("additive", OTHER)["result"]
    expect(translation(widget)).to_have_text(" ".join(result["words"]))
    widget.get_by_label("Weight of red").fill("0.7")
    expect(widget.locator("tr.ae-edited")).to_have_count(1)
    expected = renormalised(result["steps"][0]["weights"], 1, 0.7)
    edited = explorers.answer("additive", OTHER, overrides={"0": expected})["result"]
    expect(translation(widget)).to_have_text(" ".join(edited["words"]))
    widget.get_by_label("Beam size").select_option("2")
    expect(widget.locator(".ae-tree")).to_have_count(1)
    ask(widget, "\u200b")
    expect(widget.get_by_role("alert")).to_contain_text("no word")
    assert widget.locator("script[src*=models]").count() == 0


def test_the_module_has_anywidgets_form(explorers: ExplorerPage, page: Page) -> None:
    kind = page.evaluate(
        """async (text) => {
          const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
          return typeof (await import(address)).default.render;
        }""",
        assets.module_script(),
    )
    assert kind == "function"
