"""Reads an English sentence of the grammar and writes its French, link by link.

One recursive-descent pass does both: each rule reads English words and returns French
pieces that remember which words they come from. So the French is a function of the
English, by construction. Where English leaves open what a phrase belongs to (*sees the
cat in the garden*), the French is the same either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from utils.datasets import phenomena as tags
from utils.datasets.french import NounGroup, Piece, join_sounds
from utils.datasets.lexicon import (
    ADJECTIVES,
    CONJUNCTIONS,
    COPULA,
    DETERMINERS,
    FEMININE,
    FINAL_ADVERBS,
    HELD_OUT,
    MASCULINE,
    MOVING_ADVERBS,
    NOUNS,
    PLURAL,
    PREDICATES,
    PREPOSITIONS,
    SINGULAR,
    VERBS,
    Adjective,
    Noun,
    Verb,
    english_words,
)


class Options(NamedTuple):
    """Words that may stand in one place, and how an error message names them."""

    words: frozenset[str]
    name: str

    @classmethod
    def of(cls, words: Sequence[str], kind: str = "") -> Options:
        listed = ", ".join(words[:6]) + (", …" if len(words) > 6 else "")
        return cls(frozenset(words), f"{kind} ({listed})" if kind else listed)


def _verbs(number: str, kind: str, *patterns: str) -> Options:
    verbs = [verb.english(number) for verb in VERBS if not patterns or verb.pattern in patterns]
    return Options.of(verbs, kind)


NUMBERS = (SINGULAR, PLURAL)
ADJECTIVE_OF = {adjective.english: adjective for adjective in ADJECTIVES}
VERB_OF = {(verb.english(number), number): verb for verb in VERBS for number in NUMBERS}
NOUN_OF = {(noun.english(number), number): noun for noun in NOUNS for number in NUMBERS}
KNOWN = frozenset(english_words())

DETERMINER = Options.of(list(DETERMINERS), "a determiner")
PRENOMINAL = Options.of([a.english for a in ADJECTIVES if a.prenominal], "an adjective")
POSTNOMINAL = Options.of([a.english for a in ADJECTIVES if not a.prenominal], "an adjective")
PREDICATE = Options.of(PREDICATES, "an adjective")
NOUN = {n: Options.of([noun.english(n) for noun in NOUNS], f"a {n} noun") for n in NUMBERS}
VERB = {n: _verbs(n, f"a {n} verb") for n in NUMBERS}
VERB_WITH_OBJECT = {n: _verbs(n, f"a {n} verb with an object", "object") for n in NUMBERS}
INFINITIVE = _verbs(PLURAL, "an infinitive")  # it looks like the plural
INFINITIVE_WITH_OBJECT = _verbs(PLURAL, "an infinitive with an object", "object")
AUXILIARY = {SINGULAR: Options.of(["does"]), PLURAL: Options.of(["do"])}
BE = {n: Options.of([COPULA.english(n)]) for n in NUMBERS}
PREPOSITION = Options.of(list(PREPOSITIONS), "a preposition")
CONJUNCTION = Options.of(list(CONJUNCTIONS), "a conjunction")
MOVING_ADVERB = Options.of(list(MOVING_ADVERBS), "an adverb")
FINAL_ADVERB = Options.of(list(FINAL_ADVERBS), "an adverb")
OF, TO, NOT, AND = (Options.of([word]) for word in ("of", "to", "not", "and"))
POSSESSIVE = {"s": Options.of(["'"]), "": Options.of(["'s"])}
PRONOUN = {True: Options.of(["who", "that"]), False: Options.of(["that"])}
END = "the end of the sentence"


@dataclass(slots=True)
class NounPhrase:
    """A finished noun phrase and what agrees with it."""

    pieces: list[Piece]
    number: str
    gender: str
    nouns: list[Noun]


class Translator:
    """One pass over one sentence. Use `translate_words`."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self.position = 0
        self.expected: list[Options] = []  # what could have stood at `position`
        self.phenomena: set[str] = set()

    # Reading words

    def peek(self, offset: int = 0) -> str | None:
        index = self.position + offset
        return self.words[index] if index < len(self.words) else None

    def advance(self) -> int:
        self.position += 1
        self.expected = []
        return self.position - 1

    def accept(self, options: Options) -> int | None:
        """Reads the next word if it is one of `options`; else notes that one could stand here."""
        if self.position < len(self.words) and self.words[self.position] in options.words:
            return self.advance()
        self.expected.append(options)
        return None

    def expect(self, options: Options) -> int:
        index = self.accept(options)
        return self.fail() if index is None else index

    def fail(self, *expected: str) -> NoReturn:
        """Raises ValueError: names the word and what could have stood in its place."""
        names = list(expected or dict.fromkeys(options.name for options in self.expected))
        choices = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        word = self.peek()
        if word is None:
            problem = f"the sentence ends too early, after {' '.join(self.words[-3:])!r}"
        elif word not in KNOWN:
            problem = f"word {self.position + 1}, {word!r}, is not in the grammar's vocabulary"
        else:
            problem = f"word {self.position + 1}, {word!r}, does not fit there"
        raise ValueError(f"{problem}; expected {choices}")

    # Sentences

    def sentence(self) -> list[Piece]:
        pieces = self.clause()
        while (index := self.accept(CONJUNCTION)) is not None:
            pieces += [Piece(word, (index,)) for word in CONJUNCTIONS[self.words[index]]]
            pieces += self.clause()
        if self.peek() is not None:
            self.expected.append(Options(frozenset(), END))
            self.fail()
        return pieces

    def clause(self) -> list[Piece]:
        subject = self.coordinated_phrase()
        return subject.pieces + self.verb_phrase(subject, main=True)

    # Noun phrases

    def coordinated_phrase(self) -> NounPhrase:
        """One noun phrase or several, joined by *and*: the whole is then plural."""
        phrase = self.noun_phrase()
        while self.peek() == "and" and self.peek(1) in DETERMINERS:
            self.phenomena.add(tags.COORDINATION)
            joint = Piece("et", (self.advance(),))
            second = self.noun_phrase()
            feminine = phrase.gender == second.gender == FEMININE
            phrase = NounPhrase(
                pieces=[*phrase.pieces, joint, *second.pieces],
                number=PLURAL,
                gender=FEMININE if feminine else MASCULINE,
                nouns=phrase.nouns + second.nouns,
            )
        self.expected.append(AND)
        return phrase

    def noun_phrase(self, *, negated: bool = False, modifiers: bool = True) -> NounPhrase:
        """Determiner, adjectives, noun; possessors in front; *of*, places, *who* behind.

        Args:
            negated: the phrase is the object of a negated verb, where *a* becomes *de*.
            modifiers: whether anything may follow the noun.
        """
        index = self.expect(DETERMINER)
        determiner = self.words[index]
        numbers, forms = DETERMINERS[determiner]
        indefinite = determiner in ("a", "an")
        if indefinite:
            self.check_article(index)
        group = self.noun_group(numbers)
        pieces = [Piece(group.article(forms), (index,)), *group.pieces()]
        owned = False
        while (marker := self.possessive_marker(group)) is not None:
            self.phenomena.add(tags.POSSESSIVE)
            owned = True
            group = self.noun_group(NUMBERS)
            # No English word stands for this article alone: 's makes the phrase definite,
            # the noun decides between le, la and les, and *the* may open the phrase.
            hints = (marker, group.noun[0], *([index] if determiner == "the" else []))
            article = Piece(group.article(DETERMINERS["the"][1]), (), hints)
            pieces = [article, *group.pieces(), Piece("de", (marker,)), *pieces]
        # A girl's book is "the book of a girl": definite, so no *de* there.
        without_article = negated and indefinite and not owned
        if without_article:
            self.phenomena.add(tags.NEGATED_INDEFINITE)
            pieces[0].word = "de"
        noun = group.noun[1]
        phrase = NounPhrase(pieces, group.number, noun.gender, [noun])
        if modifiers:
            if not owned and (index := self.accept(OF)) is not None:
                self.phenomena.add(tags.PREPOSITIONAL_PHRASE)
                pieces += [Piece("de", (index,)), *self.noun_phrase().pieces]
            pieces += self.prepositional_phrases()
            # In French the clause could belong to either noun of *le livre de la fille*,
            # and after *pas de livre* it would want a subjunctive.
            if not owned and not without_article:
                pieces += self.relative_clause(phrase)
        return phrase

    def check_article(self, index: int) -> None:
        following = self.peek()
        vowel = following is not None and following[:1] in "aeiou"
        if following in KNOWN and vowel != (self.words[index] == "an"):
            self.position = index
            self.fail(f"{'an' if vowel else 'a'!r} before {following!r}")

    def noun_group(self, numbers: tuple[str, ...]) -> NounGroup:
        prenominal = self.adjective(PRENOMINAL, tags.PRENOMINAL_ADJECTIVE)
        postnominal = self.adjective(POSTNOMINAL, tags.REORDERED_ADJECTIVE)
        for number in numbers:
            index = self.accept(NOUN[number])
            if index is not None:
                noun = NOUN_OF[self.words[index], number]
                for found in (prenominal, postnominal):
                    if found:
                        self.note_combination(found[1], noun)
                return NounGroup((index, noun), number, prenominal, postnominal)
        self.fail()

    def adjective(self, options: Options, tag: str) -> tuple[int, Adjective] | None:
        index = self.accept(options)
        if index is None:
            return None
        self.phenomena.add(tag)
        return index, ADJECTIVE_OF[self.words[index]]

    def note_combination(self, adjective: Adjective, noun: Noun) -> None:
        if (adjective.english, noun.singular) in HELD_OUT:
            self.phenomena.add(tags.HELD_OUT_COMBINATION)

    def possessive_marker(self, group: NounGroup) -> int | None:
        """Reads 's, or ' after a plural in -s."""
        word = self.words[group.noun[0]]
        return self.accept(POSSESSIVE["s" if word.endswith("s") else ""])

    def prepositional_phrases(self) -> list[Piece]:
        pieces: list[Piece] = []
        while (index := self.accept(PREPOSITION)) is not None:
            self.phenomena.add(tags.PREPOSITIONAL_PHRASE)
            pieces += [Piece(word, (index,)) for word in PREPOSITIONS[self.words[index]]]
            pieces += self.noun_phrase().pieces
        return pieces

    def relative_clause(self, antecedent: NounPhrase) -> list[Piece]:
        """*who* or *that* as subject (qui), *that* as object (que)."""
        index = self.accept(PRONOUN[antecedent.nouns[0].person])
        if index is None:
            return []
        self.phenomena.add(tags.RELATIVE_CLAUSE)
        if self.words[index] == "that" and self.peek() in DETERMINERS:
            subject = self.noun_phrase(modifiers=False)
            verb, _ = self.verb_group(subject, object_gap=True)
            return [Piece("que", (index,)), *subject.pieces, *verb]
        return [Piece("qui", (index,)), *self.verb_phrase(antecedent, main=False)]

    # Verb phrases

    def verb_phrase(self, subject: NounPhrase, *, main: bool) -> list[Piece]:
        """Verb, objects, places and times; in a main clause *and* may join another one."""
        pieces, verb = self.verb_group(subject)
        negated = pieces[0].word == "ne"
        if verb.pattern == "object" and main and not negated:
            pieces += self.coordinated_phrase().pieces
        elif verb.pattern in ("object", "object to"):
            pieces += self.noun_phrase(negated=negated).pieces
        if verb.pattern in ("to", "object to"):
            pieces.append(Piece("à", (self.expect(TO),)))
            pieces += self.noun_phrase().pieces
        pieces += self.prepositional_phrases()
        if (index := self.accept(FINAL_ADVERB)) is not None:
            pieces.append(Piece(FINAL_ADVERBS[self.words[index]], (index,)))
        if main and (index := self.accept(AND)) is not None:
            self.phenomena.add(tags.COORDINATION)
            pieces += [Piece("et", (index,)), *self.verb_phrase(subject, main=True)]
        return pieces

    def verb_group(
        self, subject: NounPhrase, *, object_gap: bool = False
    ) -> tuple[list[Piece], Verb]:
        """The verb with what stands around it: negation, moving adverb, predicate.

        Links of a negated verb, *does not see* → *ne voit pas*: *not* is sure for *ne* and
        for *pas*. *does* is possible for *voit*, because it carries person and number,
        which French puts on the verb; and for *ne*, because both announce the negation.

        Args:
            object_gap: the object stands elsewhere (*the cat that the girl sees*).
        """
        number = subject.number
        auxiliary = self.accept(AUXILIARY[number])
        if auxiliary is None and not object_gap:
            copula = self.accept(BE[number])
            if copula is not None:
                return self.predicate(subject, copula), COPULA
        negation = None if auxiliary is None else self.expect(NOT)
        adverb = self.accept(MOVING_ADVERB)
        if auxiliary is None:
            index = self.expect((VERB_WITH_OBJECT if object_gap else VERB)[number])
            verb = VERB_OF[self.words[index], number]
            pieces = [Piece(verb.french(number), (index,))]
        else:
            self.phenomena.add(tags.NEGATION)
            index = self.expect(INFINITIVE_WITH_OBJECT if object_gap else INFINITIVE)
            verb = VERB_OF[self.words[index], PLURAL]
            middle = Piece(verb.french(number), (index,), (auxiliary,))
            first = Piece("ne", (negation,), (auxiliary,))
            pieces = [first, middle, Piece("pas", (negation,))]
        if adverb is not None:
            self.phenomena.add(tags.REORDERED_ADVERB)
            pieces.append(Piece(MOVING_ADVERBS[self.words[adverb]], (adverb,)))
        return pieces, verb

    def predicate(self, subject: NounPhrase, copula: int) -> list[Piece]:
        negation = self.accept(NOT)
        index = self.expect(PREDICATE)
        adjective = ADJECTIVE_OF[self.words[index]]
        for noun in subject.nouns:
            self.note_combination(adjective, noun)
        self.phenomena.add(tags.PREDICATE_ADJECTIVE)
        verb = Piece(COPULA.french(subject.number), (copula,))
        quality = Piece(adjective.french(subject.gender, subject.number), (index,))
        if negation is None:
            return [verb, quality]
        self.phenomena.add(tags.NEGATION)
        return [Piece("ne", (negation,)), verb, Piece("pas", (negation,)), quality]


def translate_words(words: Sequence[str]) -> tuple[list[Piece], frozenset[str]]:
    """Translates a grammatical sentence: its French pieces and the phenomena met.

    Raises:
        ValueError: the sentence is empty or not grammatical; the message names the first
            word that does not fit and what could have stood there.
        TypeError: `words` is one string.
    """
    if isinstance(words, str):
        raise TypeError(f"the sentence is one string, {words[:60]!r}; expected words: use .split()")
    translator = Translator(tuple(words))
    if not translator.words:
        raise ValueError("the sentence is empty; expected words such as: the cat sleeps")
    pieces, sounds = join_sounds(translator.sentence())
    return pieces, frozenset(translator.phenomena | sounds)
