"""utils.datasets.vocabulary: ids, round trips, and what it refuses."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.datasets.vocabulary import SPECIAL_TOKENS, Vocabulary

WORD = st.text(min_size=1, max_size=6).filter(
    lambda word: word.split() == [word] and word not in SPECIAL_TOKENS
)
SENTENCES = st.lists(st.lists(WORD, max_size=6), max_size=6)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.from_sentences([["the", "cat"], ["the", "dog"], []])


def test_special_symbols_have_fixed_ids(vocabulary):
    assert vocabulary.tokens[:4] == ("<pad>", "<unk>", "<bos>", "<eos>")
    ids = (vocabulary.pad_id, vocabulary.unk_id, vocabulary.bos_id, vocabulary.eos_id)
    assert ids == (0, 1, 2, 3)


def test_most_frequent_words_come_first_then_the_alphabet(vocabulary):
    assert vocabulary.tokens[4:] == ("the", "cat", "dog")
    assert len(vocabulary) == 7


def test_the_order_of_the_sentences_does_not_matter(vocabulary):
    assert Vocabulary.from_sentences([["dog", "the"], ["cat", "the"]]) == vocabulary


@given(SENTENCES)
def test_round_trip(sentences):
    vocabulary = Vocabulary.from_sentences(sentences)
    for sentence in sentences:
        ids = vocabulary.encode(sentence)
        assert ids[-1] == vocabulary.eos_id and len(ids) == len(sentence) + 1
        assert vocabulary.decode(ids) == sentence
        assert vocabulary.decode(vocabulary.encode(sentence, add_eos=False)) == sentence


@given(SENTENCES)
def test_json_round_trip(sentences):
    vocabulary = Vocabulary.from_sentences(sentences)
    assert Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict()))) == vocabulary


def test_unknown_words(vocabulary):
    assert vocabulary.encode(["the", "owl"]) == [4, 1, 3]
    assert vocabulary.unknown(["the", "owl", "ate", "owl"]) == ["owl", "ate"]
    assert vocabulary.decode([4, 1, 3]) == ["the", "<unk>"]
    assert "cat" in vocabulary and "owl" not in vocabulary


def test_minimum_count_leaves_rare_words_out():
    vocabulary = Vocabulary.from_sentences([["a", "a", "b"]], minimum_count=2)
    assert vocabulary.tokens[4:] == ("a",)
    with pytest.raises(ValueError, match="minimum_count is 0"):
        Vocabulary.from_sentences([], minimum_count=0)


@pytest.mark.parametrize("special", SPECIAL_TOKENS)
def test_a_special_symbol_in_the_text_is_an_unknown_word(special):
    vocabulary = Vocabulary.from_sentences([["say", special]])
    assert vocabulary.tokens == (*SPECIAL_TOKENS, "say")
    assert vocabulary.encode(["say", special, "say"]) == [4, 1, 4, 3]
    assert special not in vocabulary
    assert vocabulary.unknown([special]) == [special]


def test_empty_sentence(vocabulary):
    assert vocabulary.encode([]) == [3]
    assert vocabulary.encode([], add_eos=False) == []
    assert vocabulary.decode([]) == [] == vocabulary.decode([3])


def test_decode_stops_at_the_first_end_and_drops_padding(vocabulary):
    assert vocabulary.decode([2, 4, 0, 5, 3, 6, 3]) == ["the", "cat"]
    assert vocabulary.decode(torch.tensor([4, 6, 3, 0])) == ["the", "dog"]


@pytest.mark.parametrize("index", [7, -1])
def test_an_id_outside_the_vocabulary_is_an_error(vocabulary, index):
    with pytest.raises(ValueError, match=rf"id {index} at position 1 .* expected 0 to 6"):
        vocabulary.decode([4, index])


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["a", "b", "a"], ValueError, r"repeated words \['a'\]"),
        (["a", ""], ValueError, "word 1 is ''"),
        (["the cat"], ValueError, "without white space"),
        (["<eos>"], ValueError, "word 0 is '<eos>'"),
        ("cat", TypeError, r"use \.split\(\)"),
        (["a", 3], TypeError, "item 1 is 3"),
    ],
)
def test_bad_words(words, error, message):
    with pytest.raises(error, match=message):
        Vocabulary(words)


def test_a_string_is_not_a_sentence(vocabulary):
    for method in (vocabulary.encode, vocabulary.unknown):
        with pytest.raises(TypeError, match="'the cat'; expected words"):
            method("the cat")
    with pytest.raises(TypeError, match="sentence 1 is one string"):
        Vocabulary.from_sentences([["a"], "b" * 200])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "expected a mapping"),
        ({"tokens": []}, "expected a mapping with 'version' and 'tokens'"),
        ({"version": 9, "tokens": []}, "format 9; this code reads 1"),
        ({"version": 1, "tokens": "abc"}, "must be a list of strings"),
        ({"version": 1, "tokens": [1]}, "must be a list of strings"),
        ({"version": 1, "tokens": ["a"]}, "must begin with"),
        ({"version": 1, "tokens": [*SPECIAL_TOKENS, "a", "a"]}, "repeated words"),
    ],
)
def test_bad_stored_vocabulary(data, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_dict(data)


def test_equal_vocabularies_are_equal_and_hash_alike(vocabulary):
    same = Vocabulary(vocabulary.tokens[4:])
    assert same == vocabulary and hash(same) == hash(vocabulary)
    assert vocabulary != Vocabulary(["the"]) and vocabulary != ["the"]
    assert repr(vocabulary) == "Vocabulary(7 tokens)"
