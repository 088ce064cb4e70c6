"""Cells: the equations of the book against `torch.nn`, outputs and gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from utils.models.cells import GRUCell, LSTMCell, RNNCell, check_lengths, unroll

CELLS = {
    "tanh": (RNNCell, nn.RNNCell),
    "gru": (GRUCell, nn.GRUCell),
    "lstm": (LSTMCell, nn.LSTMCell),
}
LAYERS = {"tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
INPUT, HIDDEN = 3, 4


def make_pair(name: str) -> tuple[nn.Module, nn.Module]:
    """Our cell and torch's, with the same weights, in float64."""
    ours, theirs = CELLS[name]
    reference = theirs(INPUT, HIDDEN).double()
    cell = ours(input_size=INPUT, hidden_size=HIDDEN).double()
    cell.load_state_dict(reference.state_dict(), strict=True)
    return cell, reference


def as_tuple(state) -> tuple[torch.Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def random_state(name: str, batch: int):
    parts = [torch.randn(batch, HIDDEN, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    return tuple(parts) if name == "lstm" else parts[0]


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("with_state", [True, False])
def test_cell_equals_torch(name, with_state):
    cell, reference = make_pair(name)
    inputs = torch.randn(5, INPUT, dtype=torch.float64, requires_grad=True)
    state = random_state(name, 5) if with_state else None
    leaves = [inputs, *(as_tuple(state) if with_state else ())]
    results = []
    for module in (cell, reference):
        outputs = as_tuple(module(inputs, state))
        loss = sum((output * (3 + i)).sin().sum() for i, output in enumerate(outputs))
        parameters = [getattr(module, name) for name in reference.state_dict()]
        results.append([*outputs, *torch.autograd.grad(loss, [*leaves, *parameters])])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_weights_move_back_to_torch(name):
    cell, _ = make_pair(name)
    fresh = CELLS[name][1](INPUT, HIDDEN).double()
    fresh.load_state_dict(cell.state_dict(), strict=True)
    inputs = torch.randn(2, INPUT, dtype=torch.float64)
    for ours, theirs in zip(as_tuple(cell(inputs)), as_tuple(fresh(inputs)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_the_plain_cell_is_the_slides_equation():
    cell = RNNCell(input_size=1, hidden_size=1)
    with torch.no_grad():
        for parameter, value in zip(cell.parameters(), (0.5, -2.0, 0.1, 0.2), strict=True):
            parameter.fill_(value)
    new = cell(torch.tensor([[3.0]]), torch.tensor([[0.25]]))
    assert new.item() == pytest.approx(torch.tanh(torch.tensor(0.5 * 3 - 2 * 0.25 + 0.3)).item())


@pytest.mark.parametrize("name", CELLS)
def test_unroll_equals_the_packed_layer(name):
    """Real lengths, outputs, final state and every gradient, against torch's packed layers."""
    cell, _ = make_pair(name)
    layer = LAYERS[name](INPUT, HIDDEN, batch_first=True).double()
    layer.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    inputs = torch.randn(4, 6, INPUT, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([3, 6, 1, 5])

    outputs, final = unroll(cell, inputs, lengths=lengths)
    packed = nn.utils.rnn.pack_padded_sequence(
        inputs, lengths, batch_first=True, enforce_sorted=False
    )
    expected, expected_final = layer(packed)
    expected, _ = nn.utils.rnn.pad_packed_sequence(expected, batch_first=True)
    expected_final = tuple(part.squeeze(0) for part in as_tuple(expected_final))

    weights = torch.randn_like(outputs)
    compared = []
    for sequence, state, module in (
        (outputs, as_tuple(final), cell),
        (expected, expected_final, layer),
    ):
        loss = (sequence * weights).sum() + sum(part.cos().sum() for part in state)
        grads = torch.autograd.grad(loss, [inputs, *module.parameters()])
        compared.append([sequence, *state, *grads])
    for ours, theirs in zip(*compared, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_unroll_runs_torchs_cells_too(name):
    cell, reference = make_pair(name)
    inputs = torch.randn(2, 5, INPUT, dtype=torch.float64)
    for ours, theirs in zip(unroll(cell, inputs), unroll(reference, inputs), strict=True):
        for a, b in zip(as_tuple(ours), as_tuple(theirs), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_unroll_starts_from_a_given_state(name):
    cell, _ = make_pair(name)
    inputs = torch.randn(2, 5, INPUT, dtype=torch.float64)
    whole, final = unroll(cell, inputs)
    first, state = unroll(cell, inputs[:, :2])
    second, end = unroll(cell, inputs[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=0, atol=0)
    for a, b in zip(as_tuple(end), as_tuple(final), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@given(
    name=st.sampled_from(sorted(CELLS)),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    extra=st.integers(0, 3),
    garbage=st.sampled_from([0.0, 1e6, float("inf"), float("nan")]),
)
def test_unroll_ignores_padding(name, lengths, extra, garbage):
    """Neither outputs nor gradients know what stands on padding, not even NaN."""
    cell, _ = make_pair(name)
    longest = max(lengths)
    clean = torch.randn(len(lengths), longest, INPUT, dtype=torch.float64)
    dirty = torch.full((len(lengths), longest + extra, INPUT), garbage, dtype=torch.float64)
    for row, length in enumerate(lengths):
        dirty[row, :length] = clean[row, :length]
    dirty.requires_grad_()
    outputs, final = unroll(cell, dirty, lengths=torch.tensor(lengths))
    (outputs.sum() + sum(part.sum() for part in as_tuple(final))).backward()
    assert torch.equal(outputs[:, longest:], torch.zeros_like(outputs[:, longest:]))

    total = 0.0
    for row, length in enumerate(lengths):
        alone, state = unroll(cell, clean[row : row + 1, :length])
        torch.testing.assert_close(outputs[row, :length], alone[0], rtol=0, atol=1e-12)
        assert not outputs[row, length:].any()
        assert not dirty.grad[row, length:].any()
        for ours, theirs in zip(as_tuple(final), as_tuple(state), strict=True):
            torch.testing.assert_close(ours[row], theirs[0], rtol=0, atol=1e-12)
        total = total + alone.sum() + sum(part.sum() for part in as_tuple(state))
    expected = torch.autograd.grad(total, list(cell.parameters()))
    for parameter, gradient in zip(cell.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_wrong_shapes_are_named(name):
    cell, _ = make_pair(name)
    with pytest.raises(ValueError, match=r"inputs must be \(B, 3\), got \(2, 5\)"):
        cell(torch.zeros(2, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match="for a whole sequence use unroll"):
        cell(torch.zeros(2, 7, 3, dtype=torch.float64))
    wrong = torch.zeros(3, HIDDEN, dtype=torch.float64)
    wrong = (wrong, wrong) if name == "lstm" else wrong
    with pytest.raises(ValueError, match=r"the state must be \(2, 4\).*got \(3, 4\)"):
        cell(torch.zeros(2, INPUT, dtype=torch.float64), wrong)


def test_lstm_checks_its_cell_state_too():
    cell, _ = make_pair("lstm")
    inputs = torch.zeros(2, INPUT, dtype=torch.float64)
    good, bad = inputs.new_zeros(2, HIDDEN), inputs.new_zeros(2, HIDDEN + 1)
    with pytest.raises(ValueError, match=r"got \(2, 5\)"):
        cell(inputs, (good, bad))


@pytest.mark.parametrize("size", [0, -1])
@pytest.mark.parametrize("field", ["input_size", "hidden_size"])
def test_sizes_below_one_are_refused(field, size):
    sizes = {"input_size": 3, "hidden_size": 4, field: size}
    with pytest.raises(ValueError, match=f"{field} must be at least 1, got {size}"):
        GRUCell(**sizes)


@pytest.mark.parametrize("shape", [(2, 3), (2, 0, 3)])
def test_unroll_refuses_what_is_no_sequence(shape):
    with pytest.raises(ValueError, match=r"inputs must be \(B, T, I\) with T ≥ 1"):
        unroll(GRUCell(input_size=3, hidden_size=4), torch.zeros(shape))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([2, 0], "row 1 has length 0, expected 1 to 5"),
        ([6, 2], "row 0 has length 6"),
        ([-1, 2], "row 0 has length -1"),
        ([1, 2, 3], r"lengths must be 2 integers.*\(3,\)"),
        ([1.0, 2.0], "float"),
        ([True, True], "bool"),
        ([[1, 2]], r"\(1, 2\)"),
    ],
)
def test_wrong_lengths_are_named(lengths, message):
    cell = GRUCell(input_size=3, hidden_size=4)
    with pytest.raises(ValueError, match=message):
        unroll(cell, torch.zeros(2, 5, 3), lengths=torch.tensor(lengths))


def test_check_lengths_accepts_the_whole_range():
    check_lengths(torch.tensor([1, 5], dtype=torch.int32), 2, 5)


def test_repr_shows_the_sizes():
    assert repr(LSTMCell(input_size=3, hidden_size=4)) == "LSTMCell(input_size=3, hidden_size=4)"
