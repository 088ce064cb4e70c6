"""Decoders: write the target one word at a time.

All share one interface. `start` turns the encoded source into a first state, `step` reads one
word and gives the logits of the next, and `forward` gives all logits under teacher forcing by
the fastest route that computes the same numbers: whatever does not depend on the recurrent state
is computed for all steps at once. The decoders with attention are in `attention_decoders`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils.models.attention import AttentionOutput
from utils.models.cells import GRUCell, LSTMCell, RNNCell
from utils.models.encoders import Encoded, check_token_ids, recurrent_layer

CELLS = {"tanh": RNNCell, "gru": GRUCell, "lstm": LSTMCell}


class DecoderState(NamedTuple):
    """Where a decoder stands. Every field is batch-first, so beams can reorder rows.

    hidden: (B, L, H). cell: (B, L, H) for an LSTM, else None. position: (B,) int64, words written.
    attentional: (B, R), Luong's h̃_{t−1} for input feeding, else None.
    """

    hidden: Tensor
    cell: Tensor | None
    position: Tensor
    attentional: Tensor | None = None


class StepOutput(NamedTuple):
    """One step: logits (B, V), the next state, and the look back if there was one.

    weights: (B, S) or None. attention: the whole AttentionOutput or None.
    """

    logits: Tensor
    state: DecoderState
    weights: Tensor | None = None
    attention: AttentionOutput | None = None


class DecoderOutput(NamedTuple):
    """All steps under teacher forcing: logits (B, T, V) and weights (B, T, S) or None."""

    logits: Tensor
    weights: Tensor | None = None


class Decoder(nn.Module):
    """What the decoders share: word vectors, the first state, the fused recurrence."""

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        cell: str,
        dropout: float,
        pad_id: int = 0,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"unknown cell {cell!r}; choose one of {', '.join(CELLS)}")
        self.vocabulary_size = vocabulary_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.has_cell_state = cell == "lstm"
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=pad_id)
        self.dropout = nn.Dropout(dropout)

    def start(self, encoded: Encoded) -> tuple[Encoded, DecoderState]:
        """Prepare what every step shares (the keys) and make the first state."""
        raise NotImplementedError

    def step(self, tokens: Tensor, state: DecoderState, encoded: Encoded) -> StepOutput:
        """Read `tokens` (B,), the words just written, and score the next ones."""
        raise NotImplementedError

    def forward(
        self, target_input: Tensor, encoded: Encoded, *, target_mask: Tensor | None = None
    ) -> DecoderOutput:
        """Score every next word of `target_input` (B, T), which begins with <bos>.

        With `target_mask` (B, T) bool the logits are those of its N true places alone, (N, V).
        """
        raise NotImplementedError

    def _embed(self, tokens: Tensor) -> Tensor:
        check_token_ids("target", tokens, self.vocabulary_size)
        return self.dropout(self.embedding(tokens))  # (B, T, E)

    def _embed_step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """The words just written, (B,) → (B, 1, E)."""
        if tokens.shape != state.position.shape:
            raise ValueError(
                f"tokens must be ({len(state.position)},), one word for each row of the state, "
                f"got {tuple(tokens.shape)}"
            )
        return self._embed(tokens.unsqueeze(1))

    def _first_state(self, first: Tensor, encoded: Encoded) -> DecoderState:
        """Cut (B, L·H), or (B, 2·L·H) for an LSTM, into the first state's layers."""
        parts = first.unflatten(1, (-1, self.num_layers, self.hidden_size))  # (B, 1 or 2, L, H)
        return DecoderState(
            hidden=parts[:, 0],
            cell=parts[:, 1] if self.has_cell_state else None,
            position=torch.zeros_like(encoded.source_lengths),
        )

    def _run_fused(
        self, recurrence: nn.RNNBase, inputs: Tensor, state: DecoderState
    ) -> tuple[Tensor, DecoderState]:
        """Run torch.nn's layers over (B, T, I) from `state`: outputs (B, T, H) and next state."""
        hidden = state.hidden.transpose(0, 1).contiguous()  # (L, B, H), as torch.nn wants it
        if self.has_cell_state:
            cell = state.cell.transpose(0, 1).contiguous()
            outputs, (hidden, cell) = recurrence(inputs, (hidden, cell))
            cell = cell.transpose(0, 1)
        else:
            outputs, hidden = recurrence(inputs, hidden)
            cell = None
        return outputs, state._replace(
            hidden=hidden.transpose(0, 1), cell=cell, position=state.position + inputs.shape[1]
        )


