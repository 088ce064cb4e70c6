"""Alignments read from attention: right rows, right order, right sentences."""

import numpy as np
import pytest
import torch

from utils.experiments import alignments
from utils.experiments.alignments import align, diagonal_baseline, random_baseline
from utils.experiments.attention_lengths import match_hidden_size
from utils.experiments.grammar_task import make_data
from utils.models.seq2seq import build_model, count_parameters

SIZES = {"embedding_size": 6, "hidden_size": 8}


def small_data(**changes):
    return make_data(train_size=8, validation_size=8, test_size=9, maximum_length=9, **changes)


def small_model(data, **changes):
    torch.manual_seed(0)
    settings = SIZES | {"decoder": "bahdanau", "attention": "additive"} | changes
    return build_model(data.config(**settings)).eval()


def test_weights_belong_to_their_sentences_whatever_the_batches() -> None:
    data = small_data()
    model = small_model(data)
    together, alone = align(model, data), align(model, data, batch_size=1)
    for example, one, other in zip(data.test, together.weights, alone.weights, strict=True):
        assert one.shape == (len(example.target), len(example.source))
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert together.links == alone.links
    assert together.entropy == pytest.approx(alone.entropy, abs=1e-5)


def test_a_reversed_source_is_turned_back() -> None:
    """Both models read the same ids, one of them knows that they are reversed."""
    forward, backward = small_data(), small_data(reverse_source=True)
    model = small_model(forward)
    example = backward.test[0]
    batch = backward.encode([example]).collate([0])
    output = model(batch.source, batch.source_lengths, batch.target_input)
    raw = output.weights[0, : len(example.target), : len(example.source)].detach().numpy()
    found = align(model, backward, [example]).weights[0]
    np.testing.assert_allclose(found, raw[:, ::-1], atol=1e-6)


def test_gold_links_have_no_error_and_baselines_are_ordered() -> None:
    data = small_data()
    gold = alignments.Alignment(data.test, tuple(example.sure for example in data.test))
    assert gold.error_rate == 0 and gold.recall == 1 and gold.precision == 1
    assert gold.crossing == gold.gold_crossing
    diagonal, chance = diagonal_baseline(data.test), random_baseline(data.test, seed=0)
    assert 0 < diagonal.error_rate < chance.error_rate < 1
    assert set(diagonal.summary()) == {"aer", "sure_recall", "link_precision", "crossing_rate"}
    rates = [diagonal.sentence_error_rate(row) for row in range(len(data.test))]
    assert min(rates) <= diagonal.error_rate <= max(rates)


def test_a_model_without_attention_has_no_links() -> None:
    data = small_data()
    model = small_model(data, decoder="cho", attention=None)
    with pytest.raises(ValueError, match="'cho' has no attention"):
        align(model, data)


def test_the_matched_model_is_the_nearest_in_size() -> None:
    data = small_data()
    wanted = count_parameters(small_model(data))
    size = match_hidden_size(data, wanted, embedding_size=6, decoder="cho")
    gaps = [
        abs(
            count_parameters(
                build_model(data.config(embedding_size=6, hidden_size=s, decoder="cho"))
            )
            - wanted
        )
        for s in (size - 1, size, size + 1)
    ]
    assert min(gaps) == gaps[1]
