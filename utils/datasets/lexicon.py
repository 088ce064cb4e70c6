"""The words of the English → French grammar, with what agreement needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass

SINGULAR, PLURAL = "singular", "plural"
MASCULINE, FEMININE = "masculine", "feminine"


@dataclass(frozen=True)
class Noun:
    """A noun in both languages; `person` decides between *who* and *that*."""

    singular: str
    plural: str
    french_singular: str
    french_plural: str
    gender: str
    person: bool = False

    def english(self, number: str) -> str:
        return self.singular if number == SINGULAR else self.plural

    def french(self, number: str) -> str:
        return self.french_singular if number == SINGULAR else self.french_plural


@dataclass(frozen=True)
class Adjective:
    """An adjective; French forms in the order m. sg., m. pl., f. sg., f. pl.

    `before_vowel` is the masculine singular in front of a noun that begins with a vowel
    sound (*bel*, *vieil*, *nouvel*). `prenominal`: French puts it in front of the noun.
    """

    english: str
    forms: tuple[str, str, str, str]
    prenominal: bool
    before_vowel: str | None = None

    def french(self, gender: str, number: str) -> str:
        return self.forms[2 * (gender == FEMININE) + (number == PLURAL)]


@dataclass(frozen=True)
class Verb:
    """A verb in the third person of the present tense.

    `pattern`: "none" (no object), "object", "to" (to somebody), "object to" (something
    to somebody) or "predicate" (an adjective follows).
    """

    singular: str
    plural: str
    french_singular: str
    french_plural: str
    pattern: str

    def english(self, number: str) -> str:
        return self.singular if number == SINGULAR else self.plural

    def french(self, number: str) -> str:
        return self.french_singular if number == SINGULAR else self.french_plural


NOUNS = (
    Noun("girl", "girls", "fille", "filles", FEMININE, person=True),
    Noun("boy", "boys", "garçon", "garçons", MASCULINE, person=True),
    Noun("man", "men", "homme", "hommes", MASCULINE, person=True),
    Noun("woman", "women", "femme", "femmes", FEMININE, person=True),
    Noun("cat", "cats", "chat", "chats", MASCULINE),
    Noun("bird", "birds", "oiseau", "oiseaux", MASCULINE),
    Noun("cow", "cows", "vache", "vaches", FEMININE),
    Noun("book", "books", "livre", "livres", MASCULINE),
    Noun("apple", "apples", "pomme", "pommes", FEMININE),
    Noun("hat", "hats", "chapeau", "chapeaux", MASCULINE),
    Noun("picture", "pictures", "image", "images", FEMININE),
    Noun("garden", "gardens", "jardin", "jardins", MASCULINE),
    Noun("house", "houses", "maison", "maisons", FEMININE),
    Noun("tree", "trees", "arbre", "arbres", MASCULINE),
    Noun("school", "schools", "école", "écoles", FEMININE),
)

ADJECTIVES = (
    Adjective("small", ("petit", "petits", "petite", "petites"), prenominal=True),
    Adjective("big", ("grand", "grands", "grande", "grandes"), prenominal=True),
    Adjective("beautiful", ("beau", "beaux", "belle", "belles"), True, before_vowel="bel"),
    Adjective("old", ("vieux", "vieux", "vieille", "vieilles"), True, before_vowel="vieil"),
    Adjective("new", ("nouveau", "nouveaux", "nouvelle", "nouvelles"), True, before_vowel="nouvel"),
    Adjective("red", ("rouge", "rouges", "rouge", "rouges"), prenominal=False),
    Adjective("white", ("blanc", "blancs", "blanche", "blanches"), prenominal=False),
    Adjective("round", ("rond", "ronds", "ronde", "rondes"), prenominal=False),
    Adjective("happy", ("heureux", "heureux", "heureuse", "heureuses"), prenominal=False),
)

COPULA = Verb("is", "are", "est", "sont", "predicate")
VERBS = (
    Verb("sleeps", "sleep", "dort", "dorment", "none"),
    Verb("sings", "sing", "chante", "chantent", "none"),
    Verb("arrives", "arrive", "arrive", "arrivent", "none"),
    Verb("sees", "see", "voit", "voient", "object"),
    Verb("buys", "buy", "achète", "achètent", "object"),
    Verb("reads", "read", "lit", "lisent", "object"),
    Verb("eats", "eat", "mange", "mangent", "object"),
    Verb("talks", "talk", "parle", "parlent", "to"),
    Verb("gives", "give", "donne", "donnent", "object to"),
)

# English determiner → number, and its French forms: masculine, feminine, plural.
DETERMINERS: dict[str, tuple[tuple[str, ...], tuple[str, str, str]]] = {
    "the": ((SINGULAR, PLURAL), ("le", "la", "les")),
    "a": ((SINGULAR,), ("un", "une", "")),
    "an": ((SINGULAR,), ("un", "une", "")),
    "this": ((SINGULAR,), ("ce", "cette", "")),
    "these": ((PLURAL,), ("", "", "ces")),
    "two": ((PLURAL,), ("", "", "deux")),
}
PREPOSITIONS = {
    "in": ("dans",),
    "on": ("sur",),
    "under": ("sous",),
    "with": ("avec",),
    "near": ("près", "de"),
}
CONJUNCTIONS = {"but": ("mais",), "when": ("quand",), "because": ("parce", "que")}
MOVING_ADVERBS = {"often": "souvent", "always": "toujours"}  # in front of the verb in English
FINAL_ADVERBS = {"here": "ici", "now": "maintenant"}  # at the end in both languages
OTHER_ENGLISH = ("does", "do", "not", "'s", "'", "of", "to", "and", "who", "that")
OTHER_FRENCH = ("ne", "n'", "pas", "de", "d'", "du", "des", "à", "au", "aux", "et", "qui")
OTHER_FRENCH += ("que", "qu'", "l'", "cet")

ELISION = {"le": "l'", "la": "l'", "de": "d'", "ne": "n'", "que": "qu'"}
CONTRACTION = {
    ("de", "le"): "du",
    ("de", "les"): "des",
    ("à", "le"): "au",
    ("à", "les"): "aux",
}

# Which adjectives the sampler puts with which nouns. Left out on purpose are pairs whose
# French means something else (vieille fille, vieux garçon, grand homme) or sounds odd.
# The others are generous (red cats): a model that meets most adjectives with most nouns
# can learn to translate one without the other.
COMBINATIONS: dict[str, tuple[str, ...]] = {
    "small": tuple(noun.singular for noun in NOUNS),
    "big": tuple(noun.singular for noun in NOUNS if not noun.person),
    "beautiful": (
        *("girl", "woman", "cat", "bird", "cow", "book", "apple", "hat", "picture"),
        *("garden", "house", "tree", "school"),
    ),
    "old": (
        *("man", "woman", "cat", "bird", "cow", "book", "hat", "picture"),
        *("garden", "house", "tree", "school"),
    ),
    "new": ("book", "hat", "picture", "garden", "house", "school", "tree"),
    "red": tuple(noun.singular for noun in NOUNS if not noun.person),
    "white": tuple(noun.singular for noun in NOUNS if not noun.person and noun.singular != "apple"),
    "round": ("cat", "bird", "apple", "hat", "picture", "garden", "house", "tree", "school"),
    "happy": ("girl", "boy", "man", "woman", "cat", "bird", "cow"),
}
# In the test split only. Every word of these is trained on, and every one of the nouns
# with two other adjectives on the same side; only the pairs themselves are new.
HELD_OUT = frozenset(
    {
        ("small", "tree"),
        ("big", "cow"),
        ("beautiful", "house"),
        ("old", "book"),
        ("new", "school"),
        ("red", "hat"),
        ("white", "bird"),
        ("round", "house"),
    }
)
# What can be said to be so with "is": "new" would be another word in French there.
PREDICATES = ("small", "big", "beautiful", "old", "red", "white", "round", "happy")

# Groups of nouns that the sampler draws from, so that sentences make sense.
PEOPLE = ("girl", "boy", "man", "woman")
ANIMALS = ("cat", "bird", "cow")
PLACES = ("garden", "house", "tree", "school")
NOUN_GROUPS: dict[str, tuple[str, ...]] = {
    "person": PEOPLE,
    "animal": ANIMALS,
    "book": ("book",),
    "food": ("apple",),
    "thing": ("hat", "picture"),
    "picture": ("picture",),
    "place": PLACES,
    "top": ("house", "book", "hat"),
    "shelter": ("tree", "house", "hat"),
    "any": tuple(noun.singular for noun in NOUNS),
}


def begins_with_vowel_sound(french: str) -> bool:
    """Whether a French word asks for elision in front of it. Every h in this lexicon is mute."""
    return french[0] in "aeiouyhéèêàœ"


def english_words() -> list[str]:
    """Every English word that the grammar reads, in a fixed order."""
    words = [*DETERMINERS, *OTHER_ENGLISH, *PREPOSITIONS, *CONJUNCTIONS]
    words += [*MOVING_ADVERBS, *FINAL_ADVERBS]
    words += [form for entry in (*NOUNS, *VERBS, COPULA) for form in (entry.singular, entry.plural)]
    return [*words, *(adjective.english for adjective in ADJECTIVES)]


def french_words() -> list[str]:
    """Every French word that the grammar can write, in a fixed order."""
    words = [form for _, forms in DETERMINERS.values() for form in forms if form]
    words += [*OTHER_FRENCH, *MOVING_ADVERBS.values(), *FINAL_ADVERBS.values()]
    for several in (*PREPOSITIONS.values(), *CONJUNCTIONS.values()):
        words += several
    for entry in (*NOUNS, *VERBS, COPULA):
        words += [entry.french_singular, entry.french_plural]
    for adjective in ADJECTIVES:
        words += [*adjective.forms, *filter(None, [adjective.before_vowel])]
    return list(dict.fromkeys(words))
