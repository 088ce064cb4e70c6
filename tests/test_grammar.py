"""utils.datasets.grammar: its French and its links, against sentences aligned by hand.

The sentences are in grammar_sentences.txt. The property tests below check what must
hold for every sentence: agreement, elision, links, splits, lengths.
"""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.datasets import lexicon
from utils.datasets.grammar import SPLITS, Example, Grammar, split_of

GRAMMAR = Grammar()
SEEDS = st.integers(0, 2**32)


def read_hand_checked() -> list[Example]:
    text = (Path(__file__).parent / "grammar_sentences.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    examples = []
    for source, target, *links in zip(*(lines[start::4] for start in range(4)), strict=True):
        sure, further = (
            {tuple(map(int, link.split(":"))) for link in part.split() if link != "-"}
            for part in links
        )
        examples.append(
            Example(
                tuple(source.split()),
                tuple(target.split()),
                frozenset(sure),
                frozenset(sure | further),
                frozenset(),
            )
        )
    return examples


HAND_CHECKED = read_hand_checked()


def crossings(example: Example) -> int:
    links = sorted(example.possible)
    return sum(a < c and b > d for a, b in links for c, d in links)


def sources_of(example: Example, position: int) -> list[str]:
    """The English words with a sure link to a French position."""
    return [example.source[s] for s, t in sorted(example.sure) if t == position]


@pytest.fixture(scope="module")
def samples() -> list[Example]:
    return GRAMMAR.sample(2000, seed=1, split="test", maximum_length=30)


# Sentences translated by hand


@pytest.mark.parametrize("expected", HAND_CHECKED, ids=lambda e: "_".join(e.source))
def test_hand_checked(expected):
    example = GRAMMAR.translate(expected.source)
    assert " ".join(example.target) == " ".join(expected.target)
    assert example.sure == expected.sure
    assert example.possible == expected.possible


def test_the_hand_checked_sentences_cover_every_rule():
    assert len(HAND_CHECKED) >= 45
    met = Counter(tag for e in HAND_CHECKED for tag in GRAMMAR.translate(e.source).phenomena)
    assert all(met[tag] >= 2 for tag in Grammar.PHENOMENA)
    english = {word for example in HAND_CHECKED for word in example.source}
    assert english >= set(lexicon.DETERMINERS) | set(lexicon.OTHER_ENGLISH)
    assert english >= set(lexicon.PREPOSITIONS) | set(lexicon.CONJUNCTIONS)
    assert english >= set(lexicon.MOVING_ADVERBS) | set(lexicon.FINAL_ADVERBS)
    french = {word for example in HAND_CHECKED for word in example.target}
    assert french >= set(lexicon.OTHER_FRENCH) | {"bel", "vieil", "nouvel"}


@pytest.mark.parametrize(
    ("sentence", "tags"),
    [
        ("the cat sleeps", ()),
        ("a red cow sleeps", ("reordered adjective",)),
        ("a small cow sleeps", ("pre-nominal adjective",)),
        ("the cow is big", ("predicate adjective", "held-out combination")),
        ("the cow does not sleep", ("negation",)),
        ("the cow does not see a cat", ("negation", "negated indefinite")),
        ("the girl 's cow sleeps", ("possessive",)),
        ("the cow that sleeps sings", ("relative clause",)),
        ("the cow in the garden sings", ("prepositional phrase",)),
        ("the cow and the cat sing", ("coordination",)),
        ("the cow sleeps and sings", ("coordination",)),
        ("the cow often sings", ("reordered adverb",)),
        ("the cow talks to the boy", ("contraction",)),
        ("the tree is red", ("elision", "predicate adjective")),
        ("a red hat arrives", ("reordered adjective", "held-out combination")),
    ],
)
def test_phenomena(sentence, tags):
    assert GRAMMAR.translate(sentence.split()).phenomena == set(tags)


# What holds for every sentence


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(list(SPLITS)))
def test_links(seed, split):
    for example in GRAMMAR.sample(5, seed=seed, split=split):
        assert example.sure <= example.possible
        assert {target for _, target in example.possible} == set(range(len(example.target)))
        assert {source for source, _ in example.possible} == set(range(len(example.source)))


