"""The translation explorer in a page, driven as a reader drives it; every number recomputed."""

from __future__ import annotations

import re

import pytest
from browsing import Visitor
from explorer_pages import OTHER, TEXT, ExplorerPage
from explorer_reading import (
    ask,
    expect_error_rate,
    expect_matrix,
    expect_probabilities,
    expect_step,
    expect_tree,
    matrix,
    renormalised,
    translation,
    translator,
)
from playwright.sync_api import Browser, Page, expect


def test_the_example_is_there_before_the_weights(
    explorers: ExplorerPage, visit: Visitor, page: Page
) -> None:
    result = explorers.answer("additive", TEXT)["result"]
    expect(translation(page)).to_have_text(" ".join(result["words"]))
    expect_matrix(page, result["steps"])
    expect_step(translator(page), result["steps"][0])
    assert page.locator("script[src*=models]").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_moves_when_the_scripts_arrive(
    explorers: ExplorerPage, browser: Browser, width: int
) -> None:
    places = []
    for blocked in (True, False):
        context = browser.new_context(viewport={"width": width, "height": 900})
        context.set_default_timeout(120_000)
        page = context.new_page()
        if blocked:
            page.route("**/explorers.js", lambda route: route.abort())
        page.goto(explorers.address)
        if not blocked:
            expect(page.locator(".attention-explorer.ae-on")).to_have_count(4)
        boxes = [each.bounding_box() for each in page.locator(".attention-explorer, #after").all()]
        places.append([(round(box["y"]), round(box["height"])) for box in boxes])
        context.close()
    assert places[0] == places[1]


