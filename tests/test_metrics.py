"""Metrics: numbers worked out by hand, and properties that must hold for any input."""

import math
import random

import numpy
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from utils.metrics import (
    alignment_error_rate,
    alignment_precision,
    bleu,
    bleu_against_any,
    by_length,
    crossing_rate,
    diagonal_links,
    exact_match,
    hard_links,
    random_links,
    sure_recall,
    token_accuracy,
    weight_entropy,
)

LINKS = st.frozensets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8)
SENTENCES = st.lists(st.lists(st.sampled_from("abc"), max_size=5), min_size=1, max_size=6)


# --- translations ---------------------------------------------------------------------------------


def test_exact_match_by_hand():
    assert exact_match(["le chat", "le chien"], ["le chat", "la chien"]) == 0.5
    assert exact_match([["le", "chat"]], [("le", "chat")]) == 1.0
    assert exact_match([[4, 5]], [[4, 5, 6]]) == 0.0


def test_token_accuracy_by_hand():
    assert token_accuracy(["a b c d"], ["a b x d"]) == 3 / 4
    assert token_accuracy(["a b"], ["a b c d"]) == 2 / 4  # two are missing
    assert token_accuracy(["a b c d"], ["a b"]) == 2 / 4  # two are too many
    assert token_accuracy(["x a b"], ["a b"]) == 0.0  # shifted
    assert token_accuracy(["a", "b b b"], ["a", "c c c"]) == 1 / 4  # tokens count, not sentences
    assert token_accuracy([""], ["a"]) == 0.0


@given(SENTENCES, st.randoms())
def test_translation_scores_of_equal_and_permuted_sentences(sentences, generator):
    assert exact_match(sentences, sentences) == 1.0
    others = [generator.choice(sentences) for _ in sentences]
    order = list(range(len(sentences)))
    generator.shuffle(order)
    shuffled = [[values[i] for i in order] for values in (others, sentences)]
    assert 0 <= exact_match(others, sentences) <= 1
    assert exact_match(*shuffled) == exact_match(others, sentences)
    assume(any(sentences) or any(others))
    assert 0 <= token_accuracy(others, sentences) <= 1
    assert token_accuracy(*shuffled) == token_accuracy(others, sentences)
    assert token_accuracy(others, sentences) == token_accuracy(sentences, others)


def test_bleu_by_hand():
    # n-gram precisions 4/5, 2/4, 1/3 and 1/2 of 0/2 (exponential smoothing); no brevity penalty
    expected = 100 * (4 / 5 * 2 / 4 * 1 / 3 * 0.25) ** 0.25
    assert bleu(["a b c x e"], ["a b c d e"], tokenize="none") == pytest.approx(expected)
    # all n-grams right, but 5 words instead of 10: only the brevity penalty exp(1 - 10/5)
    score = bleu(["a b c d e"], ["a b c d e f g h i j"], tokenize="none")
    assert score == pytest.approx(100 * math.exp(-1))


def test_bleu_is_over_the_corpus_and_takes_words():
    hypotheses, references = ["a b c d", "x y z w"], ["a b c d", "x y q w"]
    mean = sum(bleu([h], [r]) for h, r in zip(hypotheses, references, strict=True)) / 2
    assert abs(bleu(hypotheses, references) - mean) > 1
    words = [h.split() for h in hypotheses], [tuple(r.split()) for r in references]
    assert bleu(*words) == bleu(hypotheses, references)
    assert bleu(references, references) == pytest.approx(100)


def test_bleu_tokenises_as_told():
    assert bleu(["I see it."], ["I see it ."]) == pytest.approx(100)
    assert bleu(["I see it."], ["I see it ."], tokenize="none") < 70
    assert bleu(["le chat dort ici ."], ["Le chat dort ici ."]) < 99  # case counts


