"""Captioning: the decoder's invariants, what encoders see, and training."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
import torch
from tiny_captioners import KINDS, VOCABULARY, batch_of, images, tiny_config, tiny_model, words
from torch import Tensor, nn

from utils.captioning_loss import CaptionLoss
from utils.checkpoints import load_model, save_model
from utils.datasets.batching import BucketedBatches
from utils.datasets.captioned_images import RenderedScenes, scene_vocabulary
from utils.datasets.scenes import SceneConfig, sample_scenes
from utils.decoding import beam_search, greedy_search
from utils.models.captioning import (
    CaptioningConfig,
    CaptioningModel,
    build_captioning_model,
    cell_places,
)
from utils.models.encoders import select_rows
from utils.models.image_encoders import (
    Convolution,
    ConvolutionalEncoder,
    ResidualEncoder,
    receptive_field,
    stride_eight_layers,
)
from utils.training import fit
from utils.training_config import TrainingConfig

# --- the decoder ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gate", [True, False])
def test_forward_gives_the_logits_of_steps(kind: str, gate: bool) -> None:
    model = tiny_model(attention=kind, gate=gate)
    pictures, tokens = images(3), words(3, 5)
    output = model(pictures, tokens)
    encoded, state = model.start(model.encode(pictures))
    for t in range(5):
        step = model.step(tokens[:, t], state, encoded)
        state = step.state
        torch.testing.assert_close(step.logits, output.logits[:, t])
        for one, all_ in (
            (step.weights, output.weights),
            (step.gate, output.gates),
            (step.location, output.locations),
        ):
            assert (one is None) == (all_ is None)
            if one is not None:
                torch.testing.assert_close(one, all_[:, t])
    assert (output.weights is None) == (kind == "mean")
    assert (output.locations is None) == (kind != "hard")
    assert (output.gates is None) == (not gate)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_one_equals_its_row_of_a_batch(kind: str) -> None:
    model = tiny_model(attention=kind)
    pictures, tokens = images(4), words(4, 6)
    together = model(pictures, tokens).logits
    for row in range(4):
        alone = model(pictures[row : row + 1], tokens[row : row + 1]).logits
        torch.testing.assert_close(alone[0], together[row])


@pytest.mark.parametrize("kind", KINDS)
def test_permuting_the_grid_permutes_the_weights_and_nothing_else(kind: str) -> None:
    model = tiny_model(attention=kind)
    encoded = model.encode(images(2))
    order = torch.randperm(encoded.memory.shape[1])
    turned = encoded._replace(memory=encoded.memory[:, order])
    tokens = words(2, 4)
    results = []
    for version in (encoded, turned):
        ready, state = model.start(version)
        steps = []
        for t in range(4):
            step = model.step(tokens[:, t], state, ready)
            state = step.state
            steps.append(step)
        results.append(steps)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one.logits, other.logits)
        if kind != "mean":
            torch.testing.assert_close(one.weights[:, order], other.weights)
            assert not torch.allclose(one.weights, other.weights)


def test_weights_are_distributions_and_gates_are_shares() -> None:
    output = tiny_model()(images(3), words(3, 4))
    torch.testing.assert_close(output.weights.sum(-1), torch.ones(3, 4, dtype=torch.float64))
    assert output.weights.shape == (3, 4, 16) and (output.weights >= 0).all()
    assert ((output.gates > 0) & (output.gates < 1)).all()


def test_the_equations_step_by_step() -> None:
    model = tiny_model(places=True)
    picture, token = images(1), words(1, 1)[:, 0]
    grid = model.encoder(picture)[0]  # (C, 4, 4)
    a = torch.cat([grid.flatten(1).T, cell_places(4, 4, like=grid)], dim=1)  # (16, C + 2)
    h = torch.tanh(model.initial_hidden.weight @ a.mean(0) + model.initial_hidden.bias)
    c = torch.tanh(model.initial_cell.weight @ a.mean(0) + model.initial_cell.bias)
    attention = model.attention
    scores = torch.stack([
        attention.score_vector.weight[0] @ torch.tanh(
            attention.query_projection.weight @ h + attention.key_projection.weight @ cell
        )
        for cell in a
    ])  # fmt: skip
    weights = scores.softmax(0)
    beta = torch.sigmoid(model.gate.weight[0] @ h + model.gate.bias[0])
    z = beta * sum(weight * cell for weight, cell in zip(weights, a, strict=True))
    y = model.embedding.weight[token[0]]
    h1, _ = model.recurrent(torch.cat([y, z])[None], (h[None], c[None]))
    read = y + model.output_hidden(h1[0]) + model.output_context.weight @ z
    expected = model.output.weight @ read + model.output.bias
    step = model.step(token, *model.start(model.encode(picture))[::-1])
    torch.testing.assert_close(step.weights[0], weights)
    torch.testing.assert_close(step.gate[0], beta)
    torch.testing.assert_close(step.logits[0], expected)


def test_places_say_where_a_cell_is() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    places = cell_places(2, 4, like=like)
    assert places.tolist() == [
        [-0.75, -0.5], [-0.25, -0.5], [0.25, -0.5], [0.75, -0.5],
        [-0.75, 0.5], [-0.25, 0.5], [0.25, 0.5], [0.75, 0.5],
    ]  # fmt: skip
    assert tiny_model(places=False).annotation_size == 5
    assert tiny_model(places=True).annotation_size == 7


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_and_beam_search_write_captions(kind: str) -> None:
    model = tiny_model(attention=kind)
    pictures = images(3)
    greedy = greedy_search(model, pictures, maximum_length=6)
    for one, beams in zip(
        greedy, beam_search(model, pictures, beam_size=1, maximum_length=6), strict=True
    ):
        assert one.tokens == beams[0].tokens
    if kind == "mean":
        assert greedy[0].weights is None
    else:
        assert greedy[0].weights.shape[1] == 16


def test_states_and_encodings_reorder_by_rows() -> None:
    model = tiny_model()
    encoded, state = model.start(model.encode(images(3)))
    rows, tokens = torch.tensor([2, 0, 0]), words(3, 1)[:, 0]
    step = model.step(tokens, state, encoded)
    turned = model.step(tokens[rows], select_rows(state, rows), select_rows(encoded, rows))
    torch.testing.assert_close(turned.logits, step.logits[rows])


def test_cells_are_sampled_from_the_weights() -> None:
    model = tiny_model(attention="hard").train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    encoded, state = model.start(model.encode(images(1)))
    rows = torch.zeros(4000, dtype=torch.long)
    step = model.step(words(1, 1)[:, 0][rows], select_rows(state, rows), select_rows(encoded, rows))
    shares = torch.bincount(step.location, minlength=16) / 4000
    weights = step.weights[0].float()
    deviations = (shares - weights) / (weights * (1 - weights) / 4000).sqrt()
    assert deviations.abs().max() < 4.5
    model.eval()
    likeliest = model.step(words(1, 1)[:, 0], state, encoded)
    assert likeliest.location.item() == likeliest.weights.argmax().item()


def test_hard_attention_sees_one_cell_and_expected_rows_see_all() -> None:
    model = tiny_model(attention="hard")
    soft = tiny_model(attention="soft")
    soft.load_state_dict(model.state_dict(), strict=False)
    pictures, tokens = images(2), words(2, 3)
    expected = model(pictures, tokens, expected=torch.tensor([True, False]))
    blended = soft(pictures, tokens)
    torch.testing.assert_close(expected.logits[0], blended.logits[0])
    assert not torch.allclose(expected.logits[1], blended.logits[1])
    locations = torch.tensor([[3, 3, 3], [5, 5, 5]])
    seen = model(pictures, tokens, locations=locations)
    moved = model.encode(pictures)
    assert (seen.locations == locations).all()
    changed = moved.memory.clone()
    changed[0, 7] += 1  # a cell nobody looks at, with the summary kept
    step = [
        model.step(tokens[:, 0], model.start(moved)[1], model.start(moved._replace(memory=m))[0],
                   location=locations[:, 0]).logits
        for m in (moved.memory, changed)
    ]  # fmt: skip
    torch.testing.assert_close(step[0], step[1])


# --- encoders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "size", "stride"),
    [
        ((Convolution(3, 4, 2),), 4, 2),
        (stride_eight_layers((2, 2, 2), context_layers=2, context_kernel=1), 22, 8),
        (stride_eight_layers((2, 2, 2), context_layers=1, context_kernel=3), 38, 8),
        (stride_eight_layers((2, 2, 2), context_layers=3, context_kernel=3), 70, 8),
    ],
)
def test_the_receptive_field_is_what_moves_a_vector(layers, size: int, stride: int) -> None:
    encoder = ConvolutionalEncoder(layers).double().eval()
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0.1, 1.0)  # nothing cancels, no ReLU is closed
    side = 160
    picture = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    grid = encoder(picture)
    row, column = grid.shape[2] // 2, grid.shape[3] // 2 + 1
    grid[0, :, row, column].sum().backward()
    seen = picture.grad[0].abs().sum(0) > 0
    for axis, cell in ((1, row), (0, column)):
        places = seen.any(dim=axis).nonzero().flatten()
        assert len(places) == size == receptive_field(layers).size
        # the field's middle is the middle of the cell
        assert (places[0] + places[-1] + 1) / 2 == (cell + 0.5) * stride
    assert encoder.field == (size, stride)


def test_layers_that_would_shift_their_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="layer 0: kernel 3 with stride 2"):
        ConvolutionalEncoder([Convolution(4, 3, 2)])
    with pytest.raises(ValueError, match="kernel 1 with stride 2"):
        ConvolutionalEncoder([Convolution(4, 1, 2)])
    with pytest.raises(ValueError, match="at least one layer"):
        ConvolutionalEncoder([])
    with pytest.raises(ValueError, match="expected three numbers"):
        stride_eight_layers((4, 4), context_layers=0, context_kernel=1)


class _Stage(nn.Module):
    """Not written for this package: a plain module that returns (B, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 7, 16, stride=16)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layer(pictures)


