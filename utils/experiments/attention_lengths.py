"""Chapter 4: attention against the fixed vector, by length, at matched parameter counts.

Three models are tested on the same sentences: Bahdanau's attention and a fixed vector trained on
all lengths, and Bahdanau's trained on short sentences only. The fixed-vector model is made wider
until it has as many weights as Bahdanau's; all see the same number of sentences.

Source: Bahdanau et al. 2015, §5.1, figure 2 and table 1 (30 words against 50). Deviations: a
synthetic grammar, shorter sentences, and equal numbers of weights.
"""

from typing import Any

from utils.experiments.attention_runs import (
    ATTENTION_QUICK,
    BAHDANAU,
    FULL_SETTINGS,
    attention_data,
    train_and_align,
)
from utils.experiments.grammar_task import GrammarData
from utils.models.seq2seq import build_model, count_parameters

DESCRIPTION = "Does attention hold where the fixed vector falls, and does short training suffice?"
SEEDS = (1, 2, 3, 4, 5)
SETTINGS = FULL_SETTINGS | {"score_gain": 6.0, "short_maximum_length": 12}
QUICK = ATTENTION_QUICK | {"short_maximum_length": 8}


def match_hidden_size(data: GrammarData, parameters: int, **model: Any) -> int:
    """The hidden size whose parameter count is nearest to `parameters`."""

    def count(size: int) -> int:
        return count_parameters(build_model(data.config(hidden_size=size, **model)))

    low, high = 1, 2
    while count(high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    return min(low, high, key=lambda size: abs(count(size) - parameters))


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train the three models; one record each."""
    longest = settings["maximum_length"]
    data = attention_data(settings)
    short_settings = settings | {"maximum_length": settings["short_maximum_length"]}
    short = attention_data(short_settings, test_maximum_length=longest)
    if short.test != data.test:
        raise RuntimeError("the two trainings must be tested on the same sentences")
    records = []
    for name, sentences, model in (
        ("bahdanau", data, BAHDANAU),
        ("bahdanau, short", short, BAHDANAU),
    ):
        _, record = train_and_align(sentences, settings, seed, **model)
        words = longest if sentences is data else settings["short_maximum_length"]
        records.append({"model": name, "trained_up_to": words, **record})
    fixed = {
        "decoder": "cho",
        "bidirectional": settings["bidirectional"],
        "embedding_size": settings["embedding_size"],
    }
    size = match_hidden_size(data, records[0]["parameters"], **fixed)
    _, record = train_and_align(data, settings, seed, hidden_size=size, **fixed)
    return [*records, {"model": "fixed", "trained_up_to": longest, "hidden_size": size, **record}]
