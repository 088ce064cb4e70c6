"""A small page with every explorer, built from the assets alone, and the numbers it must show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from playwright.sync_api import Locator

from utils.datasets.captioned_images import scene_vocabulary
from utils.datasets.scenes import SceneConfig
from utils.datasets.vocabulary import Vocabulary
from utils.explorers import assets, explore, explore_captions, explore_cell, explore_window, live
from utils.explorers.answers import TranslationEngine
from utils.explorers.captions import CaptionEngine
from utils.exporting import export_model
from utils.models.captioning import CaptioningConfig, build_captioning_model
from utils.models.seq2seq import Seq2SeqConfig, build_model

SOURCE = Vocabulary(["the", "girl", "'s", "red", "book", "sleeps", "does", "not", "a"])
TARGET = Vocabulary(["la", "le", "fille", "livre", "rouge", "dort", "pas", "ne", "de"])
TEXT = "the girl 's red book does not sleeps"
OTHER = "a red book"
SIZES = {
    "source_vocabulary_size": len(SOURCE),
    "target_vocabulary_size": len(TARGET),
    "embedding_size": 8,
    "hidden_size": 16,
}
MODELS = {
    "additive": {"bidirectional": True, "decoder": "bahdanau", "attention": "additive"},
    "fixed": {"decoder": "cho"},
    "local": {"decoder": "luong", "attention": "local-p", "window": 2, "cell": "lstm"},
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Explorers</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="explorers.css">
<script defer src="explorers.js"></script>
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 52rem; margin: 0 auto; padding: 0.5rem; font-family: sans-serif; }}
</style>
</head>
<body>
<main>
<h1>Explorers</h1>
{body}
<p id="after">After the explorers.</p>
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class ExplorerPage:
    """The folder of the page, and Python's engines on the weights that the page has."""

    folder: Path
    engines: dict[str, TranslationEngine | CaptionEngine]
    examples: list[dict]
    pictures: list[dict]

    @property
    def address(self) -> str:
        return (self.folder / "index.html").as_uri()

    def answer(self, model: str, text: str, **request: object) -> dict:
        return self.engines[model].answer({"text": text, "beam": 1, **request})


def lively_model(name: str) -> torch.nn.Module:
    """A random model whose weights are large enough to prefer some words, always the same."""
    torch.manual_seed(3)
    model = build_model(Seq2SeqConfig(**SIZES, **MODELS[name])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 3.0
        model.decoder.readout.vocabulary.bias[:3] -= 20.0  # <pad>, <unk>, <bos> are never written
        model.decoder.readout.vocabulary.bias[3] -= 1.0
    return model


def lively_captioner() -> tuple[torch.nn.Module, Vocabulary]:
    """A random captioning model with small sizes, and its vocabulary."""
    torch.manual_seed(3)
    vocabulary = scene_vocabulary(SceneConfig())
    sizes = {"embedding_size": 8, "hidden_size": 16, "attention_size": 8, "channels": (4, 6, 8)}
    model = build_captioning_model(CaptioningConfig(vocabulary_size=len(vocabulary), **sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3.0
        model.output.bias[:3] -= 20.0
    return model.eval(), vocabulary


def write_page(folder: Path) -> ExplorerPage:
    """Export the models and write the page, its script and its style sheet."""
    vocabularies = {"source": SOURCE, "target": TARGET}
    kept = live.EXPORTED
    live.EXPORTED = folder / "models"
    try:
        for name in MODELS:
            export_model(
                lively_model(name), live.EXPORTED / f"{name}.js", vocabularies=vocabularies
            )
        captioner, vocabulary = lively_captioner()
        export_model(captioner, live.EXPORTED / "pictures.js", vocabularies={"target": vocabulary})
        engines = {name: live.load_engine(name) for name in (*MODELS, "pictures")}
        words = engines["additive"].answer({"text": TEXT})["result"]["words"]
        gold = {"target": words, "sure": [[0, 0], [2, 1]], "possible": [[0, 0], [2, 1], [3, 1]]}
        short = {"target": ["le", "livre"], "sure": [[0, 0], [2, 1]], "possible": [[0, 0], [2, 1]]}
        examples = [{"text": TEXT, "gold": gold}, {"text": OTHER, "gold": short}]
        explorer = explore("additive", beside=["fixed", "local"], examples=examples)
        captions = explore_captions("pictures")
    finally:
        live.EXPORTED = kept
    body = "\n".join(each.html for each in (explorer, explore_window(), explore_cell(), captions))
    (folder / "index.html").write_text(PAGE.format(body=body), encoding="utf-8")
    (folder / "explorers.js").write_text(assets.page_script(), encoding="utf-8")
    (folder / "explorers.css").write_text(assets.style(), encoding="utf-8")
    return ExplorerPage(folder, engines, examples, captions.setup["examples"])


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def numbers(cells: Locator) -> list[float]:
    return [number(text) for text in cells.all_text_contents()]
