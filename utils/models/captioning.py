"""Show, attend and tell: a recurrent decoder that looks at a grid of annotation vectors.

Source: Xu et al. 2015, arXiv:1502.03044, sections 3 and 4. The encoder gives one annotation
vector a_i for each of the L cells of a grid; at each word the decoder weighs the cells, and

    e_ti = v · tanh(W_a a_i + W_h h_{t-1})        alpha_t = softmax(e_t)
    soft  z_t = Σ_i alpha_ti a_i                  hard  z_t = a_{s_t},  s_t ~ alpha_t
    beta_t = sigmoid(f_beta(h_{t-1})),  z_t ← beta_t z_t
    h_t, c_t = LSTM([E y_{t-1}; z_t], h_{t-1}, c_{t-1})
    p(y_t) = softmax(L_o (E y_{t-1} + L_h h_t + L_z z_t))
    h_0, c_0 = tanh(f_h(mean a)), tanh(f_c(mean a))

Deviations: each annotation vector may carry the place of its cell as two extra numbers, because
an encoder with a narrow receptive field cannot know where it is; hard attention looks at the most
likely cell when it does not train. The deep output has no tanh, as in the paper: with one, its
units saturate before the model compares two places, and the relation of two objects is not learnt.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils.models.attention import AdditiveAttention
from utils.models.encoders import Encoded
from utils.models.image_encoders import (
    ConvolutionalEncoder,
    ResidualEncoder,
    stride_eight_layers,
)

ATTENTIONS = ("soft", "hard", "mean")
ENCODERS = ("convolutional", "residual")


@dataclass(frozen=True)
class CaptioningConfig:
    """Sizes and choices of a captioning model.

    Args:
        vocabulary_size: V, special words included.
        attention: "soft", "hard", or "mean": every cell weighs the same, the baseline.
        embedding_size, hidden_size, attention_size: E, H and the size of the score's tanh.
        encoder: "convolutional" or "residual". channels: of its three layers of stride 2.
        context_layers, context_kernel: see `stride_eight_layers`; the residual encoder takes
            context_layers as its number of blocks.
        image_size: side of the square pictures in pixels.
        places: append each cell's place (x, y, from -1 to 1) to its annotation vector.
        gate: scale the context by beta_t. dropout: 0–1, on the hidden state before the output
            and on the embedded word there.
    """

    vocabulary_size: int
    attention: str = "soft"
    embedding_size: int = 32
    hidden_size: int = 128
    attention_size: int = 32
    encoder: str = "convolutional"
    channels: tuple[int, int, int] = (16, 32, 64)
    context_layers: int = 1
    context_kernel: int = 1
    image_size: int = 64
    places: bool = True
    gate: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # JSON gives a list
        if self.attention not in ATTENTIONS:
            raise ValueError(f"attention={self.attention!r}: expected one of {ATTENTIONS}.")
        if self.encoder not in ENCODERS:
            raise ValueError(f"encoder={self.encoder!r}: expected one of {ENCODERS}.")
        if self.image_size < 8 or self.image_size % 8:
            raise ValueError(f"image_size={self.image_size}: expected a multiple of 8.")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout={self.dropout}: expected at least 0 and below 1.")
        for name in ("vocabulary_size", "embedding_size", "hidden_size", "attention_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected 1 or more.")


class CaptionState(NamedTuple):
    """The LSTM's state, each (B, H)."""

    hidden: Tensor
    cell: Tensor


class CaptionStep(NamedTuple):
    """One word: logits (B, V), the new state, weights (B, L) or None, beta (B,) or None,
    location (B,) int64 where hard attention looked, else None."""

    logits: Tensor
    state: CaptionState
    weights: Tensor | None
    gate: Tensor | None
    location: Tensor | None


class CaptionOutput(NamedTuple):
    """Whole captions: logits (B, T, V), weights (B, T, L), gates (B, T), locations (B, T)."""

    logits: Tensor
    weights: Tensor | None
    gates: Tensor | None
    locations: Tensor | None


