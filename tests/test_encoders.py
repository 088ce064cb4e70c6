"""Encoders: real lengths respected, padding never read, equal to our own cells unrolled."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import SOURCE_VOCABULARY, gradients

from utils.models.cells import GRUCell, LSTMCell, RNNCell, unroll
from utils.models.encoders import (
    Encoded,
    RecurrentEncoder,
    make_attention_mask,
    recurrent_layer,
    select_rows,
    shift_update_gates,
)

CELLS = {"tanh": RNNCell, "gru": GRUCell, "lstm": LSTMCell}
EMBEDDING, HIDDEN = 3, 4


def make(**changes) -> RecurrentEncoder:
    sizes = {
        "vocabulary_size": SOURCE_VOCABULARY,
        "embedding_size": EMBEDDING,
        "hidden_size": HIDDEN,
        **changes,
    }
    return RecurrentEncoder(**sizes).double().eval()


def random_source(lengths: list[int], extra: int = 0) -> torch.Tensor:
    return torch.randint(1, SOURCE_VOCABULARY, (len(lengths), max(lengths) + extra))


def scalar(encoded: Encoded) -> torch.Tensor:
    """A loss that every real number of the encoding enters."""
    parts = (encoded.memory, encoded.final_hidden, encoded.final_cell)
    return sum(part.sin().sum() for part in parts if part is not None)


encoders = st.fixed_dictionaries(
    {
        "cell": st.sampled_from(sorted(CELLS)),
        "num_layers": st.integers(1, 2),
        "bidirectional": st.booleans(),
    }
)


@given(
    changes=encoders,
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    extra=st.integers(0, 3),
)
def test_padding_is_never_read(changes, lengths, extra):
    """A padded batch gives what each sentence gives alone: memory, states, gradients."""
    encoder = make(**changes)
    source = random_source(lengths, extra)
    encoded = encoder(source, torch.tensor(lengths))
    scalar(encoded).backward()
    batched = gradients(encoder)

    for row, length in enumerate(lengths):
        alone = encoder(source[row : row + 1, :length], torch.tensor([length]))
        scalar(alone).backward()  # gradients add up over the rows
        torch.testing.assert_close(
            encoded.memory[row, :length], alone.memory[0], rtol=0, atol=1e-12
        )
        assert not encoded.memory[row, length:].any()
        for field in ("final_hidden", "final_cell", "summary"):
            ours, theirs = getattr(encoded, field), getattr(alone, field)
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours[row], theirs[0], rtol=0, atol=1e-12)
    for name, gradient in gradients(encoder).items():
        torch.testing.assert_close(batched[name], gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_equals_our_own_cells_unrolled(name, bidirectional):
    """Two layers, each direction unrolled by hand over each sentence alone."""
    encoder = make(cell=name, num_layers=2, bidirectional=bidirectional)
    weights = encoder.recurrence.state_dict()
    lengths = [5, 2, 3]
    source = random_source(lengths)
    encoded = encoder(source, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        sequence = encoder.embedding(source[row : row + 1, :length])
        for layer in range(2):
            outputs, hiddens, cells = [], [], []
            for suffix in ("", "_reverse")[: 1 + bidirectional]:
                cell = CELLS[name](input_size=sequence.shape[2], hidden_size=HIDDEN).double()
                cell.load_state_dict(
                    {key: weights[f"{key}_l{layer}{suffix}"] for key in cell.state_dict()}
                )
                read = sequence.flip(1) if suffix else sequence
                states, final = unroll(cell, read)
                outputs.append(states.flip(1) if suffix else states)
                hiddens.append(final[0] if name == "lstm" else final)
                cells.append(final[1] if name == "lstm" else None)
            sequence = torch.cat(outputs, dim=2)
            torch.testing.assert_close(
                encoded.final_hidden[row, layer], torch.cat(hiddens, dim=1)[0], rtol=0, atol=1e-12
            )
            if name == "lstm":
                torch.testing.assert_close(
                    encoded.final_cell[row, layer], torch.cat(cells, dim=1)[0], rtol=0, atol=1e-12
                )
        torch.testing.assert_close(encoded.memory[row, :length], sequence[0], rtol=0, atol=1e-12)


def test_the_last_states_stand_at_the_ends_of_the_sentence():
    encoder = make(bidirectional=True)
    lengths = torch.tensor([4, 2])
    encoded = encoder(random_source([4, 2]), lengths)
    for row, length in enumerate(lengths.tolist()):
        forward, backward = encoded.summary[row].split(HIDDEN)
        torch.testing.assert_close(forward, encoded.memory[row, length - 1, :HIDDEN])
        torch.testing.assert_close(backward, encoded.memory[row, 0, HIDDEN:])


def test_order_of_the_rows_does_not_matter():
    encoder = make()
    lengths = torch.tensor([2, 5, 1, 5])
    source = random_source(lengths.tolist())
    rows = torch.tensor([3, 0, 2, 1])
    first, second = encoder(source, lengths), encoder(source[rows], lengths[rows])
    torch.testing.assert_close(second.memory, first.memory[rows])
    torch.testing.assert_close(second.final_hidden, first.final_hidden[rows])


def test_mask_and_lengths_mark_the_real_words():
    encoded = make()(random_source([3, 1], extra=1), torch.tensor([3, 1], dtype=torch.int32))
    assert encoded.attention_mask.tolist() == [[True, True, True, False], [True] + [False] * 3]
    assert encoded.source_lengths.tolist() == [3, 1]
    assert make_attention_mask(torch.tensor([0, 2]), 2).tolist() == [[False] * 2, [True] * 2]


def test_vectors_in_place_of_ids_carry_gradients_to_each_word():
    encoder = make()
    source, lengths = random_source([4, 2]), torch.tensor([4, 2])
    vectors = encoder.embedding(source).detach().requires_grad_()
    encoded = encoder.encode_vectors(vectors, lengths)
    torch.testing.assert_close(encoded.memory, encoder(source, lengths).memory)
    encoded.summary.sum().backward()
    reached = vectors.grad.abs().sum(dim=2) > 0
    assert reached.tolist() == encoded.attention_mask.tolist()


@pytest.mark.parametrize("cell", CELLS)
def test_select_rows_picks_and_repeats(cell):
    encoded = make(cell=cell)(random_source([3, 2]), torch.tensor([3, 2]))
    chosen = select_rows(encoded, torch.tensor([1, 1, 0]))
    assert isinstance(chosen, Encoded)
    assert chosen.source_lengths.tolist() == [2, 2, 3]
    assert torch.equal(chosen.memory[2], encoded.memory[0])
    assert chosen.keys is None and (chosen.final_cell is None) == (cell != "lstm")


def test_dropout_acts_in_training_only():
    encoder = make(dropout=0.5, num_layers=2)
    source, lengths = random_source([4]), torch.tensor([4])
    assert torch.equal(encoder(source, lengths).memory, encoder(source, lengths).memory)
    encoder.train()
    assert not torch.equal(encoder(source, lengths).memory, encoder(source, lengths).memory)


def test_padding_id_is_a_zero_vector_that_does_not_learn():
    encoder = make()
    scalar(encoder(torch.tensor([[0, 3]]), torch.tensor([2]))).backward()
    assert not encoder.embedding.weight[0].any()
    assert not encoder.embedding.weight.grad[0].any()


@pytest.mark.parametrize(
    ("source", "lengths", "message"),
    [
        (torch.ones(2, 3, dtype=torch.int64), [3, 0], "row 1 has length 0, expected 1 to 3"),
        (torch.ones(2, 3, dtype=torch.int64), [4, 1], "row 0 has length 4"),
        (torch.ones(2, 3, dtype=torch.int64), [3], "lengths must be 2 integers"),
        (torch.ones(2, 0, dtype=torch.int64), [1, 1], r"source must be .* got \(2, 0\)"),
        (torch.ones(3, dtype=torch.int64), [1, 1, 1], r"got \(3,\) of torch.int64"),
        (torch.ones(2, 3), [3, 3], r"int64 ids, got \(2, 3\) of torch.float32"),
        (torch.tensor([[1, 11]]), [2], "source holds id 11, the vocabulary has ids 0 to 10"),
        (torch.tensor([[1, -1]]), [2], "source holds id -1"),
        (torch.tensor([[1, 2, 99]]), [2], "source holds id 99"),  # on the padding too
    ],
)
def test_what_cannot_be_encoded_is_named(source, lengths, message):
    with pytest.raises(ValueError, match=message):
        make()(source, torch.tensor(lengths))


def test_unknown_cells_list_the_known_ones():
    with pytest.raises(ValueError, match="unknown cell 'qrnn'; choose one of tanh, gru, lstm"):
        recurrent_layer("qrnn", input_size=1, hidden_size=1, num_layers=1)


def test_a_negative_update_gate_bias_keeps_states_close_to_their_own_words() -> None:
    """Replace the last word but one: less of the change must be left in the state after it."""

    def carried(bias: float) -> float:
        torch.manual_seed(0)
        encoder = RecurrentEncoder(vocabulary_size=9, embedding_size=6, hidden_size=8)
        shift_update_gates(encoder.recurrence, bias)
        lengths = torch.tensor([5])
        one = encoder(torch.tensor([[3, 4, 5, 6, 7]]), lengths).memory
        other = encoder(torch.tensor([[3, 4, 5, 8, 7]]), lengths).memory
        change = (one - other)[0].norm(dim=1)
        return (change[-1] / change[-2]).item()

    assert carried(-4.0) < 0.5 * carried(0.0)
    assert carried(0.0) < 0.8 * carried(4.0)