class Bridge(nn.Module):
    """tanh(W summary + b): the encoder's last state becomes the decoder's first.

    Source: Bahdanau et al. 2015, §A.2.2. Deviations: reads both directions' last states (there:
    the backward one), and an LSTM gets its cell state the same way.
    """

    def __init__(self, *, summary_size: int, decoder: Decoder) -> None:
        super().__init__()
        states = 2 if decoder.has_cell_state else 1
        self.projection = nn.Linear(summary_size, states * decoder.num_layers * decoder.hidden_size)

    def forward(self, summary: Tensor) -> Tensor:
        return torch.tanh(self.projection(summary))


class Readout(nn.Module):
    """logits = W_o tanh(W_r [parts]): what a step knows becomes a score for every word.

    Source: the "deep output" of Bahdanau et al. 2015, §A.2.2; with parts [c_t; h_t] its inside is
    Luong's h̃_t. Deviation: tanh where Bahdanau has maxout.
    """

    def __init__(
        self, *, input_size: int, readout_size: int, vocabulary_size: int, dropout: float
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(input_size, readout_size)
        self.dropout = nn.Dropout(dropout)
        self.vocabulary = nn.Linear(readout_size, vocabulary_size)

    def forward(self, *parts: Tensor, target_mask: Tensor | None = None) -> Tensor:
        """Logits (…, V); with `target_mask` (B, T) those of its N true places alone, (N, V)."""
        if target_mask is not None:
            parts = tuple(select_places(part, target_mask) for part in parts)
        return self.to_vocabulary(self.attentional(*parts))

    def attentional(self, *parts: Tensor) -> Tensor:
        """tanh(W_r [parts]), dropped out: (…, readout_size)."""
        return self.dropout(torch.tanh(self.hidden(torch.cat(parts, dim=-1))))

    def to_vocabulary(self, attentional: Tensor) -> Tensor:
        return self.vocabulary(attentional)


class TiedVocabulary(nn.Module):
    """logits = E x + b: a word's score uses the very weights that the word is read with.

    Saves the largest matrix of a small model, and rare words learn from both uses.

    Source: Press and Wolf 2017, arXiv:1608.05859, section 2. Deviation: a bias. The embedding is
    drawn anew, uniformly from ±0.1: nn.Embedding's own weights would be far too large as scores.

    Args:
        embedding: of the target words, (V, E); x must have E numbers.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        # In a tuple, torch does not see it: the weights have one owner, and are saved once.
        self._owner = (embedding,)
        self.bias = nn.Parameter(torch.zeros_like(embedding.weight[:, 0]))
        with torch.no_grad():
            embedding.weight.uniform_(-0.1, 0.1)

    @property
    def weight(self) -> Tensor:
        """(V, E), the embedding's."""
        return self._owner[0].weight

    def forward(self, attentional: Tensor) -> Tensor:
        return nn.functional.linear(attentional, self.weight, self.bias)


def select_places(values: Tensor, mask: Tensor) -> Tensor:
    """Keep (B, T, X) where `mask` (B, T) is True: (N, X), row by row. Padding costs no product."""
    places = mask.flatten().nonzero().squeeze(1)  # (N,)
    return values.flatten(0, 1).index_select(0, places)


class FixedVectorDecoder(Decoder):
    """A decoder that sees the source only through one vector c.

    Style "cho": c = tanh(V h_T) is read at every step and by the readout, g(y_{t−1}, s_t, c).
    Style "sutskever": c is only the first state, and the readout sees s_t alone.
    `summary_size` sets the width of c by itself, whatever the width of encoder and decoder.

    Source: Cho et al. 2014, §2.2 and appendix A; Sutskever et al. 2014, §2. Deviations: Cho's
    maxout readout is a tanh layer here; Sutskever's first state passes through c = tanh(W …)
    when `summary_size` is set or the sizes of encoder and decoder differ.
    """

    def __init__(
        self,
        *,
        style: str,
        memory_size: int,
        summary_size: int | None,
        readout_size: int,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        num_layers: int = 1,
        cell: str = "gru",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            vocabulary_size=vocabulary_size,
            embedding_size=embedding_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            cell=cell,
            dropout=dropout,
        )
        if style not in ("cho", "sutskever"):
            raise ValueError(f"style must be 'cho' or 'sutskever', got {style!r}")
        self.style = style
        self.copies_state = style == "sutskever" and summary_size is None
        if self.copies_state and memory_size != hidden_size:
            raise ValueError(
                f"style 'sutskever' copies the encoder's last state, but it has {memory_size} "
                f"units and the decoder {hidden_size}; set summary_size, or make them equal"
            )
        if not self.copies_state:
            summary_size = hidden_size if summary_size is None else summary_size
            self.compress = nn.Linear(memory_size, summary_size)
            self.bridge = Bridge(summary_size=summary_size, decoder=self)
        context_size = summary_size if style == "cho" else 0
        self.recurrence = recurrent_layer(
            cell,
            input_size=embedding_size + context_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
        )
        self.readout = Readout(
            input_size=hidden_size + (embedding_size + context_size if style == "cho" else 0),
            readout_size=readout_size,
            vocabulary_size=vocabulary_size,
            dropout=dropout,
        )

    def fixed_vector(self, encoded: Encoded) -> Tensor:
        """(B, C): the slides' c, all that the decoder ever learns of the source."""
        return torch.tanh(self.compress(encoded.summary))

    def start(self, encoded: Encoded) -> tuple[Encoded, DecoderState]:
        if self.copies_state:
            parts = [encoded.final_hidden] + ([encoded.final_cell] if self.has_cell_state else [])
            return encoded, self._first_state(torch.cat(parts, dim=1).flatten(1), encoded)
        # c is computed once, and travels in the place of the keys
        fixed = self.fixed_vector(encoded)
        encoded = encoded._replace(keys=fixed.unsqueeze(1))  # (B, 1, C)
        return encoded, self._first_state(self.bridge(fixed), encoded)

    def _decode(
        self,
        words: Tensor,
        state: DecoderState,
        encoded: Encoded,
        target_mask: Tensor | None = None,
    ) -> tuple[Tensor, DecoderState]:
        if self.style == "sutskever":
            hidden, state = self._run_fused(self.recurrence, words, state)
            return self.readout(hidden, target_mask=target_mask), state
        fixed = encoded.keys.expand(-1, words.shape[1], -1)  # (B, T, C)
        inputs = torch.cat([words, fixed], dim=-1)  # (B, T, E + C)
        hidden, state = self._run_fused(self.recurrence, inputs, state)
        return self.readout(hidden, inputs, target_mask=target_mask), state

    def step(self, tokens: Tensor, state: DecoderState, encoded: Encoded) -> StepOutput:
        logits, state = self._decode(self._embed_step(tokens, state), state, encoded)
        return StepOutput(logits.squeeze(1), state)

    def forward(
        self, target_input: Tensor, encoded: Encoded, *, target_mask: Tensor | None = None
    ) -> DecoderOutput:
        encoded, state = self.start(encoded)
        logits, _ = self._decode(self._embed(target_input), state, encoded, target_mask)
        return DecoderOutput(logits)
