"""Alignments read from attention and scored against the grammar's gold links.

The reference translation is forced on the model, so that row t of the weights belongs to word t of
the reference, which the gold links are about. The largest weight of a row is its link.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from utils.datasets.batching import BucketedBatches
from utils.datasets.grammar import Example
from utils.experiments.grammar_task import GrammarData
from utils.metrics import (
    Links,
    alignment_error_rate,
    alignment_precision,
    crossing_rate,
    diagonal_links,
    hard_links,
    random_links,
    sure_recall,
    weight_entropy,
)
from utils.models.seq2seq import EncoderDecoder


@dataclass(frozen=True)
class Alignment:
    """Predicted links of some sentences, beside the gold ones.

    links: per sentence, at most one link a target word. weights: per sentence (T, S) float, words
    only, in the order of the sentences; None for a baseline. entropy: mean of the rows, <eos>
    counted as a place to look, in nats; None for a baseline.
    """

    examples: tuple[Example, ...]
    links: tuple[Links, ...]
    weights: tuple[np.ndarray, ...] | None = None
    entropy: float | None = None

    @property
    def error_rate(self) -> float:
        """Alignment error rate of Och and Ney, 0 (best) – 1."""
        return alignment_error_rate(self.links, self._sure, self._possible)

    @property
    def recall(self) -> float:
        """Share of the sure gold links that were found, 0–1."""
        return sure_recall(self.links, self._sure)

    @property
    def precision(self) -> float:
        """Share of the predicted links that are sure or possible, 0–1."""
        return alignment_precision(self.links, self._possible)

    @property
    def crossing(self) -> float:
        """Share of pairs of predicted links that cross, 0–1."""
        return crossing_rate(self.links)

    @property
    def gold_crossing(self) -> float:
        """Share of pairs of sure gold links that cross, 0–1."""
        return crossing_rate(self._sure)

    def sentence_error_rate(self, row: int) -> float:
        """Alignment error rate of one sentence, 0–1."""
        one = slice(row, row + 1)
        return alignment_error_rate(self.links[one], self._sure[one], self._possible[one])

    def summary(self) -> dict[str, float]:
        """Every number above, rounded, as plain values for JSON."""
        found = {
            "aer": self.error_rate,
            "sure_recall": self.recall,
            "link_precision": self.precision,
            "crossing_rate": self.crossing,
        }
        if self.entropy is not None:
            found["entropy"] = self.entropy
        return {name: round(value, 5) for name, value in found.items()}

    @cached_property
    def _sure(self) -> list[Links]:
        return [example.sure for example in self.examples]

    @cached_property
    def _possible(self) -> list[Links]:
        return [example.possible for example in self.examples]


@torch.no_grad()
def align(
    model: EncoderDecoder,
    data: GrammarData,
    examples: Sequence[Example] | None = None,
    *,
    batch_size: int = 256,
) -> Alignment:
    """Force the references on the model and link every target word to its largest weight.

    Args:
        examples: by default the test split.
    Raises:
        ValueError: the model has no attention.
    """
    examples = tuple(data.test if examples is None else examples)
    device = next(model.parameters()).device
    weights: dict[int, np.ndarray] = {}
    nats, rows = 0.0, 0
    model.eval()
    batches = BucketedBatches(data.encode(examples), batch_size=batch_size, shuffle=False)
    for batch in batches:
        batch = batch.to(device)
        output = model(batch.source, batch.source_lengths, batch.target_input)
        if output.weights is None:
            raise ValueError(
                f"decoder {model.config.decoder!r} has no attention to read links from; use "
                "'bahdanau' or 'luong'"
            )
        found = output.weights.float().cpu().numpy()  # (B, T, S)
        counted = batch.target_mask.cpu().numpy() & (found.sum(axis=-1) > 0)
        nats += weight_entropy(found, counted) * int(counted.sum())
        rows += int(counted.sum())
        for row, index in enumerate(batch.indices.tolist()):
            weights[index] = _words_only(found[row], examples[index], data.reverse_source)
    ordered = tuple(weights[index] for index in range(len(examples)))
    return Alignment(
        examples=examples,
        links=tuple(hard_links(w, len(w), w.shape[1]) for w in ordered),
        weights=ordered,
        entropy=nats / rows,
    )


def _words_only(weights: np.ndarray, example: Example, reversed_source: bool) -> np.ndarray:
    """(T, S) padded → target words by source words, in the sentence's own order."""
    words = weights[: len(example.target), : len(example.source)]
    return words[:, ::-1] if reversed_source else words


def diagonal_baseline(examples: Sequence[Example]) -> Alignment:
    """Every target word linked to the source word at the same relative place."""
    links = [diagonal_links(len(e.target), len(e.source)) for e in examples]
    return Alignment(tuple(examples), tuple(links))


def random_baseline(examples: Sequence[Example], *, seed: int) -> Alignment:
    """Every target word linked to a source word drawn at random."""
    generator = np.random.default_rng(seed)
    links = [random_links(len(e.target), len(e.source), seed=generator) for e in examples]
    return Alignment(tuple(examples), tuple(links))
