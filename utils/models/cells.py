"""Recurrent cells, written out so that they read like their equations.

The parameters carry `torch.nn`'s names and layout, so weights move both ways with
`load_state_dict`, and the tests hold outputs and gradients equal. Training uses the fused
layers of `torch.nn`; these classes are for reading, for proofs and for single steps.
"""

import math

import torch
from torch import Tensor, nn

State = Tensor | tuple[Tensor, Tensor]


class _Cell(nn.Module):
    """Parameters shared by the three cells: `gates` blocks of H rows, stacked."""

    gates: int

    def __init__(self, *, input_size: int, hidden_size: int) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size, device="cpu"))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size, device="cpu"))
        self.bias_ih = nn.Parameter(torch.empty(rows, device="cpu"))
        self.bias_hh = nn.Parameter(torch.empty(rows, device="cpu"))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))

    def initial_state(self, inputs: Tensor) -> State:
        """Return zeros (B, H) on the device and in the dtype of `inputs` (B, …)."""
        return inputs.new_zeros(inputs.shape[0], self.hidden_size)

    def _check(self, inputs: Tensor, hidden: Tensor) -> None:
        if inputs.ndim != 2 or inputs.shape[1] != self.input_size:
            raise ValueError(
                f"inputs must be (B, {self.input_size}), got {tuple(inputs.shape)}; "
                "for a whole sequence use unroll"
            )
        if hidden.shape != (inputs.shape[0], self.hidden_size):
            raise ValueError(
                f"the state must be ({inputs.shape[0]}, {self.hidden_size}) to go with inputs "
                f"{tuple(inputs.shape)}, got {tuple(hidden.shape)}"
            )

    def extra_repr(self) -> str:
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}"


class RNNCell(_Cell):
    """The plain cell of the slides: a⟨t⟩ = tanh(W_ax x⟨t⟩ + W_aa a⟨t−1⟩ + b_a).

    W_ax is `weight_ih` (H, I), W_aa is `weight_hh` (H, H), b_a is `bias_ih + bias_hh` (H,).

    Source: Elman 1990; the deck's slide 4. Deviations: two biases where the slide has one,
    as in `nn.RNNCell`.
    """

    gates = 1

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> Tensor:
        """One step: inputs (B, I), state (B, H) or None for zeros → new state (B, H).

        Raises:
            ValueError: a shape does not fit; both are named.
        """
        hidden = self.initial_state(inputs) if state is None else state
        self._check(inputs, hidden)
        return self.advance(inputs @ self.weight_ih.T + self.bias_ih, hidden)

    def advance(self, from_input: Tensor, hidden: Tensor) -> Tensor:
        """The part of a step that must wait for the state; `from_input` is (B, H)."""
        return torch.tanh(from_input + hidden @ self.weight_hh.T + self.bias_hh)


class GRUCell(_Cell):
    """The gated recurrent unit, in PyTorch's arrangement.

    r = σ(W_ir x + b_ir + W_hr h + b_hr)
    z = σ(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
    h′ = (1 − z) ⊙ n + z ⊙ h

    Source: Cho et al. 2014, arXiv:1406.1078, §2.3. Deviations, both of `nn.GRUCell`: the reset
    gate multiplies *after* the recurrent product (Cho: before it), and there are biases.
    Rows of the stacked parameters: r, z, n.
    """

    gates = 3

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> Tensor:
        """One step: inputs (B, I), state (B, H) or None for zeros → new state (B, H).

        Raises:
            ValueError: a shape does not fit; both are named.
        """
        hidden = self.initial_state(inputs) if state is None else state
        self._check(inputs, hidden)
        return self.advance(inputs @ self.weight_ih.T + self.bias_ih, hidden)

    def advance(self, from_input: Tensor, hidden: Tensor) -> Tensor:
        """The part of a step that must wait for the state.

        `from_input` (B, 3H) holds W_i· x + b_i·, which a decoder computes for all steps at once.
        """
        from_hidden = hidden @ self.weight_hh.T + self.bias_hh  # (B, 3H)
        reset_x, update_x, new_x = from_input.chunk(3, dim=-1)  # each (B, H)
        reset_h, update_h, new_h = from_hidden.chunk(3, dim=-1)  # each (B, H)
        reset = torch.sigmoid(reset_x + reset_h)
        update = torch.sigmoid(update_x + update_h)
        candidate = torch.tanh(new_x + reset * new_h)
        return (1 - update) * candidate + update * hidden


