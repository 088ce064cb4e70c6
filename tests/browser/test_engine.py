"""The engine in Chromium, opened from disk with `eval` forbidden, against PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from engine_page import (
    largest_difference,
    open_engine,
    translate_in_page,
    translate_in_torch,
)
from playwright.sync_api import Browser, Page
from tiny_models import ALL, LONGEST_SOURCE, SOURCE_VOCABULARY, TARGET_VOCABULARY, tiny_model

from utils.datasets.vocabulary import Vocabulary
from utils.exporting import export_model, load_exported

CELLS = ("gru", "lstm", "tanh")
VOCABULARIES = {
    "source": Vocabulary([f"s{i}" for i in range(4, SOURCE_VOCABULARY)]),
    "target": Vocabulary([f"t{i}" for i in range(4, TARGET_VOCABULARY)]),
}
KINDS = {
    # every decoder and score, with cells, depths and directions in turn
    f"{name}-{number}": (
        name,
        {
            "cell": CELLS[(number + shift) % 3],
            "num_layers": 1 + (number + shift) % 2,
            "bidirectional": "dot" not in name and name != "sutskever" and (number + shift) % 4 < 2,
            "reverse_source": (number + shift) % 5 == 0,
            "local_score": ("general", "additive", "dot")[number % 3]
            if "local" in name and (number + shift) % 4 >= 2
            else "general",
        },
    )
    for shift in (0, 1)
    for number, name in enumerate(ALL, start=100 * shift)
}
SOURCES = [
    [*torch.randint(4, SOURCE_VOCABULARY, (length,), generator=generator).tolist(), 3]
    for generator in [torch.Generator().manual_seed(1)]
    for length in (1, 2, 5, 7, LONGEST_SOURCE - 1)
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One exported model of every kind, with lively random weights."""
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for number, (key, (name, changes)) in enumerate(KINDS.items()):
        torch.manual_seed(number)
        model = tiny_model(name, dtype=torch.float32, scale=3.0, **changes)
        paths[key] = export_model(
            model,
            folder / f"{key}.js",
            precision=("int8", "float16")[number % 2],
            vocabularies=VOCABULARIES,
        )
    return paths


@pytest.fixture(scope="module")
def page(
    browser: Browser, exported: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """A page with all of them."""
    opened = open_engine(browser, tmp_path_factory.mktemp("page"), exported.values())
    yield opened
    opened.close()


@pytest.mark.parametrize("key", KINDS)
def test_every_kind_equals_pytorch(key: str, page: Page, exported: dict[str, Path]) -> None:
    model = load_exported(exported[key]).build()
    for beam in (1, 3):
        found = translate_in_page(page, key, SOURCES, beam=beam, maximumLength=9)
        expected = translate_in_torch(model, SOURCES, beam=beam, maximum_length=9, batch_size=1)
        for one, other in zip(found, expected, strict=True):
            assert one["tokens"] == other.tokens
            assert one["finished"] == other.finished
            assert one["score"] == pytest.approx(other.score, abs=1e-4)
            assert one["logProbability"] == pytest.approx(other.log_probability, abs=1e-4)
            if other.weights is None:
                assert one["weights"] is None
            else:
                assert largest_difference(one["weights"], other.weights) < 1e-4
