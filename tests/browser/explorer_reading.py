"""What an explorer shows, read and compared with what Python computes.

The same for a built page and for a notebook: a scope is a page, or the part of it that holds one
explorer.
"""

from __future__ import annotations

import re

import pytest
from explorer_pages import number, numbers
from playwright.sync_api import Locator, Page, expect

from utils.explorers.toys import cell_step, window_weights
from utils.metrics import alignment_error_rate, hard_links

expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong
Scope = Page | Locator


def translator(scope: Scope) -> Locator:
    return scope.locator(".attention-explorer[data-kind=translation]")


def message(scope: Scope) -> Locator:
    return scope.locator("[data-kind=translation] .ae-message")


def matrix(scope: Scope, suffix: str = "") -> list[list[float]]:
    table = scope.get_by_role("table", name=f"Attention weights{suffix}", exact=True)
    return table.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('td')].map(td => +td.dataset.weight))"
    )


def translation(scope: Scope, suffix: str = "") -> Locator:
    region = scope.get_by_role("region", name=f"Translation{suffix}", exact=True)
    return region.locator(".ae-words-written")


def ask(scope: Scope, text: str) -> None:
    scope.get_by_label("Source sentence").fill(text)
    scope.get_by_role("button", name="Translate").click()
    wait_for_answer(scope)


def wait_for_answer(scope: Scope) -> None:
    """What was asked last is drawn."""
    expect(scope.locator(".ae-results")).not_to_have_attribute("aria-busy", "true")
    expect(message(scope)).not_to_contain_text("Loading")


def expect_step(view: Locator, step: dict) -> None:
    """The step panel shows these scores, powers, weights, this context, these probabilities."""
    expect(view.locator(".ae-step-title")).to_contain_text(f"“{step['word']}”")
    rows = view.get_by_role("table", name="Scores and weights of this step").locator("tbody tr")
    shown = [numbers(row.locator("td.ae-number")) for row in rows.all()]
    assert [row[0] for row in shown] == pytest.approx(step["scores"], abs=0.0051)
    assert [row[2] for row in shown] == pytest.approx(step["weights"], abs=1e-4)
    for weight, row in zip(step["weights"], shown, strict=True):
        largest = max(s for s, w in zip(step["scores"], step["weights"], strict=True) if w > 0)
        if weight > 0:
            assert row[1] == pytest.approx(2.718281828 ** (row[0] - largest), abs=0.01)
    context = [number(text) for text in view.locator(".ae-numbers").text_content().split()]
    assert context == pytest.approx(step["context"], abs=0.0006)
    expect_probabilities(view, step)


def expect_probabilities(view: Locator, step: dict) -> None:
    table = view.get_by_role("table", name="Next-word probabilities")
    assert table.locator("th").all_text_contents() == [
        each["word"] for each in step["probabilities"]
    ]
    expected = [each["probability"] for each in step["probabilities"]]
    assert numbers(table.locator("td.ae-number")) == pytest.approx(expected, abs=1e-4)


def expect_matrix(scope: Scope, steps: list[dict], suffix: str = "") -> None:
    shown = matrix(scope, suffix)
    assert len(shown) == len(steps)
    for row, step in zip(shown, steps, strict=True):
        assert row == pytest.approx(step["weights"], abs=1e-3)


def expect_tree(tree: Locator, result: dict) -> None:
    shown = sorted(numbers(tree.locator(".ae-node-number")))
    expected = sorted(node["logProbability"] for node in result["tree"])
    assert shown == pytest.approx(expected, abs=0.0051 + 1e-3)
    best = tree.locator("g.ae-best .ae-node-word").all_text_contents()
    assert best[1 : len(result["words"]) + 1] == result["words"]


def renormalised(weights: list[float], index: int, value: float) -> list[float]:
    others = sum(weights) - weights[index]
    return [value if i == index else w * (1 - value) / others for i, w in enumerate(weights)]


def expect_error_rate(scope: Scope, rows: list, gold: dict, words: list[str]) -> None:
    links = hard_links(rows, len(gold["target"]), len(words))
    sure, possible = ({tuple(link) for link in gold[kind]} for kind in ("sure", "possible"))
    rate = alignment_error_rate([links], [frozenset(sure)], [frozenset(possible)])
    expect(scope.locator(".ae-aer").first).to_contain_text(f"{rate:.2f}")


def captions(scope: Scope) -> Locator:
    return scope.locator(".attention-explorer[data-kind=captions]")


def expect_caption(scope: Scope, answer: dict) -> None:
    """The words, and for the first two the weights, the overlay, the gate and the probability."""
    view = captions(scope)
    steps = answer["result"]["steps"]
    region = view.get_by_role("region", name="Caption")
    expect(region).not_to_have_attribute("aria-busy", "true")
    words = region.locator(".ae-caption-word")
    expect(words).to_have_text([step["word"] for step in steps])
    if not view.locator("details[open]").count():
        view.locator("summary").click()
    for index, step in enumerate(steps[:2]):
        words.nth(index).click()
        expect(view.locator(".ae-step-title")).to_contain_text(f"“{step['word']}”")
        cells = view.get_by_role("table", name="Attention weights").locator("td")
        shown = cells.evaluate_all("cells => cells.map(cell => +cell.dataset.weight)")
        assert shown == pytest.approx(step["weights"], abs=1e-3)
        bright = view.locator(".ae-overlay i").evaluate_all(
            "cells => cells.map(cell => +cell.style.getPropertyValue('--w'))"
        )
        largest = max(step["weights"])
        assert bright == pytest.approx([w / largest for w in step["weights"]], abs=0.01)
        title = view.locator(".ae-step-title").text_content()
        gate, probability = (re.search(f"{name} ([0-9.]+)", title)[1] for name in ("β =", "lity"))
        assert float(gate) == pytest.approx(step["gate"], abs=1e-3)
        assert float(probability) == pytest.approx(step["probability"], abs=1e-3)


def window_shown(scope: Scope) -> list[list[float]]:
    rows = scope.get_by_role("table", name="Local attention weights").locator("tbody tr")
    return [numbers(row.locator("td.ae-number")) for row in rows.all()]


def expect_window(scope: Scope, options: dict) -> None:
    found = window_weights(options)
    shown = window_shown(scope)
    for column, key in enumerate(("shares", "bell", "weights"), start=1):
        assert [row[column] for row in shown] == pytest.approx(found[key], abs=1e-4), key


def cell_shown(scope: Scope) -> tuple[list[list[float]], list[list[float]]]:
    return tuple(
        [numbers(row.locator("td")) for row in scope.get_by_role("table", name=name).locator(
            "tbody tr").all()]
        for name in ("The new state", "The answer")
    )  # fmt: skip


def expect_cell(scope: Scope, options: dict) -> None:
    found = cell_step(options)
    state, answer = cell_shown(scope)
    for unit in range(2):
        parts = [found[key][unit] for key in ("from_word", "from_state")]
        parts += [options["b_a"][unit], found["total"][unit], found["state"][unit]]
        assert state[unit] == pytest.approx(parts, abs=0.0006)
        assert answer[unit] == pytest.approx(
            [found["logits"][unit], found["answer"][unit]], abs=0.0006
        )
