"""The shared task of chapter 6: scenes into captions, scored on words and on where they look.

The chapter and its stored experiments make data, train and evaluate through these functions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from utils.captioning_loss import CaptionLoss
from utils.datasets.batching import BucketedBatches
from utils.datasets.captioned_images import RenderedScenes, scene_vocabulary
from utils.datasets.scenes import Box, SceneConfig, sample_scenes
from utils.decoding import greedy_search
from utils.grounding import (
    best_mass_in_box,
    centre_weights,
    mass_in_box,
    pointing_accuracy,
    uniform_weights,
)
from utils.history import History
from utils.metrics import bleu, exact_match
from utils.models.captioning import CaptioningConfig, CaptioningModel, build_captioning_model
from utils.runtime import seed_everything, select_device
from utils.training import fit
from utils.training_config import TrainingConfig

DATA_SEED = 2015


@dataclass(frozen=True)
class SceneData:
    """Scenes of the three splits with one closed vocabulary."""

    config: SceneConfig
    train: RenderedScenes
    validation: RenderedScenes
    test: RenderedScenes


SCENE_SETTINGS: dict[str, Any] = {
    "train_size": 12_000,
    "test_size": 500,
    "epochs": 8,
    "batch_size": 32,
    "learning_rate": 2e-3,
}
SCENE_QUICK: dict[str, Any] = {"train_size": 48, "test_size": 8, "epochs": 1, "batch_size": 16}


def scene_data_for(settings: dict[str, Any], config: SceneConfig | None = None) -> "SceneData":
    """The data an experiment's settings describe: two-object scenes, unless told otherwise."""
    return make_scene_data(
        SceneConfig() if config is None else config,
        train_size=settings["train_size"],
        validation_size=settings["test_size"],
        test_size=settings["test_size"],
    )


@lru_cache(maxsize=2)
def make_scene_data(
    config: SceneConfig,
    *,
    train_size: int = 12_000,
    validation_size: int = 500,
    test_size: int = 500,
    seed: int = DATA_SEED,
) -> SceneData:
    """Draw and render the three splits; kept from one call to the next, as nothing changes them."""
    vocabulary = scene_vocabulary(config)
    sizes = {"train": train_size, "validation": validation_size, "test": test_size}
    return SceneData(
        config,
        **{
            split: RenderedScenes(
                sample_scenes(config, size, seed=seed, split=split), vocabulary=vocabulary
            )
            for split, size in sizes.items()
        },
    )


def train_captioner(
    config: CaptioningConfig,
    data: SceneData,
    training: TrainingConfig,
    *,
    loss: CaptionLoss | None = None,
    batch_size: int = 64,
    progress: bool = False,
    device: str = "auto",
    model: CaptioningModel | None = None,
    on_epoch: Callable[[CaptioningModel], object] | None = None,
) -> tuple[CaptioningModel, History]:
    """Build a model from `training.seed`, or take `model`, and train it.

    Batches are not bucketed by length: that would sort the captions by their relation word.
    `on_epoch` is called with the model, in evaluation mode, after every epoch.
    """
    if model is None:
        seed_everything(training.seed)
        model = build_captioning_model(config)
    model = model.to(select_device(device))

    def watch(_: History) -> None:
        if on_epoch is not None:
            on_epoch(model.eval())  # `fit` puts it back into training mode

    history = fit(
        model,
        BucketedBatches(data.train, batch_size=batch_size, seed=training.seed, bucketing=False),
        BucketedBatches(data.validation, batch_size=250, shuffle=False),
        training,
        progress=progress,
        compute_loss=CaptionLoss() if loss is None else loss,
        on_epoch=watch,
    )
    return model, history


