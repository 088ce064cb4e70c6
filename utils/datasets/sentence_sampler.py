"""Draws grammatical English sentences of an exact number of words.

The rules decide what is *likely* (birds sing, girls buy hats); what is *grammatical*,
and what it means in French, is the business of `translation_rules`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import lru_cache

from utils.datasets import phenomena as tags
from utils.datasets.lexicon import (
    ADJECTIVES,
    COMBINATIONS,
    CONJUNCTIONS,
    FINAL_ADVERBS,
    HELD_OUT,
    MOVING_ADVERBS,
    NOUN_GROUPS,
    NOUNS,
    PLURAL,
    PREDICATES,
    SINGULAR,
    Noun,
    begins_with_vowel_sound,
)
from utils.datasets.phrase_structure import Choice, PhraseStructure, Rule, one_of

# How many words a phrase may have; longer sentences are several clauses.
SIZES = {"clause": (3, 16), "full clause": (5, 16), "subject": (2, 6)}
NUMBERS = (SINGULAR, PLURAL)
MIXED_KINDS = {
    "animate": ("person", "animal"),
    "any thing": ("book", "food", "thing", "thing", "place", "place"),
    "anything": ("person", "animal", "place", "place"),
}


class SentenceSampler(PhraseStructure):
    """Draws sentences that show no other than the given phenomena.

    Elision and contraction depend on neighbouring words: the sampler makes elision rare
    when it is not wanted, the caller rejects what is left.

    Args:
        phenomena: what may occur.
        held_out: whether the adjective–noun pairs of the test split may occur.
    """

    def __init__(self, phenomena: Iterable[str], *, held_out: bool) -> None:
        super().__init__(sizes=SIZES)
        self.phenomena = frozenset(phenomena)
        self.held_out = held_out
        self.nouns = [
            noun
            for noun in NOUNS
            if tags.ELISION in self.phenomena or not begins_with_vowel_sound(noun.french_singular)
        ]
        self.nominal = lru_cache(maxsize=None)(self.nominal)
        self.described = lru_cache(maxsize=None)(self.described)

    def sentence(self, length: int, generator: random.Random) -> tuple[str, ...]:
        """Draws a sentence of exactly `length` words.

        Raises:
            ValueError: there is no sentence of that length.
        """
        if not self.fits(("sentence",), length):
            raise ValueError(f"no sentence has {length} words; expected 3 or more")
        words: list[str] = []
        self.draw(("sentence",), length, generator, words)
        return _respell(words)

    # Rules

    def allows(self, *phenomena: str) -> bool:
        return self.phenomena.issuperset(phenomena)

    def _sentence(self) -> list[Rule]:
        joint = one_of(*CONJUNCTIONS)
        return [
            (3, (("clause",),)),
            (2, (("full clause",), joint, ("sentence",))),
            (0.2, (("clause",), joint, ("sentence",))),
        ]

    def _full_clause(self) -> list[Rule]:
        return [(1, (("clause",),))]

    def _clause(self) -> list[Rule]:
        rules: list[Rule] = []
        for number, chance in ((SINGULAR, 3), (PLURAL, 2)):
            for kind, share in (("person", 3), ("animal", 1)):
                # After a relative clause *often* could belong to either verb: leave it out.
                simple = (("subject", kind, number), ("predicates", kind, number, True))
                described = ("basic", kind, number), ("relative", kind, number)
                long = (*described, ("predicates", kind, number, False))
                rules.append((3 * chance * share, simple))
                rules.append((chance * share * self.allows(tags.RELATIVE_CLAUSE), long))
            description = (("description", number),)
            rules.append((4 * chance * self.allows(tags.PREDICATE_ADJECTIVE), description))
        both = ("joined", "animate"), ("predicates", "animal", PLURAL, True)
        return [*rules, (4 * self.allows(tags.COORDINATION), both)]

    def _description(self, number: str) -> list[Rule]:
        """*the big house is (not) red*: noun and predicate are drawn together."""
        rules: list[Rule] = []
        for prenominal in (False, True):
            if prenominal and not self.allows(tags.PRENOMINAL_ADJECTIVE):
                continue
            for negated in (False, True):
                weight = 1 if negated and self.allows(tags.NEGATION) else 3 * (not negated)
                what = self.described("any", number, prenominal, negated)
                rules += [
                    (6 * weight, (self.determiner(number), what)),
                    (weight * self.allows(tags.POSSESSIVE), (("owner",), what)),
                ]
        return rules

    def _predicates(self, kind: str, number: str, adverb: bool) -> list[Rule]:
        one = ("predicate", kind, number, adverb, True)
        two = one, "and", ("core", kind, number, False, True)
        return [(8, (one,)), (self.allows(tags.COORDINATION), two)]

    def _predicate(self, kind: str, number: str, adverb: bool, main: bool) -> list[Rule]:
        core, final = ("core", kind, number, adverb, main), one_of(*FINAL_ADVERBS)
        place = 2 * self.allows(tags.PREPOSITIONAL_PHRASE)
        return [
            (6, (core,)),
            (1, (core, final)),
            (place, (core, ("place",))),
            (place / 4, (core, ("place",), final)),
        ]

    def _core(self, kind: str, number: str, adverb: bool, main: bool) -> list[Rule]:
        """A verb and its objects. In a relative clause (not `main`) they are not joined."""
        rules: list[Rule] = []
        for negated in (False, True) if self.allows(tags.NEGATION) else (False,):
            weight = 3 if negated else 5
            thing = "negated object" if negated else "phrase"
            person = ("phrase", "person")
            verb = {
                word: ("verb", word, number, negated, adverb)
                for word in ("sleep", "sing", "arrive", "see", "eat", "read", "buy", "talk", "give")
            }
            rules += [(2 * weight, (verb[word],)) for word in ("sleep", "sing", "arrive")]
            rules += [
                (2 * weight, (verb["see"], (thing, "animate"))),
                (3 * weight, (verb["see"], (thing, "any thing"))),
                (2 * weight, (verb["eat"], (thing, "food"))),
                (3 * weight, (verb["talk"], "to", person)),
            ]
            if main and not negated:
                both = verb["see"], ("joined", "any thing")
                rules.append((weight * self.allows(tags.COORDINATION), both))
            if kind == "person":
                rules += [
                    (2 * weight, (verb["read"], (thing, "book"))),
                    (3 * weight, (verb["buy"], (thing, "any thing"))),
                    (6 * weight, (verb["give"], (thing, "thing"), "to", person)),
                ]
        return rules

    def _verb(self, word: str, number: str, negated: bool, adverb: bool) -> list[Rule]:
        form = _conjugate(word, number)
        moving = one_of(*MOVING_ADVERBS)
        adverb = adverb and self.allows(tags.REORDERED_ADVERB)
        if not negated:
            return [(5, (form,)), (adverb, (moving, form))]
        helper = "does" if number == SINGULAR else "do"
        return [(5, (helper, "not", word)), (adverb, (helper, "not", moving, word))]

    def _place(self) -> list[Rule]:
        where = [("in", "place"), ("under", "shelter"), ("on", "top"), ("near", "place")]
        where += [("near", "person"), ("with", "person"), ("with", "animal")]
        return [(1, (preposition, ("phrase", kind))) for preposition, kind in where]

    # Noun phrases

    def _phrase(self, kind: str) -> list[Rule]:
        """Any noun phrase, singular or plural, with or without a relative clause."""
        if kind in MIXED_KINDS:
            return [(1, (("phrase", part),)) for part in MIXED_KINDS[kind]]
        rules: list[Rule] = []
        for number, chance in ((SINGULAR, 3), (PLURAL, 2)):
            basic = ("basic", kind, number)
            relative = chance * self.allows(tags.RELATIVE_CLAUSE)
            rules.append((5 * chance, (("subject", kind, number),)))
            rules.append((relative, (basic, ("relative", kind, number))))
            if self.allows(tags.PREDICATE_ADJECTIVE):
                what = self.described(kind, number, False, False, relative=True)
                rules.append((relative / 3, (self.determiner(number), what)))
            if kind == "thing" and self.allows(tags.PREPOSITIONAL_PHRASE):
                picture = ("basic", "picture", number), "of"
                rules += [(chance, (*picture, ("plain", part))) for part in MIXED_KINDS["anything"]]
        return rules

    def _subject(self, kind: str, number: str) -> list[Rule]:
        """A noun phrase without a relative clause."""
        basic = ("basic", kind, number)
        place = self.allows(tags.PREPOSITIONAL_PHRASE) * (kind != "place")
        rules: list[Rule] = [
            (6, (basic,)),
            (2 * place, (basic, one_of("in", "near"), ("plain", "place"))),
        ]
        return [*rules, (3 * (kind != "person"), (("owned", kind, number),))]

    def _plain(self, kind: str) -> list[Rule]:
        """A noun phrase with nothing behind the noun."""
        if kind in MIXED_KINDS:
            return [(1, (("plain", part),)) for part in MIXED_KINDS[kind]]
        owned = 2 * (kind != "person"), (("owned", kind, SINGULAR),)
        return [(3, (("basic", kind, SINGULAR),)), (2, (("basic", kind, PLURAL),)), owned]

    def _joined(self, kind: str) -> list[Rule]:
        pairs = (("person", "person"), ("person", "animal"), ("animal", "animal"))
        if kind == "any thing":
            pairs = (("thing", "food"), ("book", "thing"), ("person", "animal"), ("place", "place"))
        return [(1, (("plain", a), "and", ("plain", b))) for a, b in pairs]

    def _basic(self, kind: str, number: str) -> list[Rule]:
        """Determiner, adjectives, noun."""
        return [(1, (self.determiner(number), ("nominal", kind, number)))]

    def _nominal(self, kind: str, number: str) -> list[Rule]:
        after = 1 if kind == "person" else 3  # few fit people: let them be rarer there
        shapes = ((5, False, False), (2, True, False), (after, False, True), (1, True, True))
        return [
            (weight, (self.nominal(kind, number, before, behind),))
            for weight, before, behind in shapes
            if (not before or self.allows(tags.PRENOMINAL_ADJECTIVE))
            and (not behind or self.allows(tags.REORDERED_ADJECTIVE))
        ]

    def _owned(self, kind: str, number: str) -> list[Rule]:
        return [(self.allows(tags.POSSESSIVE), (("owner",), ("nominal", kind, number)))]

    def _owner(self) -> list[Rule]:
        rules: list[Rule] = [(4, (("basic", "person", number), "'s")) for number in NUMBERS]
        return [*rules, (1, (("basic", "animal", SINGULAR), "'s"))]

    def _negated_object(self, kind: str) -> list[Rule]:
        """*does not see a cat*: without a relative clause, which French would put otherwise."""
        if kind in MIXED_KINDS:
            return [(1, (("negated object", part),)) for part in MIXED_KINDS[kind]]
        singular = ("the", "this")
        if self.allows(tags.NEGATED_INDEFINITE):
            singular = (*singular, "a", "a")
        return [
            (3, (one_of(*singular), ("nominal", kind, SINGULAR))),
            (2, (one_of("the", "the", "these"), ("nominal", kind, PLURAL))),
            (1, (("owned", kind, SINGULAR),)),
        ]

    def _relative(self, kind: str, number: str) -> list[Rule]:
        rules: list[Rule] = []
        if kind in ("person", "animal"):
            pronoun = "who" if kind == "person" else "that"
            rules.append((2, (pronoun, ("predicate", kind, number, False, False))))
        verbs = {"book": ("see", "read", "buy"), "food": ("see", "eat", "buy")}.get(kind, ("see",))
        for subject_number in NUMBERS:
            basic = ("basic", "person", subject_number)
            for negated in (False, True) if self.allows(tags.NEGATION) else (False,):
                for word in verbs:
                    verb = ("verb", word, subject_number, negated, True)
                    rules.append((1 / len(verbs), ("that", basic, verb)))
        return rules

    # Leaves

    def determiner(self, number: str) -> Choice:
        singular = ("the", "the", "the", "a", "a", "this")
        return one_of(*(singular if number == SINGULAR else ("the", "the", "the", "these", "two")))

    def nominal(self, kind: str, number: str, before: bool, behind: bool) -> Choice | None:
        """A noun of a group, with an adjective before or behind its French noun, or both."""
        front = [a.english for a in ADJECTIVES if a.prenominal] if before else [None]
        back = [a.english for a in ADJECTIVES if not a.prenominal] if behind else [None]
        groups = [
            [
                tuple(filter(None, (first, second, noun.english(number))))
                for noun in self.nouns
                if noun.singular in NOUN_GROUPS[kind]
                if self.combines(first, noun) and self.combines(second, noun)
            ]
            for first in front
            for second in back
            if first is None or second != "happy"  # English would say "happy old man"
        ]
        return _evenly(groups)

    def described(
        self, kind: str, number: str, prenominal: bool, negated: bool, relative: bool = False
    ) -> Choice | None:
        """*house is red*, *small house is not red*; relative: *house that is red*."""
        front = [a.english for a in ADJECTIVES if a.prenominal] if prenominal else [None]
        copula = ("is" if number == SINGULAR else "are", *(["not"] if negated else []))
        groups = [
            [
                (*filter(None, [first]), noun.english(number), *pronoun, *copula, quality)
                for noun in self.nouns
                if noun.singular in NOUN_GROUPS[kind]
                if first != quality and {first, quality} != {"old", "new"}
                if self.combines(first, noun) and self.combines(quality, noun)
                for pronoun in [["who" if noun.person else "that"] if relative else []]
            ]
            for first in front
            for quality in PREDICATES
        ]
        return _evenly(groups)

    def combines(self, adjective: str | None, noun: Noun) -> bool:
        if adjective is None:
            return True
        held_out = (adjective, noun.singular) in HELD_OUT
        return noun.singular in COMBINATIONS[adjective] and (self.held_out or not held_out)


def _evenly(groups: list[list[tuple[str, ...]]]) -> Choice | None:
    """One choice in which every adjective is about as likely, however few nouns it fits."""
    largest = max(map(len, groups), default=0)
    repeated = [option for group in groups if group for option in group * (largest // len(group))]
    return Choice(tuple(repeated)) if repeated else None


def _conjugate(word: str, number: str) -> str:
    return word if number == PLURAL else word + "s"


def _respell(words: list[str]) -> tuple[str, ...]:
    """a → an before a vowel; 's → ' after a plural in -s (*the girls ' book*)."""
    for index, word in enumerate(words):
        if word == "a" and words[index + 1][0] in "aeiou":
            words[index] = "an"
        elif word == "'s" and words[index - 1].endswith("s"):
            words[index] = "'"
    return tuple(words)
