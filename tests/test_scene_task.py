"""The shared task of chapter 6: what is scored, and the controls that see nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from utils.datasets.scenes import SceneConfig
from utils.experiments.scene_task import (
    CaptionEvaluation,
    make_scene_data,
    train_captioner,
    write_captions,
)
from utils.experiments.visual_attention import harden
from utils.models.captioning import CaptioningConfig, CaptioningModel, build_captioning_model
from utils.training_config import TrainingConfig

DATA = make_scene_data(SceneConfig.easy(), train_size=12, validation_size=6, test_size=7)
LEFT, RIGHT = (0, 0, 32, 32), (32, 32, 64, 64)  # boxes: the first and the last of 2 × 2 cells


def config(**changes) -> CaptioningConfig:
    return CaptioningConfig(
        vocabulary_size=len(DATA.train.vocabulary), channels=(4, 6, 8), hidden_size=12, **changes
    )


def model(**changes) -> CaptioningModel:
    torch.manual_seed(0)
    built = build_captioning_model(config(**changes)).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter *= 3  # so that different pictures give different captions
        built.output.bias[DATA.train.vocabulary.eos_id] = -5  # and not all of them empty
    return built


def evaluation(captions: list[str], weights: list[list[int]] | None) -> CaptionEvaluation:
    """Against `a red ring`, where both named words have the box of cell 0."""
    return CaptionEvaluation(
        captions=tuple(tuple(caption.split()) for caption in captions),
        references=(("a", "red", "ring"),) * len(captions),
        weights=None if weights is None else tuple(np.eye(4)[cells] for cells in weights),
        word_boxes=((None, LEFT, LEFT),) * len(captions),
        side=2,
        image_size=64,
    )


def test_only_words_said_at_their_place_are_scored_for_pointing() -> None:
    found = evaluation(["a red ring", "a blue ring", "a"], [[3, 0, 3], [0, 0, 0], [0]])
    assert found.exact_match == pytest.approx(1 / 3)
    assert found.said_boxes == ((None, LEFT, LEFT), (None, None, LEFT), (None,))
    assert found.said_share == pytest.approx(3 / 6)
    assert found.pointing_accuracy == found.mass_in_box == pytest.approx(2 / 3)
    assert found.pointing_of(["red"]) == 1.0 and found.pointing_of(["ring"]) == 0.5


def test_controls_see_nothing() -> None:
    controls = evaluation(["a red ring"], None).controls()
    assert controls == {
        "best_mass": 1.0,
        "uniform_pointing": 0.25,
        "uniform_mass": 0.25,
        "centre_pointing": 0.25,
        "centre_mass": 0.25,
    }


def test_a_model_without_attention_has_words_to_score_and_no_looks() -> None:
    found = evaluation(["a red ring"], None)
    assert set(found.summary()) == {"exact_match", "bleu"}
    with pytest.raises(ValueError, match="points at nothing"):
        _ = found.pointing_accuracy


def test_shuffled_shows_the_next_picture_under_the_same_captions_and_boxes() -> None:
    captioner = model()
    straight = write_captions(captioner, DATA.test)
    shuffled = write_captions(captioner, DATA.test, shuffled=True, batch_size=3)
    assert len(set(straight.captions)) > 1, "the test needs captions that differ"
    assert shuffled.captions == straight.captions[1:] + straight.captions[:1]
    assert shuffled.references == straight.references == tuple(DATA.test.captions)
    assert shuffled.word_boxes == straight.word_boxes
    np.testing.assert_allclose(shuffled.weights[0], straight.weights[1], atol=1e-5)


def test_hardening_keeps_the_weights_and_looks_at_the_heaviest_cell() -> None:
    soft = model()
    hard = harden(soft)
    assert hard.config.attention == "hard" and soft.config.attention == "soft"
    for name, value in soft.state_dict().items():
        assert torch.equal(hard.state_dict()[name], value), name
    images = DATA.test.collate([0, 1]).images
    steps = [each.step(torch.tensor([2, 2]), *each.start(each.encode(images))[::-1])
             for each in (soft, hard)]  # fmt: skip
    torch.testing.assert_close(steps[0].weights, steps[1].weights)
    assert (steps[1].location == steps[0].weights.argmax(dim=1)).all()


def test_watching_a_training_does_not_change_it() -> None:
    def train(**changes) -> tuple[CaptioningModel, list]:
        training = TrainingConfig(epochs=2, learning_rate=1e-2, seed=1)
        return train_captioner(config(), DATA, training, batch_size=4, device="cpu", **changes)

    seen = []

    def watch(captioner: CaptioningModel) -> None:
        seen.append(write_captions(captioner, DATA.test).exact_match)

    alone, _ = train()
    watched, history = train(on_epoch=watch)
    assert len(seen) == history.epochs == 2
    for name, value in alone.state_dict().items():
        assert torch.equal(watched.state_dict()[name], value), name
