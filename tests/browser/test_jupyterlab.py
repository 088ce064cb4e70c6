"""The live widgets in a real JupyterLab with a real kernel, every control driven for real."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import suppress

import pytest
from browsing import ROOT, Visitor
from explorer_pages import OTHER, SOURCE, TARGET, TEXT, lively_captioner, lively_model
from explorer_reading import (
    ask,
    captions,
    expect_caption,
    expect_cell,
    expect_matrix,
    expect_probabilities,
    expect_step,
    expect_tree,
    expect_window,
    matrix,
    message,
    renormalised,
    translation,
    wait_for_answer,
)
from lab_server import CELLS, PATIENCE, running_lab
from playwright.sync_api import Browser, Locator, Page, expect

from utils.explorers import explore, explore_captions
from utils.explorers.examples import grammar_examples
from utils.explorers.toys import cell_setup, cell_step, window_setup

SCREENSHOTS = ROOT / "_build" / "screenshots"
GRAVE = ("asked another host", "script error")  # what else JupyterLab's page notes is its own


def run_all_cells(page: Page) -> None:
    """Ask until the first cell has begun: Lab drops the command while its kernel is not there."""
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    prompt = page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").first
    begun = re.compile(r"\[(\*|\d+)\]")
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with suppress(AssertionError):
            expect(prompt).to_have_text(begun, timeout=15_000)
            return
    raise AssertionError("JupyterLab did not begin to run the notebook's cells")


@pytest.fixture(scope="module")
def notebook(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The notebook in JupyterLab, all cells run by its kernel."""
    visitor = Visitor(browser)
    with running_lab(tmp_path_factory.mktemp("lab")) as address, visitor.stack:
        page = visitor(address)
        page.set_default_timeout(1000 * PATIENCE)
        page.set_viewport_size({"width": 1280, "height": 2400})  # a picture shows what is in it
        page.locator(".jp-Notebook .jp-CodeCell").nth(len(CELLS) - 1).wait_for()
        run_all_cells(page)
        explorers = page.locator(".jp-OutputArea .attention-explorer.ae-on")
        expect(explorers).to_have_count(len(CELLS) - 1, timeout=1000 * PATIENCE)
        yield page
    grave = [each for each in visitor.problems if each.startswith(GRAVE)]
    assert not grave, "\n".join(sorted(set(grave)))


def output(notebook: Page, name: str) -> Locator:
    """The output of one of the cells."""
    found = notebook.locator(".jp-Notebook .jp-Cell").nth(list(CELLS).index(name))
    found.scroll_into_view_if_needed()
    return found.locator(".jp-Cell-outputArea")


