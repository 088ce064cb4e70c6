"""Chapter 6: the doubly stochastic term, swept.

Source: Xu et al. 2015, arXiv:1502.03044, section 4.2.1 and equation 14, which reports that it
helped BLEU. The term is summed over the cells, per caption, in nats (`CaptionLoss`).
"""

from typing import Any

from utils.captioning_loss import CaptionLoss
from utils.experiments.scene_task import (
    SCENE_QUICK,
    SCENE_SETTINGS,
    scene_data_for,
    train_and_score,
)

DESCRIPTION = (
    "What does asking for even looking over the whole picture do to captions and pointing?"
)
SEEDS = (1, 2, 3, 4, 5)
SETTINGS = SCENE_SETTINGS | {
    "train_size": 6_000,
    "epochs": 6,
    "weights": [0.0, 0.1, 1.0],
}
QUICK = SCENE_QUICK | {"weights": [0.0, 1.0]}


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """One record a weight of the term."""
    data = scene_data_for(settings)
    records = []
    for weight in settings["weights"]:
        _, record = train_and_score(
            data, settings, seed, loss=CaptionLoss(doubly_stochastic=weight)
        )
        records.append({"doubly_stochastic": weight, **record})
    return records
