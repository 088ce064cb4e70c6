"""The explorers of the built pages with the book's own models, opened by a double click."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsing import ROOT, Visitor
from explorer_reading import (
    ask,
    captions,
    expect_caption,
    expect_cell,
    expect_matrix,
    expect_probabilities,
    expect_step,
    expect_window,
    matrix,
    translation,
    translator,
    wait_for_answer,
)
from playwright.sync_api import Page, expect
from test_pages import overflow

from utils.datasets.subwords import SubwordVocabulary
from utils.explorers.examples import GERMAN, SENTENCES
from utils.explorers.live import load_engine
from utils.explorers.toys import cell_setup, window_setup

SCREENSHOTS = ROOT / "_build" / "screenshots"
TRANSLATORS = {  # the models of each page, the first is shown when it opens
    "intro": ("grammar-bahdanau", "grammar-fixed"),
    "04-attention": ("grammar-bahdanau", "grammar-fixed"),
    "05-luong": ("grammar-luong", "grammar-luong-local", "grammar-bahdanau"),
    "07-translation": ("multi30k-bahdanau", "multi30k-fixed"),
}
EXPLORERS = {"01-rnn": 1, "06-captioning": 1, **dict.fromkeys(TRANSLATORS, 1), "05-luong": 2}


def loaded_models(page: Page) -> list[str]:
    """The models whose weights the page has asked for."""
    addresses = page.locator("script[src*='/models/']").evaluate_all("all => all.map(e => e.src)")
    return [Path(address).stem for address in addresses]


def open_page(name: str, html: Path, visit: Visitor, **options: object) -> Page:
    page = visit((html / "book" / f"{name}.html").as_uri(), **options)
    expect(page.locator(".attention-explorer.ae-on")).to_have_count(EXPLORERS[name])
    return page


@pytest.mark.parametrize("name", TRANSLATORS)
def test_sentences_are_translated_with_the_books_models(
    name: str, html: Path, visit: Visitor
) -> None:
    first, other, *_ = TRANSLATORS[name]
    engines = {each: load_engine(each) for each in (first, other)}
    subwords = isinstance(engines[first].source_vocabulary, SubwordVocabulary)
    examples = GERMAN if subwords else SENTENCES
    page = open_page(name, html, visit)
    shown = engines[first].answer({"text": examples[0]})["result"]
    expect(translation(page)).to_have_text(shown["text"])
    expect_matrix(page, shown["steps"])
    assert loaded_models(page) == []  # the example was computed before

    answer = engines[first].answer({"text": examples[2]})
    ask(page, examples[2])
    assert loaded_models(page) == [first]  # no weights that nobody has asked for
    expect(translation(page)).to_have_text(answer["result"]["text"])
    expect_matrix(page, answer["result"]["steps"])
    expect_step(page, answer["result"]["steps"][0])
    page.get_by_role("button", name="Forward").click()
    expect_step(page, answer["result"]["steps"][1])

    page.get_by_label("Beside it").select_option(other)
    wait_for_answer(page)
    assert loaded_models(page) == [first, other]
    result = engines[other].answer({"text": examples[2]})["result"]
    expect(translation(page, ", second model")).to_have_text(result["text"])
    second = page.locator(".ae-view").nth(1)
    if result["steps"][0]["weights"]:
        expect_matrix(page, result["steps"], ", second model")
    expect_probabilities(second, result["steps"][0])
    page.get_by_label("Beside it").select_option("")

    page.get_by_label("Beam size").select_option("3")
    wait_for_answer(page)
    wide = engines[first].answer({"text": examples[2], "beam": 3})["result"]
    expect(translation(page)).to_have_text(wide["text"])
    expect(page.locator(".ae-tree")).to_have_count(1)


def step_to(page: Page, word: str) -> None:
    view = translator(page)
    while f"“{word}”" not in view.locator(".ae-step-title").text_content():
        view.get_by_role("button", name="Forward").click()


def test_chapter_7_says_what_its_explorer_shows(html: Path, visit: Visitor) -> None:
    page = open_page("07-translation", html, visit)
    castle, longest = GERMAN[-2:]
    ask(page, castle)
    expect(translation(page)).to_contain_text("sandwich")
    step_to(page, "▁sandwich")
    row = matrix(page)[4]
    labels = page.locator(".ae-matrix thead th").all_text_contents()
    largest = sorted(range(len(row)), key=row.__getitem__)[-2:]
    assert {labels[index] for index in largest} == {"▁B", "▁Sand"}
    place = labels.index("▁Sand")
    for weight in ("0", "1"):
        page.get_by_label("Weight of ▁Sand").fill(weight)
        cell = page.locator(f"tr.ae-edited td[data-source='{place}']")
        expect(cell).to_have_attribute("data-weight", f"{float(weight):.6f}")
        expect(translation(page)).not_to_contain_text("sandwich")
    page.get_by_label("Beside it").select_option("multi30k-fixed")
    page.get_by_label("Example").select_option(label=longest[:59] + "…")
    wait_for_answer(page)
    for word in ("old woman", "suitcase"):
        expect(translation(page)).to_contain_text(word)
        expect(translation(page, ", second model")).not_to_contain_text(word)


def test_chapter_5_says_what_its_explorer_shows(html: Path, visit: Visitor) -> None:
    page = open_page("05-luong", html, visit)
    page.get_by_label("Beside it").select_option("grammar-luong-local")
    for text in SENTENCES:
        ask(page, text)
        words = translation(page).text_content()
        expect(translation(page, ", second model")).to_have_text(words)
        rates = page.locator(".ae-aer").all_text_contents()
        assert all(rate.startswith("Alignment error rate of this sentence") for rate in rates)
    page.get_by_label("Model", exact=True).select_option("grammar-luong-local")
    page.get_by_label("Beside it").select_option("")
    apple = next(text for text in SENTENCES if "apple" in text)
    ask(page, apple)
    step_to(page, "achètent")
    step = load_engine("grammar-luong-local").answer({"text": apple})["result"]["steps"][-2]
    expect(translator(page)).to_contain_text(f"p_t = {step['centre']:.2f}")
    rows = matrix(page)
    assert rows[-2][11] == 0 and all(sum(row) < 1 for row in rows)


def test_pictures_and_steps_in_the_pages(html: Path, visit: Visitor) -> None:
    engine = load_engine("scenes-soft")
    page = open_page("06-captioning", html, visit)
    assert loaded_models(page) == []
    examples = captions(page).evaluate("mount => JSON.parse(mount.dataset.examples)")
    for index in (0, 3):
        captions(page).get_by_label("Picture", exact=True).select_option(str(index))
        expect_caption(page, engine.answer(examples[index]))
    expect_cell(open_page("01-rnn", html, visit), cell_setup()["options"])
    expect_window(open_page("05-luong", html, visit), window_setup()["options"])


@pytest.mark.parametrize("name", EXPLORERS)
def test_explorers_fit_and_are_pictured(name: str, html: Path, visit: Visitor) -> None:
    page = open_page(name, html, visit)
    if name in TRANSLATORS:
        page.get_by_label("Beside it").select_option(TRANSLATORS[name][1])
        wait_for_answer(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 3000})
        assert overflow(page) <= 0, width
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
            for view in page.locator(".attention-explorer").all():
                kind = view.get_attribute("data-kind")
                path = SCREENSHOTS / f"{name}-{kind}-{width}-{scheme}.png"
                view.screenshot(path=path, animations="disabled")
