"""What captioning models minimise: likelihood, even looking, and REINFORCE for hard attention."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from utils.datasets.captioned_images import CaptionBatch
from utils.losses import LossOutput
from utils.models.captioning import CaptioningModel, doubly_stochastic_penalty


@dataclass(frozen=True)
class CaptionLoss:
    """The loss of one batch of captions, to hand to `utils.training.fit` as compute_loss.

    For a caption y with weights alpha and, under hard attention, sampled cells s, it minimises

        -log p(y | s) + doubly_stochastic · Σ_i (1 - Σ_t alpha_ti)²
        - reinforce · (log p(y | s) - b) Σ_t log alpha_{t, s_t} - entropy · Σ_t H[alpha_t]

    with the bracket (log p - b) a constant to the gradient; all of it summed over the batch and
    divided by the batch's target tokens. The baseline b follows the batch's mean of log p(y | s)
    as b ← baseline_decay · b + (1 - baseline_decay) · mean. Only the first term is reported as
    loss, and only it counts outside training.

    Source: Xu et al. 2015, arXiv:1502.03044, sections 4.1 and 4.2.1. Deviations: `credit`.

    Args:
        doubly_stochastic: lambda of equation 14, 0 or more; only soft attention uses it.
        reinforce: lambda_r. entropy: lambda_e, in nats per word.
        expected_share: share of captions (0–1) that take the soft context instead of a sample;
            0.5 in the paper. They bring no REINFORCE term.
        credit: "caption" credits every look with the whole caption, as in the paper; "remaining"
            with the words from its own on, because a look cannot change words already said: the
            same gradient in expectation, with less noise. Its baseline is one value a word.
    """

    doubly_stochastic: float = 0.0
    reinforce: float = 1.0
    entropy: float = 0.0
    expected_share: float = 0.5
    baseline_decay: float = 0.9
    credit: str = "caption"

    def __post_init__(self) -> None:
        for name in ("doubly_stochastic", "reinforce", "entropy"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 or more.")
        for name in ("expected_share", "baseline_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 to 1.")
        if self.credit not in ("caption", "remaining"):
            raise ValueError(f'credit={self.credit!r}: expected "caption" or "remaining".')

    def __call__(self, model: CaptioningModel, batch: CaptionBatch) -> LossOutput:
        hard = model.config.attention == "hard" and model.training
        expected = None
        if hard:
            draws = torch.rand(len(batch), device=batch.images.device)
            expected = draws < self.expected_share
        output = model(batch.images, batch.target_input, expected=expected)
        log_likelihoods = word_log_likelihoods(output.logits, batch)  # (B, T), 0 at padding
        total = -log_likelihoods.sum()
        if not model.training or output.weights is None:
            return LossOutput(total, batch.target_tokens)
        penalty = total.new_zeros(())
        if hard:
            penalty = penalty + self._reinforce(
                model, output.weights, output.locations, expected, log_likelihoods, batch
            )
        if self.doubly_stochastic:
            uneven = doubly_stochastic_penalty(output.weights, batch.target_mask)
            penalty = penalty + self.doubly_stochastic * uneven.sum()
        return LossOutput(total, batch.target_tokens, penalty / batch.target_tokens)

    def _reinforce(
        self,
        model: CaptioningModel,
        weights: Tensor,
        locations: Tensor,
        expected: Tensor,
        log_likelihoods: Tensor,
        batch: CaptionBatch,
    ) -> Tensor:
        chosen = weights.gather(2, locations[..., None]).squeeze(2)  # (B, T)
        surrogate = reinforce_surrogate(
            chosen.clamp_min(1e-12).log(),
            log_likelihoods.detach(),
            batch.target_mask & ~expected[:, None],
            baseline=model.reward_baseline,
            credit=self.credit,
        )
        entropies = -(weights * weights.clamp_min(1e-12).log()).sum(dim=2)  # (B, T)
        entropy = (entropies * batch.target_mask).sum()
        with torch.no_grad():
            rewards = log_likelihoods.sum(dim=1)
            if self.credit == "remaining":
                rewards = rewards / batch.target_lengths
            model.reward_baseline.lerp_(rewards.mean(), 1 - self.baseline_decay)
        return -self.reinforce * surrogate - self.entropy * entropy


def word_log_likelihoods(logits: Tensor, batch: CaptionBatch) -> Tensor:
    """log p of every reference word in nats, (B, T); 0 at padding."""
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()  # sums over the vocabulary need the digits
    losses = functional.cross_entropy(
        logits.flatten(0, 1),  # (B, T, V) → (B · T, V)
        batch.target_output.flatten(),
        reduction="none",
    )
    return -losses.view_as(batch.target_output) * batch.target_mask


def reinforce_surrogate(
    log_chosen: Tensor,
    log_likelihoods: Tensor,
    mask: Tensor,
    *,
    baseline: Tensor,
    credit: str,
) -> Tensor:
    """A scalar whose gradient is Σ (reward - baseline) ∇ log alpha, summed over the batch.

    Args:
        log_chosen: (B, T), log alpha of the sampled cells, with their gradient.
        log_likelihoods: (B, T), log p of the words, a constant, 0 at padding.
        mask: (B, T) bool, True where a cell was sampled: a caption's words, or none of them.
        baseline: () moving average; of log p(caption), or per word if credit is "remaining".
    """
    if credit == "caption":
        advantage = log_likelihoods.sum(dim=1, keepdim=True) - baseline  # (B, 1)
    else:
        remaining = log_likelihoods.flip(1).cumsum(dim=1).flip(1)  # (B, T)
        words_left = mask.flip(1).cumsum(dim=1).flip(1)
        advantage = remaining - baseline * words_left
    return (advantage * log_chosen * mask).sum()
