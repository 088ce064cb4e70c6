"""The shared task of chapters 2 to 5: English → French on the book's own grammar.

Chapters and stored experiments make data, train and evaluate through these three functions, so a
number in one place can be compared with a number in another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from utils.datasets.batching import BucketedBatches, ParallelDataset
from utils.datasets.grammar import Example, Grammar
from utils.decoding import Hypothesis, greedy_search
from utils.history import History
from utils.metrics import bleu
from utils.models.seq2seq import EncoderDecoder, Seq2SeqConfig, build_model
from utils.runtime import seed_everything, select_device
from utils.training import fit
from utils.training_config import TrainingConfig

DATA_SEED = 2014


@dataclass(frozen=True)
class GrammarData:
    """Sentences of the three splits, and the vocabularies they are encoded with."""

    grammar: Grammar
    train: ParallelDataset
    validation: ParallelDataset
    test: tuple[Example, ...]
    reverse_source: bool

    def encode(self, examples: Sequence[Example]) -> ParallelDataset:
        """Examples → a data set with this task's vocabularies and source order."""
        return _encode(self.grammar, examples, self.reverse_source)

    def config(self, **settings: object) -> Seq2SeqConfig:
        """A model's config with this task's vocabulary sizes filled in."""
        return Seq2SeqConfig(
            source_vocabulary_size=len(self.train.source_vocabulary),
            target_vocabulary_size=len(self.train.target_vocabulary),
            reverse_source=self.reverse_source,
            **settings,
        )


def _encode(grammar: Grammar, examples: Sequence[Example], reverse: bool) -> ParallelDataset:
    return ParallelDataset(
        [example.source for example in examples],
        [example.target for example in examples],
        grammar.source_vocabulary(),
        grammar.target_vocabulary(),
        reverse_source=reverse,
    )


def make_data(
    *,
    train_size: int = 40_000,
    validation_size: int = 1_000,
    test_size: int = 1_000,
    minimum_length: int = 4,
    maximum_length: int = 30,
    test_maximum_length: int | None = None,
    phenomena: frozenset[str] | None = None,
    reverse_source: bool = False,
    seed: int = DATA_SEED,
) -> GrammarData:
    """Draw the three splits. Lengths count source words.

    Args:
        maximum_length: longest sentence of training and validation.
        test_maximum_length: longest test sentence, by default the same.
        phenomena: what the grammar may use, None for everything.
        reverse_source: whether models read the source from its last word to its first.
        seed: of the sentences, not of the models.
    """
    longest = max(maximum_length, test_maximum_length or 0)
    grammar = Grammar(minimum_length=minimum_length, maximum_length=longest, phenomena=phenomena)
    train = grammar.sample(train_size, seed=seed, split="train", maximum_length=maximum_length)
    validation = grammar.sample(
        validation_size, seed=seed, split="validation", maximum_length=maximum_length
    )
    test = grammar.sample(test_size, seed=seed, split="test", maximum_length=longest)
    return GrammarData(
        grammar=grammar,
        train=_encode(grammar, train, reverse_source),
        validation=_encode(grammar, validation, reverse_source),
        test=tuple(test),
        reverse_source=reverse_source,
    )


def train_model(
    config: Seq2SeqConfig,
    data: GrammarData,
    training: TrainingConfig,
    *,
    batch_size: int = 128,
    progress: bool = False,
    device: str = "auto",
) -> tuple[EncoderDecoder, History]:
    """Build a model from `training.seed` and train it on the task."""
    chosen = select_device(device)
    seed_everything(training.seed)
    model = build_model(config).to(chosen)
    history = fit(
        model,
        BucketedBatches(data.train, batch_size=batch_size, seed=training.seed),
        BucketedBatches(data.validation, batch_size=256, shuffle=False),
        training,
        progress=progress,
    )
    return model, history


@dataclass(frozen=True)
class Evaluation:
    """Free-running greedy translations of held-out sentences, beside what they should be.

    lengths: (N,) source words. exact: (N,) bool, the whole sentence is right.
    """

    examples: tuple[Example, ...]
    hypotheses: tuple[Hypothesis, ...]
    words: tuple[tuple[str, ...], ...]
    lengths: np.ndarray
    exact: np.ndarray

    @property
    def exact_match(self) -> float:
        """Share of sentences translated without a single error, 0–1."""
        return float(self.exact.mean())

    def exact_by_length(self, edges: Sequence[int]) -> list[float]:
        """Exact match within each [edges[i], edges[i+1]) of source words; NaN where none is."""
        return [
            float(self.exact[chosen].mean()) if chosen.any() else float("nan")
            for chosen in self._buckets(edges)
        ]

    def bleu_by_length(self, edges: Sequence[int]) -> list[float]:
        """BLEU (0–100) within each [edges[i], edges[i+1]) of source words."""
        return [self.bleu(np.flatnonzero(chosen)) for chosen in self._buckets(edges)]

    def bleu(self, rows: Sequence[int] | None = None) -> float:
        """BLEU (0–100) of all sentences, or of some rows; NaN without a sentence."""
        rows = range(len(self.words)) if rows is None else rows
        if len(rows) == 0:
            return float("nan")
        return bleu(
            [" ".join(self.words[row]) for row in rows],
            [" ".join(self.examples[row].target) for row in rows],
            tokenize="none",
        )

    def _buckets(self, edges: Sequence[int]) -> list[np.ndarray]:
        return [(self.lengths >= low) & (self.lengths < high) for low, high in pairwise(edges)]


@torch.no_grad()
def evaluate(
    model: EncoderDecoder,
    data: GrammarData,
    examples: Sequence[Example] | None = None,
    *,
    batch_size: int = 256,
) -> Evaluation:
    """Translate `examples` (by default the test split) greedily and compare.

    The sentences keep their order in the result, whatever the order of the batches.
    """
    examples = tuple(data.test if examples is None else examples)
    dataset = data.encode(examples)
    device = next(model.parameters()).device
    found: dict[int, Hypothesis] = {}
    for batch in BucketedBatches(dataset, batch_size=batch_size, shuffle=False):
        batch = batch.to(device)
        decoded = greedy_search(model, batch.source, batch.source_lengths)
        found.update(zip(batch.indices.tolist(), decoded, strict=True))
    hypotheses = tuple(found[row] for row in range(len(examples)))
    vocabulary = dataset.target_vocabulary
    words = tuple(tuple(vocabulary.decode(each.tokens)) for each in hypotheses)
    return Evaluation(
        examples=examples,
        hypotheses=hypotheses,
        words=words,
        lengths=np.array([len(example.source) for example in examples]),
        exact=np.array([w == e.target for w, e in zip(words, examples, strict=True)]),
    )
