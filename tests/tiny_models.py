"""Tiny models of every kind, and batches for them, shared by the tests of `utils.models`."""

import torch
from torch import Tensor

from utils.datasets.batching import Batch
from utils.models.attention import SCORES
from utils.models.seq2seq import EncoderDecoder, Seq2SeqConfig, build_model

SOURCE_VOCABULARY, TARGET_VOCABULARY = 11, 13
LONGEST_SOURCE = 12

FIXED = {
    "cho": {"decoder": "cho"},
    "cho-narrow": {"decoder": "cho", "summary_size": 3},
    "sutskever": {"decoder": "sutskever"},
    "sutskever-narrow": {"decoder": "sutskever", "summary_size": 3},
}
WITH_ATTENTION = {
    f"{name}-{score}": {**changes, "attention": score}
    for name, changes in {
        "bahdanau": {"decoder": "bahdanau"},
        "luong": {"decoder": "luong"},
        "luong-feeding": {"decoder": "luong", "input_feeding": True},
    }.items()
    for score in SCORES
}
ALL = {**FIXED, **WITH_ATTENTION}

FEW = ("cho", "sutskever", "bahdanau-additive", "luong-local-p", "luong-feeding-general")


def tiny_config(name: str, **changes) -> Seq2SeqConfig:
    sizes = {
        "source_vocabulary_size": SOURCE_VOCABULARY,
        "target_vocabulary_size": TARGET_VOCABULARY,
        "embedding_size": 4,
        "hidden_size": 6,
        "readout_size": 5,
        "attention_size": 7,
        "longest_source": LONGEST_SOURCE,
        "window": 2,
    }
    return Seq2SeqConfig(**{**sizes, **ALL[name], **changes})


def tiny_model(
    name: str, *, dtype: torch.dtype = torch.float64, scale: float = 1.0, **changes
) -> EncoderDecoder:
    """A model in evaluation mode; `scale` multiplies its weights, for livelier outputs."""
    model = build_model(tiny_config(name, **changes)).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= scale
    return model


def random_batch(
    source_lengths: list[int],
    target_lengths: list[int],
    *,
    source_padding: int = 0,
    target_padding: int = 0,
    seed: int = 0,
) -> Batch:
    """A batch of random ids with random *ids* on the padding too, so that a leak is seen.

    The real words depend on `seed` and the row alone; `…_padding` widens the batch.
    """
    rows = len(source_lengths)
    source = torch.randint(1, SOURCE_VOCABULARY, (rows, max(source_lengths) + source_padding))
    target = torch.randint(1, TARGET_VOCABULARY, (rows, max(target_lengths) + target_padding + 1))
    for row, (source_length, target_length) in enumerate(
        zip(source_lengths, target_lengths, strict=True)
    ):
        words = torch.Generator().manual_seed(1000 * seed + row)
        source[row, :source_length] = torch.randint(
            1, SOURCE_VOCABULARY, (source_length,), generator=words
        )
        target[row, : target_length + 1] = torch.randint(
            1, TARGET_VOCABULARY, (target_length + 1,), generator=words
        )
    return Batch(
        source=source,
        source_lengths=torch.tensor(source_lengths),
        target_input=target[:, :-1],
        target_output=target[:, 1:],
        target_lengths=torch.tensor(target_lengths),
        indices=torch.arange(rows),
    )


def single_row(batch: Batch, row: int) -> Batch:
    """One row of a batch as a batch of one, without padding."""
    source, target = int(batch.source_lengths[row]), int(batch.target_lengths[row])
    rows = slice(row, row + 1)
    return Batch(
        source=batch.source[rows, :source],
        source_lengths=batch.source_lengths[rows],
        target_input=batch.target_input[rows, :target],
        target_output=batch.target_output[rows, :target],
        target_lengths=batch.target_lengths[rows],
        indices=batch.indices[rows],
    )


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    """Every parameter's gradient (zeros where none reached it); forgets them afterwards."""
    found = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.named_parameters()
    }
    model.zero_grad(set_to_none=True)
    return found


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Two dicts of tensors agree to an absolute tolerance; the worst name is reported."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name],
            tensor,
            rtol=0,
            atol=tolerance,
            msg=lambda text, name=name: f"{name}: {text}",
        )
