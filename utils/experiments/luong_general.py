"""Chapter 5: Luong's attention with the general score, at the size of chapter 4's Bahdanau model.

Source: Luong et al. 2015, §3. Deviations: a synthetic grammar, one GRU layer, both directions.
"""

from typing import Any

from utils.experiments.attention_runs import (
    ATTENTION_QUICK,
    FULL_SETTINGS,
    LUONG,
    attention_data,
    train_and_align,
)

DESCRIPTION = "How well does Luong's general attention translate and align on all lengths?"
SEEDS = (1, 2, 3, 4, 5)
SETTINGS = FULL_SETTINGS | {"hidden_size": 128}
QUICK = ATTENTION_QUICK


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train one model; one record."""
    _, record = train_and_align(attention_data(settings), settings, seed, **LUONG)
    return [record]
