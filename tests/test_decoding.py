"""Decoding: greedy, beam and sampling against exhaustive search and slow loops."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import FEW, random_batch, tiny_model

from utils.decoding import BOS_ID, EOS_ID, Hypothesis, beam_search, greedy_search, sample

VOCABULARY = 5  # <pad>, <unk>, <bos>, <eos> and one word; every id may be written
PENALTIES = (0.0, 0.5, 1.0, 2.0)


def small_model(name: str = "bahdanau-additive", seed: int = 0, **changes):
    """A model of five words whose weights are scaled up, so that its choices are far apart."""
    torch.manual_seed(seed)
    return tiny_model(name, **{"target_vocabulary_size": VOCABULARY, "scale": 4.0, **changes})


def sources(*lengths: int):
    batch = random_batch(list(lengths), [1] * len(lengths))
    return batch.source, batch.source_lengths


def word_scores(model, source, lengths, prefix: list[int]) -> torch.Tensor:
    """log p(· | prefix, source) by teacher forcing, (V,): shares no code with the searches."""
    read = torch.tensor([[BOS_ID, *prefix]])
    with torch.no_grad():
        return model(source, lengths, read).logits[0, -1].log_softmax(dim=-1)


def score_sentence(model, source, lengths, tokens: list[int]) -> float:
    """log p(tokens | source), where `tokens` carries <eos> if the sentence ended."""
    return sum(
        float(word_scores(model, source, lengths, tokens[:t])[token])
        for t, token in enumerate(tokens)
    )


def written(hypothesis: Hypothesis) -> list[int]:
    """The tokens with <eos>, if there was one."""
    return hypothesis.tokens + [EOS_ID] * hypothesis.finished


def exhaustive_search(model, source, lengths, *, penalty: float, limit: int):
    """Every sentence that ends, and every one cut at the limit: (score, tokens), best first."""
    words = [token for token in range(VOCABULARY) if token != EOS_ID]
    sentences = [
        [*begin, EOS_ID] for n in range(limit) for begin in itertools.product(words, repeat=n)
    ]
    sentences += [list(begin) for begin in itertools.product(words, repeat=limit)]
    scored = [
        (score_sentence(model, source, lengths, sentence) / len(sentence) ** penalty, sentence)
        for sentence in sentences
    ]
    return sorted(scored, reverse=True)


def slow_beam(model, source, lengths, *, beam_size: int, penalty: float, limit: int):
    """Sutskever et al. 2014, §3.2, with lists: an ended hypothesis leaves and narrows the beam."""
    live, done = [(0.0, [])], []
    while live:
        grown = [
            (total + float(score), [*tokens, token])
            for total, tokens in live
            for token, score in enumerate(word_scores(model, source, lengths, tokens))
        ]
        grown.sort(key=lambda entry: -entry[0])
        live = []
        for total, tokens in grown[: beam_size - sum(t[-1] == EOS_ID for _, t in done)]:
            is_over = tokens[-1] == EOS_ID or len(tokens) == limit
            (done if is_over else live).append((total, tokens))
    return sorted(((total / len(t) ** penalty, t) for total, t in done), reverse=True)


# --- greedy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEW)
def test_greedy_writes_the_likeliest_word_every_time(name):
    model = small_model(name)
    source, lengths = sources(4, 2, 6)
    found = greedy_search(model, source, lengths, maximum_length=7)
    for row, hypothesis in enumerate(found):
        alone = source[row : row + 1, : lengths[row]], lengths[row : row + 1]
        tokens = []
        while len(tokens) < 7 and tokens[-1:] != [EOS_ID]:
            tokens.append(int(word_scores(model, *alone, tokens).argmax()))
        assert written(hypothesis) == tokens
        assert hypothesis.finished == (tokens[-1] == EOS_ID)
        expected = score_sentence(model, *alone, tokens)
        assert hypothesis.log_probability == pytest.approx(expected, abs=1e-10)
        assert hypothesis.score == hypothesis.log_probability


def test_greedy_ends_rows_one_by_one():
    """Seeds are tried until one batch holds short, long and unfinished sentences."""
    for seed in range(50):
        found = greedy_search(small_model(seed=seed), *sources(2, 3, 4, 5, 6), maximum_length=6)
        lengths = {len(hypothesis.tokens) for hypothesis in found}
        if len(lengths) > 2 and {h.finished for h in found} == {True, False}:
            return
    pytest.fail("no model ended its rows at different steps")


# --- beam --------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", ["bahdanau-additive", "luong-general", "cho"])
def test_a_wide_beam_is_exhaustive_search(name, penalty):
    """With room for every sentence the whole ranking is exact."""
    model = small_model(name, seed=3)
    source, lengths = sources(3)
    expected = exhaustive_search(model, source, lengths, penalty=penalty, limit=3)
    width = len(expected)
    (found,) = beam_search(
        model,
        source,
        lengths,
        beam_size=width,
        best=width,
        length_penalty=penalty,
        maximum_length=3,
    )
    assert len(found) == width == 1 + 4 + 16 + 64
    for hypothesis, (score, tokens) in zip(found, expected, strict=True):
        assert hypothesis.score == pytest.approx(score, abs=1e-10)
        assert hypothesis.log_probability == pytest.approx(
            score * len(tokens) ** penalty, abs=1e-10
        )
    assert {tuple(written(h)) for h in found} == {tuple(tokens) for _, tokens in expected}
    assert written(found[0]) == expected[0][1]


@given(
    name=st.sampled_from(FEW),
    seed=st.integers(0, 100),
    beam_size=st.integers(1, 6),
    penalty=st.sampled_from(PENALTIES),
    limit=st.integers(1, 6),
)
def test_a_narrow_beam_is_the_slow_beam(name, seed, beam_size, penalty, limit):
    model = small_model(name, seed)
    source, lengths = sources(3, 5)
    found = beam_search(
        model,
        source,
        lengths,
        beam_size=beam_size,
        best=beam_size,
        length_penalty=penalty,
        maximum_length=limit,
    )
    for row, hypotheses in enumerate(found):
        expected = slow_beam(
            model,
            source[row : row + 1, : lengths[row]],
            lengths[row : row + 1],
            beam_size=beam_size,
            penalty=penalty,
            limit=limit,
        )
        assert [written(h) for h in hypotheses] == [tokens for _, tokens in expected]
        scores = [score for score, _ in expected]
        assert [h.score for h in hypotheses] == pytest.approx(scores, abs=1e-10)


@pytest.mark.parametrize("name", FEW)
def test_beam_one_is_greedy(name):
    model = small_model(name)
    arguments = sources(4, 2, 6, 3)
    greedy = greedy_search(model, *arguments)
    beams = beam_search(model, *arguments, beam_size=1)
    for one, (other,) in zip(greedy, beams, strict=True):
        assert (one.tokens, one.finished) == (other.tokens, other.finished)
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-10)
        if one.weights is not None:
            torch.testing.assert_close(one.weights, other.weights, rtol=0, atol=1e-12)


def test_a_wider_beam_finds_likelier_sentences():
    """Not for every sentence, but for the sum over many it must."""
    model = small_model()
    arguments = sources(*([3, 4, 5, 6] * 4))
    totals = [
        sum(
            h.log_probability
            for (h,) in beam_search(
                model, *arguments, beam_size=k, length_penalty=0.0, maximum_length=8
            )
        )
        for k in (1, 8)
    ]
    assert totals[1] > totals[0]


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_batch_gives_what_one_sentence_at_a_time_gives(name, beam_size):
    """Identical in float64, to the words and to 1e-10 in the scores."""
    model = small_model(name, target_vocabulary_size=13)
    source, lengths = sources(4, 1, 7, 3, 5)
    together = beam_search(model, source, lengths, beam_size=beam_size, best=beam_size)
    for row, hypotheses in enumerate(together):
        alone = source[row : row + 1, : lengths[row]], lengths[row : row + 1]
        (expected,) = beam_search(model, *alone, beam_size=beam_size, best=beam_size)
        assert [written(h) for h in hypotheses] == [written(h) for h in expected]
        for ours, theirs in zip(hypotheses, expected, strict=True):
            assert ours.log_probability == pytest.approx(theirs.log_probability, abs=1e-10)
            assert (ours.weights is None) == (theirs.weights is None)
            if ours.weights is not None:
                torch.testing.assert_close(ours.weights, theirs.weights, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", FEW)
def test_in_float32_a_batch_differs_only_at_ties(name):
    model = small_model(name, target_vocabulary_size=13, dtype=torch.float32)
    source, lengths = sources(4, 1, 7, 3, 5)
    together = beam_search(model, source, lengths, beam_size=4)
    for row, (hypothesis,) in enumerate(together):
        alone = source[row : row + 1, : lengths[row]], lengths[row : row + 1]
        ((expected,),) = beam_search(model, *alone, beam_size=4)
        assert hypothesis.score == pytest.approx(expected.score, abs=1e-4)


@given(seed=st.integers(0, 100), penalty=st.sampled_from(PENALTIES))
def test_n_best_is_sorted_and_distinct(seed, penalty):
    arguments = sources(3, 6)
    found = beam_search(
        small_model(seed=seed), *arguments, beam_size=5, best=5, length_penalty=penalty
    )
    for hypotheses in found:
        assert 1 <= len(hypotheses) <= 5
        scores = [h.score for h in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(written(h)) for h in hypotheses}) == len(hypotheses)
        for h in hypotheses:
            assert EOS_ID not in h.tokens
            length = len(written(h))
            assert h.score == pytest.approx(h.log_probability / length**penalty)


@pytest.mark.parametrize("name", ["bahdanau-additive", "luong-local-p", "luong-feeding-general"])
def test_every_hypothesis_carries_its_own_attention(name):
    """The matrix is the one that teacher forcing of that very sentence gives."""
    model = small_model(name, target_vocabulary_size=13, scale=2.0)
    source, lengths = sources(4, 7, 2)
    found = beam_search(model, source, lengths, beam_size=4, best=4, maximum_length=9)
    found += [[h] for h in greedy_search(model, source, lengths, maximum_length=9)]
    for row, hypotheses in zip([0, 1, 2, 0, 1, 2], found, strict=True):
        alone = source[row : row + 1, : lengths[row]], lengths[row : row + 1]
        for hypothesis in hypotheses:
            tokens = written(hypothesis)
            read = torch.tensor([[BOS_ID, *tokens[:-1]]])
            with torch.no_grad():
                output = model(*alone, read)
            assert hypothesis.weights.shape == (len(tokens), lengths[row])
            torch.testing.assert_close(hypothesis.weights, output.weights[0], rtol=0, atol=1e-10)
            scores = output.logits[0].log_softmax(dim=-1)[range(len(tokens)), tokens]
            assert hypothesis.log_probability == pytest.approx(float(scores.sum()), abs=1e-10)


def test_without_attention_there_are_no_weights():
    arguments = sources(3)
    assert greedy_search(small_model("cho"), *arguments)[0].weights is None
    assert beam_search(small_model("cho"), *arguments)[0][0].weights is None


@pytest.mark.parametrize("seed", range(5))
def test_the_search_tree_holds_every_hypothesis(seed):
    model = small_model(seed=seed)
    found, trees = beam_search(
        model, *sources(3, 6), beam_size=4, best=4, maximum_length=6, keep_tree=True
    )
    for hypotheses, tree in zip(found, trees, strict=True):
        leaves = {}
        paths: list[list[int]] = [[]]
        ended = [False]
        totals = [0.0]
        for step, nodes in enumerate(tree.steps):
            assert len(nodes) <= 4
            new_paths = []
            for parent, token, total, finished in nodes:
                assert not ended[parent], "an ended hypothesis was continued"
                assert total <= totals[parent] + 1e-12
                assert finished == (token == EOS_ID)
                new_paths.append([*paths[parent], token])
                if finished or step == 5:
                    leaves[tuple(new_paths[-1])] = total
            paths = new_paths
            ended, totals = [node[3] for node in nodes], [node[2] for node in nodes]
            assert len(set(map(tuple, paths))) == len(paths)
        assert leaves == {tuple(written(h)): h.log_probability for h in hypotheses}


def test_a_tree_is_kept_on_request_only():
    assert isinstance(beam_search(small_model(), *sources(3)), list)


# --- limits ------------------------------------------------------------------------------------


class Endless(torch.nn.Module):
    """Wraps a model so that <eos> can never be written."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model = model
        self.encode, self.start = model.encode, model.start

    def step(self, tokens, state, encoded):
        output = self.model.step(tokens, state, encoded)
        forbidden = torch.arange(output.logits.shape[-1]) == EOS_ID
        return output._replace(logits=output.logits.masked_fill(forbidden, -math.inf))


