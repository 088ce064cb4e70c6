"""The book's exported models in the page: the same words and weights as PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from engine_page import (
    largest_difference,
    open_engine,
    translate_in_page,
    translate_in_torch,
)
from playwright.sync_api import Browser
from test_engine_words import assert_cut_alike, random_strings

from utils.checkpoints import load_model
from utils.datasets import multi30k
from utils.datasets.grammar import Grammar
from utils.datasets.scene_rendering import render_all
from utils.datasets.scenes import SceneConfig, sample_scenes
from utils.decoding import greedy_search
from utils.experiments.grammar_task import make_data, train_model
from utils.exporting import ExportedModel, export_model, load_exported
from utils.training_config import TrainingConfig
from utils.translator import find_model, load_translator

FOLDER = Path(__file__).resolve().parents[2] / "book" / "assets" / "models"
EXPORTED = {path.stem: path for path in sorted(FOLDER.glob("*.js"))}
LIMITS = {"multi30k": 6_000_000, "": 600_000}  # bytes as shipped, by the beginning of the name
LOSSES = {"exact_match": 0.01, "bleu": 0.5}  # most that the rounding may cost


TRAINED = {  # what the book's own models do not cover: Luong's decoder of LSTM cells
    "trained-gru": {"decoder": "bahdanau", "attention": "additive", "bidirectional": True},
    "trained-lstm": {"decoder": "luong", "attention": "local-p", "window": 3, "cell": "lstm"},
}


def train(name: str, folder: Path) -> Path:
    """A model that was trained for seconds: it has learnt some words and where they stand."""
    data = make_data(train_size=1_500, validation_size=50, test_size=1, maximum_length=8)
    config = data.config(**TRAINED[name], embedding_size=24, hidden_size=32)
    model, _ = train_model(
        config, data, TrainingConfig(epochs=3, learning_rate=1e-2, seed=1), batch_size=32
    )
    vocabularies = {
        "source": data.train.source_vocabulary,
        "target": data.train.target_vocabulary,
    }
    return export_model(model, folder / f"{name}.js", vocabularies=vocabularies)


def held_out(exported: ExportedModel) -> list[list[int]]:
    """1,000 held-out sentences of the grammar, or 200 of Multi30k, as ids."""
    if exported.vocabularies["source"]["kind"] == "words":
        vocabulary = Grammar().source_vocabulary()
        longest = 8 if exported.name in TRAINED else 30
        examples = Grammar().sample(1_000, seed=77, split="test", maximum_length=longest)
        return [vocabulary.encode(example.source) for example in examples]
    if not multi30k.is_downloaded():
        pytest.skip("Multi30k was never downloaded here")
    return []


def assert_alike(found: list[dict], expected: list) -> None:
    """The same tokens for at least 99.5 % of the sentences, and with them weights within 1e-3."""
    alike = [one["tokens"] == other.tokens for one, other in zip(found, expected, strict=True)]
    assert sum(alike) / len(alike) >= 0.995
    differences = [
        largest_difference(one["weights"], other.weights)
        for one, other, same in zip(found, expected, alike, strict=True)
        if same and other.weights is not None
    ]
    assert max(differences, default=0.0) < 1e-3


@pytest.mark.parametrize(
    "name", [*TRAINED, *(name for name in EXPORTED if not name.startswith("scenes"))]
)
def test_translations_equal_pytorch(name: str, browser: Browser, tmp_path: Path) -> None:
    path = EXPORTED[name] if name in EXPORTED else train(name, tmp_path)
    exported = load_exported(path)
    model = exported.build()
    page = open_engine(browser, tmp_path, [path])
    sources = held_out(exported)
    if not sources:  # raw text: the page cuts it into subwords itself
        texts = multi30k.load_multi30k("test").source[:200]
        sources = page.evaluate(
            "([name, texts]) => texts.map((text) => use(name).tokenize(text).ids)", [name, texts]
        )
    for beam, count in ((1, len(sources)), (3, len(sources) // 10)):
        found = translate_in_page(page, name, sources[:count], beam=beam)
        assert_alike(found, translate_in_torch(model, sources[:count], beam=beam))
    page.close()


@pytest.mark.parametrize("name", [name for name in EXPORTED if name.startswith("multi30k")])
def test_text_is_cut_as_the_released_models_vocabulary_cuts_it(
    name: str, browser: Browser, tmp_path: Path
) -> None:
    if not multi30k.is_downloaded():
        pytest.skip("Multi30k was never downloaded here")
    vocabulary = load_translator(name).source_vocabulary
    texts = [*multi30k.load_multi30k("test").source, *random_strings(1_000)]
    page = open_engine(browser, tmp_path, [EXPORTED[name]])
    found = page.evaluate(
        "([name, texts]) => texts.map((text) => use(name).tokenize(text))", [name, texts]
    )
    assert_cut_alike(found, texts, vocabulary)
    page.close()


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_files_are_those_of_the_released_models(name: str) -> None:
    """Else: `python -m utils export --model NAME`."""
    card = dict(load_exported(EXPORTED[name]).card)
    del card["export"]
    assert card == load_model(find_model(name)).card


@pytest.mark.parametrize("name", [name for name in EXPORTED if name.startswith("scenes")])
def test_captions_equal_pytorch(name: str, browser: Browser, tmp_path: Path) -> None:
    model = load_exported(EXPORTED[name]).build()
    scenes = sample_scenes(SceneConfig(), 200, seed=78, split="test")
    images = torch.from_numpy(render_all(scenes)).permute(0, 3, 1, 2).float() / 255
    expected = greedy_search(model, images, torch.ones(len(images), dtype=torch.int64))
    page = open_engine(browser, tmp_path, [EXPORTED[name]])
    found = []
    for begin in range(0, len(images), 20):  # pixels travel as whole numbers
        found += page.evaluate(
            """([name, images]) => images.map((image) => {
              const found = use(name).caption(Float32Array.from(image, (value) => value / 255));
              return {
                tokens: found.tokens,
                weights: found.steps[0].weights && found.steps.map((s) => rounded(s.weights)),
              };
            })""",
            [name, (images[begin : begin + 20] * 255).round().int().flatten(1).tolist()],
        )
    assert_alike(found, expected)
    page.close()


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_files_are_small_and_their_rounding_costs_little(name: str) -> None:
    exported = load_exported(EXPORTED[name])
    limit = next(size for start, size in LIMITS.items() if name.startswith(start))
    assert EXPORTED[name].stat().st_size <= limit
    scores = exported.card["export"]
    metric = "exact_match" if "exact_match" in scores["saved"] else "bleu"
    assert scores["exported"][metric] >= scores["saved"][metric] - LOSSES[metric]
