"""The whole: an encoder, a decoder, and one `step` that training and decoding agree on."""

from dataclasses import asdict, dataclass, fields

from torch import Tensor, nn

from utils.models.attention import CONTENT_SCORES, SCORES, build_attention
from utils.models.attention_decoders import BahdanauDecoder, LuongDecoder
from utils.models.decoders import (
    CELLS,
    Decoder,
    DecoderOutput,
    DecoderState,
    FixedVectorDecoder,
    StepOutput,
    TiedVocabulary,
)
from utils.models.encoders import Encoded, RecurrentEncoder, shift_update_gates

FIXED_VECTOR_DECODERS = ("cho", "sutskever")
ATTENTION_DECODERS = ("bahdanau", "luong")


@dataclass(frozen=True, kw_only=True)
class Seq2SeqConfig:
    """Everything needed to build a model again; plain values, so it can be stored as JSON.

    Sizes are numbers of units. `readout_size` None means `hidden_size`; `summary_size` is the
    width of c in a fixed-vector decoder; `window` is D of local attention; `longest_source`
    counts positions, <eos> included, and only location attention reads it. `reverse_source`
    says how the training data was prepared: the data set reverses, the model does not.
    Where training begins: `update_gate_bias` (GRU only) is added to the encoder's update gates,
    below 0 its states begin close to their own words; `score_gain` multiplies the weights of the
    additive score, see `AdditiveAttention`.
    `tie_embeddings`: the output layer scores a target word with its embedding's weights.
    """

    source_vocabulary_size: int
    target_vocabulary_size: int
    embedding_size: int
    hidden_size: int
    decoder: str
    attention: str | None = None
    cell: str = "gru"
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    input_feeding: bool = False
    readout_size: int | None = None
    attention_size: int | None = None
    summary_size: int | None = None
    window: int = 10
    local_score: str = "general"
    longest_source: int = 64
    reverse_source: bool = False
    update_gate_bias: float = 0.0
    tie_embeddings: bool = False
    score_gain: float = 1.0

    def __post_init__(self) -> None:
        known = FIXED_VECTOR_DECODERS + ATTENTION_DECODERS
        if self.decoder not in known:
            raise ValueError(f"unknown decoder {self.decoder!r}; choose one of {', '.join(known)}")
        if self.decoder in ATTENTION_DECODERS and self.attention not in SCORES:
            raise ValueError(
                f"decoder {self.decoder!r} needs an attention, one of {', '.join(SCORES)}; "
                f"got {self.attention!r}"
            )
        if self.decoder in FIXED_VECTOR_DECODERS and self.attention is not None:
            raise ValueError(
                f"decoder {self.decoder!r} has no attention, got attention={self.attention!r}; "
                "use decoder='bahdanau' or 'luong'"
            )
        if self.input_feeding and self.decoder != "luong":
            raise ValueError(f"input feeding belongs to decoder 'luong', got {self.decoder!r}")
        if self.summary_size is not None and self.decoder not in FIXED_VECTOR_DECODERS:
            raise ValueError(f"summary_size is the width of c; decoder {self.decoder!r} has no c")
        if self.cell not in CELLS:
            raise ValueError(f"unknown cell {self.cell!r}; choose one of {', '.join(CELLS)}")
        if self.local_score not in CONTENT_SCORES:
            raise ValueError(
                f"a local window needs a content score, one of {', '.join(CONTENT_SCORES)}; "
                f"got local_score={self.local_score!r}"
            )
        if self.update_gate_bias and self.cell != "gru":
            raise ValueError(f"update_gate_bias needs cell 'gru', got cell={self.cell!r}")
        if self.tie_embeddings and (self.readout_size or self.hidden_size) != self.embedding_size:
            raise ValueError(
                "tie_embeddings needs a readout as wide as the embedding, got readout_size="
                f"{self.readout_size or self.hidden_size} and embedding_size={self.embedding_size}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if not self.score_gain > 0.0:
            raise ValueError(f"score_gain must be above 0, got {self.score_gain}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is float:
                continue
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise ValueError(f"{field.name} must be at least 1, got {value}")

    def to_dict(self) -> dict:
        """The config as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Seq2SeqConfig":
        """The inverse of `to_dict`; unknown fields raise a ValueError that names them."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown fields in the model's config: {', '.join(unknown)}")
        return cls(**values)


class EncoderDecoder(nn.Module):
    """p(y) = Π_t p(y_t | y_<t, source), with the source seen through `encode`.

    Source: Cho et al. 2014, §2.2; Sutskever et al. 2014, §2. Deviations: see the decoders.
    """

    def __init__(self, encoder: RecurrentEncoder, decoder: Decoder, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.config = config

    def encode(self, source: Tensor, source_lengths: Tensor) -> Encoded:
        """Source ids (B, S) and real lengths (B,) → memory and final states."""
        return self.encoder(source, source_lengths)

    def start(self, encoded: Encoded) -> tuple[Encoded, DecoderState]:
        """Prepare decoding: the source with its keys, and the first state."""
        return self.decoder.start(encoded)

    def step(self, tokens: Tensor, state: DecoderState, encoded: Encoded) -> StepOutput:
        """Read the words just written (B,), score the next: logits (B, V), state, weights."""
        return self.decoder.step(tokens, state, encoded)

    def forward(
        self,
        source: Tensor,
        source_lengths: Tensor,
        target_input: Tensor,
        *,
        target_mask: Tensor | None = None,
    ) -> DecoderOutput:
        """Teacher forcing: logits (B, T, V) and weights (B, T, S), equal to `step`'s.

        Args:
            source: (B, S) int64 ids. source_lengths: (B,), each from 1 to S.
            target_input: (B, T) int64 ids, <bos> first.
            target_mask: (B, T) bool, or None. The logits are then those of its N true places
                alone, (N, V): a loss needs no scores at padding, and they cost the most.
        Raises:
            ValueError: batch sizes disagree, a length is outside 1 … S, an id is unknown.
        """
        if source.shape[0] != target_input.shape[0]:
            raise ValueError(
                f"source has {source.shape[0]} rows and target_input {target_input.shape[0]}; "
                "they must be pairs"
            )
        if target_mask is not None and target_mask.shape != target_input.shape:
            raise ValueError(
                f"target_mask {tuple(target_mask.shape)} must have the shape of target_input "
                f"{tuple(target_input.shape)}"
            )
        encoded = self.encode(source, source_lengths)
        return self.decoder(target_input, encoded, target_mask=target_mask)


def build_model(config: Seq2SeqConfig) -> EncoderDecoder:
    """Make the model a config describes, freshly initialised from torch's global seed."""
    encoder = RecurrentEncoder(
        vocabulary_size=config.source_vocabulary_size,
        embedding_size=config.embedding_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        bidirectional=config.bidirectional,
        cell=config.cell,
        dropout=config.dropout,
    )
    shared = {
        "memory_size": encoder.memory_size,
        "readout_size": config.readout_size or config.hidden_size,
        "vocabulary_size": config.target_vocabulary_size,
        "embedding_size": config.embedding_size,
        "hidden_size": config.hidden_size,
        "num_layers": config.num_layers,
        "cell": config.cell,
        "dropout": config.dropout,
    }
    if config.decoder in FIXED_VECTOR_DECODERS:
        decoder = FixedVectorDecoder(
            style=config.decoder, summary_size=config.summary_size, **shared
        )
        return _join(encoder, decoder, config)
    attention = build_attention(
        config.attention,
        query_size=config.hidden_size,
        memory_size=encoder.memory_size,
        attention_size=config.attention_size or config.hidden_size,
        longest_source=config.longest_source,
        window=config.window,
        local_score=config.local_score,
        score_gain=config.score_gain,
    )
    if config.decoder == "bahdanau":
        decoder = BahdanauDecoder(attention=attention, **shared)
    else:
        decoder = LuongDecoder(attention=attention, input_feeding=config.input_feeding, **shared)
    return _join(encoder, decoder, config)


def _join(encoder: RecurrentEncoder, decoder: Decoder, config: Seq2SeqConfig) -> EncoderDecoder:
    if config.tie_embeddings:
        decoder.readout.vocabulary = TiedVocabulary(decoder.embedding)
    shift_update_gates(encoder.recurrence, config.update_gate_bias)
    return EncoderDecoder(encoder, decoder, config)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