def test_without_javascript_the_example_stays(explorers: ExplorerPage, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(explorers.address)
    words = explorers.answer("additive", TEXT)["result"]["words"]
    expect(translation(page)).to_have_text(" ".join(words))
    expect(page.get_by_role("img", name=re.compile("Where each word looked most"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Softmax, Gaussian and weight"))).to_be_visible()
    expect(
        page.get_by_role("img", name=re.compile(r"step of the cell: .* a⟨t⟩ = \(0.46, 0.76\)"))
    ).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("A picture: "))).to_be_visible()
    expect(page.get_by_role("table", name="Attention weights", exact=True)).to_be_visible()
    assert page.locator("input:visible, select:visible, button:visible").count() == 0
    context.close()


def test_typed_text_is_translated(explorers: ExplorerPage, page: Page) -> None:
    page.get_by_label("Source sentence").fill("The girl's book does not sleeps.")
    page.get_by_label("Source sentence").press("Enter")
    answer = explorers.answer("additive", "the girl 's book does not sleeps")
    expect(translation(page)).to_have_text(" ".join(answer["result"]["words"]))
    expect(page.get_by_label("Example")).to_have_value("")
    expect_matrix(page, answer["result"]["steps"])
    heads = page.get_by_role("table", name="Attention weights", exact=True).locator("thead th")
    assert heads.all_text_contents() == answer["labels"]


def test_examples_fill_the_field(explorers: ExplorerPage, page: Page) -> None:
    page.get_by_label("Example").select_option(label=OTHER)
    expect(page.get_by_label("Source sentence")).to_have_value(OTHER)
    words = explorers.answer("additive", OTHER)["result"]["words"]
    expect(translation(page)).to_have_text(" ".join(words))


def test_steps_show_their_numbers(explorers: ExplorerPage, page: Page) -> None:
    steps = explorers.answer("additive", TEXT)["result"]["steps"]
    view = translator(page)
    forward = page.get_by_role("button", name="Forward")
    for step in steps[1:4]:
        forward.click()
        expect_step(view, step)
    page.get_by_role("button", name="Back").click()
    expect_step(view, steps[2])
    slider = page.get_by_role("slider", name="Step of the decoder")
    slider.press("End")
    expect_step(view, steps[-1])
    expect(forward).to_have_attribute("aria-disabled", "true")
    forward.click(force=True)  # it is only said to be off, and so keeps the focus
    expect_step(view, steps[-1])
    page.get_by_role("button", name=steps[1]["word"], exact=True).nth(0).click()
    expect(view.locator(".ae-step-title")).to_contain_text(f"“{steps[1]['word']}”")


def test_arrow_keys_walk_through_the_matrix(explorers: ExplorerPage, page: Page) -> None:
    steps = explorers.answer("additive", TEXT)["result"]["steps"]
    table = page.get_by_role("table", name="Attention weights", exact=True)
    assert table.locator("td[tabindex='0']").count() == 1
    table.locator("td[tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "End", "ArrowUp"):
        page.keyboard.press(key)
    focused = page.evaluate("({...document.activeElement.dataset})")
    last = len(steps[0]["weights"]) - 1
    assert (focused["step"], focused["source"]) == ("1", str(last))
    expect_step(translator(page), steps[1])
    assert table.locator("th.ae-in-column").all_text_contents() == ["<eos>"]


def test_pointing_at_a_word_shows_its_row_or_column(page: Page) -> None:
    view = translator(page)
    view.locator("button[data-source='3']").hover()
    columns = view.locator(".ae-matrix td.ae-in-column").all()
    assert columns and {cell.get_attribute("data-source") for cell in columns} == {"3"}
    view.locator("button[data-step='2']").focus()
    rows = view.locator(".ae-matrix tr.ae-in-row").all()
    assert [row.get_attribute("data-step") for row in rows] == ["2"]
    marked = view.locator(".ae-lines path.ae-in-row").all()
    assert {line.get_attribute("data-step") for line in marked} <= {"2"}


def test_a_weight_set_by_slider_changes_the_rest(explorers: ExplorerPage, page: Page) -> None:
    plain = explorers.answer("additive", TEXT)["result"]
    view = translator(page)
    page.get_by_role("button", name="Forward").click()
    page.get_by_label("Weight of book").fill("0.9")
    expect(view.locator("tr.ae-edited")).to_have_count(1)
    shown = matrix(page)
    expected = renormalised(plain["steps"][1]["weights"], 4, 0.9)
    assert shown[1] == pytest.approx(expected, abs=1e-3)
    assert sum(shown[1]) == pytest.approx(1, abs=1e-4)
    edited = explorers.answer("additive", TEXT, overrides={"1": expected})["result"]
    expect(translation(page)).to_have_text(" ".join(edited["words"]))
    expect_matrix(page, edited["steps"])
    assert edited["steps"][1]["probabilities"] != plain["steps"][1]["probabilities"]
    expect_probabilities(view, edited["steps"][1])
    page.get_by_role("button", name="Reset weights").click()
    expect(view.locator("tr.ae-edited")).to_have_count(0)
    expect_matrix(page, plain["steps"])


def test_a_weight_set_by_keys_and_by_dragging(explorers: ExplorerPage, page: Page) -> None:
    plain = explorers.answer("additive", TEXT)["result"]["steps"]
    view = translator(page)
    cell = view.locator(".ae-matrix td[data-step='2'][data-source='1']")
    cell.focus()
    page.keyboard.press("+")
    expect(view.locator("tr.ae-edited")).to_have_count(1)
    once = min(1, plain[2]["weights"][1] + 0.05)
    assert matrix(page)[2][1] == pytest.approx(once, abs=1e-3)
    assert page.evaluate("document.activeElement.dataset.step") == "2"  # the focus has stayed
    page.keyboard.press("Delete")
    expect(view.locator("tr.ae-edited")).to_have_count(0)
    slider = page.get_by_label("Weight of girl")
    before = float(slider.input_value())
    slider.press("ArrowRight")
    expect(view.locator("tr.ae-edited")).to_have_count(1)
    assert matrix(page)[2][1] == pytest.approx(before + float(slider.get_attribute("step")))
    page.get_by_role("button", name="Reset weights").click()
    expect(view.locator("tr.ae-edited")).to_have_count(0)
    cell = view.locator(".ae-matrix td[data-step='0'][data-source='2']")
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 5, box["y"] + 5 - 60, steps=5)
    page.mouse.up()
    expect(view.locator("tr.ae-edited")).to_have_count(1)
    dragged = min(1, plain[0]["weights"][2] + 0.5)
    page.wait_for_function(
        "([goal]) => Math.abs(document.querySelector(\"td[data-step='0'][data-source='2']\")"
        ".dataset.weight - goal) < 1e-3",
        arg=[dragged],
    )


def test_two_models_side_by_side(explorers: ExplorerPage, page: Page) -> None:
    page.get_by_label("Beside it").select_option("fixed")
    second = page.locator(".ae-view").nth(1)
    fixed = explorers.answer("fixed", TEXT)["result"]
    expect(translation(page, ", second model")).to_have_text(" ".join(fixed["words"]))
    expect(second).to_contain_text("No attention")
    expect(second).not_to_contain_text("Move a slider")
    expect_probabilities(second, fixed["steps"][0])
    page.get_by_label("Beside it").select_option("local")
    local = explorers.answer("local", TEXT)["result"]
    expect(translation(page, ", second model")).to_have_text(" ".join(local["words"]))
    expect_matrix(page, local["steps"], ", second model")
    expect_step(second, local["steps"][0])
    expect(second).to_contain_text(f"p_t = {local['steps'][0]['centre']:.2f}")
    expect_matrix(page, explorers.answer("additive", TEXT)["result"]["steps"])
    # weights are set in each model by itself
    second.get_by_label("Weight of red").fill("0.5")
    expect(second.locator("tr.ae-edited")).to_have_count(1)
    expect(page.locator("tr.ae-edited")).to_have_count(1)


def test_models_are_switched(explorers: ExplorerPage, page: Page) -> None:
    page.get_by_label("Model", exact=True).select_option("local")
    result = explorers.answer("local", TEXT)["result"]
    expect(translation(page)).to_have_text(" ".join(result["words"]))
    expect_matrix(page, result["steps"])


def test_the_beam_is_a_tree(explorers: ExplorerPage, page: Page) -> None:
    page.get_by_label("Beam size").select_option("3")
    result = explorers.answer("additive", TEXT, beam=3)["result"]
    expect(translation(page)).to_have_text(" ".join(result["words"]))
    tree = page.locator(".ae-tree")
    expect(tree).to_have_count(1)
    expect_tree(tree, result)
    assert page.get_by_label("Weight of red").is_disabled()
    page.get_by_label("Beam size").select_option("1")
    expect(tree).to_have_count(0)


def test_gold_links_and_the_error_rate_of_the_sentence(explorers: ExplorerPage, page: Page) -> None:
    answer = explorers.answer("additive", TEXT)
    gold = explorers.examples[0]["gold"]
    rows = [step["weights"] for step in answer["result"]["steps"]]
    expect_error_rate(page, rows, gold, answer["words"])
    table = page.get_by_role("table", name="Attention weights", exact=True)
    expect(table.locator("td.ae-sure")).to_have_count(2)
    expect(table.locator("td.ae-possible")).to_have_count(1)
    ask(page, OTHER)
    gold = explorers.examples[1]["gold"]
    answer = explorers.answer("additive", OTHER, reference=gold["target"])
    expect(page.locator(".ae-aer")).to_contain_text("With the reference forced")
    expect_error_rate(page, answer["rows"], gold, answer["words"])
