"""utils.datasets.batching: what is in a batch, in which order, and how much is padding."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.datasets.batching import (
    Batch,
    BucketedBatches,
    ParallelDataset,
    encode_sources,
    pad_sequences,
)
from utils.datasets.vocabulary import Vocabulary

SOURCE = Vocabulary(["a", "b", "c"])
TARGET = Vocabulary(["x", "y", "z"])
PAIRS = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=9),
        st.lists(st.sampled_from("xyz"), min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=20,
)


def make_dataset(pairs, **options) -> ParallelDataset:
    return ParallelDataset(
        [list(s) for s, _ in pairs], [list(t) for _, t in pairs], SOURCE, TARGET, **options
    )


def random_dataset(count: int) -> ParallelDataset:
    generator = random.Random(0)
    lengths = [generator.randint(1, 30) for _ in range(count)]
    return make_dataset([("a" * n, "x" * max(1, n + generator.randint(-2, 2))) for n in lengths])


def test_a_batch_written_out():
    batch = make_dataset([("a", "x"), ("ab", "xyz")]).collate([1, 0])
    assert batch.source.tolist() == [[4, 5, 3], [4, 3, 0]]
    assert batch.source_lengths.tolist() == [3, 2]
    assert batch.target_input.tolist() == [[2, 4, 5, 6], [2, 4, 0, 0]]
    assert batch.target_output.tolist() == [[4, 5, 6, 3], [4, 3, 0, 0]]
    assert batch.target_lengths.tolist() == [4, 2]
    assert batch.indices.tolist() == [1, 0]
    assert batch.source_mask.tolist() == [[True, True, True], [True, True, False]]
    assert batch.target_mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.target_tokens == 6 and len(batch) == 2
    assert batch.padding_share == pytest.approx(3 / 14)
    assert all(t.dtype == torch.int64 for t in (batch.source, batch.target_input, batch.indices))


@given(PAIRS, st.booleans())
def test_batches_hold_the_sentences(pairs, reverse):
    dataset = make_dataset(pairs, reverse_source=reverse)
    batch = dataset.collate(range(len(pairs)))
    for row, (source, target) in enumerate(pairs):
        read = SOURCE.decode(batch.source[row])
        assert read == (source[::-1] if reverse else source)
        assert batch.source[row, len(source)] == SOURCE.eos_id
        assert TARGET.decode(batch.target_output[row]) == target
        assert TARGET.decode(batch.target_input[row]) == target
        assert batch.target_input[row, 0] == TARGET.bos_id
        assert dataset[row] == (
            batch.source[row, : batch.source_lengths[row]].tolist(),
            batch.target_output[row, : batch.target_lengths[row]].tolist(),
        )
    assert torch.equal(batch.source_mask, batch.source != 0)
    assert torch.equal(batch.target_mask, batch.target_output != 0)
    assert torch.equal(batch.target_mask, batch.target_input != 0)


@settings(max_examples=50)
@given(PAIRS, st.integers(1, 7), st.integers(0, 3), st.booleans(), st.booleans())
def test_every_pair_exactly_once_and_no_batch_too_large(pairs, size, epoch, shuffle, bucketing):
    batches = BucketedBatches(
        make_dataset(pairs), batch_size=size, shuffle=shuffle, bucketing=bucketing
    )
    batches.set_epoch(epoch)
    seen = [batch.indices.tolist() for batch in batches]
    assert len(seen) == len(batches) and max(map(len, seen)) <= size
    assert sorted(index for batch in seen for index in batch) == list(range(len(pairs)))


def test_the_order_is_a_function_of_seed_and_epoch():
    dataset = random_dataset(200)

    def order(seed, epoch, times=1):
        batches = BucketedBatches(dataset, batch_size=8, seed=seed)
        batches.set_epoch(epoch)
        for _ in range(times):
            indices = [batch.indices.tolist() for batch in batches]
        return indices

    assert order(0, 3) == order(0, 3, times=2)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)
    # Equal lengths are dealt anew: the batches differ, not only their order.
    assert sorted(map(sorted, order(0, 3))) != sorted(map(sorted, order(0, 4)))


def test_without_shuffle_the_pairs_come_from_short_to_long():
    dataset = random_dataset(50)
    batches = BucketedBatches(dataset, batch_size=8, shuffle=False)
    first = [index for batch in batches.batch_indices() for index in batch]
    lengths = [dataset.lengths(index)[::-1] for index in first]
    assert lengths == sorted(lengths)
    batches.set_epoch(1)
    assert first == [index for batch in batches.batch_indices() for index in batch]


def test_bucketing_removes_most_of_the_padding():
    dataset = random_dataset(2000)

    def padding(bucketing):
        batches = list(BucketedBatches(dataset, batch_size=64, bucketing=bucketing))
        positions = sum(b.source.numel() + b.target_output.numel() for b in batches)
        real = sum(int(b.source_lengths.sum()) + b.target_tokens for b in batches)
        return 1 - real / positions

    assert padding(bucketing=False) > 0.40
    assert padding(bucketing=True) < 0.08


def test_to_moves_every_tensor():
    batch = make_dataset([("a", "x")]).collate([0]).to("meta")
    assert isinstance(batch, Batch)
    assert all(getattr(batch, name).device.type == "meta" for name in vars(batch))


def test_sources_alone():
    source, lengths = encode_sources([list("ab"), ["c", "owl"]], SOURCE)
    assert source.tolist() == [[4, 5, 3], [6, 1, 3]] and lengths.tolist() == [3, 3]
    source, _ = encode_sources([list("ab"), ["c"]], SOURCE, reverse_source=True)
    assert source.tolist() == [[5, 4, 3], [6, 3, 0]]
    with pytest.raises(ValueError, match="source sentence 1 is empty"):
        encode_sources([["a"], []], SOURCE)


def test_mismatched_counts():
    with pytest.raises(ValueError, match="2 source sentences but 1 target"):
        ParallelDataset([["a"], ["b"]], [["x"]], SOURCE, TARGET)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "no sentence pairs"),
        ([("a", "x"), ("", "x")], "source sentence 1 is empty"),
        ([("a", "")], "target sentence 0 is empty"),
    ],
)
def test_empty_data(pairs, message):
    with pytest.raises(ValueError, match=message):
        make_dataset([(list(s), list(t)) for s, t in pairs])


def test_length_zero():
    with pytest.raises(ValueError, match="sequence 1 of 2 has length 0"):
        pad_sequences([[4], []])
    with pytest.raises(ValueError, match="no sequences"):
        pad_sequences([])


@pytest.mark.parametrize("index", [-1, 1])
def test_an_index_outside_the_data_set(index):
    with pytest.raises(IndexError, match=f"pair {index} asked for; the data set has 0 to 0"):
        make_dataset([("a", "x")]).collate([index])


def test_batch_size_zero():
    with pytest.raises(ValueError, match="batch_size is 0"):
        BucketedBatches(make_dataset([("a", "x")]), batch_size=0)
