"""Chapter 3: how wide must c be? Only the width of c changes; all else keeps its size.

Every model is trained on all lengths until the validation loss stops improving. Each record also
holds what the gradients say about the second complaint: where the attribution of a target word
lies, and how much it moves from word to word.

Source: the deck's slide on the bottleneck; Cho et al. 2014, §2.2 for the model.
"""

from typing import Any

from utils.experiments.attribution import attribution_summary
from utils.experiments.grammar_runs import (
    QUICK_SETTINGS,
    SHARED_SETTINGS,
    data_for,
    train_and_score,
)

DESCRIPTION = "Does translation get better as c gets wider, and at which lengths does it fail?"
SEEDS = (1, 2, 3)
SETTINGS = SHARED_SETTINGS | {
    "decoder": "cho",
    "cell": "gru",
    "train_size": 12_000,
    "test_size": 600,
    "maximum_length": 24,
    "edges": [4, 6, 9, 12, 16, 20, 25],
    "widths": [8, 32, 128],
    "epochs": 20,
    "learning_rate": 2e-3,
    "schedule": "constant",
    "patience": 2,
    "attribution_sentences": 48,
}
QUICK = QUICK_SETTINGS | {"widths": [2, 8], "patience": 1, "attribution_sentences": 8}


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train one model a width on the same sentences; one record each."""
    data = data_for(settings)
    records = []
    for width in settings["widths"]:
        model, record = train_and_score(
            data,
            settings,
            seed,
            decoder=settings["decoder"],
            cell=settings["cell"],
            summary_size=width,
        )
        sentences = data.test[: settings["attribution_sentences"]]
        record["attribution"] = attribution_summary(model, data, sentences)
        records.append({"width": width, **record})
    return records