@pytest.mark.parametrize("search", [greedy_search, sample, beam_search])
def test_limits_cut_and_say_so(search):
    model = Endless(small_model())
    arguments = sources(2, 5)
    for limit, expected in ((4, [4, 4]), (None, [2 * 2 + 10, 2 * 5 + 10])):
        found = search(model, *arguments, maximum_length=limit)
        found = [h[0] if isinstance(h, list) else h for h in found]
        assert [len(h.tokens) for h in found] == expected
        assert not any(h.finished for h in found)
        assert [len(h.weights) for h in found] == expected


@pytest.mark.parametrize("search", [greedy_search, sample, beam_search])
def test_a_limit_below_one_word_is_refused(search):
    with pytest.raises(ValueError, match="maximum_length must be at least 1 word, got 0"):
        search(small_model(), *sources(3), maximum_length=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beam_size": 0}, "beam_size must be at least 1, got 0"),
        ({"beam_size": 3, "best": 4}, "best must be from 1 to beam_size=3, got 4"),
        ({"best": 0}, "best must be from 1 to beam_size=5, got 0"),
        ({"length_penalty": -0.5}, "length_penalty must be at least 0, got -0.5"),
        ({"length_penalty": math.nan}, "length_penalty must be at least 0, got nan"),
    ],
)
def test_a_beam_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        beam_search(small_model(), *sources(3), **arguments)