@pytest.mark.parametrize(
    ("encoder", "channels", "cells"),
    [(ResidualEncoder(channels=8, blocks=2), 8, 16), (_Stage(), 7, 4)],
    ids=["residual", "any module"],
)
def test_any_module_that_gives_a_grid_can_be_the_encoder(encoder, channels, cells) -> None:
    model = CaptioningModel(encoder, tiny_config(), encoder_channels=channels)
    output = model(images(2).float(), words(2, 3))
    assert output.weights.shape == (2, 3, cells)
    output.logits.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_the_residual_encoder_is_a_choice_of_the_config() -> None:
    model = tiny_model(encoder="residual", channels=(2, 4, 8), context_layers=1)
    assert model.encoder.field == (22 + 2 * 16, 8)
    assert model(images(1), words(1, 2)).logits.shape == (1, 2, VOCABULARY)


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_loss(kind: str) -> None:
    config = SceneConfig.easy()
    vocabulary = scene_vocabulary(config)
    data = RenderedScenes(sample_scenes(config, 24, seed=1), vocabulary=vocabulary)
    torch.manual_seed(0)
    model = build_captioning_model(
        tiny_config(vocabulary_size=len(vocabulary), attention=kind, image_size=64, hidden_size=24)
    )
    history = fit(
        model,
        BucketedBatches(data, batch_size=12),
        None,
        TrainingConfig(epochs=12, learning_rate=1e-2),
        progress=False,
        compute_loss=CaptionLoss(entropy=0.01),
    )
    assert history.train_loss[-1] < 0.75 * history.train_loss[0]