def keep_picture(view: Locator, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    view.screenshot(path=SCREENSHOTS / f"jupyterlab-{name}.png")


@pytest.fixture(scope="module")
def engines() -> dict:
    """What the kernel has, once more."""
    models = {name: lively_model(name) for name in ("additive", "fixed", "local")}
    return {
        name: next(iter(explore(model, (SOURCE, TARGET), examples=[TEXT]).engines.values()))
        for name, model in models.items()
    }


def test_a_sentence_is_translated_stepped_and_edited(notebook: Page, engines: dict) -> None:
    view = output(notebook, "translation")
    first = grammar_examples()[0]["text"]
    expect_matrix(view, engines["additive"].answer({"text": first})["result"]["steps"])
    ask(view, "the gril sleeps")
    expect(message(view)).to_contain_text("Unknown word: gril")
    ask(view, TEXT)
    plain = engines["additive"].answer({"text": TEXT})["result"]
    expect(translation(view)).to_have_text(plain["text"])
    expect_matrix(view, plain["steps"])
    expect_step(view, plain["steps"][0])
    view.get_by_role("button", name="Forward").click()
    expect_step(view, plain["steps"][1])
    view.get_by_role("slider", name="Step of the decoder").press("End")
    expect_step(view, plain["steps"][-1])
    view.get_by_role("button", name="Back").click()
    expect_step(view, plain["steps"][-2])

    view.get_by_role("slider", name="Step of the decoder").press("Home")
    view.get_by_label("Weight of book").fill("0.9")
    expect(view.locator("tr.ae-edited")).to_have_count(1)
    row = renormalised(plain["steps"][0]["weights"], 4, 0.9)
    assert matrix(view)[0] == pytest.approx(row, abs=1e-3)
    edited = engines["additive"].answer({"text": TEXT, "overrides": {"0": row}})["result"]
    expect(translation(view)).to_have_text(edited["text"])
    expect_matrix(view, edited["steps"])
    expect_probabilities(view, edited["steps"][0])
    assert edited["steps"][0]["probabilities"] != plain["steps"][0]["probabilities"]
    keep_picture(view, "translation")
    view.get_by_role("button", name="Reset weights").click()
    expect(view.locator("tr.ae-edited")).to_have_count(0)
    expect_matrix(view, plain["steps"])

    # Nothing of JavaScript's engine was used: Python has answered.
    assert notebook.evaluate("globalThis.attentionBook?.models ?? null") is None


def test_keys_stay_in_the_explorer(notebook: Page, engines: dict) -> None:
    """JupyterLab gives arrows, letters and Delete a meaning of their own outside of it."""
    view = output(notebook, "translation")
    ask(view, TEXT)
    plain = engines["additive"].answer({"text": TEXT})["result"]["steps"]
    view.locator(".ae-matrix td[data-step='0'][data-source='0']").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        notebook.keyboard.press(key)
    expect_step(view, plain[2])
    notebook.keyboard.press("+")
    expect(view.locator("tr.ae-edited")).to_have_count(1)
    more = min(1, plain[2]["weights"][1] + 0.05)
    assert matrix(view)[2][1] == pytest.approx(more, abs=1e-3)
    notebook.keyboard.press("Delete")
    expect(view.locator("tr.ae-edited")).to_have_count(0)
    slider = view.get_by_role("slider", name="Step of the decoder")
    slider.focus()
    for key in ("Home", "ArrowRight", "ArrowUp", "ArrowDown"):
        notebook.keyboard.press(key)
    expect_step(view, plain[1])
    view.get_by_role("button", name="Forward").focus()
    notebook.keyboard.press("Enter")
    expect_step(view, plain[2])
    expect(notebook.locator(".jp-Notebook .jp-Cell")).to_have_count(len(CELLS))


def test_the_beam_is_a_tree(notebook: Page, engines: dict) -> None:
    view = output(notebook, "translation")
    ask(view, TEXT)
    view.get_by_label("Beam size").select_option("3")
    wait_for_answer(view)
    tree = view.locator(".ae-tree")
    expect(tree).to_have_count(1)
    result = engines["additive"].answer({"text": TEXT, "beam": 3})["result"]
    expect(translation(view)).to_have_text(result["text"])
    expect_tree(tree, result)
    keep_picture(view, "tree")
    view.get_by_label("Beam size").select_option("1")
    expect(tree).to_have_count(0)


def test_two_models_stand_side_by_side(notebook: Page, engines: dict) -> None:
    view = output(notebook, "beside")
    ask(view, OTHER)
    view.get_by_label("Beside it").select_option(label="fixed")
    wait_for_answer(view)
    fixed = engines["fixed"].answer({"text": OTHER})["result"]
    second = view.locator(".ae-view").nth(1)
    expect(translation(view, ", second model")).to_have_text(fixed["text"])
    expect(second).to_contain_text("No attention")
    expect_probabilities(second, fixed["steps"][0])
    view.get_by_label("Beside it").select_option(label="local")
    wait_for_answer(view)
    local = engines["local"].answer({"text": OTHER})["result"]
    expect(second).to_contain_text(f"p_t = {local['steps'][0]['centre']:.2f}")
    expect_matrix(view, local["steps"], ", second model")
    expect_step(second, local["steps"][0])
    expect_matrix(view, engines["additive"].answer({"text": OTHER})["result"]["steps"])
    keep_picture(view, "side-by-side")
    view.get_by_label("Model", exact=True).select_option(label="local")
    wait_for_answer(view)
    expect(translation(view)).to_have_text(local["text"])
    expect_matrix(view, local["steps"])


def test_a_picture_is_picked_and_composed(notebook: Page) -> None:
    view = output(notebook, "captions")
    explorer = explore_captions(*lively_captioner())
    engine, pictures = explorer.engines["model"], explorer.setup["examples"]
    expect_caption(view, engine.answer(pictures[0]))
    captions(view).get_by_label("Picture", exact=True).select_option("2")
    expect_caption(view, engine.answer(pictures[2]))
    scene = copy.deepcopy(pictures[2]["scene"])
    scene["objects"][0] |= {"colour": "cyan", "kind": "ring"}
    captions(view).get_by_label("Colour").first.select_option("cyan")
    captions(view).get_by_label("Kind").first.select_option("ring")
    expect_caption(view, engine.answer({"scene": scene}))
    captions(view).locator(".ae-handle").first.press("ArrowLeft")
    first = scene["objects"][0]
    first |= {"centre_x": round(first["centre_x"] - 1), "centre_y": round(first["centre_y"])}
    expect_caption(view, engine.answer({"scene": scene}))
    keep_picture(view, "captions")


def test_the_window_is_moved(notebook: Page) -> None:
    view = output(notebook, "window")
    options = window_setup()["options"]
    expect_window(view, options)
    view.get_by_label("D, words to either side").fill("4")
    view.get_by_label("h_t [1]").fill("-1.5")
    expect_window(view, {**options, "window": 4, "state": [-1.5, options["state"][1]]})
    keep_picture(view, "window")


def test_the_cell_takes_a_step(notebook: Page) -> None:
    view = output(notebook, "cell")
    options = cell_setup()["options"]
    expect_cell(view, options)
    view.get_by_role("button", name="Take the step").click()
    second = {**options, "a": cell_step(options)["state"], "x": [0.0, 1.0]}
    expect_cell(view, second)
    view.get_by_label("W_aa [2, 1]").fill("0.5")
    expect_cell(view, {**second, "W_aa": [[0.0, 1.0], [0.5, 0.0]]})
    keep_picture(view, "cell")