@pytest.mark.parametrize("search", [greedy_search, sample, beam_search])
def test_nan_scores_are_an_error_that_names_the_sentence(search):
    model = small_model()
    source, lengths = sources(3, 4)
    source[1, 0] = 7
    source[0][source[0] == 7] = 8
    with torch.no_grad():
        model.encoder.embedding.weight[7] = math.nan
    with pytest.raises(ValueError, match="scores for sentence 1 of the batch are NaN"):
        search(model, source, lengths)


@pytest.mark.parametrize("search", [greedy_search, sample, beam_search])
def test_searches_leave_the_models_mode_alone(search):
    model = small_model(dropout=0.5)
    model.train()
    before = torch.get_rng_state()
    first = search(model, *sources(4))
    torch.set_rng_state(before)
    assert model.training
    second = search(model, *sources(4))
    assert str(first) == str(second)  # dropout was off
    with pytest.raises(ValueError, match="length 0"):
        search(model, torch.ones(1, 3, dtype=torch.int64), torch.tensor([0]))
    assert model.training
    model.eval()
    search(model, *sources(4))
    assert not model.training


# --- sampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300])
def test_a_low_temperature_is_greedy_search(temperature):
    model = small_model()
    arguments = sources(4, 2, 6)
    cold, greedy = (
        sample(model, *arguments, temperature=temperature),
        greedy_search(model, *arguments),
    )
    assert [h.tokens for h in cold] == [h.tokens for h in greedy]
    assert [h.log_probability for h in cold] == [h.log_probability for h in greedy]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_frequencies_match_the_probabilities(temperature):
    model = small_model(scale=1.5)
    source, lengths = sources(4)
    draws = 4000
    found = sample(
        model,
        source.expand(draws, -1),
        lengths.expand(draws),
        temperature=temperature,
        maximum_length=1,
        generator=torch.Generator().manual_seed(0),
    )
    ids = torch.tensor([written(h)[0] for h in found])
    frequencies = torch.bincount(ids, minlength=VOCABULARY) / draws
    scores = word_scores(model, source, lengths, [])
    expected = (scores / temperature).softmax(dim=-1)
    assert expected.max() < 0.9  # else the test would see nothing
    error = (expected * (1 - expected) / draws).sqrt()
    assert ((frequencies - expected).abs() < 4 * error + 1e-3).all()
    # the log-probability is the model's own, whatever the temperature
    for hypothesis in found[:20]:
        assert hypothesis.log_probability == pytest.approx(float(scores[written(hypothesis)[0]]))


def test_a_generator_makes_samples_reproducible_and_leaves_the_global_one_alone():
    model = small_model(target_vocabulary_size=13, scale=1.0)
    arguments = sources(4, 5, 6)
    before = torch.get_rng_state()
    drawn = [
        [h.tokens for h in sample(model, *arguments, generator=torch.Generator().manual_seed(seed))]
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_must_be_above_zero(temperature):
    with pytest.raises(ValueError, match="temperature must be above 0.*use greedy_search"):
        sample(small_model(), *sources(3), temperature=temperature)