def test_few_links_are_only_possible(samples):
    sure = sum(len(example.sure) for example in samples)
    possible = sum(len(example.possible) for example in samples)
    assert 0.0 < 1 - sure / possible <= 0.15


def test_translating_a_sampled_source_gives_the_sample(samples):
    for example in samples:
        assert GRAMMAR.translate(example.source) == example


def test_no_elision_or_contraction_is_missed(samples):
    for example in samples:
        for word, following in zip(example.target, example.target[1:], strict=False):
            vowel = re.match("[aeiouéèêhœ]", following)
            if word in ("le", "la", "de", "ne", "que", "ce"):
                assert not vowel, example.target
            if word in ("beau", "vieux", "nouveau"):  # in front of a verb they may stand
                assert following not in ("oiseau", "homme", "arbre"), example.target
            if word in ("l'", "d'", "n'", "qu'", "cet", "bel", "vieil", "nouvel"):
                assert vowel, example.target
            assert (word, following) not in lexicon.CONTRACTION, example.target
        assert example.target[-1] not in ("l'", "le", "de", "d'", "ne", "que", "qui")


def test_agreement_of_noun_and_adjective(samples):
    """Every adjective has the form of the noun that its English word stands before."""
    nouns = {form: noun for noun in lexicon.NOUNS for form in (noun.singular, noun.plural)}
    checked = 0
    for example in samples:
        for source, target in example.sure:
            adjective = next(
                (a for a in lexicon.ADJECTIVES if a.english == example.source[source]), None
            )
            following = example.source[source + 1 : source + 3]
            noun = next((word for word in following if word in nouns), None)
            copula = {"is", "are", "not"} & set(example.source[max(0, source - 1) : source])
            if adjective is None or noun is None or copula:
                continue
            entry = nouns[noun]
            plural = noun == entry.plural
            forms = [adjective.forms[2 * (entry.gender == "feminine") + plural]]
            if entry.gender == "masculine" and not plural:
                forms.append(adjective.before_vowel)
            assert example.target[target] in forms, (example.source, example.target)
            side = -1 if adjective.prenominal else 1
            noun_positions = [target - 1, target - 2] if side == 1 else [target + 1]
            french = entry.french_plural if plural else entry.french_singular
            assert french in [example.target[p] for p in noun_positions]
            checked += 1
    assert checked > 2000


def test_agreement_of_determiner_and_noun(samples):
    """le, la, un, ces … stand before a noun group of their gender and number."""
    wants = {
        **dict.fromkeys(("le", "un", "du", "au", "ce", "cet"), ("masculine", "singular")),
        **dict.fromkeys(("la", "une", "cette"), ("feminine", "singular")),
        **dict.fromkeys(("les", "des", "aux", "ces", "deux"), (None, "plural")),
        "l'": (None, "singular"),
    }
    features = {}
    for noun in lexicon.NOUNS:
        features[noun.french_singular] = noun.gender, "singular"
        features[noun.french_plural] = noun.gender, "plural"
    for example in samples:
        for position, word in enumerate(example.target):
            if word in wants:
                head = next(w for w in example.target[position + 1 :] if w in features)
                gender, number = wants[word]
                assert features[head][1] == number, example.target
                assert gender in (None, features[head][0]), example.target


def test_negation_surrounds_one_verb(samples):
    verbs = {
        form
        for verb in (*lexicon.VERBS, lexicon.COPULA)
        for form in (verb.french_singular, verb.french_plural)
    }
    for example in samples:
        negations = [p for p, word in enumerate(example.target) if word in ("ne", "n'")]
        assert len(negations) == example.source.count("not") == example.target.count("pas")
        for position in negations:
            assert example.target[position + 1] in verbs
            assert example.target[position + 2] == "pas"
            assert sources_of(example, position) == ["not"]
            assert sources_of(example, position + 2) == ["not"]


def test_monotone_phenomena_never_cross():
    monotone = Grammar(phenomena=Grammar.MONOTONE).sample(500, seed=0)
    assert all(crossings(example) == 0 for example in monotone)
    assert all(example.phenomena <= Grammar.MONOTONE for example in monotone)
    seen = set().union(*(example.phenomena for example in monotone))
    assert seen == Grammar.MONOTONE


