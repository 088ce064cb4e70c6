"""Pairs of sentences to padded batches, with little padding."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from utils.datasets.subwords import SubwordVocabulary
from utils.datasets.vocabulary import Vocabulary

Sentence = str | Sequence[str]
"""What a vocabulary encodes: words for `Vocabulary`, raw text for `SubwordVocabulary`."""
AnyVocabulary = Vocabulary | SubwordVocabulary


@dataclass(frozen=True)
class Batch:
    """B padded sentence pairs. Padding has id 0 and stands at the end of a row.

    Attributes:
        source: (B, S) int64, words and EOS.
        source_lengths: (B,) int64, EOS counted, ≥ 2.
        target_input: (B, T) int64, [BOS y1 … yn], what the decoder reads.
        target_output: (B, T) int64, [y1 … yn EOS], what it must predict.
        target_lengths: (B,) int64, n + 1.
        indices: (B,) int64, rows of the data set.
    """

    source: Tensor
    source_lengths: Tensor
    target_input: Tensor
    target_output: Tensor
    target_lengths: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return self.source.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Gives the same batch on `device`."""
        moved = (getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self))
        return Batch(*moved)

    @property
    def source_mask(self) -> Tensor:
        """(B, S) bool, True = a real position, which attention may attend to."""
        return length_mask(self.source_lengths, self.source.shape[1])

    @property
    def target_mask(self) -> Tensor:
        """(B, T) bool, True = a real position, which counts in the loss."""
        return length_mask(self.target_lengths, self.target_output.shape[1])

    @property
    def target_tokens(self) -> int:
        """The number of real target tokens, EOS counted."""
        return int(self.target_lengths.sum())

    @property
    def padding_share(self) -> float:
        """The share of padding among all positions of source and target, 0–1."""
        positions = self.source.numel() + self.target_output.numel()
        return 1.0 - (int(self.source_lengths.sum()) + self.target_tokens) / positions


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Marks the first `lengths[b]` of `size` positions of row b: (B, size) bool."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def pad_sequences(sequences: Sequence[Sequence[int]], *, pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """Puts sequences of different lengths into one tensor.

    Returns:
        (B, longest) int64, filled up with `pad_id` at the end; (B,) int64 lengths.
    Raises:
        ValueError: there is no sequence, or one has length zero.
    """
    if not sequences:
        raise ValueError("no sequences to pad; expected at least one")
    lengths = [len(sequence) for sequence in sequences]
    if 0 in lengths:
        raise ValueError(
            f"sequence {lengths.index(0)} of {len(lengths)} has length 0; expected at least one id"
        )
    longest = max(lengths)
    rows = [
        [*sequence, *[pad_id] * (longest - length)]
        for sequence, length in zip(sequences, lengths, strict=True)
    ]
    return (
        torch.tensor(rows, dtype=torch.int64, device="cpu"),
        torch.tensor(lengths, dtype=torch.int64, device="cpu"),
    )


def encode_sources(
    sentences: Sequence[Sentence], vocabulary: AnyVocabulary, *, reverse_source: bool = False
) -> tuple[Tensor, Tensor]:
    """Encodes source sentences alone, as a model reads them when it translates.

    Args:
        sentences: B sentences of at least one word each, as the vocabulary encodes them.
        reverse_source: reverse the words; EOS stays last.
    Returns:
        (B, S) int64 ids with EOS, padded; (B,) int64 lengths, EOS counted.
    Raises:
        ValueError: a sentence is empty (its number is named), or there is none.
    """
    return pad_sequences(
        [
            _encode(sentence, vocabulary, f"source sentence {index}", reverse=reverse_source)
            for index, sentence in enumerate(sentences)
        ],
        pad_id=vocabulary.pad_id,
    )


def _encode(sentence: Sentence, vocabulary: AnyVocabulary, name: str, *, reverse: bool) -> list:
    ids = vocabulary.encode(sentence)
    if len(ids) == 1:
        raise ValueError(f"{name} is empty; expected at least one word: drop the pair")
    return [*ids[-2::-1], ids[-1]] if reverse else ids


class ParallelDataset(Sequence):
    """Sentence pairs as ids, encoded once.

    `dataset[i]` is the pair (source ids, target ids), both ending with EOS.

    Args:
        source_sentences, target_sentences: equally many, none empty, as their vocabularies encode
            them: words for `Vocabulary`, raw text for `SubwordVocabulary`.
        reverse_source: reverse the words of each source sentence; EOS stays last.
            Source: Sutskever et al. 2014, arXiv:1409.3215, section 3.3.
    Raises:
        ValueError: the numbers of sentences differ, there are none, or one is empty.
    """

    def __init__(
        self,
        source_sentences: Sequence[Sentence],
        target_sentences: Sequence[Sentence],
        source_vocabulary: AnyVocabulary,
        target_vocabulary: AnyVocabulary,
        *,
        reverse_source: bool = False,
    ) -> None:
        if len(source_sentences) != len(target_sentences):
            raise ValueError(
                f"{len(source_sentences)} source sentences but {len(target_sentences)} target "
                "sentences; expected one target for each source: were blank lines dropped on one "
                "side only?"
            )
        if not source_sentences:
            raise ValueError("no sentence pairs; expected at least one")
        self.source_vocabulary = source_vocabulary
        self.target_vocabulary = target_vocabulary
        self.reverse_source = reverse_source
        self._source = [
            _encode(sentence, source_vocabulary, f"source sentence {i}", reverse=reverse_source)
            for i, sentence in enumerate(source_sentences)
        ]
        self._target = [
            _encode(sentence, target_vocabulary, f"target sentence {i}", reverse=False)
            for i, sentence in enumerate(target_sentences)
        ]

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> tuple[list[int], list[int]]:
        return self._source[index], self._target[index]

    def lengths(self, index: int) -> tuple[int, int]:
        """Source and target length of one pair, EOS counted."""
        return len(self._source[index]), len(self._target[index])

    def collate(self, indices: Sequence[int]) -> Batch:
        """Puts the pairs at `indices` into one batch, in that order.

        Raises:
            ValueError: `indices` is empty.
            IndexError: an index is outside [0, len(self)).
        """
        indices = [int(index) for index in indices]
        for index in indices:
            if not 0 <= index < len(self):
                raise IndexError(f"pair {index} asked for; the data set has 0 to {len(self) - 1}")
        source, source_lengths = pad_sequences(
            [self._source[index] for index in indices], pad_id=self.source_vocabulary.pad_id
        )
        target_output, target_lengths = pad_sequences(
            [self._target[index] for index in indices], pad_id=self.target_vocabulary.pad_id
        )
        target_input, _ = pad_sequences(
            [[self.target_vocabulary.bos_id, *self._target[index][:-1]] for index in indices],
            pad_id=self.target_vocabulary.pad_id,
        )
        return Batch(
            source=source,
            source_lengths=source_lengths,
            target_input=target_input,
            target_output=target_output,
            target_lengths=target_lengths,
            indices=torch.tensor(indices, dtype=torch.int64, device="cpu"),
        )


class BucketedBatches:
    """Batches of pairs of like length, in an order that depends on (seed, epoch) alone.

    Pairs are sorted by (target, source) length and cut into batches; then the batches
    are shuffled. Pairs of equal length are dealt anew in each epoch. Nothing is dropped:
    the batch with the longest pairs may be smaller than the others.

    Sorting saves work: in an unsorted batch every row is as long as its longest.

    Args:
        batch_size: pairs a batch, ≥ 1.
        seed: any integer.
        shuffle: False gives the pairs from short to long, the same in each epoch.
        bucketing: False leaves out the sorting; this is what the book compares against.
    Raises:
        ValueError: `batch_size` is below 1.
    """

    def __init__(
        self,
        dataset: ParallelDataset,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        bucketing: bool = True,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected 1 or more")
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.bucketing = bucketing
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order; call it before each epoch. The order does not change by itself."""
        self.epoch = epoch
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def batch_indices(self) -> list[list[int]]:
        """The pairs of each batch of this epoch, as rows of the data set."""
        generator = random.Random(f"{self.seed}/{self.epoch}")
        order = list(range(len(self.dataset)))
        if self.shuffle:
            generator.shuffle(order)
        if self.bucketing:
            # A stable sort: among equal lengths the shuffled order stays.
            order.sort(key=lambda index: self.dataset.lengths(index)[::-1])
        size = self.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        if self.shuffle:
            generator.shuffle(batches)
        return batches

    def __iter__(self) -> Iterator[Batch]:
        return map(self.dataset.collate, self.batch_indices())
