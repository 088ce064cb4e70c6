"""Chapter 7: what each part of the recipe is worth, on a third of the text and a smaller model.

One thing is changed at a time. The budget is small, so this tells what helps *early*: what keeps a
model from learning its training sentences by heart pays with many epochs, and may cost here.

Scored on the validation split alone.
"""

import re
from functools import lru_cache
from typing import Any

from utils.datasets.batching import BucketedBatches, ParallelDataset
from utils.datasets.multi30k import TextPairs, load_multi30k
from utils.datasets.vocabulary import Vocabulary
from utils.experiments.attention_runs import BAHDANAU
from utils.experiments.multi30k_task import Multi30kData, encode_texts
from utils.metrics import bleu, chrf
from utils.models.seq2seq import build_model, count_parameters
from utils.runtime import seed_everything
from utils.training import fit
from utils.training_config import TrainingConfig
from utils.translator import Translator

DESCRIPTION = "What are subwords, dropout, label smoothing and attention worth, one at a time?"
SEEDS = (1, 2)
SETTINGS = {
    "train_size": 9_600,
    "validation_size": 500,
    "epochs": 8,
    "batch_size": 64,
    "learning_rate": 4e-3,
    "warmup_steps": 100,
    "label_smoothing": 0.1,
    "dropout": 0.2,
    "pieces": 2048,
    "minimum_count": 2,
    "embedding_size": 96,
    "hidden_size": 128,
    "attention_size": 64,
    "summary_size": 200,
    "mixed_precision": True,
    "conditions": {
        "the recipe": {},
        "no dropout": {"dropout": 0.0},
        "no label smoothing": {"label_smoothing": 0.0},
        "512 pieces": {"pieces": 512},
        "whole words": {"pieces": None},
        "fixed vector": {"decoder": "cho"},
    },
}
QUICK = {
    "train_size": 96,
    "validation_size": 4,
    "epochs": 1,
    "batch_size": 32,
    "pieces": 120,
    "embedding_size": 8,
    "hidden_size": 12,
    "attention_size": 8,
    "summary_size": 16,
    "conditions": {"the recipe": {}, "whole words": {"pieces": None}},
}


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train one small model a condition; one record each."""
    pairs = [load_multi30k(split) for split in ("train", "validation")]
    sizes = (settings["train_size"], settings["validation_size"])
    train, validation = (
        TextPairs(part.source[:size], part.target[:size])
        for part, size in zip(pairs, sizes, strict=True)
    )
    records = []
    for name, changes in settings["conditions"].items():
        found = train_condition(train, validation, settings | changes, seed)
        records.append({"condition": name, **found})
    return records


def train_condition(
    train: TextPairs, validation: TextPairs, settings: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Train with `settings` and score greedy translations of the validation sentences."""
    if settings["pieces"] is None:
        validation = TextPairs(split_words(validation.source), validation.target)
    data = _encoded(train, validation, settings["pieces"], settings["minimum_count"])
    config = data.config(
        **_decoder(settings),
        embedding_size=settings["embedding_size"],
        hidden_size=settings["hidden_size"],
        readout_size=settings["embedding_size"],
        bidirectional=True,
        tie_embeddings=True,
        dropout=settings["dropout"],
    )
    names = ("epochs", "learning_rate", "warmup_steps", "label_smoothing", "mixed_precision")
    training = TrainingConfig(
        schedule="cosine", seed=seed, **{name: settings[name] for name in names}
    )
    seed_everything(seed)
    model = build_model(config)
    history = fit(
        model,
        BucketedBatches(data.train, batch_size=settings["batch_size"], seed=seed),
        BucketedBatches(data.validation, batch_size=250, shuffle=False),
        training,
        progress=False,
    )
    words = data.train.source_vocabulary, data.train.target_vocabulary
    found = Translator(model, *words).translate(validation.source, beam_size=1)
    texts = [translation.text for translation in found]
    pieces = [data.validation.lengths(row)[1] - 1 for row in range(len(texts))]
    total = sum(pieces) + len(texts)
    # nats per piece cannot be compared between vocabularies, nats per sentence can
    return {
        "bleu": round(bleu(texts, validation.target), 2),
        "chrf": round(chrf(texts, validation.target), 2),
        "validation_loss": round(history.best_loss, 4),
        "nats_per_sentence": round(history.best_loss * total / len(texts), 2),
        "pieces_per_sentence": round(sum(pieces) / len(texts), 2),
        "unknown_written": sum("<unk>" in text for text in texts),
        "parameters": count_parameters(model),
        "training_seconds": round(sum(history.seconds), 1),
    }


def _decoder(settings: dict[str, Any]) -> dict[str, Any]:
    if settings.get("decoder") == "cho":
        return {"decoder": "cho", "summary_size": settings["summary_size"]}
    return BAHDANAU | {"attention_size": settings["attention_size"]}


def _encoded(
    train: TextPairs, validation: TextPairs, pieces: int | None, minimum_count: int
) -> Multi30kData:
    texts = tuple(tuple(side) for pairs in (train, validation) for side in _sides(pairs))
    return _kept_data(texts, pieces, minimum_count)


def _sides(pairs: TextPairs) -> tuple[list[str], list[str]]:
    return pairs.source, pairs.target


@lru_cache(maxsize=3)
def _kept_data(texts: tuple, pieces: int | None, minimum_count: int) -> Multi30kData:
    """Encoded pairs, kept from one condition or seed to the next."""
    sides = [list(side) for side in texts]
    train, validation = TextPairs(*sides[:2]), TextPairs(*sides[2:])
    if pieces is not None:
        return encode_texts(train, validation, source_pieces=pieces, target_pieces=pieces)
    words = [[text.split() for text in split_words(side)] for side in sides]
    source, target = (
        Vocabulary.from_sentences(side, minimum_count=minimum_count) for side in words[:2]
    )
    encoded = [ParallelDataset(*words[i : i + 2], source, target) for i in (0, 2)]
    return Multi30kData(*encoded, validation)


def split_words(texts: list[str]) -> list[str]:
    """Texts with a space around every punctuation mark, so that words can be told apart."""
    return [" ".join(re.findall(r"\w+(?:[-'’]\w+)*|[^\w\s]", text)) for text in texts]
