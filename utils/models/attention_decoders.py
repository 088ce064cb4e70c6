"""Decoders with attention: Bahdanau's looks back before its step, Luong's after it.

decoder             reads each step         state's input       query
BahdanauDecoder     y_{t−1}, c_t            s_{t−1}             s_{t−1}, before the step
LuongDecoder        y_{t−1} (and h̃_{t−1})   h_{t−1}             h_t, after the step
"""

import torch
from torch import Tensor, nn

from utils.models.attention import AdditiveAttention, Attention, AttentionOutput
from utils.models.bahdanau_loop import BahdanauLoop
from utils.models.cells import GRUCell
from utils.models.decoders import (
    CELLS,
    Bridge,
    Decoder,
    DecoderOutput,
    DecoderState,
    Readout,
    StepOutput,
    select_places,
)
from utils.models.encoders import Encoded, recurrent_layer


def project_memory(attention: Attention, encoded: Encoded) -> Encoded:
    """Compute the keys, once a sentence; under autocast also cast the values once, as the keys."""
    keys = attention.project_keys(encoded.memory)
    return encoded._replace(keys=keys, memory=encoded.memory.to(keys.dtype))


def is_changed(module: nn.Module) -> bool:
    """Whether a reader hooked into `module` or put a method of their own on it."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return any(hooks) or any(callable(value) for value in vars(module).values())


class CellStack(nn.Module):
    """Layers of our own cells, for decoders whose input depends on their state.

    The first layer reads [word; fed], where `word` is known for all steps beforehand and `fed`
    only inside the loop, so the first layer's W [word; fed] is computed as W_w word + W_f fed.
    """

    def __init__(
        self,
        cell: str,
        *,
        word_size: int,
        fed_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.input_sizes = [word_size, fed_size]
        sizes = [word_size + fed_size] + [hidden_size] * (num_layers - 1)
        self.cells = nn.ModuleList(
            CELLS[cell](input_size=size, hidden_size=hidden_size) for size in sizes
        )
        self.dropout = nn.Dropout(dropout)

    def project_words(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Before the loop: words (B, T, E) → W_w word (B, T, gates · H), and W_f."""
        first = self.cells[0]
        word_weight, fed_weight = first.weight_ih.split(self.input_sizes, dim=1)
        projected = nn.functional.linear(words, word_weight, first.bias_ih)
        return projected, fed_weight.to(projected.dtype)  # under autocast: cast once, not each step

    def forward(
        self, projected: Tensor, fed: Tensor, fed_weight: Tensor, state: DecoderState
    ) -> tuple[Tensor, DecoderState]:
        """One step: W_w word (B, gates · H), fed (B, F), W_f → top state (B, H), next state."""
        hiddens, memories = [], []
        gates = projected + fed @ fed_weight.T
        for layer, cell in enumerate(self.cells):
            if layer:
                gates = self.dropout(hiddens[-1]) @ cell.weight_ih.T + cell.bias_ih
            old = state.hidden[:, layer]
            if state.cell is None:
                hiddens.append(cell.advance(gates, old))
            else:
                hidden, memory = cell.advance(gates, (old, state.cell[:, layer]))
                hiddens.append(hidden)
                memories.append(memory)
        return hiddens[-1], state._replace(
            hidden=torch.stack(hiddens, dim=1),
            cell=torch.stack(memories, dim=1) if memories else None,
            position=state.position + 1,
        )


