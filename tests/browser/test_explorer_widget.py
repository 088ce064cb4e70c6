"""The front end as a widget has it: another engine answers, by messages."""

from __future__ import annotations

import pytest
from explorer_pages import OTHER, TEXT, ExplorerPage
from explorer_reading import (
    ask,
    captions,
    expect_caption,
    expect_matrix,
    message,
    renormalised,
    translation,
    wait_for_answer,
)
from playwright.sync_api import Page, expect

from utils.explorers import assets
from utils.explorers.captions import caption_setup

SILENT = "No answer from the kernel for 0.3 seconds. Is it still running?"


def draw_widget(
    explorers: ExplorerPage, page: Page, setup: dict, patience: int | None = None
) -> Page:
    """Let `render` draw an explorer and Python answer, as a kernel would.

    `window.kernel` says how the kernel is: "on", "silent" (what was asked is answered when
    `wakeKernel` is called) or "gone".
    """

    def reply(message: dict) -> dict:
        try:
            answer = explorers.engines[message["model"]].answer(message["request"])
            return {"id": message["id"], "answer": answer}
        except ValueError as error:
            return {"id": message["id"], "error": str(error)}

    page.expose_function("askKernel", reply)
    page.evaluate(
        """([setup, patience]) => {
          document.querySelector("main").replaceChildren();
          const listeners = [];
          let awaited = [];
          const answer = async (message) => {
            const found = await window.askKernel(message);
            listeners.forEach((listener) => listener(found));
          };
          window.kernel = "on";
          window.wakeKernel = () => {
            window.kernel = "on";
            awaited.forEach(answer);
            awaited = [];
          };
          const model = {
            get: () => setup,
            on: (_, listener) => listeners.push(listener),
            send: (message) => {
              if (window.kernel === "gone") throw new Error("Cannot send");
              if (window.kernel === "silent") awaited.push(message);
              else answer(message);
            },
          };
          const el = document.querySelector("main");
          attentionBook.render({ model, el, patience: patience ?? undefined });
        }""",
        [setup, patience],
    )
    return page


def translation_setup(explorers: ExplorerPage) -> dict:
    return {
        "kind": "translation",
        "models": [{"name": name, "title": name} for name in ("additive", "fixed")],
        "examples": explorers.examples,
        "shown": explorers.answer("additive", TEXT),
    }


@pytest.fixture
def widget(explorers: ExplorerPage, page: Page) -> Page:
    """The translation explorer with a kernel, which may take its usual time."""
    return draw_widget(explorers, page, translation_setup(explorers))


@pytest.fixture
def impatient(explorers: ExplorerPage, page: Page) -> Page:
    """The same, but it waits only a moment before it says that no answer has come."""
    return draw_widget(explorers, page, translation_setup(explorers), patience=300)


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


def test_a_silent_kernel_is_said_until_it_answers(explorers: ExplorerPage, impatient: Page) -> None:
    kept = translation(impatient).text_content()
    impatient.evaluate("window.kernel = 'silent'")
    impatient.get_by_label("Source sentence").fill("a gril book")
    impatient.get_by_role("button", name="Translate").click()
    status = message(impatient)
    expect(status).to_have_attribute("role", "status")
    expect(status).to_contain_text(SILENT)
    expect(status).to_contain_text("if it was restarted, run this cell again")
    assert translation(impatient).text_content() == kept
    impatient.get_by_role("button", name="Translate").click()  # asked anew, it is said anew
    expect(status).to_contain_text(SILENT)
    impatient.evaluate("window.wakeKernel()")
    wait_for_answer(impatient)
    words = explorers.answer("additive", "a gril book")["result"]["words"]
    expect(translation(impatient)).to_have_text(" ".join(words))
    expect(status).not_to_contain_text("kernel")
    expect(status).to_contain_text("Unknown word: gril")

    impatient.evaluate("window.kernel = 'silent'")
    impatient.get_by_label("Weight of book").fill("0.9")
    expect(status).to_contain_text(SILENT)
    expect(status).to_contain_text("Unknown word: gril")  # which is still so
    impatient.evaluate("window.wakeKernel()")
    expect(impatient.locator("tr.ae-edited")).to_have_count(1)
    expect(status).not_to_contain_text("kernel")
    expect(status).to_contain_text("Unknown word: gril")


def test_a_silent_kernel_is_said_under_pictures_too(explorers: ExplorerPage, page: Page) -> None:
    engine = explorers.engines["pictures"]
    setup = caption_setup(engine, title="small", name="pictures")
    draw_widget(explorers, page, setup, patience=300)
    page.evaluate("window.kernel = 'silent'")
    captions(page).get_by_label("Picture", exact=True).select_option("2")
    said = captions(page).locator(".ae-message")
    expect(said).to_contain_text(SILENT)
    page.evaluate("window.wakeKernel()")
    expect_caption(page, engine.answer(setup["examples"][2]))
    expect(said).to_have_text("")


def test_a_kernel_that_is_gone_is_said_at_once(explorers: ExplorerPage, widget: Page) -> None:
    kept = translation(widget).text_content()
    widget.evaluate("window.kernel = 'gone'")
    ask(widget, OTHER)
    expect(widget.get_by_role("alert")).to_contain_text("The kernel is gone. Start it again")
    assert translation(widget).text_content() == kept
    widget.evaluate("window.kernel = 'on'")
    ask(widget, OTHER)
    expect(message(widget)).to_have_text("")


def test_the_module_has_anywidgets_form(explorers: ExplorerPage, page: Page) -> None:
    kind = page.evaluate(
        """async (text) => {
          const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
          return typeof (await import(address)).default.render;
        }""",
        assets.module_script(),
    )
    assert kind == "function"
