"""Chapter 5: score functions, global and local, on a grammar that reorders and one that does not.

Source: Luong et al. 2015, §4.3 and table 4. Deviations: a synthetic grammar, one GRU layer,
no input feeding (which is `luong-feeding`'s question), greedy search.
"""

from typing import Any

from utils.experiments.attention_runs import (
    ATTENTION_QUICK,
    ATTENTION_SETTINGS,
    attention_data,
    train_and_align,
)

DESCRIPTION = (
    "Which score function is best, globally or in a local window, and on which word order?"
)
SEEDS = (1, 2, 3, 4, 5)
GRAMMARS = ("reordering", "monotone")
ATTENTIONS: dict[str, dict[str, Any]] = {
    "dot": {"attention": "dot"},
    "general": {"attention": "general"},
    "concat": {"attention": "concat"},
    "location": {"attention": "location"},
    "local-m (dot)": {"attention": "local-m", "local_score": "dot"},
    "local-m (general)": {"attention": "local-m"},
    "local-m (concat)": {"attention": "local-m", "local_score": "concat"},
    "local-p (dot)": {"attention": "local-p", "local_score": "dot"},
    "local-p (general)": {"attention": "local-p"},
    "local-p (concat)": {"attention": "local-p", "local_score": "concat"},
}
# One direction, as in the paper: then states of encoder and decoder have one size, and dot can
# take part with the same encoder as the others.
SETTINGS = ATTENTION_SETTINGS | {
    "train_size": 5_000,
    "test_size": 400,
    "maximum_length": 12,
    "edges": [4, 7, 10, 13],
    "embedding_size": 48,
    "hidden_size": 64,
    "bidirectional": False,
    "update_gate_bias": 0.0,
    "batch_size": 64,
    "epochs": 5,
    "learning_rate": 8e-3,
    "window": 4,
}
QUICK = ATTENTION_QUICK


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train every attention on both grammars; one record each."""
    records = []
    for grammar in GRAMMARS:
        data = attention_data(settings, monotone=grammar == "monotone")
        for name, model in ATTENTIONS.items():
            fixed = {"decoder": "luong", "window": settings["window"], "longest_source": 32}
            _, record = train_and_align(data, settings, seed, **fixed | model)
            records.append({"grammar": grammar, "attention": name, **record})
    return records
