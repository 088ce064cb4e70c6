"""Chapter 6: how far an annotation vector sees, and whether attention still points.

The layers above the grid of 8-pixel cells have kernel 1 or 3, so that a vector sees 22, 38 or 70
pixels of 64. Parameter counts differ by the kernels; they are stored.
"""

from typing import Any

from utils.experiments.scene_task import (
    SCENE_QUICK,
    SCENE_SETTINGS,
    scene_data_for,
    train_and_score,
)
from utils.models.image_encoders import receptive_field, stride_eight_layers

DESCRIPTION = "Does attention still point at the object when each vector sees its neighbours too?"
SEEDS = (1, 2, 3, 4, 5)
SETTINGS = SCENE_SETTINGS | {
    "train_size": 8_000,
    "epochs": 6,
    "context": [[1, 1], [1, 3], [3, 3]],
}
QUICK = SCENE_QUICK | {"context": [[1, 1], [1, 3]]}


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """One record a number of context layers and their kernel."""
    data = scene_data_for(settings)
    records = []
    for layers, kernel in settings["context"]:
        model, record = train_and_score(
            data, settings, seed, context_layers=layers, context_kernel=kernel
        )
        field = receptive_field(
            stride_eight_layers(model.config.channels, context_layers=layers, context_kernel=kernel)
        )
        records.append({"receptive_field": field.size, **record})
    return records
