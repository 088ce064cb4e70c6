"""Sentence pairs whose source is cut into other subwords in every epoch."""

from __future__ import annotations

from collections.abc import Sequence

from utils.datasets.batching import AnyVocabulary, ParallelDataset
from utils.datasets.subwords import SubwordVocabulary


class VariedPairs(ParallelDataset):
    """A `ParallelDataset` that leaves out some joins of its source's subwords, anew each epoch.

    The pieces of an epoch depend on (seed, epoch) alone. Targets are cut as always: their pieces
    are what the model is scored on, and longer targets would cost the most time.

    Source: Provilkov et al. 2020, arXiv:1910.13267. Deviation: on the source side alone.

    Args:
        source_sentences, target_sentences: raw text.
        dropout: share of the possible joins left out, above 0 and below 1.
        seed: any integer.
    Raises:
        ValueError: as for `ParallelDataset`, or `dropout` is out of its range.
        TypeError: the source's vocabulary is one of words.
    """

    def __init__(
        self,
        source_sentences: Sequence[str],
        target_sentences: Sequence[str],
        source_vocabulary: SubwordVocabulary,
        target_vocabulary: AnyVocabulary,
        *,
        reverse_source: bool = False,
        dropout: float,
        seed: int,
    ) -> None:
        if not 0 < dropout < 1:
            raise ValueError(f"dropout is {dropout}; expected above 0 and below 1")
        if not isinstance(source_vocabulary, SubwordVocabulary):
            raise TypeError("only subwords can be cut in many ways; pass a SubwordVocabulary")
        super().__init__(
            source_sentences,
            target_sentences,
            source_vocabulary,
            target_vocabulary,
            reverse_source=reverse_source,
        )
        self._texts = list(source_sentences)
        self.dropout, self.seed = dropout, seed

    def set_epoch(self, epoch: int) -> None:
        """Cut the sources as this epoch has them."""
        seed = (self.seed * 1_000_003 + epoch) % 2**31
        varied = self.source_vocabulary.encode_varied(self._texts, dropout=self.dropout, seed=seed)
        self._source = [[*ids[-2::-1], ids[-1]] if self.reverse_source else ids for ids in varied]
