"""Chapter 3: trained on short sentences, tested on long ones.

This is another question than the bottleneck's: here long sentences were never seen at all, so
failing on them says nothing about the width of c.

Source: Bahdanau et al. 2015, §4.1, which trains on ≤ 30 and on ≤ 50 words. Deviations: a synthetic
grammar, shorter sentences.
"""

from typing import Any

from utils.experiments.grammar_runs import (
    QUICK_SETTINGS,
    SHARED_SETTINGS,
    data_for,
    train_and_score,
)

DESCRIPTION = "What does a fixed-vector model trained on short sentences do with longer ones?"
SEEDS = (1, 2, 3, 4, 5)
SETTINGS = SHARED_SETTINGS | {
    "train_size": 8_000,
    "test_size": 600,
    "maximum_length": 9,
    "test_maximum_length": 24,
    "edges": [4, 6, 8, 10, 12, 16, 20, 25],
    "decoder": "cho",
    "cell": "gru",
}
QUICK = QUICK_SETTINGS


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train on sentences of at most `maximum_length` words, test on all; one record."""
    data = data_for(settings, test_maximum_length=settings["test_maximum_length"])
    _, record = train_and_score(
        data, settings, seed, decoder=settings["decoder"], cell=settings["cell"]
    )
    return [record]
