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
        found.append({"logits": output.logits, "weights": output.weights, **gradients(model)})
    assert_same(*found, tolerance)


def test_incoming_gradients_are_only_read():
    """Expanded ones, whose memory cannot be written, and copies compared afterwards."""
    given = arguments()
    outputs = BahdanauLoop.apply(*given)
    wanted = [tensor for tensor in given if tensor.requires_grad]
    copies = [torch.randn(output.shape, dtype=output.dtype) for output in outputs]
    # the layout that comes back from a loss over (T, B, …): here a copy could be forgotten
    incoming = [copy.transpose(0, 1).clone().transpose(0, 1) for copy in copies]
    torch.autograd.grad(outputs, wanted, incoming, retain_graph=True)
    for copy, gradient in zip(copies, incoming, strict=True):
        assert torch.equal(copy, gradient)
    ones = [torch.ones((), dtype=torch.float64).expand(output.shape) for output in outputs]
    expanded = torch.autograd.grad(outputs, wanted, ones, retain_graph=True)
    summed = torch.autograd.grad(sum(output.sum() for output in outputs), wanted)
    for first, second in zip(expanded, summed, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=1e-12)


def test_who_writes_into_an_output_does_not_change_the_gradient():
    given = arguments()
    outputs = BahdanauLoop.apply(*given)
    loss = outputs[0].sum()
    (before,) = torch.autograd.grad(loss, given[1], retain_graph=True)
    for output in outputs:
        assert output.is_contiguous()
        output.detach().zero_()
    (after,) = torch.autograd.grad(loss, given[1])
    assert torch.equal(before, after)


class Changed(AdditiveAttention):
    """A reader's own score: half of the paper's."""

    def score(self, query, keys):
        return super().score(query, keys) / 2


class ChangedDecoder(BahdanauDecoder):
    """A reader's own step."""


def change_attention(model):
    own = model.decoder.attention
    model.decoder.attention = Changed(query_size=6, memory_size=6, attention_size=7).double()
    model.decoder.attention.load_state_dict(own.state_dict())


def change_decoder(model):
    model.decoder.__class__ = ChangedDecoder


def patch_score(model):
    own = model.decoder.attention.score
    model.decoder.attention.score = lambda query, keys: own(query, keys) / 2


def hook_projection(model):
    model.decoder.attention.query_projection.register_forward_hook(lambda *given: given[2] / 2)


def hook_cell(model):
    model.decoder.recurrence.cells[0].register_full_backward_hook(lambda *_: None)


def give_the_query_a_bias(model):
    model.decoder.attention.query_projection = torch.nn.Linear(6, 7).double()


CHANGES = [
    change_attention,
    change_decoder,
    patch_score,
    hook_projection,
    hook_cell,
    give_the_query_a_bias,
]


@pytest.fixture
def takes_it(monkeypatch):
    """Whether a model goes through `BahdanauLoop`."""
    taken = []

    class Counted:
        @staticmethod
        def apply(*given):
            taken.append(True)
            return BahdanauLoop.apply(*given)

    monkeypatch.setattr(attention_decoders, "BahdanauLoop", Counted)
    batch = random_batch(*LENGTHS)

    def answer(model) -> bool:
        taken.clear()
        model(batch.source, batch.source_lengths, batch.target_input)
        return bool(taken)

    return answer


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bahdanau-general", {}),
        ("bahdanau-local-p", {"local_score": "additive"}),
        ("bahdanau-additive", {"cell": "lstm"}),
        ("bahdanau-additive", {"num_layers": 2}),
        ("bahdanau-additive", {"dtype": torch.bfloat16}),
    ],
)
def test_another_attention_cell_depth_or_precision_does_not_take_it(takes_it, name, changes):
    assert not takes_it(tiny_model(name, **changes))


def test_the_paper_s_own_decoder_takes_it_where_gradients_are_wanted(takes_it):
    model = tiny_model("bahdanau-additive", dtype=torch.float32)
    assert takes_it(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes_it(model)
    with torch.no_grad():
        assert not takes_it(model)


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_reader_changes_is_seen_in_training_too(takes_it, change):
    """With gradients and without, the changed model gives the same numbers."""
    model = tiny_model("bahdanau-additive")
    change(model)
    assert not takes_it(model)
    batch = random_batch(*LENGTHS)
    inputs = batch.source, batch.source_lengths, batch.target_input
    with torch.no_grad():
        expected = model(*inputs).logits
    torch.testing.assert_close(model(*inputs).logits, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", [torch.sum, lambda states: states.sin().sum()])
def test_a_gradient_of_the_gradient_is_refused(loss):
    given = arguments()
    states, _, _ = BahdanauLoop.apply(*given)
    with pytest.raises(RuntimeError, match="go through BahdanauDecoder.step"):
        torch.autograd.grad(loss(states), given[1], create_graph=True)