@dataclass(frozen=True)
class CaptionEvaluation:
    """Free-running greedy captions of held-out scenes.

    captions: what the model wrote. references: what is right. weights: per caption (T, L), or
    None without attention. word_boxes: the reference's boxes, one entry a word.
    """

    captions: tuple[tuple[str, ...], ...]
    references: tuple[tuple[str, ...], ...]
    weights: tuple[np.ndarray, ...] | None
    word_boxes: tuple[tuple[Box | None, ...], ...]
    side: int
    image_size: int

    @property
    def exact_match(self) -> float:
        """Share of captions that are right in every word, 0–1."""
        return exact_match(self.captions, self.references)

    @property
    def bleu(self) -> float:
        """Corpus BLEU, 0–100."""
        return bleu(self.captions, self.references, tokenize="none")

    @property
    def said_boxes(self) -> tuple[tuple[Box | None, ...], ...]:
        """The boxes of the words that the model said at their place; None for all others.

        A word that was not said was not pointed at, so it has nothing to score.
        """
        return tuple(
            tuple(
                box if place < len(caption) and caption[place] == word else None
                for place, (word, box) in enumerate(zip(reference, boxes, strict=True))
            )[: len(caption)]
            for caption, reference, boxes in zip(
                self.captions, self.references, self.word_boxes, strict=True
            )
        )

    @property
    def said_share(self) -> float:
        """Share of the words with a box that the model said at their place, 0–1."""
        counts = [
            sum(box is not None for caption in boxes for box in caption)
            for boxes in (self.said_boxes, self.word_boxes)
        ]
        return counts[0] / counts[1]

    @property
    def pointing_accuracy(self) -> float:
        """See `utils.grounding`; over the words said at their place."""
        return pointing_accuracy(self._weights(), self.said_boxes, **self._grid())

    @property
    def mass_in_box(self) -> float:
        """See `utils.grounding`; over the words said at their place."""
        return mass_in_box(self._weights(), self.said_boxes, **self._grid())

    def controls(self) -> dict[str, float]:
        """What attention that sees nothing would score, and the best mass any could have."""
        steps = max(len(reference) for reference in self.references)
        cells = {"rows": self.side, "columns": self.side}
        found = {"best_mass": best_mass_in_box(self.word_boxes, **self._grid())}
        for name, make in (("uniform", uniform_weights), ("centre", centre_weights)):
            blind = [make(steps, **cells)] * len(self.references)
            found[f"{name}_pointing"] = pointing_accuracy(blind, self.word_boxes, **self._grid())
            found[f"{name}_mass"] = mass_in_box(blind, self.word_boxes, **self._grid())
        return {name: round(value, 5) for name, value in found.items()}

    def pointing_of(self, words: Sequence[str]) -> float:
        """Pointing accuracy over some words alone, such as the colours."""
        chosen = [
            tuple(box if word in words else None for word, box in zip(caption, boxes, strict=False))
            for caption, boxes in zip(self.captions, self.said_boxes, strict=True)
        ]
        return pointing_accuracy(self._weights(), chosen, **self._grid())

    def summary(self) -> dict[str, float]:
        """The numbers above, rounded, as plain values for JSON."""
        found = {"exact_match": self.exact_match, "bleu": self.bleu}
        if self.weights is not None and self.said_share > 0:
            found["pointing"] = self.pointing_accuracy
            found["mass"] = self.mass_in_box
            found["said"] = self.said_share
        return {name: round(value, 5) for name, value in found.items()}

    def _weights(self) -> tuple[np.ndarray, ...]:
        if self.weights is None:
            raise ValueError("a model without attention points at nothing.")
        return self.weights

    def _grid(self) -> dict[str, int]:
        return {"rows": self.side, "columns": self.side, "image_size": self.image_size}


@torch.no_grad()
def write_captions(
    model: CaptioningModel,
    scenes: RenderedScenes,
    *,
    shuffled: bool = False,
    batch_size: int = 250,
) -> CaptionEvaluation:
    """Caption every scene greedily.

    Args:
        shuffled: show each scene's neighbour instead and keep captions and boxes where they are:
            a model that looks at its picture must fail.
    """
    device = next(model.parameters()).device
    captions: list[tuple[str, ...]] = []
    weights: list[np.ndarray] = []
    for begin in range(0, len(scenes), batch_size):
        rows = range(begin, min(begin + batch_size, len(scenes)))
        shown = [(row + shuffled) % len(scenes) for row in rows]
        images = scenes.collate(shown).images.to(device)
        for hypothesis in greedy_search(model, images, maximum_length=40):
            captions.append(tuple(scenes.vocabulary.tokens[token] for token in hypothesis.tokens))
            if hypothesis.weights is not None:
                weights.append(hypothesis.weights.float().numpy())
    image_size = model.config.image_size
    return CaptionEvaluation(
        captions=tuple(captions),
        references=tuple(scenes.captions),
        weights=tuple(weights) or None,
        word_boxes=tuple(scenes.word_boxes(row) for row in range(len(scenes))),
        side=image_size // 8,
        image_size=image_size,
    )


def score(model: CaptioningModel, data: SceneData) -> dict[str, float]:
    """A record's numbers: captions of the test scenes, and of shuffled ones."""
    record = write_captions(model, data.test).summary()
    shuffled = write_captions(model, data.test, shuffled=True)
    record["shuffled_exact_match"] = round(shuffled.exact_match, 5)
    record["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    return record


def train_and_score(
    data: SceneData,
    settings: dict[str, Any],
    seed: int,
    *,
    loss: CaptionLoss | None = None,
    model: CaptioningModel | None = None,
    learning_rate: float | None = None,
    epochs: int | None = None,
    **changes: Any,
) -> tuple[CaptioningModel, dict[str, Any]]:
    """Train one model and score it.

    Args:
        settings: of the experiment: epochs, learning_rate, batch_size.
        model: one to go on with, or None.
        learning_rate, epochs: in place of the settings'.
        changes: what distinguishes this model, for `CaptioningConfig`.
    """
    config = CaptioningConfig(vocabulary_size=len(data.train.vocabulary), **changes)
    training = TrainingConfig(
        epochs=epochs or settings["epochs"],
        learning_rate=learning_rate or settings["learning_rate"],
        schedule="cosine",
        warmup_steps=100,
        seed=seed,
    )
    trained, history = train_captioner(
        config, data, training, loss=loss, batch_size=settings["batch_size"], model=model
    )
    record = score(trained, data)
    record["validation_loss"] = [round(value, 5) for value in history.validation_loss]
    record["training_seconds"] = round(sum(history.seconds), 1)
    return trained, record
