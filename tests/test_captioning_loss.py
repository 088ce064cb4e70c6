"""What captioning models minimise: likelihood, even looking, and hard attention's gradient."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from tiny_captioners import batch_of, tiny_config, tiny_model
from torch import Tensor, nn

from utils.captioning_loss import CaptionLoss, reinforce_surrogate, word_log_likelihoods
from utils.datasets.captioned_images import CaptionBatch
from utils.models.captioning import CaptioningModel, doubly_stochastic_penalty


def test_doubly_stochastic_penalty_by_hand() -> None:
    weights = torch.tensor([[[1.0, 0.0], [0.5, 0.5], [0.9, 0.1]]])
    all_steps = torch.tensor([[True, True, True]])
    assert doubly_stochastic_penalty(weights, all_steps).item() == pytest.approx(1.4**2 + 0.4**2)
    two = torch.tensor([[True, True, False]])
    assert doubly_stochastic_penalty(weights, two).item() == pytest.approx(0.5**2 + 0.5**2)
    even = torch.full((1, 3, 12), 1 / 12)
    expected = 12 * (1 - 3 / 12) ** 2
    assert doubly_stochastic_penalty(even, all_steps).item() == pytest.approx(expected)


def test_the_loss_counts_words_and_scales_its_penalty() -> None:
    model = tiny_model().float().train()
    batch = batch_of(3, [4, 2, 3])
    batch = CaptionBatch(batch.images.float(), *list(vars(batch).values())[1:])
    plain = CaptionLoss()(model, batch)
    penalised = CaptionLoss(doubly_stochastic=0.7)(model, batch)
    output = model(batch.images, batch.target_input)
    expected = sum(
        nn.functional.cross_entropy(output.logits[row, t], batch.target_output[row, t])
        for row, length in enumerate([4, 2, 3])
        for t in range(length)
    )
    assert plain.tokens == 9 and plain.total.item() == pytest.approx(expected.item(), rel=1e-5)
    uneven = doubly_stochastic_penalty(output.weights, batch.target_mask).sum()
    assert penalised.total.item() == pytest.approx(plain.total.item())
    assert penalised.penalty.item() == pytest.approx(0.7 * uneven.item() / 9, rel=1e-5)
    model.eval()
    assert CaptionLoss(doubly_stochastic=0.7)(model, batch).penalty is None


def enumerated(model: CaptioningModel, batch: CaptionBatch, cells: int):
    """Every sequence of cells: (its log p(y | s), log alpha of its cells), all with gradients."""
    steps = batch.target_output.shape[1]
    for sequence in itertools.product(range(cells), repeat=steps):
        locations = torch.tensor([sequence])
        output = model(batch.images, batch.target_input, locations=locations)
        chosen = output.weights.gather(2, locations[..., None]).squeeze(2).log()
        yield word_log_likelihoods(output.logits, batch), chosen


class _Pool(nn.Module):
    """A grid of 1 × 3 cells: few enough to try every sequence of looks."""

    def forward(self, pictures: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(pictures, (1, 3)) * 3


@pytest.mark.parametrize("credit", ["caption", "remaining"])
def test_reinforce_agrees_in_expectation_with_exact_enumeration(credit: str) -> None:
    torch.manual_seed(3)
    model = CaptioningModel(_Pool(), tiny_config(attention="hard"), encoder_channels=3).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 4
    batch = batch_of(1, [3])
    parameters = [p for p in model.parameters() if p.requires_grad]
    exact = sum(
        (likelihoods.sum() * chosen.sum().exp())
        for likelihoods, chosen in enumerated(model, batch, cells=3)
    )  # E over s of log p(y | s), the paper's lower bound L_s
    exact_gradient = torch.autograd.grad(exact, parameters, allow_unused=True)
    mean = None
    for likelihoods, chosen in enumerated(model, batch, cells=3):
        surrogate = likelihoods.sum() + reinforce_surrogate(
            chosen,
            likelihoods.detach(),
            batch.target_mask,
            baseline=torch.tensor(-1.7, dtype=torch.float64),  # any constant: it must cancel
            credit=credit,
        )
        gradient = torch.autograd.grad(surrogate, parameters, allow_unused=True)
        probability = chosen.sum().exp().item()
        weighed = [None if g is None else probability * g for g in gradient]
        mean = weighed if mean is None else [
            None if a is None else a + b for a, b in zip(mean, weighed, strict=True)
        ]  # fmt: skip
    for ours, theirs in zip(mean, exact_gradient, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    index = [n for n, _ in model.named_parameters()].index("attention.score_vector.weight")
    assert exact_gradient[index].abs().max() > 1e-3, "the case must have a gradient to compare"


@pytest.mark.parametrize("credit", ["caption", "remaining"])
def test_the_whole_loss_agrees_in_expectation_with_exact_enumeration(credit, monkeypatch) -> None:
    """As above, but for what `fit` is handed: with its draws, its signs and its baseline."""
    torch.manual_seed(3)
    model = CaptioningModel(_Pool(), tiny_config(attention="hard"), encoder_channels=3).double()
    model.train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 4
    batch = batch_of(1, [3])
    parameters = [p for p in model.parameters() if p.requires_grad]

    def gradient(value: Tensor) -> Tensor:
        parts = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts])

    loss = CaptionLoss(reinforce=1.0, entropy=0.0, expected_share=0.0, credit=credit)
    exact = mean = 0
    for (likelihoods, chosen), sequence in zip(
        enumerated(model, batch, cells=3), itertools.product(range(3), repeat=3), strict=True
    ):
        exact = exact + likelihoods.sum() * chosen.sum().exp()
        draws = iter(sequence)
        monkeypatch.setattr(torch, "multinomial", lambda *_, d=draws: torch.tensor([[next(d)]]))
        model.reward_baseline.fill_(-1.7)
        output = loss(model, batch)
        mean = mean + chosen.sum().exp().item() * gradient(output.total + output.penalty * 3)
    torch.testing.assert_close(mean, -gradient(exact), rtol=1e-9, atol=1e-12)


def test_a_word_that_is_certain_counts_among_those_left() -> None:
    """In float32 a certain word has log p = 0 exactly; the baseline must not depend on that."""
    log_chosen = torch.full((1, 3), -1.0)
    likelihoods = torch.tensor([[-1.0, 0.0, -2.0]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    value = reinforce_surrogate(
        log_chosen, likelihoods, mask, baseline=torch.tensor(-0.5), credit="remaining"
    )
    assert value.item() == pytest.approx(-((-3 + 1.5) + (-2 + 1.0) + (-2 + 0.5)))


def test_the_baseline_follows_the_reward_and_is_saved() -> None:
    model = tiny_model(attention="hard").float().train()
    batch = batch_of(4, [3, 2, 3, 1])
    batch = CaptionBatch(batch.images.float(), *list(vars(batch).values())[1:])
    loss = CaptionLoss(expected_share=0.0, baseline_decay=0.75)
    output = loss(model, batch)
    assert model.reward_baseline.item() == pytest.approx(-output.total.item() / 4 * 0.25, rel=1e-5)
    assert "reward_baseline" in model.state_dict()
    model.eval()
    before = model.reward_baseline.clone()
    assert loss(model, batch).penalty is None and model.reward_baseline == before


def test_only_sampled_captions_bring_a_reinforce_term() -> None:
    log_chosen = torch.full((2, 2), -1.0)
    likelihoods = torch.tensor([[-1.0, -2.0], [-5.0, -7.0]])
    mask = torch.tensor([[True, True], [False, False]])
    baseline = torch.tensor(-2.0)
    value = reinforce_surrogate(log_chosen, likelihoods, mask, baseline=baseline, credit="caption")
    assert value.item() == pytest.approx((-3 + 2) * -1 * 2)
    value = reinforce_surrogate(
        log_chosen, likelihoods, mask, baseline=torch.tensor(-0.5), credit="remaining"
    )
    assert value.item() == pytest.approx(-((-3 + 1.0) + (-2 + 0.5)))
    model = tiny_model(attention="hard").float().train()
    batch = batch_of(2, [2, 2])
    batch = CaptionBatch(batch.images.float(), *list(vars(batch).values())[1:])
    assert CaptionLoss(expected_share=1.0)(model, batch).penalty.item() == 0.0


def test_entropy_is_rewarded() -> None:
    model = tiny_model(attention="hard").float().train()
    batch = batch_of(2, [2, 1])
    batch = CaptionBatch(batch.images.float(), *list(vars(batch).values())[1:])
    with torch.no_grad():
        model.attention.score_vector.weight.zero_()  # weights are uniform over 16 cells
    loss = CaptionLoss(expected_share=1.0, entropy=0.5)(model, batch)
    assert loss.penalty.item() == pytest.approx(-0.5 * 3 * math.log(16) / 3, rel=1e-4)


def test_padding_changes_no_part_of_the_loss(monkeypatch) -> None:
    """Beyond a caption's end there is no likelihood, no credit, no entropy and no look."""
    model = tiny_model(attention="hard").train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    short = batch_of(1, [2])
    padding = torch.zeros(1, 3, dtype=torch.long)
    padded = replace(
        short,
        target_input=torch.cat([short.target_input, padding], dim=1),
        target_output=torch.cat([short.target_output, padding], dim=1),
    )
    for changes in ({"credit": "caption"}, {"credit": "remaining"}, {"doubly_stochastic": 0.3}):
        loss = CaptionLoss(**{"expected_share": 0.0, "entropy": 0.2} | changes)
        found = []
        for batch in (short, padded):
            draws = itertools.cycle([3, 7])
            monkeypatch.setattr(torch, "multinomial", lambda *_, d=draws: torch.tensor([[next(d)]]))
            model.reward_baseline.fill_(-1.7)
            output = loss(model, batch)
            found.append(torch.stack([output.total, output.penalty, model.reward_baseline + 0]))
        torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doubly_stochastic": -1.0}, "doubly_stochastic=-1.0"),
        ({"entropy": float("nan")}, "entropy=nan"),
        ({"expected_share": 1.2}, "expected_share=1.2"),
        ({"credit": "word"}, "credit='word'"),
    ],
)
def test_a_loss_out_of_range_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CaptionLoss(**changes)
