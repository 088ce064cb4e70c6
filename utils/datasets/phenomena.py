"""The names of what happens between English and French in the grammar's sentences."""

REORDERED_ADJECTIVE = "reordered adjective"  # red apple → pomme rouge
PRENOMINAL_ADJECTIVE = "pre-nominal adjective"  # small apple → petite pomme
PREDICATE_ADJECTIVE = "predicate adjective"  # the apple is red → la pomme est rouge
NEGATION = "negation"  # does not see → ne voit pas
NEGATED_INDEFINITE = "negated indefinite"  # does not see a cat → ne voit pas de chat
POSSESSIVE = "possessive"  # the girl 's book → le livre de la fille
RELATIVE_CLAUSE = "relative clause"  # who sleeps → qui dort; that she sees → que …
PREPOSITIONAL_PHRASE = "prepositional phrase"  # in the garden → dans le jardin
COORDINATION = "coordination"  # and → et, between noun phrases or between verbs
REORDERED_ADVERB = "reordered adverb"  # often sleeps → dort souvent
CONTRACTION = "contraction"  # de + le → du
ELISION = "elision"  # le + arbre → l' arbre
HELD_OUT_COMBINATION = "held-out combination"  # adjective and noun never trained together

# These keep the order of the words: no two links cross.
MONOTONE = frozenset(
    {
        PRENOMINAL_ADJECTIVE,
        PREDICATE_ADJECTIVE,
        RELATIVE_CLAUSE,
        PREPOSITIONAL_PHRASE,
        COORDINATION,
        CONTRACTION,
        ELISION,
    }
)
REORDERING = frozenset(
    {REORDERED_ADJECTIVE, REORDERED_ADVERB, NEGATION, NEGATED_INDEFINITE, POSSESSIVE}
)
