"""Chapter 5: does it help to feed the attentional state back, and to reverse the source?

The plain model is "general" of `luong_scores`, with everything else the same.

Source: Luong et al. 2015, §3.3 and table 1 (input feeding, and reversal with attention);
Sutskever et al. 2014, §3.3 (reversal). Deviations: as in `luong_scores`.
"""

from typing import Any

from utils.experiments.attention_runs import (
    ATTENTION_QUICK,
    LUONG,
    attention_data,
    train_and_align,
)
from utils.experiments.luong_scores import SETTINGS as SCORE_SETTINGS

DESCRIPTION = "What do input feeding and a reversed source change in a model with attention?"
SEEDS = (1, 2, 3, 4, 5)
SETTINGS = SCORE_SETTINGS  # one direction: with two, every source is read in reverse anyway
QUICK = ATTENTION_QUICK


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train a model with input feeding, and one on reversed sources."""
    records = []
    for name, feeding, reverse in (
        ("input feeding", True, False),
        ("reversed source", False, True),
    ):
        data = attention_data(settings, reverse_source=reverse)
        _, record = train_and_align(data, settings, seed, **LUONG, input_feeding=feeding)
        records.append({"variant": name, **record})
    return records
