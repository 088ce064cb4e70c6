"""What the experiments on the grammar share: train one model, score it, write one record."""

import math
import time
from itertools import pairwise
from typing import Any

from utils.experiments.grammar_task import Evaluation, GrammarData, evaluate, make_data, train_model
from utils.history import History
from utils.models.seq2seq import EncoderDecoder, count_parameters
from utils.training_config import TrainingConfig

# Settings that every experiment on the grammar has; each names its own values beside them.
SHARED_SETTINGS: dict[str, Any] = {
    "train_size": 6_000,
    "validation_size": 500,
    "test_size": 500,
    "minimum_length": 4,
    "maximum_length": 12,
    "edges": [4, 6, 8, 10, 13],  # buckets of source words, the last end excluded
    "embedding_size": 64,
    "hidden_size": 128,
    "batch_size": 64,
    "epochs": 7,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "patience": None,
    "mixed_precision": True,
}
# What makes any of them cheap: the code runs to its end, the numbers mean nothing.
QUICK_SETTINGS: dict[str, Any] = {
    "train_size": 192,
    "validation_size": 32,
    "test_size": 32,
    "embedding_size": 8,
    "hidden_size": 16,
    "epochs": 1,
    "mixed_precision": False,
}


def data_for(settings: dict[str, Any], **changes: Any) -> GrammarData:
    """The three splits that the settings ask for. `changes` go to `make_data`."""
    names = ("train_size", "validation_size", "test_size", "minimum_length", "maximum_length")
    return make_data(**{name: settings[name] for name in names} | changes)


def training_for(settings: dict[str, Any], seed: int) -> TrainingConfig:
    """The training that the settings ask for, from one seed."""
    names = ("epochs", "learning_rate", "schedule", "patience", "mixed_precision")
    some = {name: settings[name] for name in ("warmup_steps", "weight_decay") if name in settings}
    return TrainingConfig(seed=seed, **some, **{name: settings[name] for name in names})


def train_and_score(
    data: GrammarData, settings: dict[str, Any], seed: int, **model: Any
) -> tuple[EncoderDecoder, dict[str, Any]]:
    """Train one model and score its free-running translations of the test split.

    Args:
        settings: `SHARED_SETTINGS`, perhaps changed.
        model: what distinguishes this model, for `Seq2SeqConfig`.
    Returns:
        The model and its record: parameters, seconds, epochs, best validation loss (nats per
        target token), exact match (0–1) and BLEU (0–100), both also by length.
    """
    sizes = {name: settings[name] for name in ("embedding_size", "hidden_size")}
    config = data.config(**sizes | model)
    started = time.process_time()
    trained, history = train_model(
        config, data, training_for(settings, seed), batch_size=settings["batch_size"]
    )
    record = {
        "parameters": count_parameters(trained),
        "seconds": round(time.process_time() - started, 1),
        **_describe_history(history),
        **score(evaluate(trained, data), settings["edges"]),
    }
    return trained, record


def _describe_history(history: History) -> dict[str, Any]:
    return {
        "epochs": history.epochs,
        "stopped": history.stopped,
        "validation_loss": history.best_loss,
        "validation_losses": [round(loss, 4) for loss in history.validation_loss],
    }


def score(evaluation: Evaluation, edges: list[int]) -> dict[str, Any]:
    """Exact match and BLEU, overall and within [edges[i], edges[i+1]) source words.

    A bucket without a sentence has None.
    """
    lengths = evaluation.lengths
    return {
        "exact_match": evaluation.exact_match,
        "bleu": round(evaluation.bleu(), 3),
        "exact_by_length": [_or_none(v) for v in evaluation.exact_by_length(edges)],
        "bleu_by_length": [_or_none(v) for v in evaluation.bleu_by_length(edges)],
        "sentences_by_length": [
            int(((lengths >= low) & (lengths < high)).sum()) for low, high in pairwise(edges)
        ],
    }


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else round(value, 4)
