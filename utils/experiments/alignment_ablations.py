"""Chapter 4: the recipe of its model, one setting left out at a time.

With all settings in place the model is `bahdanau` of `attention-lengths`: same sentences, same
seeds, so that the two can be compared seed by seed.
"""

from typing import Any

from utils.experiments.attention_lengths import SETTINGS as RECIPE
from utils.experiments.attention_runs import (
    ATTENTION_QUICK,
    BAHDANAU,
    attention_data,
    train_and_align,
)

DESCRIPTION = "Which settings of chapter 4's recipe do translations and alignments need?"
SEEDS = (1, 2, 3, 4, 5)
# What each setting is when it is left out.
LEFT_OUT = {"score_gain": 1.0, "weight_decay": 0.0}
SETTINGS = {name: value for name, value in RECIPE.items() if name != "short_maximum_length"}
QUICK = ATTENTION_QUICK


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train one model for each setting that is left out; one record each."""
    data = attention_data(settings)
    records = []
    for name, neutral in LEFT_OUT.items():
        _, record = train_and_align(data, settings | {name: neutral}, seed, **BAHDANAU)
        records.append({"left_out": name, **record})
    return records
