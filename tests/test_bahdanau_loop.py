"""The written-out loop of Bahdanau's decoder: its gradient is the true one, and who takes it."""

import pytest
import torch
from tiny_models import assert_same, gradients, random_batch, tiny_model

from utils.models import attention_decoders
from utils.models.attention import AdditiveAttention
from utils.models.attention_decoders import BahdanauDecoder
from utils.models.bahdanau_loop import BahdanauLoop

BATCH, STEPS, SOURCE, HIDDEN, MEMORY, WIDTH = 3, 4, 5, 2, 3, 4
LENGTHS = [5, 2, 7], [4, 6, 3]


def arguments() -> list[torch.Tensor]:
    """What `BahdanauLoop` takes, float64, the second row with three masked positions."""
    mask = torch.ones(BATCH, SOURCE, dtype=torch.bool)
    mask[1, 2:] = False
    shapes = [
        (BATCH, STEPS, 3 * HIDDEN),
        (BATCH, HIDDEN),
        (BATCH, SOURCE, WIDTH),
        (BATCH, SOURCE, MEMORY),
        (WIDTH, HIDDEN),
        (WIDTH,),
        (3 * HIDDEN, MEMORY),
        (3 * HIDDEN, HIDDEN),
        (3 * HIDDEN,),
    ]
    made = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    return [*made[:4], mask, *made[4:]]


def test_the_gradient_is_the_numerical_one():
    """Of states, contexts and weights, with respect to all that is not the mask."""
    assert torch.autograd.gradcheck(BahdanauLoop.apply, arguments())


def test_masked_positions_get_exactly_nothing():
    given = arguments()
    _, _, weights = BahdanauLoop.apply(*given)
    assert torch.equal(weights[1, :, 2:], torch.zeros(STEPS, SOURCE - 2, dtype=torch.float64))
    weights[1, :, 0].sum().backward()
    for tensor in given[2:4]:  # keys and values
        assert torch.equal(tensor.grad[1, 2:], torch.zeros_like(tensor.grad[1, 2:]))
    assert given[2].grad[1, :2].abs().min() > 0


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_the_loop_that_autograd_knows(monkeypatch, dtype, tolerance):
    """The gradient of a loss that reads the logits and the weights, on every parameter."""
    model = tiny_model("bahdanau-additive", dtype=dtype, bidirectional=True)
    batch = random_batch(*LENGTHS, source_padding=2)
    found = []
    for written_out in (True, False):
        monkeypatch.setattr(
            BahdanauDecoder, "_has_written_out_loop", lambda *_, answer=written_out: answer
        )
        output = model(batch.source, batch.source_lengths, batch.target_input)
        (output.logits.sin().sum() + output.weights.sin().sum()).backward()
        found.append(
            {"logits": output.logits, "weights": output.weights.clone(), **gradients(model)}
        )
    assert_same(*found, tolerance)


class Changed(AdditiveAttention):
    """A reader's own score: half of the paper's."""

    def score(self, query, keys):
        return super().score(query, keys) / 2


def test_only_the_paper_s_own_decoder_takes_it(monkeypatch):
    """Another attention, cell, depth or precision, or no gradients: the plain loop."""
    taken = []

    class Counted:
        @staticmethod
        def apply(*given):
            taken.append(True)
            return BahdanauLoop.apply(*given)

    monkeypatch.setattr(attention_decoders, "BahdanauLoop", Counted)
    batch = random_batch(*LENGTHS)

    def takes_it(model) -> bool:
        taken.clear()
        model(batch.source, batch.source_lengths, batch.target_input)
        return bool(taken)

    assert takes_it(tiny_model("bahdanau-additive"))
    for name, changes in [
        ("bahdanau-general", {}),
        ("bahdanau-local-p", {"local_score": "additive"}),
        ("bahdanau-additive", {"cell": "lstm"}),
        ("bahdanau-additive", {"num_layers": 2}),
    ]:
        assert not takes_it(tiny_model(name, **changes)), (name, changes)
    model = tiny_model("bahdanau-additive")
    own = model.decoder.attention
    changed = Changed(query_size=6, memory_size=6, attention_size=7).double()
    changed.load_state_dict(own.state_dict())
    model.decoder.attention = changed
    assert not takes_it(model)
    model = tiny_model("bahdanau-additive", dtype=torch.float32)
    assert takes_it(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes_it(model)
    with torch.no_grad():
        assert not takes_it(model)


def test_a_gradient_of_the_gradient_is_refused():
    given = arguments()
    states, _, _ = BahdanauLoop.apply(*given)
    (gradient,) = torch.autograd.grad(states.sin().sum(), given[1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