def test_bleu_against_any_counts_what_any_reference_has():
    own, one, other = (
        "a red ring above a cross",
        "a red ring over a cross",
        "one ring above a cross",
    )
    assert bleu_against_any([own], [[one]]) == bleu([own], [one])
    assert bleu_against_any([own], [[one, other]]) > max(bleu([own], [one]), bleu([own], [other]))
    assert bleu_against_any([own, one], [[one, other, own], [one]]) == pytest.approx(100)
    words = [[own.split()], [[one.split(), other.split()]]]
    assert bleu_against_any(*words) == bleu_against_any([own], [[one, other]])
    # "a a a": each reference has one "a", so one counts, not one from each
    assert bleu_against_any(["a a a"], [["a b c"], ["d a e"]][:1], tokenize="none") == (
        bleu_against_any(["a a a"], [["a b c", "d a e"]], tokenize="none")
    )
    for wrong in ([[]], ["a red ring"]):
        with pytest.raises(ValueError, match=r"references\[0\].*list of one or more"):
            bleu_against_any([own], wrong)
    with pytest.raises(ValueError, match="1 hypotheses, 2 references"):
        bleu_against_any([own], [[one], [other]])


def test_bleu_prints_no_warnings(caplog, capfd):
    bleu(["a ."] * 200, ["a ."] * 200)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize("score", [exact_match, token_accuracy, bleu])
def test_translation_scores_refuse_what_does_not_match(score):
    with pytest.raises(ValueError, match="2 hypotheses, 1 references: expected equally many"):
        score(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="0 hypotheses, 0 references: expected at least one"):
        score([], [])
    with pytest.raises(ValueError, match="hypotheses is one string"):
        score("a b", "a b")


def test_token_accuracy_of_no_tokens():
    with pytest.raises(ValueError, match="no tokens"):
        token_accuracy(["", ""], ["", ""])


# --- buckets --------------------------------------------------------------------------------------


def test_by_length_by_hand():
    buckets = by_length([1, 0, 1, 1], [4, 9, 10, 55], [4, 10, 11, 20, math.inf])
    assert [bucket.label for bucket in buckets] == ["4–9", "10", "11–19", "20+"]
    assert [bucket.values for bucket in buckets] == [[1, 0], [1], [], [1]]
    assert [bucket.mean for bucket in buckets[:2]] == [0.5, 1.0]
    assert math.isnan(buckets[2].mean)


@given(st.lists(st.integers(4, 60), min_size=1))
def test_by_length_loses_nothing_and_keeps_the_order(lengths):
    buckets = by_length(list(enumerate(lengths)), lengths, [4, 8, 20, 61])
    assert sorted(value for bucket in buckets for value in bucket.values) == list(
        enumerate(lengths)
    )
    for bucket in buckets:
        assert bucket.values == sorted(bucket.values)
        assert all(bucket.minimum <= length <= bucket.maximum for _, length in bucket.values)


@pytest.mark.parametrize("edges", [[], [4], [4, 4], [10, 4]])
def test_by_length_needs_ascending_edges(edges):
    with pytest.raises(ValueError, match="edges must be at least two ascending"):
        by_length([1], [4], edges)


def test_by_length_refuses_lengths_outside_and_missing_values():
    with pytest.raises(ValueError, match="length 10 fits no bucket"):
        by_length([1], [10], [4, 10])
    with pytest.raises(ValueError, match="1 values, 2 lengths"):
        by_length([1], [4, 5], [4, 10])


# --- links ----------------------------------------------------------------------------------------

WEIGHTS = [
    # le chat noir EOS      rows: the black cat EOS
    [0.8, 0.1, 0.1, 0.0],
    [0.1, 0.2, 0.3, 0.4],  # most on EOS, which is not a word
    [0.0, 0.5, 0.5, 0.0],  # a draw
    [0.0, 0.0, 0.0, 1.0],
]


@pytest.mark.parametrize("convert", [list, numpy.array, torch.tensor])
def test_hard_links_by_hand(convert):
    assert hard_links(convert(WEIGHTS), 3, 3) == {(0, 0), (2, 1), (1, 2)}


def test_hard_links_of_tensors_in_training_and_of_half_precision():
    weights = torch.tensor(WEIGHTS, requires_grad=True)
    assert hard_links(weights.bfloat16(), 3, 3) == hard_links(WEIGHTS, 3, 3)


def test_hard_links_leave_out_a_word_without_weight():
    assert hard_links([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], 2, 2) == {(1, 1)}


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 99), st.integers(0, 3))
def test_hard_links_do_not_see_padding(target_length, source_length, seed, padding):
    generator = numpy.random.default_rng(seed)
    weights = generator.random((target_length, source_length)) + 1e-3
    padded = numpy.pad(weights, padding, constant_values=9.0)[padding:, padding:]
    links = hard_links(padded, target_length, source_length)
    assert links == hard_links(weights, target_length, source_length)
    assert [t for _, t in sorted(links, key=lambda link: link[1])] == list(range(target_length))


