"""What the experiments with attention share: one recipe, and a record with alignment scores.

Data, training and translation scores are those of `grammar_runs`; a model with attention is also
scored on the gold alignments.
"""

import math
from functools import lru_cache
from typing import Any

from utils.datasets.batching import BucketedBatches
from utils.datasets.grammar import Grammar
from utils.experiments.alignments import align
from utils.experiments.grammar_runs import (
    QUICK_SETTINGS,
    SHARED_SETTINGS,
    data_for,
    train_and_score,
)
from utils.experiments.grammar_task import GrammarData
from utils.losses import evaluate_loss
from utils.models.seq2seq import EncoderDecoder

ATTENTION_SETTINGS: dict[str, Any] = SHARED_SETTINGS | {
    "train_size": 20_000,
    "maximum_length": 30,
    "edges": [4, 10, 15, 20, 25, 31],
    "hidden_size": 96,
    "bidirectional": True,
    "batch_size": 32,
    "epochs": 3,
    "learning_rate": 4e-3,
    "warmup_steps": 50,
    "update_gate_bias": -1.5,  # states close to their own words: attention finds those sooner
    "mixed_precision": False,  # does not pay at this size
}
# Of chapters 4 and 5 at full length: one pass, so nearly every sentence is new (57,423 of 60,000
# differ), from encoder states as torch draws them, and with weight decay, which does for the
# alignments what no beginning did.
FULL_SETTINGS: dict[str, Any] = ATTENTION_SETTINGS | {
    "train_size": 60_000,
    "test_size": 2_000,
    "epochs": 1,
    "update_gate_bias": 0.0,
    "weight_decay": 0.3,
}
ATTENTION_QUICK = QUICK_SETTINGS
# Settings that say where a training begins; see `Seq2SeqConfig`.
BEGINNINGS = ("update_gate_bias", "score_gain")
BAHDANAU = {"decoder": "bahdanau", "attention": "additive"}
LUONG = {"decoder": "luong", "attention": "general"}


def attention_data(settings: dict[str, Any], **changes: Any) -> GrammarData:
    """`data_for`, kept from one seed of an experiment to the next: the sentences are the same."""
    names = ("train_size", "validation_size", "test_size", "minimum_length", "maximum_length")
    return _kept_data(tuple((name, settings[name]) for name in names), tuple(changes.items()))


@lru_cache(maxsize=3)
def _kept_data(settings: tuple, changes: tuple) -> GrammarData:
    changes = dict(changes)
    if changes.pop("monotone", False):
        changes["phenomena"] = Grammar.MONOTONE
    return data_for(dict(settings) | changes, **changes)


def train_and_align(
    data: GrammarData, settings: dict[str, Any], seed: int, **model: Any
) -> tuple[EncoderDecoder, dict[str, Any]]:
    """Train one model; its record: what `train_and_score` gives, perplexity and alignment.

    Args:
        model: what distinguishes this model, for `Seq2SeqConfig`.
    Returns:
        The model, and its record with perplexity on the references of the test split and, with
        attention, `Alignment.summary`.
    """
    names = ("bidirectional", *BEGINNINGS)
    model = {name: settings[name] for name in names if name in settings} | model
    trained, record = train_and_score(data, settings, seed, **model)
    batches = BucketedBatches(data.encode(data.test), batch_size=256, shuffle=False)
    record["perplexity"] = round(math.exp(evaluate_loss(trained, batches)), 5)
    if trained.config.attention is not None:
        record |= align(trained, data).summary()
    return trained, record