class BahdanauDecoder(Decoder):
    """Look back first, with s_{t−1}; the context then enters the recurrence.

    c_t = attention(s_{t−1}, memory);  s_t = f([y_{t−1}; c_t], s_{t−1});
    p(y_t) = softmax(readout(s_t, c_t, y_{t−1})).

    Source: Bahdanau et al. 2015, arXiv:1409.0473, §3.1 and A.2.2. Deviations: the library's GRU
    (reset gate after the product), tanh readout for maxout; any cell and depth (the top layer
    asks).
    """

    def __init__(
        self,
        *,
        attention: Attention,
        memory_size: int,
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
        self.attention = attention
        self.bridge = Bridge(summary_size=memory_size, decoder=self)
        self.recurrence = CellStack(
            cell,
            word_size=embedding_size,
            fed_size=memory_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
        )
        self.readout = Readout(
            input_size=hidden_size + memory_size + embedding_size,
            readout_size=readout_size,
            vocabulary_size=vocabulary_size,
            dropout=dropout,
        )

    def start(self, encoded: Encoded) -> tuple[Encoded, DecoderState]:
        encoded = project_memory(self.attention, encoded)
        return encoded, self._first_state(self.bridge(encoded.summary), encoded)

    def _advance(
        self, projected: Tensor, fed_weight: Tensor, state: DecoderState, encoded: Encoded
    ) -> tuple[Tensor, AttentionOutput, DecoderState]:
        looked = self.attention.attend(
            state.hidden[:, -1],
            encoded.keys,
            encoded.memory,
            encoded.attention_mask,
            step=state.position,
            source_lengths=encoded.source_lengths,
        )
        hidden, state = self.recurrence(projected, looked.context, fed_weight, state)
        return hidden, looked, state

    def step(self, tokens: Tensor, state: DecoderState, encoded: Encoded) -> StepOutput:
        words = self._embed_step(tokens, state).squeeze(1)  # (B, E)
        projected, fed_weight = self.recurrence.project_words(words)
        hidden, looked, state = self._advance(projected, fed_weight, state, encoded)
        logits = self.readout(hidden, looked.context, words)
        return StepOutput(logits, state, looked.weights, looked)

    def forward(
        self, target_input: Tensor, encoded: Encoded, *, target_mask: Tensor | None = None
    ) -> DecoderOutput:
        encoded, state = self.start(encoded)
        words = self._embed(target_input)  # (B, T, E)
        projected, fed_weight = self.recurrence.project_words(words)
        if self._has_written_out_loop(projected):
            attention, cell = self.attention, self.recurrence.cells[0]
            hidden, context, weights = BahdanauLoop.apply(
                projected,
                state.hidden[:, 0],
                encoded.keys,
                encoded.memory,
                encoded.attention_mask,
                attention.query_projection.weight,
                attention.score_vector.weight[0],
                fed_weight,
                cell.weight_hh,
                cell.bias_hh,
            )
        else:
            hidden, context, weights = self._loop(projected, fed_weight, state, encoded)
        # the readout waits for nobody: all steps at once
        logits = self.readout(hidden, context, words, target_mask=target_mask)
        return DecoderOutput(logits, weights)

    def _has_written_out_loop(self, projected: Tensor) -> bool:
        """The paper's own decoder, unchanged, where gradients are wanted; else `_loop` does it."""
        attention, cells = self.attention, self.recurrence.cells
        if type(attention) is not AdditiveAttention or len(cells) > 1:
            return False
        parts = (
            (self, BahdanauDecoder),
            (attention, AdditiveAttention),
            (attention.query_projection, nn.Linear),
            (attention.score_vector, nn.Linear),
            (self.recurrence, CellStack),
            (cells[0], GRUCell),
        )
        return (
            torch.is_grad_enabled()  # else nothing needs to be kept for the way back
            and all(type(part) is kind and not is_changed(part) for part, kind in parts)
            and attention.query_projection.bias is None
            and projected.dtype in (torch.float32, torch.float64)  # not in half, not under autocast
        )

    def _loop(
        self, projected: Tensor, fed_weight: Tensor, state: DecoderState, encoded: Encoded
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All steps, one after another: states (B, T, H), contexts (B, T, D), weights (B, T, S)."""
        hiddens, contexts, weights = [], [], []
        for projected_word in projected.unbind(dim=1):
            hidden, looked, state = self._advance(projected_word, fed_weight, state, encoded)
            hiddens.append(hidden)
            contexts.append(looked.context)
            weights.append(looked.weights)
        return torch.stack(hiddens, 1), torch.stack(contexts, 1), torch.stack(weights, 1)


class LuongDecoder(Decoder):
    """Step first; look back with the new state h_t; join both in h̃_t.

    h_t = f(y_{t−1}, h_{t−1});  c_t = attention(h_t, memory);  h̃_t = tanh(W_c [c_t; h_t]);
    p(y_t) = softmax(W_s h̃_t). With input feeding f also reads h̃_{t−1}.

    Source: Luong et al. 2015, arXiv:1508.04025, §3, eqs. 5–6, §3.3. Deviation: W_c has a bias and
    the first state passes through a tanh layer.
    """

    def __init__(
        self,
        *,
        attention: Attention,
        input_feeding: bool,
        memory_size: int,
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
        self.attention = attention
        self.input_feeding = input_feeding
        self.readout_size = readout_size
        self.bridge = Bridge(summary_size=memory_size, decoder=self)
        if input_feeding:
            self.recurrence = CellStack(
                cell,
                word_size=embedding_size,
                fed_size=readout_size,
                hidden_size=hidden_size,
                num_layers=num_layers,
                dropout=dropout,
            )
        else:
            self.recurrence = recurrent_layer(
                cell,
                input_size=embedding_size,
                hidden_size=hidden_size,
                num_layers=num_layers,
                dropout=dropout,
            )
        self.readout = Readout(
            input_size=memory_size + hidden_size,
            readout_size=readout_size,
            vocabulary_size=vocabulary_size,
            dropout=dropout,
        )

    def start(self, encoded: Encoded) -> tuple[Encoded, DecoderState]:
        encoded = project_memory(self.attention, encoded)
        state = self._first_state(self.bridge(encoded.summary), encoded)
        if self.input_feeding:
            nothing = encoded.memory.new_zeros(encoded.memory.shape[0], self.readout_size)
            state = state._replace(attentional=nothing)
        return encoded, state

    def _look_back(self, hidden: Tensor, step: Tensor, encoded: Encoded) -> AttentionOutput:
        return self.attention.attend(
            hidden,
            encoded.keys,
            encoded.memory,
            encoded.attention_mask,
            step=step,
            source_lengths=encoded.source_lengths,
        )

    def _advance(
        self, projected: Tensor, fed_weight: Tensor, state: DecoderState, encoded: Encoded
    ) -> tuple[Tensor, AttentionOutput, DecoderState]:
        """One step with input feeding: h̃_t (B, R), the look back and the next state."""
        hidden, new_state = self.recurrence(projected, state.attentional, fed_weight, state)
        looked = self._look_back(hidden, state.position, encoded)
        attentional = self.readout.attentional(looked.context, hidden)
        return attentional, looked, new_state._replace(attentional=attentional)

    def step(self, tokens: Tensor, state: DecoderState, encoded: Encoded) -> StepOutput:
        words = self._embed_step(tokens, state)  # (B, 1, E)
        if self.input_feeding:
            projected, fed_weight = self.recurrence.project_words(words.squeeze(1))
            attentional, looked, state = self._advance(projected, fed_weight, state, encoded)
        else:
            hidden, new_state = self._run_fused(self.recurrence, words, state)
            looked = self._look_back(hidden.squeeze(1), state.position, encoded)
            attentional = self.readout.attentional(looked.context, hidden.squeeze(1))
            state = new_state
        logits = self.readout.to_vocabulary(attentional)
        return StepOutput(logits, state, looked.weights, looked)

    def forward(
        self, target_input: Tensor, encoded: Encoded, *, target_mask: Tensor | None = None
    ) -> DecoderOutput:
        encoded, state = self.start(encoded)
        words = self._embed(target_input)  # (B, T, E)
        if not self.input_feeding:  # nothing waits for the attention: no loop over time at all
            hidden, _ = self._run_fused(self.recurrence, words, state)
            steps = torch.arange(words.shape[1], device=words.device).unsqueeze(0)  # (1, T)
            looked = self._look_back(hidden, steps, encoded)
            logits = self.readout(looked.context, hidden, target_mask=target_mask)
            return DecoderOutput(logits, looked.weights)
        attentionals, weights = [], []
        projected, fed_weight = self.recurrence.project_words(words)
        for projected_word in projected.unbind(dim=1):
            attentional, looked, state = self._advance(projected_word, fed_weight, state, encoded)
            attentionals.append(attentional)
            weights.append(looked.weights)
        attentional = torch.stack(attentionals, 1)  # (B, T, R)
        if target_mask is not None:
            attentional = select_places(attentional, target_mask)
        logits = self.readout.to_vocabulary(attentional)
        return DecoderOutput(logits, torch.stack(weights, 1))
