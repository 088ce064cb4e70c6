"""The caption explorer in a page; its words, weights and pictures recomputed."""

from __future__ import annotations

import copy

import numpy as np
from explorer_pages import ExplorerPage
from explorer_reading import captions, expect_caption
from playwright.sync_api import Page, expect

from utils.datasets.scene_rendering import render
from utils.explorers.captions import read_scene


def test_a_picture_is_picked_and_captioned(explorers: ExplorerPage, page: Page) -> None:
    engine = explorers.engines["pictures"]
    expect_caption(page, engine.answer(explorers.pictures[0]))
    captions(page).get_by_label("Picture", exact=True).select_option("2")
    expect_caption(page, engine.answer(explorers.pictures[2]))
    shown = (
        captions(page)
        .locator("canvas")
        .evaluate("(c) => [...c.getContext('2d').getImageData(0, 0, 64, 64).data]")
    )
    expected = render(read_scene(explorers.pictures[2]["scene"])).reshape(-1, 3)
    pixels = np.array(shown).reshape(-1, 4)[:, :3]
    assert np.abs(pixels - expected).max() <= 1


def test_a_picture_is_composed(explorers: ExplorerPage, page: Page) -> None:
    engine = explorers.engines["pictures"]
    view = captions(page)
    scene = copy.deepcopy(explorers.pictures[0]["scene"])
    first = scene["objects"][0]
    handle = view.locator(".ae-handle").first
    handle.press("ArrowLeft")
    first |= {"centre_x": round(first["centre_x"] - 1), "centre_y": round(first["centre_y"])}
    expect_caption(page, engine.answer({"scene": scene}))
    expect(view.get_by_label("Picture", exact=True)).to_have_value("")
    view.get_by_label("Colour").first.select_option("cyan")
    view.get_by_label("Kind").first.select_option("ring")
    first |= {"colour": "cyan", "kind": "ring"}
    expect_caption(page, engine.answer({"scene": scene}))
    box = handle.bounding_box()
    side = view.locator("canvas").bounding_box()["width"]
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 8 + side / 8, box["y"] + 8, steps=3)
    page.mouse.up()
    assert f"now at {first['centre_x'] + 8}," in handle.get_attribute("aria-label")
    first["centre_x"] += 8
    expect_caption(page, engine.answer({"scene": scene}))