@pytest.mark.parametrize(
    ("weights", "lengths", "message"),
    [
        ([[0.5, 0.5]], (2, 2), r"shape \(1, 2\); expected .* at least \(2, 2\)"),
        ([[0.5, 0.5]], (1, 3), r"at least \(1, 3\)"),
        ([0.5, 0.5], (1, 2), "2 dimensions"),
        ([[0.5, 0.5]], (1, 0), "source_length must be at least 1, not 0"),
        ([[0.5, 0.5]], (0, 2), "target_length must be at least 1"),
        ([[-1.0, 2.0]], (1, 2), "scores, not weights"),
        ([[math.nan, 1.0]], (1, 2), "must be finite"),
    ],
)
def test_hard_links_refuse(weights, lengths, message):
    with pytest.raises(ValueError, match=message):
        hard_links(weights, *lengths)


def test_baselines_by_hand():
    assert diagonal_links(3, 3) == {(0, 0), (1, 1), (2, 2)}
    assert diagonal_links(4, 2) == {(0, 0), (0, 1), (1, 2), (1, 3)}
    assert diagonal_links(2, 6) == {(1, 0), (4, 1)}
    with pytest.raises(ValueError, match="target_length must be at least 1"):
        diagonal_links(0, 3)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_baselines_link_every_target_word_once_inside_the_sentence(target, source, seed):
    for links in (diagonal_links(target, source), random_links(target, source, seed=seed)):
        assert sorted(t for _, t in links) == list(range(target))
        assert all(0 <= s < source for s, _ in links)
    assert crossing_rate([diagonal_links(target, source)]) == 0


def test_random_links_are_seeded_and_random():
    assert random_links(9, 9, seed=1) == random_links(9, 9, seed=1)
    generator = numpy.random.default_rng(1)
    draws = [random_links(9, 9, seed=generator) for _ in range(200)]
    assert len(set(draws)) > 190
    hits = sum(s == 4 for links in draws for s, _ in links) / 1800
    assert hits == pytest.approx(1 / 9, abs=0.03)


# --- alignment error rate -------------------------------------------------------------------------


def test_alignment_scores_by_hand():
    # A = 4 links, S = 3, P = 4; A and S share 2, A and P share 3
    predicted = [{(0, 0), (1, 1), (2, 2)}, {(0, 0)}]
    sure = [{(0, 0), (1, 1)}, {(1, 0)}]
    possible = [{(0, 0), (1, 1), (2, 2)}, {(1, 0)}]
    assert alignment_error_rate(predicted, sure, possible) == pytest.approx(1 - (2 + 3) / (4 + 3))
    assert sure_recall(predicted, sure) == pytest.approx(2 / 3)
    assert alignment_precision(predicted, possible) == pytest.approx(3 / 4)


@given(LINKS, LINKS, LINKS)
def test_alignment_error_rate_is_zero_exactly_when_it_should_be(predicted, sure, more):
    assume(predicted or sure)
    possible = sure | more
    rate = alignment_error_rate([predicted], [sure], [possible])
    assert 0 <= rate <= 1
    assert (rate == 0) == (sure <= predicted <= possible)
    assert (rate == 1) == (not predicted & possible)


@given(st.lists(st.tuples(LINKS, LINKS, LINKS), min_size=1, max_size=5), st.randoms())
def test_alignment_scores_do_not_depend_on_order(sentences, generator):
    def scores(triples, rename=lambda link: link):
        sets = [tuple(frozenset(map(rename, links)) for links in triple) for triple in triples]
        predicted, sure, more = (list(column) for column in zip(*sets, strict=True))
        possible = [s | m for s, m in zip(sure, more, strict=True)]
        return (
            alignment_error_rate(predicted, sure, possible),
            sure_recall(predicted, sure),
            alignment_precision(predicted, possible),
        )

    assume(any(p for p, _, _ in sentences) and any(s for _, s, _ in sentences))
    expected = scores(sentences)
    shuffled = random.Random(generator.random()).sample(sentences, len(sentences))
    assert scores(shuffled) == expected
    words = generator.sample(range(6), 6)  # the same words in another order
    assert scores(sentences, lambda link: (words[link[0]], words[link[1]])) == expected


