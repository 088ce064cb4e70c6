"""From a preset to what a training needs: data, a fresh model, a loss, and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from utils.captioning_loss import CaptionLoss
from utils.datasets.batching import BucketedBatches, ParallelDataset
from utils.datasets.multi30k import COMMIT
from utils.datasets.scenes import SceneConfig
from utils.experiments import grammar_task, multi30k_task
from utils.experiments.scene_task import SceneData, make_scene_data, write_captions
from utils.losses import ComputeLoss, translation_loss
from utils.metrics import bleu, chrf, exact_match
from utils.models.captioning import CaptioningConfig, build_captioning_model
from utils.models.seq2seq import build_model
from utils.presets.definitions import Preset, PresetError, Stage
from utils.runtime import seed_everything
from utils.translator import Translator

EMBEDDED_DATA = {
    "source": "drawn by the book's own code, nothing to download",
    "licence": "MIT, as the code",
}
MULTI30K_DATA = {
    "source": f"Multi30k task 1, German to English, github.com/multi30k/dataset at {COMMIT}",
    "licence": (
        "the repository states none, so ask its authors before publishing what is made from it; "
        "the English captions are Flickr30k's"
    ),
}


@dataclass(frozen=True)
class Task:
    """What `fit` and a card need.

    model: freshly initialised. vocabularies: by name, for the checkpoint. losses: one a stage.
    score: (model, batch size) → scores on the validation split. about_data: for the card.
    """

    model: nn.Module
    train: BucketedBatches
    validation: BucketedBatches
    vocabularies: dict[str, Any]
    losses: tuple[ComputeLoss, ...]
    score: Callable[[nn.Module], dict[str, Any]]
    about_data: dict[str, str]

    @property
    def config(self) -> dict[str, Any]:
        """The model's config as plain values."""
        return asdict(self.model.config)


def prepare(preset: Preset) -> Task:
    """Make a preset's data and its model, freshly initialised from the first stage's seed.

    Raises:
        PresetError: the data cannot be made as the settings say.
        DataUnavailableError: Multi30k is neither in its folder nor to be downloaded.
    """
    make = {"grammar": _grammar, "scenes": _scenes, "multi30k": _multi30k}[preset.task]
    try:
        return make(preset)
    except (TypeError, ValueError) as error:
        raise PresetError(f"{preset.name} cannot be prepared: {error}") from error


def _grammar(preset: Preset) -> Task:
    settings = dict(preset.model)
    data = grammar_task.make_data(
        **preset.data,
        test_size=1,
        reverse_source=settings.pop("reverse_source", False),
    )

    def score(model: nn.Module) -> dict[str, Any]:
        pairs = data.validation
        translated = Translator(model, pairs.source_vocabulary, pairs.target_vocabulary).translate(
            [_source_words(pairs, row) for row in range(len(pairs))], beam_size=1
        )
        words = pairs.target_vocabulary
        references = [" ".join(words.decode(pairs[row][1])) for row in range(len(pairs))]
        own = [translation.text for translation in translated]
        return {
            "sentences": len(own),
            "beam_size": 1,
            "exact_match": round(exact_match(own, references), 4),
            "bleu": round(bleu(own, references, tokenize="none"), 2),
        }

    return _translation_task(preset, data, data.config(**settings), score, EMBEDDED_DATA)


def _source_words(pairs: ParallelDataset, row: int) -> str:
    """The words of a source in their own order; the translator reverses again."""
    words = pairs.source_vocabulary.decode(pairs[row][0])
    return " ".join(reversed(words) if pairs.reverse_source else words)


def _multi30k(preset: Preset) -> Task:
    settings = dict(preset.model)
    data = multi30k_task.make_data(
        **preset.data,
        reverse_source=settings.pop("reverse_source", False),
        seed=preset.stages[0].training.seed,
    )
    texts = data.validation_texts

    def score(model: nn.Module) -> dict[str, Any]:
        translator = Translator(model, data.train.source_vocabulary, data.train.target_vocabulary)
        own = [each.text for each in translator.translate(texts.source, beam_size=1)]
        return {
            "sentences": len(own),
            "beam_size": 1,
            "bleu": round(bleu(own, texts.target), 2),
            "chrf": round(chrf(own, texts.target), 2),
        }

    return _translation_task(preset, data, data.config(**settings), score, MULTI30K_DATA)


def _translation_task(preset: Preset, data, config, score, about_data) -> Task:
    seed = preset.stages[0].training.seed
    seed_everything(seed)
    return Task(
        model=build_model(config),
        train=BucketedBatches(data.train, batch_size=preset.batch_size, seed=seed),
        validation=BucketedBatches(data.validation, batch_size=256, shuffle=False),
        vocabularies={
            "source": data.train.source_vocabulary,
            "target": data.train.target_vocabulary,
        },
        losses=(translation_loss,) * len(preset.stages),
        score=score,
        about_data=about_data,
    )


def _scenes(preset: Preset) -> Task:
    sizes = dict(preset.data)
    data: SceneData = make_scene_data(
        SceneConfig(),
        train_size=sizes["train_size"],
        validation_size=sizes["test_size"],
        test_size=1,
    )
    seed = preset.stages[0].training.seed
    seed_everything(seed)
    config = CaptioningConfig(vocabulary_size=len(data.train.vocabulary), **preset.model)

    def score(model: nn.Module) -> dict[str, Any]:
        return {"scenes": len(data.validation), **write_captions(model, data.validation).summary()}

    return Task(
        model=build_captioning_model(config),
        # not sorted by length: that would sort the captions by their relation word
        train=BucketedBatches(data.train, batch_size=preset.batch_size, seed=seed, bucketing=False),
        validation=BucketedBatches(data.validation, batch_size=250, shuffle=False),
        vocabularies={"caption": data.train.vocabulary},
        losses=tuple(_caption_loss(stage) for stage in preset.stages),
        score=score,
        about_data=EMBEDDED_DATA,
    )


def _caption_loss(stage: Stage) -> CaptionLoss:
    return CaptionLoss(**(stage.loss or {}))