def test_a_model_comes_back_from_its_checkpoint(tmp_path) -> None:
    model = tiny_model(attention="hard").float()
    save_model(tmp_path, model, config=asdict(model.config), vocabularies={}, card=None)
    saved = load_model(tmp_path)
    again = build_captioning_model(CaptioningConfig(**saved.config))
    again.load_state_dict(saved.state_dict)
    again.eval()
    assert again.config == model.config
    pictures, tokens = images(2).float(), words(2, 3)
    assert torch.equal(again(pictures, tokens).logits, model(pictures, tokens).logits)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gives_the_same_captions(kind: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    model = tiny_model(attention=kind)
    pictures, tokens = images(2), words(2, 3)
    expected = model(pictures, tokens).logits
    model.cuda()
    torch.testing.assert_close(model(pictures.cuda(), tokens.cuda()).logits.cpu(), expected)
    batch = batch_of(2, [3, 2]).to("cuda")
    model.train()
    loss = CaptionLoss(doubly_stochastic=0.1, entropy=0.1)(model, batch)
    (loss.total + (0 if loss.penalty is None else loss.penalty)).backward()


# --- errors ---------------------------------------------------------------------------------------


def test_pictures_that_do_not_fit_are_named() -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match=r"images \(2, 3, 64, 64\): expected \(B, 3, 32, 32\)"):
        model.encode(images(2, 64))
    with pytest.raises(ValueError, match=r"images \(2, 1, 32, 32\)"):
        model.encode(images(2)[:, :1])
    with pytest.raises(ValueError, match=r"images \(3, 32, 32\)"):
        model.encode(images(1)[0])
    with pytest.raises(ValueError, match="images are torch.uint8"):
        model.encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    for factor, found in ((255, "0.* to .*Divide 8-bit"), (-1, "-1"), (math.nan, "nan")):
        with pytest.raises(ValueError, match=f"images hold values from {found}"):
            model.encode(torch.linspace(0, 1, 3 * 32 * 32).view(1, 3, 32, 32) * factor)
    wrong = CaptioningModel(_Stage(), tiny_config(), encoder_channels=5)
    with pytest.raises(ValueError, match=r"the encoder gave \(1, 7, 2, 2\)"):
        wrong.encode(images(1).float())
    flat = CaptioningModel(nn.Flatten(), tiny_config(), encoder_channels=5)
    with pytest.raises(ValueError, match=r"the encoder gave \(1, 3072\)"):
        flat.encode(images(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "harder"}, "attention='harder'"),
        ({"encoder": "vgg"}, "encoder='vgg'"),
        ({"image_size": 30}, "image_size=30"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"hidden_size": 0}, "hidden_size=0"),
    ],
)
def test_a_config_out_of_range_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_config(**changes)