def test_alignment_scores_refuse():
    with pytest.raises(ValueError, match="2 predicted, 1 sure, 1 possible"):
        alignment_error_rate([set(), set()], [set()], [set()])
    with pytest.raises(ValueError, match=r"sentence 1: sure links \[\(0, 1\)\] are not among"):
        alignment_error_rate([set()] * 2, [set(), {(0, 1)}], [set(), {(1, 0)}])
    with pytest.raises(ValueError, match="no predicted and no sure links"):
        alignment_error_rate([set()], [set()], [set()])
    with pytest.raises(ValueError, match="expected at least one"):
        alignment_error_rate([], [], [])
    with pytest.raises(ValueError, match="predicted is one set; expected one set per sentence"):
        alignment_error_rate({(0, 0)}, {(0, 0)}, {(0, 0)})
    with pytest.raises(ValueError, match="no sure links to recall"):
        sure_recall([{(0, 0)}], [set()])
    with pytest.raises(ValueError, match="no predicted links to judge"):
        alignment_precision([set()], [{(0, 0)}])


# --- crossing and entropy -------------------------------------------------------------------------


def test_crossing_rate_by_hand():
    assert crossing_rate([{(0, 0), (1, 1), (2, 2)}]) == 0
    assert crossing_rate([{(0, 2), (1, 1), (2, 0)}]) == 1
    assert crossing_rate([{(0, 0), (1, 2), (2, 1)}]) == pytest.approx(1 / 3)
    assert crossing_rate([{(0, 0), (0, 1), (1, 0)}]) == 1  # one pair can cross, and does
    assert crossing_rate([{(0, 0), (1, 2), (2, 1)}, {(0, 1), (1, 0)}]) == pytest.approx(2 / 4)
    assert crossing_rate([{(0, 0)}, set()]) == 0
    with pytest.raises(ValueError, match="expected at least one"):
        crossing_rate([])


@given(LINKS)
def test_crossing_rate_does_not_know_source_from_target(links):
    rate = crossing_rate([links])
    assert 0 <= rate <= 1
    assert crossing_rate([{(t, s) for s, t in links}]) == rate
    mirrored = crossing_rate([{(5 - s, t) for s, t in links}])
    if any(a != c and b != d for a, b in links for c, d in links):
        assert mirrored == pytest.approx(1 - rate)


def test_weight_entropy_by_hand():
    assert weight_entropy([[0.0, 1.0, 0.0]]) == 0
    assert weight_entropy([[0.25] * 4]) == pytest.approx(math.log(4))
    assert weight_entropy([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]) == pytest.approx(math.log(2) / 2)
    assert weight_entropy([[0.1, 0.1, 0.0]]) == pytest.approx(math.log(2))  # local-p: sum below 1
    assert weight_entropy([0.5, 0.5]) == pytest.approx(math.log(2))


def test_weight_entropy_counts_the_rows_of_the_mask():
    weights = torch.tensor([[[0.5, 0.5], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]])  # (B, T, S)
    mask = torch.tensor([[True, True], [True, False]])
    assert weight_entropy(weights, mask) == pytest.approx(math.log(2) / 3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.randoms())
def test_weight_entropy_bounds_and_permutation(row, generator):
    assume(sum(row) > 1e-6)
    entropy = weight_entropy([row])
    assert -1e-12 <= entropy <= math.log(len(row)) + 1e-9
    assert weight_entropy([generator.sample(row, len(row))]) == pytest.approx(entropy, abs=1e-9)


def test_weight_entropy_refuses():
    with pytest.raises(ValueError, match="row 1 of the counted rows has only zero"):
        weight_entropy([[1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="no rows"):
        weight_entropy([[1.0]], [False])
    with pytest.raises(ValueError, match=r"row_mask has shape \(2,\).*need \(1,\)"):
        weight_entropy([[1.0]], [True, False])
    with pytest.raises(ValueError, match="scores, not weights"):
        weight_entropy([[-3.0, 4.0]])
    with pytest.raises(ValueError, match="at least one dimension"):
        weight_entropy(0.5)
