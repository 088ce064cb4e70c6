"""Losses as sums over real target tokens, with the number of tokens beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class LossOutput(NamedTuple):
    """The loss of one batch.

    Attributes:
        total: () float, sum of the token losses in nats.
        tokens: number of real target tokens in the sum.
        penalty: () float added to the mean token loss that is minimised, such as a
            regularisation term, or None. Not part of the loss that is reported.
        metrics: names to sums over the tokens, reported divided by `tokens`.
    """

    total: Tensor
    tokens: int
    penalty: Tensor | None = None
    metrics: Mapping[str, Tensor | float] = {}


ComputeLoss = Callable[..., LossOutput]


def translation_loss(model: nn.Module, batch: Any, *, label_smoothing: float = 0.0) -> LossOutput:
    """Cross-entropy of the reference translation under teacher forcing.

    Args:
        model: maps ``(source, source_lengths, target_input, target_mask=…)`` to an output with
            ``logits`` (N, V), of the N real target tokens.
        batch: a `utils.datasets.batching.Batch`.
        label_smoothing: 0 … 1; applies only while the model is in training mode, so that
            validation losses stay comparable.
    """
    real = batch.target_mask  # (B, T)
    output = model(batch.source, batch.source_lengths, batch.target_input, target_mask=real)
    logits = output.logits  # (N, V): padding is never scored
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()  # sums over the vocabulary and the batch need the digits
    total = functional.cross_entropy(
        logits,
        batch.target_output[real],
        reduction="sum",
        label_smoothing=label_smoothing if model.training else 0.0,
    )
    return LossOutput(total, batch.target_tokens)


def mean_loss(loss: LossOutput) -> Tensor:
    """What is minimised: the mean over the target tokens, plus the penalty, () float."""
    mean = loss.total / loss.tokens
    return mean if loss.penalty is None else mean + loss.penalty


def evaluate_loss(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    device: torch.device | str | None = None,
    compute_loss: ComputeLoss = translation_loss,
) -> float:
    """Mean loss over all batches, in nats per real target token, in the weights' precision.

    Dropout is off meanwhile; the model is left in the mode it was in, on its own device.

    Raises:
        ValueError: there is not one target token.
    """
    total, tokens = sum_losses(model, batches, device=device, compute_loss=compute_loss)
    if not tokens:
        raise ValueError("the batches to evaluate hold no target tokens; pass at least one pair")
    return total / tokens


@torch.no_grad()
def sum_losses(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    device: torch.device | str | None = None,
    compute_loss: ComputeLoss = translation_loss,
) -> tuple[float, int]:
    """The same as a sum in nats, and the number of tokens in it: (0.0, 0) of no batches."""
    device = next(model.parameters()).device if device is None else device
    training = model.training
    model.eval()
    try:
        total, tokens = 0.0, 0
        for batch in batches:
            loss = compute_loss(model, batch.to(device))
            total += loss.total.item()
            tokens += loss.tokens
    finally:
        model.train(training)
    return total, tokens
