"""The explorers without a model, driven as a reader drives them; their numbers recomputed."""

from __future__ import annotations

import re

import pytest
from explorer_reading import expect_cell, expect_window, window_shown
from playwright.sync_api import Page, expect

from utils.explorers import explore_cell
from utils.explorers.markup import show
from utils.explorers.toys import cell_setup, cell_step, window_setup


def test_local_attention_is_recomputed(page: Page) -> None:
    options = window_setup()["options"]
    expect_window(page, options)
    page.get_by_label("D, words to either side").fill("4")
    expect_window(page, {**options, "window": 4})
    page.get_by_label("h_t [1]").fill("-1.5")
    page.get_by_label("W_p [1, 2]").fill("2")
    page.get_by_label("v_p [2]").fill("0.5")
    changed = {**options, "window": 4, "state": [-1.5, -0.3], "W_p": [[1.0, 2.0], [-0.5, 1.0]]}
    changed["v_p"] = [options["v_p"][0], 0.5]
    expect_window(page, changed)
    page.get_by_label("Score of word 2").fill("3")
    changed["scores"] = [*options["scores"][:2], 3.0, *options["scores"][3:]]
    expect_window(page, changed)
    page.get_by_role("combobox", name="Centre p_t").select_option("local-m")
    page.get_by_label("t, the step").fill("7")
    expect_window(page, {**changed, "centre": "local-m", "step": 7})
    page.get_by_label("S, source words").fill("6")
    assert len(window_shown(page)) == 6
    expect_window(page, {**changed, "centre": "local-m", "step": 7, "length": 6})


def test_the_centre_is_dragged(page: Page) -> None:
    options = window_setup()["options"]
    chart = page.locator(".ae-chart")
    chart.scroll_into_view_if_needed()
    box = page.locator(".ae-chart-bars").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 50, steps=4)
    page.mouse.up()
    marker = page.get_by_role("slider", name="Centre p_t")
    assert float(marker.get_attribute("aria-valuenow")) == pytest.approx(2.0, abs=0.1)
    hand = float(marker.get_attribute("aria-valuenow"))
    expect_window(page, {**options, "centre": "hand", "hand": hand})
    marker.press("ArrowRight")
    assert float(marker.get_attribute("aria-valuenow")) == pytest.approx(hand + 0.1, abs=0.03)


def test_the_cells_picture_is_drawn_as_python_writes_it(page: Page) -> None:
    picture = page.locator(".ae-cell-picture")
    written = page.evaluate(
        """(html) => new DOMParser().parseFromString(html, "text/html")
          .querySelector(".ae-cell-picture").outerHTML""",
        explore_cell().html,
    )
    assert picture.evaluate("node => node.outerHTML") == written
    page.get_by_label("x [1]").fill("-2")
    page.get_by_label("W_ax [1, 1]").fill("-1.5")
    weights = [[-1.5, -0.5], [0.5, 0.5]]
    state = cell_step(cell_setup(x=[-2.0, 0.0], W_ax=weights)["options"])["state"]
    said = re.compile(rf"x⟨t⟩ = \(−2.00, 0.00\) .* a⟨t⟩ = \({', '.join(map(show, state))}\)")
    expect(page.get_by_role("img", name=said)).to_be_visible()
    first = picture.locator("path").first
    expect(first).to_have_attribute("stroke-width", "3.00")
    expect(first).to_have_attribute("stroke-dasharray", "5 3")
    expect(picture.locator("text").nth(1)).to_have_text("−2.00")


def test_the_cell_takes_steps(page: Page) -> None:
    options = cell_setup()["options"]
    expect_cell(page, options)
    page.get_by_role("button", name="Take the step").click()
    second = {**options, "a": cell_step(options)["state"], "x": [0.0, 1.0]}
    expect_cell(page, second)
    expect(page.get_by_role("list", name="Steps taken")).to_contain_text("a = (0.46, 0.76)")
    page.get_by_label("x [1]").fill("-2")
    page.get_by_label("W_aa [2, 1]").fill("0.5")
    changed = {**second, "x": [-2.0, 1.0], "W_aa": [[0.0, 1.0], [0.5, 0.0]]}
    expect_cell(page, changed)
    page.locator("[data-kind=cell]").get_by_role("button", name="Start again").click()
    expect_cell(page, options)