class LSTMCell(_Cell):
    """The long short-term memory cell, with a forget gate and no peepholes.

    i = σ(W_ii x + b_ii + W_hi h + b_hi)     f, o alike     g = tanh(W_ig x + b_ig + W_hg h + b_hg)
    c′ = f ⊙ c + i ⊙ g                       h′ = o ⊙ tanh(c′)

    Source: Hochreiter and Schmidhuber 1997, forget gate of Gers et al. 2000. Deviations: none
    from `nn.LSTMCell`. Rows of the stacked parameters: i, f, g, o.
    """

    gates = 4

    def initial_state(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return (h, c), both zeros (B, H) on the device of `inputs`."""
        zeros = super().initial_state(inputs)
        return zeros, zeros

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step: inputs (B, I), state (h, c) each (B, H) or None → new (h, c).

        Raises:
            ValueError: a shape does not fit; both are named.
        """
        hidden, cell = self.initial_state(inputs) if state is None else state
        self._check(inputs, hidden)
        self._check(inputs, cell)
        return self.advance(inputs @ self.weight_ih.T + self.bias_ih, (hidden, cell))

    def advance(self, from_input: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The part of a step that must wait for the state; `from_input` is (B, 4H)."""
        hidden, cell = state
        gates = from_input + hidden @ self.weight_hh.T + self.bias_hh  # (B, 4H)
        write, keep, new, show = gates.chunk(4, dim=-1)  # each (B, H)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(cell), cell


def unroll(
    cell: nn.Module, inputs: Tensor, state: State | None = None, lengths: Tensor | None = None
) -> tuple[Tensor, State]:
    """Apply `cell` to every step of a batch of sequences.

    Args:
        cell: one of this module's cells, or `torch.nn`'s.
        inputs: (B, T, I).
        state: the first state, None for zeros.
        lengths: (B,) int, each from 1 to T. Past its length a row's state stands still, so the
            final state is the one after the last real step, whatever the padding holds.
    Returns:
        outputs (B, T, H), zero past a row's length; and the final state.
    Raises:
        ValueError: `inputs` is not (B, T, I) with T ≥ 1, or a length is outside 1 … T.
    """
    if inputs.ndim != 3 or inputs.shape[1] == 0:
        raise ValueError(f"inputs must be (B, T, I) with T ≥ 1, got {tuple(inputs.shape)}")
    if lengths is not None:
        check_lengths(lengths, inputs.shape[0], inputs.shape[1])
        lengths = lengths.to(inputs.device)
        is_word = torch.arange(inputs.shape[1], device=inputs.device) < lengths.unsqueeze(1)
        # whatever stands on padding, even NaN, must not reach a gradient
        inputs = torch.where(is_word.unsqueeze(2), inputs, 0.0)
    outputs = []
    for step in range(inputs.shape[1]):
        new_state = cell(inputs[:, step], state)
        is_real = None if lengths is None else (step < lengths).unsqueeze(1)  # (B, 1)
        state = _advance(is_real, new_state, state)
        hidden = state[0] if isinstance(state, tuple) else state
        outputs.append(hidden if is_real is None else torch.where(is_real, hidden, 0.0))
    return torch.stack(outputs, dim=1), state


def _advance(is_real: Tensor | None, new: State, old: State | None) -> State:
    """Take the new state where the step is real, else keep the old one."""
    if is_real is None or old is None:  # every length is at least 1, so step 0 is real
        return new
    if isinstance(new, tuple):
        return torch.where(is_real, new[0], old[0]), torch.where(is_real, new[1], old[1])
    return torch.where(is_real, new, old)


def check_lengths(lengths: Tensor, batch_size: int, longest: int) -> None:
    """Raise a ValueError unless `lengths` is (B,) int with values from 1 to `longest`."""
    if lengths.shape != (batch_size,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise ValueError(
            f"lengths must be {batch_size} integers, one a row, got shape "
            f"{tuple(lengths.shape)} of {lengths.dtype}"
        )
    wrong = ((lengths < 1) | (lengths > longest)).nonzero().flatten().tolist()
    if wrong:
        row = wrong[0]
        raise ValueError(
            f"row {row} has length {int(lengths[row])}, expected 1 to {longest} "
            "(an empty sequence has nothing to read: leave it out)"
        )
