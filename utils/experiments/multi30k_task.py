"""The task of chapter 7: German → English on Multi30k, cut into subwords.

The chapter, the presets and the command line make data through these functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from utils.datasets.batching import ParallelDataset
from utils.datasets.multi30k import TextPairs, load_multi30k
from utils.datasets.subwords import SubwordVocabulary
from utils.datasets.varied_pairs import VariedPairs
from utils.models.seq2seq import Seq2SeqConfig


@dataclass(frozen=True)
class Multi30kData:
    """Encoded training and validation pairs, and the validation pairs as they were written."""

    train: ParallelDataset
    validation: ParallelDataset
    validation_texts: TextPairs

    def config(self, **settings: object) -> Seq2SeqConfig:
        """A model's config with the vocabulary sizes and the source order filled in."""
        return Seq2SeqConfig(
            source_vocabulary_size=len(self.train.source_vocabulary),
            target_vocabulary_size=len(self.train.target_vocabulary),
            reverse_source=self.train.reverse_source,
            **settings,
        )


def make_data(
    *,
    source_pieces: int = 4096,
    target_pieces: int = 4096,
    subword_dropout: float = 0.0,
    train_size: int | None = None,
    reverse_source: bool = False,
    seed: int = 1,
) -> Multi30kData:
    """Read the training and validation splits and learn the subwords of the training split.

    Args:
        source_pieces, target_pieces: subwords of each language, special symbols counted.
        subword_dropout: share of joins left out of each epoch's training sources, 0–1.
        train_size: only the first so many training pairs, for a quick look; None takes all.
        reverse_source: whether models read the source from its last piece to its first.
        seed: of the joins left out.
    Raises:
        DataUnavailableError: the data set is neither in its folder nor to be downloaded.
    """
    train, validation = load_multi30k("train"), load_multi30k("validation")
    train = TextPairs(train.source[:train_size], train.target[:train_size])
    return encode_texts(
        train,
        validation,
        source_pieces=source_pieces,
        target_pieces=target_pieces,
        subword_dropout=subword_dropout,
        reverse_source=reverse_source,
        seed=seed,
    )


def encode_texts(
    train: TextPairs,
    validation: TextPairs,
    *,
    source_pieces: int,
    target_pieces: int,
    subword_dropout: float = 0.0,
    reverse_source: bool = False,
    seed: int = 1,
) -> Multi30kData:
    """The same for any two lists of pairs: subwords of `train`, both lists encoded with them."""
    source = SubwordVocabulary.train(train.source, size=source_pieces)
    target = SubwordVocabulary.train(train.target, size=target_pieces)

    def encode(pairs: TextPairs) -> ParallelDataset:
        sides: tuple[Sequence[str], Sequence[str]] = (pairs.source, pairs.target)
        return ParallelDataset(*sides, source, target, reverse_source=reverse_source)

    encoded = encode(train)
    if subword_dropout:
        encoded = VariedPairs(
            train.source,
            train.target,
            source,
            target,
            reverse_source=reverse_source,
            dropout=subword_dropout,
            seed=seed,
        )
    return Multi30kData(encoded, encode(validation), validation)
