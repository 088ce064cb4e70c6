"""Chapter 2: the source read forwards and backwards by the same plain encoder–decoder.

Source: Sutskever et al. 2014, §3.3. Deviations: a synthetic grammar instead of WMT, one layer of
LSTM instead of four, greedy search instead of a beam.
"""

from typing import Any

from utils.experiments.grammar_runs import (
    QUICK_SETTINGS,
    SHARED_SETTINGS,
    data_for,
    train_and_score,
)

DESCRIPTION = "Does reversing the source help an encoder–decoder without attention?"
SEEDS = (1, 2, 3, 4, 5)
SETTINGS = SHARED_SETTINGS | {"decoder": "sutskever", "cell": "lstm"}
QUICK = QUICK_SETTINGS


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train on the same sentences in both orders; one record an order."""
    records = []
    for order in ("forward", "reversed"):
        data = data_for(settings, reverse_source=order == "reversed")
        _, record = train_and_score(
            data, settings, seed, decoder=settings["decoder"], cell=settings["cell"]
        )
        records.append({"order": order, **record})
    return records
