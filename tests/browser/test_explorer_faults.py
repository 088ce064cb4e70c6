"""What the explorers do with text and files that are not as they should be."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from explorer_pages import TEXT, ExplorerPage
from explorer_reading import ask, message, translation
from playwright.sync_api import Browser, Page, expect
from test_pages import overflow

HOSTILE = (
    "<script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "\u202ered\u202c \u2066book\u2069 \u200f",
    "🙂 👩‍👩‍👧 the 🏳️‍🌈",
    "the " * 2_500,
    "x" * 10_000,
)


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "image", "bidi", "emoji", "long", "word"])
def test_typed_text_is_only_text(page: Page, text: str) -> None:
    before = page.evaluate("document.querySelectorAll('script:not([src*=models]), img').length")
    ask(page, text)
    expect(message(page)).to_contain_text(re.compile("Unknown word|Only the first"))
    after = page.evaluate("document.querySelectorAll('script:not([src*=models]), img').length")
    assert before == after and page.title() == "Explorers"
    assert overflow(page) <= 0


def test_an_empty_field_is_said(page: Page) -> None:
    kept = translation(page).text_content()
    for text in ("", "   ", "\u200b"):
        page.get_by_label("Source sentence").fill(text)
        page.get_by_role("button", name="Translate").click()
        expect(page.get_by_role("alert")).to_contain_text(re.compile("empty|no word"))
    assert translation(page).text_content() == kept


def test_unknown_words_are_shown_with_the_nearest_known(
    explorers: ExplorerPage, page: Page
) -> None:
    ask(page, "the gril sleeps")
    said = message(page)
    expect(said).to_contain_text("Unknown word: gril")
    table = page.get_by_role("table", name="Attention weights", exact=True)
    assert table.locator("th.ae-unknown").all_text_contents() == ["gril"]
    said.get_by_role("button", name="girl").click()
    expect(page.get_by_label("Source sentence")).to_have_value("the girl sleeps")
    words = explorers.answer("additive", "the girl sleeps")["result"]["words"]
    expect(translation(page)).to_have_text(" ".join(words))
    expect(said).to_have_text("")


def test_a_long_sentence_is_cut_and_that_is_said(explorers: ExplorerPage, page: Page) -> None:
    ask(page, "the red book " * 40)
    expect(message(page)).to_contain_text("120 words. Only the first 60 are read")
    answer = explorers.answer("additive", "the red book " * 40, limit=60)
    expect(translation(page)).to_have_text(" ".join(answer["result"]["words"]))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (None, "could not be loaded"),
        (lambda text: text[: len(text) // 2], "incomplete or damaged"),
        (lambda text: text.replace('"version":1', '"version":99'), "99"),
        (lambda text: text.replace('"checksum":', '"checksum":1'), "checksum|damaged|changed"),
    ],
    ids=["missing", "cut", "version", "checksum"],
)
def test_weights_that_do_not_load_are_said(
    explorers: ExplorerPage, browser: Browser, tmp_path: Path, damage, said: str
) -> None:
    shutil.copytree(explorers.folder, tmp_path / "page")
    model = tmp_path / "page" / "models" / "additive.js"
    if damage is None:
        model.unlink()
    else:
        model.write_text(damage(model.read_text(encoding="utf-8")), encoding="utf-8")
    context = browser.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto((tmp_path / "page" / "index.html").as_uri())
    kept = translation(page).text_content()
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("alert")).to_contain_text(re.compile(said))
    assert translation(page).text_content() == kept
    page.get_by_label("D, words to either side").fill("3")  # the rest of the page is unharmed
    expect(page.locator(".ae-formula")).to_contain_text("σ = D / 2 = 1.50")
    page.get_by_label("Model", exact=True).select_option("local")
    expect(page.get_by_role("alert")).to_have_count(0)
    words = explorers.answer("local", TEXT)["result"]["words"]
    expect(translation(page)).to_have_text(" ".join(words))
    context.close()
