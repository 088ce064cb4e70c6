"""Chapter 6: soft attention, hard attention, and none, on the same two-object scenes.

Source: Xu et al. 2015, arXiv:1502.03044, table 1. Deviations: rendered scenes in place of
photographs; the encoder is trained with the decoder; hard attention begins with the weights of the
trained soft model, because from fresh weights a sampled cell is nearly always background.
"""

from dataclasses import replace
from typing import Any

from utils.captioning_loss import CaptionLoss
from utils.experiments.scene_task import (
    SCENE_QUICK,
    SCENE_SETTINGS,
    scene_data_for,
    score,
    train_and_score,
)
from utils.models.captioning import CaptioningModel, build_captioning_model

DESCRIPTION = (
    "Does hard attention caption and point as well as soft attention, and what is either worth?"
)
SEEDS = (1, 2, 3, 4, 5)
SETTINGS = SCENE_SETTINGS | {
    "hard_epochs": 8,
    "hard_learning_rate": 1e-3,
    "hard_loss": {"expected_share": 0.5, "entropy": 0.01, "credit": "remaining"},
}
QUICK = SCENE_QUICK | {"hard_epochs": 1}


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """One record each for mean, soft and hard."""
    data = scene_data_for(settings)
    records = []
    for attention in ("mean", "soft"):
        soft, record = train_and_score(data, settings, seed, attention=attention)
        records.append({"attention": attention, **record})
    _, record = train_and_score(
        data,
        settings,
        seed,
        model=harden(soft),
        epochs=settings["hard_epochs"],
        learning_rate=settings["hard_learning_rate"],
        loss=CaptionLoss(**settings["hard_loss"]),
    )
    first = records[-1]
    record["training_seconds"] = round(record["training_seconds"] + first["training_seconds"], 1)
    record["before_sampling"] = score(harden(soft), data)
    return [*records, {"attention": "hard", **record}]


def harden(soft: CaptioningModel) -> CaptioningModel:
    """A model with hard attention that begins with the weights of one with soft attention."""
    config = replace(soft.config, attention="hard")
    hard = build_captioning_model(config).to(next(soft.parameters()).device)
    hard.load_state_dict(soft.state_dict(), strict=False)  # all but the reward's moving average
    return hard.eval()
