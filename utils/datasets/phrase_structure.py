"""Draws from weighted phrase-structure rules a sequence of an exact number of words.

A rule takes part in a draw only if it can fill the words that are left. So every length
comes out exactly, without retries, and the weights are simply the chances among the
rules that fit.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate


@dataclass(frozen=True, eq=False)
class Choice:
    """A leaf: one of several word sequences of the same length, all equally likely."""

    options: tuple[tuple[str, ...], ...]

    @property
    def length(self) -> int:
        return len(self.options[0])


Symbol = str | Choice | tuple  # a word, a leaf, or a phrase (name, feature, …)
Rule = tuple[float, tuple[Symbol, ...]]  # weight, what the phrase consists of


def one_of(*words: str) -> Choice:
    return Choice(tuple((word,) for word in words))


class PhraseStructure:
    """Rules as methods: phrase ("noun phrase", …) is expanded by `_noun_phrase(…)`.

    A method returns the rules of its phrase; a weight of 0 or a part None switches a
    rule off. What the methods return must depend on their arguments alone.

    Args:
        sizes: the fewest and most words of a phrase, by its name; others are free.
    """

    def __init__(self, *, sizes: Mapping[str, tuple[int, int]]) -> None:
        self.sizes = sizes
        # Caches belong to the instance: rules may depend on its attributes.
        self.rules = lru_cache(maxsize=None)(self.rules)
        self.fits = lru_cache(maxsize=None)(self.fits)
        self.first_sizes = lru_cache(maxsize=None)(self.first_sizes)
        self.plan = lru_cache(maxsize=None)(self.plan)

    def rules(self, symbol: tuple) -> list[Rule]:
        """What a phrase may consist of."""
        found = getattr(self, "_" + symbol[0].replace(" ", "_"))(*symbol[1:])
        return [(weight, parts) for weight, parts in found if weight and None not in parts]

    def draw(self, symbol: Symbol, length: int, generator: random.Random, words: list[str]) -> None:
        """Appends exactly `length` words; `fits(symbol, length)` must hold."""
        if isinstance(symbol, str):
            words.append(symbol)
            return
        if isinstance(symbol, Choice):
            words += symbol.options[int(generator.random() * len(symbol.options))]
            return
        cumulative, sequences = self.plan(symbol, length)
        parts = sequences[bisect(cumulative, generator.random() * cumulative[-1])]
        while parts:
            sizes = self.first_sizes(parts, length)
            size = sizes[int(generator.random() * len(sizes))]
            self.draw(parts[0], size, generator, words)
            parts, length = parts[1:], length - size

    def plan(self, symbol: tuple, length: int) -> tuple[list[float], list[tuple[Symbol, ...]]]:
        """The rules that can fill `length` words: cumulative weights, and the sequences."""
        fitting = [rule for rule in self.rules(symbol) if self.first_sizes(rule[1], length)]
        return list(accumulate(weight for weight, _ in fitting)), [parts for _, parts in fitting]

    def fits(self, symbol: Symbol, length: int) -> bool:
        """Whether the symbol can be expanded to exactly `length` words."""
        if isinstance(symbol, str):
            return length == 1
        if isinstance(symbol, Choice):
            return length == symbol.length
        shortest, longest = self.sizes.get(symbol[0], (1, length))
        if not shortest <= length <= longest:
            return False
        return any(self.first_sizes(parts, length) for _, parts in self.rules(symbol))

    def first_sizes(self, parts: tuple[Symbol, ...], length: int) -> list[int]:
        """How many words the first part may take so that the others can fill the rest."""
        if len(parts) > length:
            return []
        if len(parts) == 1:
            return [length] if self.fits(parts[0], length) else []
        first, rest = parts[0], parts[1:]
        sizes = range(1, length - len(rest) + 1) if isinstance(first, tuple) else [1]
        if isinstance(first, Choice):
            sizes = [first.length]
        return [n for n in sizes if self.fits(first, n) and self.first_sizes(rest, length - n)]
