"""Chapter 2: the gated unit against plain tanh, in encoder and decoder.

Source: Cho et al. 2014, §2.3, where the gated unit is introduced. Deviations: a synthetic grammar;
torch's order of the reset gate.
"""

from typing import Any

from utils.experiments.grammar_runs import (
    QUICK_SETTINGS,
    SHARED_SETTINGS,
    data_for,
    train_and_score,
)

DESCRIPTION = "Do gated units beat plain tanh units at the same number of parameters?"
SEEDS = (1, 2, 3, 4, 5)
# A tanh cell has one block of weights where a GRU has three: it gets more units instead. Both have
# the same learning rate; smaller ones (2e-3, 1e-3, 5e-4) were tried for tanh, and were worse.
SETTINGS = SHARED_SETTINGS | {
    "decoder": "cho",
    "conditions": [
        {"cell": "gru"},
        {"cell": "tanh", "hidden_size": 181},
    ],
}
QUICK = QUICK_SETTINGS | {"conditions": [{"cell": "gru"}, {"cell": "tanh", "hidden_size": 24}]}


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train one model a condition on the same sentences; one record each."""
    data = data_for(settings)
    records = []
    for condition in settings["conditions"]:
        merged = settings | condition
        _, record = train_and_score(
            data, merged, seed, decoder=settings["decoder"], cell=condition["cell"]
        )
        records.append({**condition, **record})
    return records
