"""A synchronous English → French grammar, written for this book, with gold alignments.

Every pair comes with the links between its words, in the style of Och and Ney: *sure*
links, and *possible* ones where the choice can be argued. The conventions:

- words that translate each other: sure, determiners included;
- `not`: sure for `ne` and for `pas`; `does`/`do`: possible for the verb, which carries
  the person and number in French, and for `ne`, since both announce the negation;
- `of`, `'s`, `'`: sure for `de`; `near`: sure for `près` and `de`; `because`: sure for
  `parce` and `que`;
- a contraction (`du` = `de` + `le`) has the links of both its parts;
- the article of what is possessed (`le` in `le livre de la fille`) has no English word
  of its own: possible for `'s`, for the noun that decides its form, and for a `the` that
  opens the English phrase.

Lengths are always in source words. Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from utils.datasets import phenomena as tags
from utils.datasets.lexicon import english_words, french_words
from utils.datasets.sentence_sampler import SentenceSampler
from utils.datasets.translation_rules import translate_words
from utils.datasets.vocabulary import Vocabulary

SHORTEST, LONGEST = 4, 60
# Out of ten sentences, by the hash of the source: six train, two validate, two test.
SPLITS = {"train": range(6), "validation": range(6, 8), "test": range(8, 10)}
ATTEMPTS = 20_000


@dataclass(frozen=True)
class Example:
    """A sentence pair with its gold alignment.

    Attributes:
        source, target: words; no EOS.
        sure: links (source index, target index), from 0.
        possible: contains `sure`; every target word has at least one link here.
        phenomena: tags such as `Grammar.NEGATION`.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    sure: frozenset[tuple[int, int]]
    possible: frozenset[tuple[int, int]]
    phenomena: frozenset[str]


class Grammar:
    """Draws sentence pairs, and translates any sentence that the grammar covers.

    Args:
        minimum_length, maximum_length: bounds for `sample`, 4 ≤ minimum ≤ maximum ≤ 60.
        phenomena: which may occur; None means all, `Grammar.MONOTONE` those that keep
            the order of the words (links never cross). Agreement always occurs.
    Raises:
        ValueError: the bounds are out of order or range, or a phenomenon is unknown.
    """

    REORDERED_ADJECTIVE = tags.REORDERED_ADJECTIVE
    PRENOMINAL_ADJECTIVE = tags.PRENOMINAL_ADJECTIVE
    PREDICATE_ADJECTIVE = tags.PREDICATE_ADJECTIVE
    NEGATION = tags.NEGATION
    NEGATED_INDEFINITE = tags.NEGATED_INDEFINITE
    POSSESSIVE = tags.POSSESSIVE
    RELATIVE_CLAUSE = tags.RELATIVE_CLAUSE
    PREPOSITIONAL_PHRASE = tags.PREPOSITIONAL_PHRASE
    COORDINATION = tags.COORDINATION
    REORDERED_ADVERB = tags.REORDERED_ADVERB
    CONTRACTION = tags.CONTRACTION
    ELISION = tags.ELISION
    HELD_OUT_COMBINATION = tags.HELD_OUT_COMBINATION  # a tag in the test split, not a knob
    MONOTONE = tags.MONOTONE
    PHENOMENA = tags.MONOTONE | tags.REORDERING

    def __init__(
        self,
        *,
        minimum_length: int = SHORTEST,
        maximum_length: int = LONGEST,
        phenomena: Iterable[str] | None = None,
    ) -> None:
        _check_lengths(minimum_length, maximum_length)
        self.minimum_length = minimum_length
        self.maximum_length = maximum_length
        self.phenomena = self.PHENOMENA if phenomena is None else frozenset(phenomena)
        unknown = sorted(map(str, self.phenomena - self.PHENOMENA))
        if unknown:
            raise ValueError(
                f"unknown phenomena {unknown}; expected some of {sorted(self.PHENOMENA)}"
            )
        self._samplers = {
            held_out: SentenceSampler(self.phenomena, held_out=held_out)
            for held_out in (False, True)
        }

    def sample(
        self,
        count: int,
        *,
        seed: int,
        split: str = "train",
        minimum_length: int | None = None,
        maximum_length: int | None = None,
    ) -> list[Example]:
        """Draws `count` pairs; source lengths are spread evenly between the bounds.

        The same arguments give the same pairs, and a smaller `count` the beginning of the
        same list. No source sentence is in two splits. Only "test" contains the held-out
        pairs of adjective and noun; its sentences that do carry `HELD_OUT_COMBINATION`.
        A short sentence may be drawn twice.

        Args:
            count: ≥ 0.
            split: "train", "validation" or "test".
            minimum_length, maximum_length: in source words; None takes the grammar's own.
        Raises:
            ValueError: `count`, `split` or a length is out of range.
        """
        if count < 0:
            raise ValueError(f"count is {count}; expected 0 or more")
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}; expected one of {list(SPLITS)}")
        shortest = self.minimum_length if minimum_length is None else minimum_length
        longest = self.maximum_length if maximum_length is None else maximum_length
        _check_lengths(shortest, longest)
        generator = random.Random(f"{seed}/{split}")
        sampler = self._samplers[split == "test"]
        return [
            self._draw(sampler, generator.randint(shortest, longest), generator, split)
            for _ in range(count)
        ]

    def _draw(
        self, sampler: SentenceSampler, length: int, generator: random.Random, split: str
    ) -> Example:
        allowed = self.phenomena | {self.HELD_OUT_COMBINATION}
        for _ in range(ATTEMPTS):
            words = sampler.sentence(length, generator)
            if split_of(words) == split:
                example = self.translate(words)
                if example.phenomena <= allowed:
                    return example
        raise ValueError(
            f"no sentence of {length} words among {ATTEMPTS} has only the phenomena "
            f"{sorted(self.phenomena)}: allow more, contraction and elision first, or shorter ones"
        )

    def translate(self, words: Sequence[str]) -> Example:
        """Translates a sentence of the grammar, whatever its length, split or phenomena.

        Raises:
            ValueError: the sentence is empty or not grammatical; the message names the
                first word that does not fit and what could have stood there.
        """
        pieces, phenomena = translate_words(words)
        sure = {(source, index) for index, piece in enumerate(pieces) for source in piece.sure}
        possible = {
            (source, index) for index, piece in enumerate(pieces) for source in piece.possible
        }
        return Example(
            source=tuple(words),
            target=tuple(piece.word for piece in pieces),
            sure=frozenset(sure),
            possible=frozenset(sure | possible),
            phenomena=phenomena,
        )

    def source_vocabulary(self) -> Vocabulary:
        """Every English word of the grammar; the same whatever phenomena are chosen."""
        return Vocabulary(english_words())

    def target_vocabulary(self) -> Vocabulary:
        """Every French word of the grammar; the same whatever phenomena are chosen."""
        return Vocabulary(french_words())


def split_of(source: Sequence[str]) -> str:
    """The split that a source sentence belongs to, by its hash."""
    digest = hashlib.blake2b(" ".join(source).encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") % 10
    return next(split for split, shares in SPLITS.items() if share in shares)


def _check_lengths(shortest: int, longest: int) -> None:
    if not SHORTEST <= shortest <= longest <= LONGEST:
        raise ValueError(
            f"lengths from {shortest} to {longest}; expected {SHORTEST} ≤ minimum ≤ maximum "
            f"≤ {LONGEST} source words"
        )
