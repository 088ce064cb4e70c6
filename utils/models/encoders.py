"""The encoder: a sentence becomes one vector a word (the memory) and one last state."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from utils.models.cells import check_lengths

RECURRENT_LAYERS = {"tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Encoded(NamedTuple):
    """A batch of encoded sources. Every field is batch-first, so beams can reorder rows.

    memory: (B, S, D), one vector a position, 0 on padding; D is H, or 2H with two directions.
    attention_mask: (B, S) bool, True on real positions.
    source_lengths: (B,) int64.
    final_hidden: (B, L, D), every layer's state after the last word; with two directions the
        backward half is the state after reading back to the first word.
    final_cell: (B, L, D) for an LSTM, else None.
    keys: (B, S, K), the memory as the attention's score needs it; the decoder's `start` fills it.
    """

    memory: Tensor
    attention_mask: Tensor
    source_lengths: Tensor
    final_hidden: Tensor
    final_cell: Tensor | None = None
    keys: Tensor | None = None

    @property
    def summary(self) -> Tensor:
        """(B, D): the top layer's last state, the raw material of the slides' fixed vector c."""
        return self.final_hidden[:, -1]


def select_rows(batch: NamedTuple, rows: Tensor) -> NamedTuple:
    """Pick and repeat batch rows of a NamedTuple of batch-first tensors (None stays None)."""
    return type(batch)(*(None if field is None else field[rows] for field in batch))


def make_attention_mask(source_lengths: Tensor, longest: int) -> Tensor:
    """Lengths (B,) → (B, longest) bool, True on the first `length` positions of each row."""
    positions = torch.arange(longest, device=source_lengths.device)
    return positions < source_lengths.unsqueeze(1)


def recurrent_layer(
    cell: str,
    *,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bidirectional: bool = False,
    dropout: float = 0.0,
) -> nn.RNNBase:
    """Make torch.nn's fused layers for cell "tanh", "gru" or "lstm", batch first."""
    if cell not in RECURRENT_LAYERS:
        raise ValueError(f"unknown cell {cell!r}; choose one of {', '.join(RECURRENT_LAYERS)}")
    return RECURRENT_LAYERS[cell](
        input_size,
        hidden_size,
        num_layers,
        batch_first=True,
        bidirectional=bidirectional,
        dropout=dropout if num_layers > 1 else 0.0,
    )


class RecurrentEncoder(nn.Module):
    """h_t = f(x_t, h_{t−1}) over the real words of every row, in one or both directions.

    Source: Cho et al. 2014, §2.1; both directions: Bahdanau et al. 2015, §3.2. Deviations: none.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        cell: str = "gru",
        dropout: float = 0.0,
        pad_id: int = 0,
    ) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.memory_size = hidden_size * (2 if bidirectional else 1)
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=pad_id)
        self.dropout = nn.Dropout(dropout)
        self.recurrence = recurrent_layer(
            cell,
            input_size=embedding_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
        )

    def forward(self, source: Tensor, source_lengths: Tensor) -> Encoded:
        """Encode source ids (B, S) of real lengths (B,); what stands on padding is never read.

        Raises:
            ValueError: shapes disagree, a length is outside 1 … S, an id is not in the vocabulary.
        """
        check_token_ids("source", source, self.vocabulary_size)
        check_lengths(source_lengths, source.shape[0], source.shape[1])
        return self.encode_vectors(self.embedding(source), source_lengths)

    def encode_vectors(self, vectors: Tensor, source_lengths: Tensor) -> Encoded:
        """Encode word vectors (B, S, E) in place of ids, so that gradients can reach each word."""
        batch_size, longest = vectors.shape[:2]
        # pack_padded_sequence wants lengths on the CPU, whatever the device of the words
        packed = pack_padded_sequence(
            self.dropout(vectors), source_lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        outputs, final = self.recurrence(packed)
        memory, _ = pad_packed_sequence(outputs, batch_first=True, total_length=longest)
        hidden, cell = final if isinstance(final, tuple) else (final, None)
        lengths = source_lengths.to(vectors.device)
        return Encoded(
            memory=memory,
            attention_mask=make_attention_mask(lengths, longest),
            source_lengths=lengths,
            final_hidden=self._join_directions(hidden, batch_size),
            final_cell=None if cell is None else self._join_directions(cell, batch_size),
        )

    def _join_directions(self, state: Tensor, batch_size: int) -> Tensor:
        """(layers · directions, B, H) → (B, layers, directions · H)."""
        return state.transpose(0, 1).reshape(batch_size, self.num_layers, self.memory_size)


@torch.no_grad()
def shift_update_gates(recurrence: nn.RNNBase, bias: float) -> None:
    """Add `bias` to every update gate's bias: below 0 a new state keeps less of the old one.

    torch's gate z keeps: h_t = (1 − z) n_t + z h_{t−1}. At z = 1/2, where training begins, h_t is
    as much about the words before as about its own.
    """
    if not bias:
        return  # any cell may ask for no shift
    for name, parameter in recurrence.named_parameters():
        if name.startswith("bias_ih"):  # rows: reset, update, new state
            size = len(parameter) // 3
            parameter[size : 2 * size] += bias


def check_token_ids(name: str, tokens: Tensor, vocabulary_size: int) -> None:
    """Raise a ValueError unless `tokens` is (B, S ≥ 1) int64 with ids below `vocabulary_size`."""
    if tokens.ndim != 2 or tokens.shape[1] == 0 or tokens.dtype != torch.int64:
        raise ValueError(
            f"{name} must be (B, length ≥ 1) int64 ids, got {tuple(tokens.shape)} of {tokens.dtype}"
        )
    if tokens.device.type == "cpu" and tokens.numel():  # on a GPU the look would stall the queue
        smallest, largest = int(tokens.min()), int(tokens.max())
        if smallest < 0 or largest >= vocabulary_size:
            raise ValueError(
                f"{name} holds id {smallest if smallest < 0 else largest}, the vocabulary has ids "
                f"0 to {vocabulary_size - 1}; was it encoded with another vocabulary?"
            )