def test_every_other_phenomenon_crosses(samples):
    for example in samples:
        reordering = example.phenomena - Grammar.MONOTONE - {Grammar.HELD_OUT_COMBINATION}
        assert bool(reordering) == (crossings(example) > 0), example.source


@pytest.mark.parametrize("tag", sorted(Grammar.PHENOMENA))
def test_a_phenomenon_can_be_left_out(tag):
    for example in Grammar(phenomena=Grammar.PHENOMENA - {tag}).sample(20, seed=0):
        assert tag not in example.phenomena


def test_no_phenomenon_at_all_still_gives_sentences():
    for example in Grammar(phenomena=(), maximum_length=20).sample(20, seed=0):
        assert example.phenomena == set()
        assert len(example.source) == len(example.target) or "parce" in example.target


# Lengths, seeds, splits, vocabulary


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(4, 60), st.integers(0, 30), st.sampled_from(list(SPLITS)))
def test_lengths_are_respected(seed, shortest, spread, split):
    longest = min(60, shortest + spread)
    for example in GRAMMAR.sample(
        3, seed=seed, split=split, minimum_length=shortest, maximum_length=longest
    ):
        assert shortest <= len(example.source) <= longest


def test_lengths_are_spread_evenly(samples):
    counts = Counter(len(example.source) for example in samples)
    assert set(counts) == set(range(4, 31))
    expected = len(samples) / 27
    assert all(0.5 * expected < count < 1.6 * expected for count in counts.values())
    assert 15 <= sum(len(example.source) for example in samples) / len(samples) <= 18


def test_sampling_is_a_function_of_its_arguments():
    first = GRAMMAR.sample(30, seed=7)
    assert Grammar().sample(30, seed=7) == first
    assert GRAMMAR.sample(10, seed=7) == first[:10]
    assert GRAMMAR.sample(30, seed=8) != first
    assert GRAMMAR.sample(0, seed=7) == []


def test_these_sentences_do_not_change():
    """Stored results depend on the sampled data: change it knowingly, and rerun them."""
    drawn = GRAMMAR.sample(3, seed=0, maximum_length=12)
    assert [" ".join(example.source) for example in drawn] == [
        "the happy men 's house is small",
        "the beautiful women see two red pictures",
        "the man who eats the big apple arrives",
    ]


def test_splits_share_no_source_sentence():
    # Short sentences, where collisions would be likely.
    drawn = {
        split: {e.source for e in GRAMMAR.sample(1500, seed=3, split=split, maximum_length=6)}
        for split in SPLITS
    }
    assert all(split_of(source) == split for split in SPLITS for source in drawn[split])
    assert not drawn["train"] & drawn["validation"]
    assert not drawn["train"] & drawn["test"]
    assert not drawn["validation"] & drawn["test"]


def test_the_test_split_holds_out_combinations(samples):
    tag = Grammar.HELD_OUT_COMBINATION
    share = sum(tag in example.phenomena for example in samples) / len(samples)
    assert share > 0.1
    for split in ("train", "validation"):
        assert not any(tag in e.phenomena for e in GRAMMAR.sample(500, seed=1, split=split))
    # The tag is what it says: look for the pairs without the parser.
    nouns = {form: noun.singular for noun in lexicon.NOUNS for form in (noun.singular, noun.plural)}
    for example in GRAMMAR.sample(500, seed=2):
        for adjective, word in zip(example.source, example.source[1:], strict=False):
            assert (adjective, nouns.get(word)) not in lexicon.HELD_OUT


def test_every_held_out_word_is_trained_on_in_the_same_place():
    prenominal = {a.english: a.prenominal for a in lexicon.ADJECTIVES}
    for adjective, noun in lexicon.HELD_OUT:
        assert noun in lexicon.COMBINATIONS[adjective]
        same_side = [
            other
            for other, nouns in lexicon.COMBINATIONS.items()
            if noun in nouns and prenominal[other] == prenominal[adjective]
        ]
        assert sum((other, noun) not in lexicon.HELD_OUT for other in same_side) >= 2