class CaptioningModel(nn.Module):
    """Any encoder of grids, and the decoder of the module's docstring.

    Args:
        encoder: a module that maps (B, 3, H, W) to (B, C, rows, columns).
        encoder_channels: its C.
    """

    def __init__(
        self, encoder: nn.Module, config: CaptioningConfig, *, encoder_channels: int
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.encoder_channels = encoder_channels
        annotation_size = encoder_channels + 2 * config.places
        self.annotation_size = annotation_size
        hidden_size, embedding_size = config.hidden_size, config.embedding_size
        self.embedding = nn.Embedding(config.vocabulary_size, embedding_size, padding_idx=0)
        self.initial_hidden = nn.Linear(annotation_size, hidden_size)
        self.initial_cell = nn.Linear(annotation_size, hidden_size)
        if config.attention != "mean":
            self.attention = AdditiveAttention(
                query_size=hidden_size,
                memory_size=annotation_size,
                attention_size=config.attention_size,
            )
        if config.gate:
            self.gate = nn.Linear(hidden_size, 1)
        self.recurrent = nn.LSTMCell(embedding_size + annotation_size, hidden_size)
        self.output_hidden = nn.Linear(hidden_size, embedding_size)
        self.output_context = nn.Linear(annotation_size, embedding_size, bias=False)
        self.output = nn.Linear(embedding_size, config.vocabulary_size)
        self.dropout = nn.Dropout(config.dropout)
        if config.attention == "hard":
            # The moving average of log p(caption); here, so that checkpoints keep it.
            self.register_buffer("reward_baseline", torch.zeros((), device="cpu"))

    def encode(self, images: Tensor, source_lengths: Tensor | None = None) -> Encoded:
        """Pictures (B, 3, H, W), float 0–1 → their annotation vectors, row by row.

        source_lengths is there so that a picture can stand where a sentence stands in
        `utils.decoding`; every picture has the same L = rows · columns cells, so it is not read.

        Raises:
            ValueError: another size, type or range, or an encoder whose grid is not what was
                announced.
        """
        size = self.config.image_size
        if images.ndim != 4 or images.shape[1:] != (3, size, size):
            raise ValueError(
                f"images {tuple(images.shape)}: expected (B, 3, {size}, {size}). "
                "Scale the pictures, or build the model with their image_size."
            )
        if not images.is_floating_point():
            raise ValueError(f"images are {images.dtype}: expected floats from 0 to 1.")
        if not ((images >= 0) & (images <= 1)).all():  # not a number fails this too
            raise ValueError(
                f"images hold values from {images.min().item():.4g} to {images.max().item():.4g}: "
                "expected 0 to 1. Divide 8-bit pixels by 255; other scaling belongs in the encoder."
            )
        grid = self.encoder(images)
        if grid.ndim != 4 or grid.shape[1] != self.encoder_channels:
            raise ValueError(
                f"the encoder gave {tuple(grid.shape)}: expected "
                f"(B, {self.encoder_channels}, rows, columns)."
            )
        memory = grid.flatten(2).transpose(1, 2)  # (B, C, rows, columns) → (B, L, C)
        if self.config.places:
            places = cell_places(grid.shape[2], grid.shape[3], like=memory)  # (L, 2)
            memory = torch.cat([memory, places.expand(len(memory), -1, -1)], dim=2)
        batch_size, cells, _ = memory.shape
        return Encoded(
            memory=memory,
            attention_mask=torch.ones(batch_size, cells, dtype=torch.bool, device=memory.device),
            source_lengths=torch.full((batch_size,), cells, device=memory.device),
            final_hidden=memory.mean(dim=1, keepdim=True),  # (B, 1, D): `summary` is the mean
        )

    def start(self, encoded: Encoded) -> tuple[Encoded, CaptionState]:
        """The state before the first word, from the mean annotation vector; keys are projected."""
        if self.config.attention != "mean":
            encoded = encoded._replace(keys=self.attention.project_keys(encoded.memory))
        hidden = torch.tanh(self.initial_hidden(encoded.summary))
        cell = torch.tanh(self.initial_cell(encoded.summary))
        return encoded, CaptionState(hidden, cell)

    def step(
        self,
        tokens: Tensor,
        state: CaptionState,
        encoded: Encoded,
        *,
        location: Tensor | None = None,
        expected: Tensor | None = None,
    ) -> CaptionStep:
        """Read the last word (B,), look, and score the next.

        Hard attention looks at `location` (B,) if given, else at a sampled cell in training mode
        and at the most likely one in evaluation mode; rows where `expected` (B,) bool is True
        take the soft context instead (section 4.1: half of the time, to lower the variance).
        """
        embedded = self.embedding(tokens)
        state, context, weights, gate, location = self._advance(
            embedded, state, encoded, location, expected
        )
        logits = self._read_out(embedded, state.hidden, context)
        return CaptionStep(logits, state, weights, gate, location)

    def forward(
        self,
        images: Tensor,
        target_input: Tensor,
        *,
        locations: Tensor | None = None,
        expected: Tensor | None = None,
    ) -> CaptionOutput:
        """Teacher forcing: target_input (B, T) → scores for every next word.

        locations (B, T) int64 and expected (B,) bool as in `step`.
        """
        encoded, state = self.start(self.encode(images))
        embedded = self.embedding(target_input)  # (B, T, E)
        hidden, contexts, weights, gates, chosen = [], [], [], [], []
        for t in range(target_input.shape[1]):
            location = None if locations is None else locations[:, t]
            state, context, weight, gate, location = self._advance(
                embedded[:, t], state, encoded, location, expected
            )
            hidden.append(state.hidden)
            contexts.append(context)
            weights.append(weight)
            gates.append(gate)
            chosen.append(location)
        logits = self._read_out(embedded, torch.stack(hidden, 1), torch.stack(contexts, 1))
        return CaptionOutput(logits, _stack(weights), _stack(gates), _stack(chosen))

    def _advance(
        self,
        embedded: Tensor,
        state: CaptionState,
        encoded: Encoded,
        location: Tensor | None,
        expected: Tensor | None,
    ) -> tuple[CaptionState, Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """Look, weigh by the gate, and move the state: all of a step but its logits."""
        context, weights, location = self._look(state.hidden, encoded, location, expected)
        gate = None
        if self.config.gate:
            gate = torch.sigmoid(self.gate(state.hidden))  # (B, 1)
            context = gate * context
            gate = gate.squeeze(1)
        hidden, cell = self.recurrent(torch.cat([embedded, context], dim=1), tuple(state))
        return CaptionState(hidden, cell), context, weights, gate, location

    def _look(
        self,
        hidden: Tensor,
        encoded: Encoded,
        location: Tensor | None,
        expected: Tensor | None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if self.config.attention == "mean":
            return encoded.summary, None, None
        context, weights, _, _ = self.attention.attend(
            hidden, encoded.keys, encoded.memory, encoded.attention_mask
        )
        if self.config.attention == "soft":
            return context, weights, None
        if location is None:
            if self.training:
                location = torch.multinomial(weights.detach(), 1).squeeze(1)
            else:
                location = weights.argmax(dim=1)
        rows = torch.arange(len(location), device=location.device)
        seen = encoded.memory[rows, location]  # (B, D)
        if expected is not None:
            seen = torch.where(expected[:, None], context, seen)
        return seen, weights, location

    def _read_out(self, embedded: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
        """Deep output: the last word, the new state and what was seen, (…, V)."""
        return self.output(
            self.dropout(embedded)
            + self.output_hidden(self.dropout(hidden))
            + self.output_context(context)
        )


def build_captioning_model(config: CaptioningConfig) -> CaptioningModel:
    """The model a configuration describes, with fresh weights."""
    if config.encoder == "residual":
        encoder = ResidualEncoder(channels=config.channels[-1], blocks=config.context_layers)
    else:
        encoder = ConvolutionalEncoder(
            stride_eight_layers(
                config.channels,
                context_layers=config.context_layers,
                context_kernel=config.context_kernel,
            )
        )
    return CaptioningModel(encoder, config, encoder_channels=encoder.channels)


def cell_places(rows: int, columns: int, *, like: Tensor) -> Tensor:
    """(rows · columns, 2): x and y of each cell's centre, -1 at the left or top edge to 1."""
    options = {"device": like.device, "dtype": like.dtype}
    y = (2 * torch.arange(rows, **options) + 1) / rows - 1
    x = (2 * torch.arange(columns, **options) + 1) / columns - 1
    return torch.stack([x.repeat(rows), y.repeat_interleave(columns)], dim=1)


def doubly_stochastic_penalty(weights: Tensor, target_mask: Tensor) -> Tensor:
    """Σ_i (1 - Σ_t alpha_ti)² per caption, (B,): how unevenly a caption looked over the picture.

    Normalisation: summed over the L cells, not averaged; words beyond a caption's end do not
    count. A caption of T words has T to give to L cells, so with T < L it cannot reach 0; evenly
    spread looking gives L (1 - T / L)².

    Source: Xu et al. 2015, equation 14.

    Args:
        weights: (B, T, L), rows sum to 1. target_mask: (B, T) bool, True where a word counts.
    """
    given = (weights * target_mask[..., None]).sum(dim=1)  # (B, L)
    return (1 - given).square().sum(dim=1)


def _stack(values: list[Tensor | None]) -> Tensor | None:
    return None if values[0] is None else torch.stack(values, dim=1)
