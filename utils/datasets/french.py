"""French forms: agreement inside a noun group, elision and contraction between words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from utils.datasets import phenomena
from utils.datasets.lexicon import (
    CONTRACTION,
    ELISION,
    FEMININE,
    MASCULINE,
    PLURAL,
    SINGULAR,
    Adjective,
    Noun,
    begins_with_vowel_sound,
)


@dataclass(slots=True)
class Piece:
    """A French word, with its links into the source; `possible` beyond the sure ones."""

    word: str
    sure: tuple[int, ...]
    possible: tuple[int, ...] = ()


@dataclass(slots=True)
class NounGroup:
    """Adjectives and noun, without determiner: (source index, entry) each."""

    noun: tuple[int, Noun]
    number: str
    prenominal: tuple[int, Adjective] | None
    postnominal: tuple[int, Adjective] | None

    def article(self, forms: tuple[str, str, str]) -> str:
        """Chooses among masculine, feminine and plural."""
        if self.number == PLURAL:
            return forms[2]
        return forms[1] if self.noun[1].gender == FEMININE else forms[0]

    def pieces(self) -> list[Piece]:
        """The French noun with its adjectives, each in its place and form."""
        position, noun = self.noun
        number = self.number
        pieces = [Piece(noun.french(number), (position,))]
        if self.prenominal:
            index, adjective = self.prenominal
            form = adjective.french(noun.gender, number)
            masculine_singular = noun.gender == MASCULINE and number == SINGULAR
            if (
                adjective.before_vowel
                and masculine_singular
                and begins_with_vowel_sound(pieces[0].word)
            ):
                form = adjective.before_vowel  # bel oiseau, vieil homme, nouvel arbre
            pieces.insert(0, Piece(form, (index,)))
        if self.postnominal:
            index, adjective = self.postnominal
            pieces.append(Piece(adjective.french(noun.gender, number), (index,)))
        return pieces


def join_sounds(pieces: Sequence[Piece]) -> tuple[list[Piece], set[str]]:
    """Elision (le → l'), ce → cet and contraction (de + le → du), from left to right.

    Elision comes first: de + le + arbre is *de l' arbre*, not *du arbre*.

    Returns:
        The pieces as written, and which of the two phenomena occurred.
    """
    joined: list[Piece] = []
    found: set[str] = set()
    for index, piece in enumerate(pieces):
        word = piece.word
        if word in ELISION or word == "ce":
            following = pieces[index + 1].word  # none of these words ends a sentence
            if begins_with_vowel_sound(following):
                if word == "ce":
                    word = "cet"
                else:
                    word = ELISION[word]
                    found.add(phenomena.ELISION)
        if joined and (joined[-1].word, word) in CONTRACTION:
            last = joined.pop()
            merged = CONTRACTION[last.word, word]
            joined.append(Piece(merged, last.sure + piece.sure, last.possible + piece.possible))
            found.add(phenomena.CONTRACTION)
        else:
            joined.append(Piece(word, piece.sure, piece.possible))
    return joined, found