def test_vocabularies_are_closed_and_complete(samples):
    source, target = GRAMMAR.source_vocabulary(), GRAMMAR.target_vocabulary()
    for example in samples:
        assert not source.unknown(example.source) and not target.unknown(example.target)
    train = GRAMMAR.sample(4000, seed=0)
    assert {word for e in train for word in e.source} == set(source.tokens[4:])
    assert {word for e in train for word in e.target} == set(target.tokens[4:])
    assert Grammar(phenomena=Grammar.MONOTONE).source_vocabulary() == source


# What it refuses


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("", "the sentence is empty"),
        ("the", "ends too early, after 'the'; expected an adjective .* a singular noun"),
        ("the owl sleeps", "word 2, 'owl', is not in the grammar's vocabulary"),
        ("cat the sleeps", r"word 1, 'cat', does not fit there; expected a determiner \(the, a"),
        ("the cat sleep", r"word 3, 'sleep', .*a singular verb \(sleeps, sings"),
        ("the cats sleeps", r"word 3, 'sleeps', .*a plural verb \(sleep, sing"),
        ("the cat do not sleep", "word 3, 'do', .*does"),
        ("the cat does sleep", "word 4, 'sleep', .*expected not"),
        ("the cat does not sleeps", "word 5, 'sleeps', .*an infinitive"),
        ("a cats sleep", "word 2, 'cats', .*a singular noun"),
        ("two cat sleep", "word 2, 'cat', .*a plural noun"),
        ("a apple arrives", "word 1, 'a', .*'an' before 'apple'"),
        ("an cat sleeps", "word 1, 'an', .*'a' before 'cat'"),
        ("the red small cat sleeps", "word 3, 'small'"),
        ("the cat sees", "ends too early, after 'the cat sees'; expected a determiner"),
        ("the cat sleeps the cat", "word 4, 'the', .*the end of the sentence"),
        ("the girl talks the boy", "word 4, 'the', .*expected to"),
        ("the cat who sleeps sings", "word 3, 'who', .*that"),
        ("the girls 's cat sleeps", "word 3, \"'s\", .*expected ',"),
        ("the boy that the girl sleeps sings", "word 6, 'sleeps', .*a singular verb with an obj"),
        ("the girl does not see a cat that sings", "word 8, 'that'"),
        ("the girl 's cat that sleeps sings", "word 5, 'that'"),
        ("the book is new", "word 4, 'new', .*an adjective"),
        ("the cat sleeps and the bird sings", "word 5, 'the', .*a singular verb"),
        ("the cat sleeps <eos>", "word 4, '<eos>', is not in the grammar's vocabulary"),
    ],
)
def test_ungrammatical_sentences(sentence, message):
    with pytest.raises(ValueError, match=message):
        GRAMMAR.translate(sentence.split())


def test_a_string_is_not_a_sentence():
    with pytest.raises(TypeError, match=r"use \.split\(\)"):
        GRAMMAR.translate("the cat sleeps")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minimum_length": 3}, "lengths from 3 to 60; expected 4 ≤ minimum"),
        ({"maximum_length": 61}, "lengths from 4 to 61"),
        ({"minimum_length": 9, "maximum_length": 8}, "lengths from 9 to 8"),
        ({"phenomena": ["negation", "subjunctive"]}, r"unknown phenomena \['subjunctive'\]"),
        ({"phenomena": [Grammar.HELD_OUT_COMBINATION]}, "unknown phenomena"),
    ],
)
def test_bad_knobs(options, message):
    with pytest.raises(ValueError, match=message):
        Grammar(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": -1}, "count is -1"),
        ({"count": 1, "split": "dev"}, "split is 'dev'; expected one of"),
        ({"count": 1, "minimum_length": 2}, "lengths from 2 to 60"),
    ],
)
def test_bad_sampling(options, message):
    with pytest.raises(ValueError, match=message):
        GRAMMAR.sample(seed=0, **options)


def test_what_cannot_be_drawn_is_an_error(monkeypatch):
    monkeypatch.setattr("utils.datasets.grammar.ATTEMPTS", 3)
    no_sounds = Grammar(phenomena=Grammar.PHENOMENA - {Grammar.ELISION, Grammar.CONTRACTION})
    with pytest.raises(ValueError, match="no sentence of 60 words among 3"):
        no_sounds.sample(20, seed=0, minimum_length=60)
