"""Tiny captioning models and batches for them, shared by the tests of captioning."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.datasets.captioned_images import CaptionBatch
from utils.models.captioning import CaptioningConfig, CaptioningModel, build_captioning_model

VOCABULARY = 9
KINDS = ("soft", "hard", "mean")


def tiny_config(**changes) -> CaptioningConfig:
    sizes = {
        "vocabulary_size": VOCABULARY, "embedding_size": 4, "hidden_size": 6, "attention_size": 5,
        "channels": (3, 4, 5), "image_size": 32,
    }  # fmt: skip
    return CaptioningConfig(**(sizes | changes))


def tiny_model(**changes) -> CaptioningModel:
    """In evaluation mode, double precision, weights large enough that choices differ."""
    model = build_captioning_model(tiny_config(**changes)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 2
    return model


def images(count: int, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, dtype=torch.float64)


def words(count: int, steps: int) -> Tensor:
    return torch.randint(4, VOCABULARY, (count, steps))


def batch_of(count: int, lengths: list[int], size: int = 32) -> CaptionBatch:
    steps = max(lengths)
    output = words(count, steps)
    lengths = torch.tensor(lengths)
    output[torch.arange(steps) >= lengths[:, None]] = 0
    given = torch.cat([torch.full((count, 1), 2), output[:, :-1]], dim=1)
    return CaptionBatch(images(count, size), given, output, lengths, torch.arange(count))
