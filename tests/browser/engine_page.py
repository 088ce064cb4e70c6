"""A page with the engine and exported models, and the same questions put to PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Browser, Page

from utils.datasets.batching import pad_sequences
from utils.decoding import Hypothesis, beam_search, greedy_search
from utils.explorers.engine import engine_script

EVAL_FORBIDDEN = (
    '<meta http-equiv="Content-Security-Policy" content="script-src \'unsafe-inline\' file:">'
)


def open_engine(browser: Browser, folder: Path, scripts: Iterable[Path]) -> Page:
    """Open a page from disk, with `eval` forbidden, that has loaded the engine and the scripts.

    Models are made on their first use: `use("name")` in the page.
    """
    (folder / "engine.js").write_text(engine_script(), encoding="utf-8")
    sources = [(folder / "engine.js").as_uri(), *(path.resolve().as_uri() for path in scripts)]
    tags = "".join(f'<script src="{source}"></script>' for source in sources)
    page_file = folder / "engine.html"
    page_file.write_text(
        f'<!doctype html><meta charset="utf-8"><title>Engine</title>'
        f"{EVAL_FORBIDDEN}{tags}<script>"
        "const made = {};"
        "const use = (name) => (made[name] ??= attentionBook.load(attentionBook.models[name]));"
        "const rounded = (list) => list && list.map((x) => Math.round(x * 1e6) / 1e6);"
        "</script>",
        encoding="utf-8",
    )
    page = browser.new_page()
    page.set_default_timeout(120_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.goto(page_file.as_uri())
    assert errors == []
    return page


def translate_in_page(
    page: Page, name: str, sources: Sequence[Sequence[int]], **options: Any
) -> list[dict[str, Any]]:
    """`translate` of every source: tokens, weights (rows), centres, score, probabilities."""
    return page.evaluate(
        """([name, sources, options]) => sources.map((ids) => {
          const found = use(name).translate(ids, options);
          return {
            tokens: found.tokens, score: found.score, finished: found.finished,
            logProbability: found.logProbability, tree: found.tree,
            weights: found.steps[0].weights && found.steps.map((step) => rounded(step.weights)),
            probabilities: found.steps.map((step) => step.probability),
          };
        })""",
        [name, sources, options],
    )


def reversed_order(length: int) -> list[int]:
    """Positions of a source that is read from its last word to its first, <eos> staying last."""
    return [*range(length - 2, -1, -1), length - 1]


@torch.no_grad()
def translate_in_torch(
    model: torch.nn.Module,
    sources: Sequence[Sequence[int]],
    *,
    beam: int = 1,
    batch_size: int = 100,
    maximum_length: int | None = None,
) -> list[Hypothesis]:
    """Greedy or beam search; sources and weights in the order in which sentences are written."""
    found: list[Hypothesis] = []
    for begin in range(0, len(sources), batch_size):
        chosen = [list(ids) for ids in sources[begin : begin + batch_size]]
        if model.config.reverse_source:
            chosen = [[ids[i] for i in reversed_order(len(ids))] for ids in chosen]
        inputs = pad_sequences(chosen)
        if beam == 1:
            found += greedy_search(model, *inputs, maximum_length=maximum_length)
        else:
            rows = beam_search(model, *inputs, beam_size=beam, maximum_length=maximum_length)
            found += [row[0] for row in rows]
    if not model.config.reverse_source:
        return found
    return [
        hypothesis
        if hypothesis.weights is None
        else Hypothesis(
            hypothesis.tokens,
            hypothesis.log_probability,
            hypothesis.score,
            hypothesis.finished,
            hypothesis.weights[:, reversed_order(hypothesis.weights.shape[1])],
        )
        for hypothesis in found
    ]


def largest_difference(weights: Sequence[Sequence[float]], expected: torch.Tensor) -> float:
    """Largest difference of two weight matrices; infinite if their shapes differ."""
    found = torch.tensor(weights)
    return float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")
