"""Subwords: nothing is lost, nothing is unknown, and the plain rule cuts as the library does."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_text import raw_pairs

from utils.datasets.batching import BucketedBatches, ParallelDataset
from utils.datasets.subwords import SPACE, SubwordVocabulary, normalise, segment
from utils.datasets.varied_pairs import VariedPairs
from utils.datasets.vocabulary import SPECIAL_TOKENS, Vocabulary

PAIRS = raw_pairs(80)
SIZE = 150
ENGLISH = SubwordVocabulary.train(PAIRS.source, size=SIZE)
FRENCH = SubwordVocabulary.train(PAIRS.target, size=SIZE)
KNOWN = sorted({character for line in PAIRS.source for character in line} - {" "})


def test_ids_are_those_of_every_vocabulary() -> None:
    assert len(ENGLISH) == SIZE
    assert ENGLISH.tokens[:4] == SPECIAL_TOKENS
    assert (ENGLISH.pad_id, ENGLISH.unk_id, ENGLISH.bos_id, ENGLISH.eos_id) == (
        Vocabulary.pad_id, Vocabulary.unk_id, Vocabulary.bos_id, Vocabulary.eos_id,
    )  # fmt: skip
    assert ENGLISH.encode("") == ENGLISH.encode(" \t\u00a0") == [ENGLISH.eos_id]
    assert ENGLISH.encode("", add_eos=False) == []


def test_the_training_text_comes_back_and_has_nothing_unknown() -> None:
    for line in PAIRS.source:
        ids = ENGLISH.encode(line)
        assert ids[-1] == ENGLISH.eos_id
        assert ENGLISH.unk_id not in ids
        assert ENGLISH.decode(ids) == line
    longer = [len(ENGLISH.encode(line)) < len(line) / 1.5 for line in PAIRS.source]
    assert all(longer), "pieces must be longer than characters"


@given(st.text(st.sampled_from([*KNOWN, " "])))
def test_any_text_of_known_characters_comes_back(text: str) -> None:
    assert ENGLISH.decode(ENGLISH.encode(text)) == " ".join(text.split())


@given(st.text(st.one_of(st.sampled_from([*KNOWN, " ", SPACE, "🙂", "é"]), st.characters())))
def test_the_plain_rule_cuts_as_the_library_does(text: str) -> None:
    assert segment(text, ENGLISH.scored_pieces()) == ENGLISH.pieces(text)


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once == once.strip()
    assert "  " not in once
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in once)


def test_what_normalising_does() -> None:
    assert normalise(" a\r\n\t b\u2003c\ufeff\u200bd\x00") == "a b c d"
    assert normalise("u\u0308ber") == "über"
    assert normalise("\ud83d") == "\ufffd"
    assert normalise(f"a{SPACE}b") == "a b"
    assert normalise("ﬁ Ａ") == "ﬁ Ａ"  # composed, not replaced by look-alikes


def test_special_symbols_in_a_text_are_text() -> None:
    ids = ENGLISH.encode("The <eos> <pad>", add_eos=False)
    assert not {ENGLISH.pad_id, ENGLISH.bos_id, ENGLISH.eos_id} & set(ids)


def test_decoding_stops_at_the_end_and_shows_what_is_unknown() -> None:
    the = ENGLISH.encode("The", add_eos=False)
    assert ENGLISH.decode([2, *the, 0, 1, 3, *the]) == "The<unk>"
    with pytest.raises(ValueError, match=f"id {SIZE} at position 0"):
        ENGLISH.decode([SIZE])


def test_the_same_sentences_give_the_same_pieces() -> None:
    assert SubwordVocabulary.train(PAIRS.source, size=SIZE) == ENGLISH
    assert hash(SubwordVocabulary.train(PAIRS.source, size=SIZE)) == hash(ENGLISH)
    assert ENGLISH != FRENCH
    assert repr(ENGLISH) == f"SubwordVocabulary({SIZE} pieces)"


def test_stored_and_read_again() -> None:
    stored = ENGLISH.to_dict()
    assert SubwordVocabulary.from_dict(stored) == ENGLISH
    for change, message in (
        ({"sha256": "0" * 64}, "damaged"),
        ({"version": 9}, "format 9"),
        ({"kind": "words"}, "kind 'words'"),
        ({"model": "%"}, "not base64"),
    ):
        with pytest.raises(ValueError, match=message):
            SubwordVocabulary.from_dict(stored | change)
    with pytest.raises(ValueError, match="expected a mapping"):
        SubwordVocabulary.from_dict({"version": 1})


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="not a SentencePiece model"):
        SubwordVocabulary(b"nonsense")


def test_impossible_trainings_are_refused() -> None:
    with pytest.raises(ValueError, match="no text"):
        SubwordVocabulary.train(["", " "], size=100)
    with pytest.raises(ValueError, match="100000 pieces cannot be learnt"):
        SubwordVocabulary.train(PAIRS.source, size=100_000)
    with pytest.raises(ValueError, match="6 pieces cannot be learnt"):
        SubwordVocabulary.train(PAIRS.source, size=6)
    with pytest.raises(TypeError, match="one string"):
        SubwordVocabulary.train("a b", size=100)
    with pytest.raises(TypeError, match="not split"):
        ENGLISH.encode(["The", "girl"])


def test_special_symbols_elsewhere_are_refused() -> None:
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(PAIRS.source), model_writer=model, model_type="bpe",
        vocab_size=SIZE, minloglevel=2,
    )  # fmt: skip
    with pytest.raises(ValueError, match="first pieces"):
        SubwordVocabulary(model.getvalue())


def test_varied_pieces_are_the_same_text_in_other_pieces() -> None:
    plain = [ENGLISH.encode(line) for line in PAIRS.source]
    varied = ENGLISH.encode_varied(PAIRS.source, dropout=0.3, seed=1)
    assert [ENGLISH.decode(ids) for ids in varied] == PAIRS.source
    assert sum(map(len, varied)) > 1.2 * sum(map(len, plain))
    assert ENGLISH.encode_varied(PAIRS.source, dropout=0.3, seed=2) != varied
    assert ENGLISH.encode_varied(PAIRS.source, dropout=0.3, seed=1) == varied


@pytest.mark.parametrize("reverse", [False, True])
def test_an_epoch_decides_its_pieces_and_targets_stay(reverse: bool) -> None:
    pairs = VariedPairs(
        PAIRS.source, PAIRS.target, ENGLISH, FRENCH, reverse_source=reverse, dropout=0.2, seed=5
    )
    batches = BucketedBatches(pairs, batch_size=16, seed=5)
    found = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        found.append([pairs[row] for row in range(len(pairs))])
        assert sum(len(batch) for batch in batches) == len(pairs)
    assert found[0] == found[2] != found[1]
    assert [target for _, target in found[0]] == [target for _, target in found[1]]
    first = found[0][0][0]
    words = [*first[-2::-1], first[-1]] if reverse else first
    assert ENGLISH.decode(words) == PAIRS.source[0]


def test_varied_pairs_need_subwords_and_a_share() -> None:
    with pytest.raises(ValueError, match="dropout is 1"):
        VariedPairs(["a"], ["b"], ENGLISH, FRENCH, dropout=1, seed=0)
    with pytest.raises(TypeError, match="SubwordVocabulary"):
        VariedPairs(["a"], ["b"], Vocabulary(["a"]), FRENCH, dropout=0.1, seed=0)


def test_a_data_set_takes_raw_text() -> None:
    pairs = ParallelDataset(PAIRS.source, PAIRS.target, ENGLISH, FRENCH)
    batch = pairs.collate([0, 1])
    assert ENGLISH.decode(batch.source[0]) == PAIRS.source[0]
    assert FRENCH.decode(batch.target_output[1]) == PAIRS.target[1]
    with pytest.raises(ValueError, match="source sentence 1 is empty"):
        ParallelDataset(["a", " "], ["a", "b"], ENGLISH, FRENCH)
