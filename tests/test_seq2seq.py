"""The whole model: padding changes nothing, configs are checked, sizes are counted."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import ALL, FEW, gradients, random_batch, single_row, tiny_config, tiny_model

from utils.losses import translation_loss
from utils.models.seq2seq import Seq2SeqConfig, build_model, count_parameters

pairs_of_lengths = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 6)), min_size=1, max_size=4)


def states_after(model, batch):
    """The decoder's state after each row's last real word: one (L, H) tensor a row."""
    encoded, state = model.start(model.encode(batch.source, batch.source_lengths))
    found = [None] * len(batch)
    for t, tokens in enumerate(batch.target_input.unbind(dim=1)):
        state = model.step(tokens, state, encoded).state
        for row in (batch.target_lengths == t + 1).nonzero().flatten().tolist():
            found[row] = state.hidden[row]
    return found


@given(
    name=st.sampled_from(sorted(ALL)),
    cell=st.sampled_from(["tanh", "gru", "lstm"]),
    layers=st.integers(1, 2),
    lengths=pairs_of_lengths,
    source_padding=st.integers(0, 4),
    target_padding=st.integers(0, 4),
)
def test_padding_changes_nothing(name, cell, layers, lengths, source_padding, target_padding):
    """Loss, logits, weights, state and gradients of a padded batch are those of its rows alone.

    The padding holds random ids, so that whatever reads it is seen.
    """
    model = tiny_model(name, cell=cell, num_layers=layers)
    batch = random_batch(
        *map(list, zip(*lengths, strict=True)),
        source_padding=source_padding,
        target_padding=target_padding,
    )
    output = model(batch.source, batch.source_lengths, batch.target_input)
    loss = translation_loss(model, batch)
    loss.total.backward()
    batched = gradients(model)
    states = states_after(model, batch)
    assert loss.tokens == sum(target for _, target in lengths)

    total = 0.0
    for row, (source_length, target_length) in enumerate(lengths):
        alone = single_row(batch, row)
        expected = model(alone.source, alone.source_lengths, alone.target_input)
        torch.testing.assert_close(
            output.logits[row, :target_length], expected.logits[0], rtol=0, atol=1e-6
        )
        if output.weights is not None:
            real = output.weights[row, :target_length]
            torch.testing.assert_close(
                real[:, :source_length], expected.weights[0], rtol=0, atol=1e-6
            )
            assert (real[:, source_length:] == 0).all()
        torch.testing.assert_close(states[row], states_after(model, alone)[0], rtol=0, atol=1e-6)
        alone_loss = translation_loss(model, alone).total
        alone_loss.backward()  # gradients add up over the rows
        total += alone_loss.item()
    assert loss.total.item() == pytest.approx(total, abs=1e-6)
    for parameter, gradient in gradients(model).items():
        torch.testing.assert_close(
            batched[parameter], gradient, rtol=0, atol=1e-6, msg=lambda text, p=parameter: p + text
        )


@pytest.mark.parametrize("name", ALL)
def test_logits_of_the_real_places_are_those_of_all_places(name):
    model = tiny_model(name)
    batch = random_batch([5, 2, 3], [2, 6, 4], target_padding=1)
    inputs = batch.source, batch.source_lengths, batch.target_input
    mask = batch.target_mask
    full, real = model(*inputs), model(*inputs, target_mask=mask)
    assert real.logits.shape == (12, full.logits.shape[2])
    torch.testing.assert_close(real.logits, full.logits[mask], rtol=0, atol=1e-6)
    direction = torch.randn_like(real.logits)
    (full.logits[mask] * direction).sum().backward()
    expected = gradients(model)
    (real.logits * direction).sum().backward()
    torch.testing.assert_close(gradients(model), expected, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"target_mask \(3, 2\) must have the shape"):
        model(*inputs, target_mask=mask[:, :2])


@pytest.mark.parametrize("name", FEW)
def test_every_weight_learns(name):
    """No parameter is left out of the computation, as an unused layer would be."""
    model = tiny_model(name, num_layers=2, scale=1.5)
    batch = random_batch([5, 6, 4, 7], [6, 6, 5, 4])
    translation_loss(model, batch).total.backward()
    silent = [key for key, gradient in gradients(model).items() if not gradient.any()]
    assert silent == []


def test_bidirectional_memory_is_twice_as_wide():
    for name in ("cho", "bahdanau-additive", "luong-general", "sutskever-narrow"):
        model = tiny_model(name, bidirectional=True, num_layers=2)
        batch = random_batch([5, 2], [3, 4])
        assert model.encode(batch.source, batch.source_lengths).memory.shape == (2, 5, 12)
        logits = model(batch.source, batch.source_lengths, batch.target_input).logits
        assert logits.shape == (2, 4, 13)


def test_pairs_must_be_pairs():
    model = tiny_model("cho")
    batch = random_batch([3, 2], [3, 2])
    with pytest.raises(ValueError, match="source has 2 rows and target_input 1"):
        model(batch.source, batch.source_lengths, batch.target_input[:1])


@pytest.mark.parametrize("name", ALL)
def test_config_survives_json(name):
    config = tiny_config(name, dropout=0.25, reverse_source=True)
    copy = Seq2SeqConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert copy == config
    model, again = build_model(config), build_model(copy)
    again.load_state_dict(model.state_dict(), strict=True)


def test_foreign_config_fields_are_named():
    values = {**tiny_config("cho").to_dict(), "heads": 8, "activation": "relu"}
    with pytest.raises(ValueError, match="unknown fields in the model's config: activation, heads"):
        Seq2SeqConfig.from_dict(values)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cho", {"decoder": "vaswani"}, "unknown decoder 'vaswani'; choose one of cho, sutskever"),
        ("cho", {"attention": "dot"}, "decoder 'cho' has no attention, got attention='dot'"),
        ("luong-dot", {"attention": None}, "decoder 'luong' needs an attention.*got None"),
        ("luong-dot", {"attention": "cosine"}, "one of dot, general.*got 'cosine'"),
        ("bahdanau-dot", {"input_feeding": True}, "input feeding belongs to decoder 'luong'"),
        ("luong-dot", {"summary_size": 4}, "summary_size is the width of c"),
        ("cho", {"update_gate_bias": -1.0, "cell": "lstm"}, "update_gate_bias needs cell 'gru'"),
        ("cho", {"score_gain": 0.0}, "score_gain must be above 0, got 0.0"),
        ("cho", {"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ("cho", {"dropout": -0.1}, "got -0.1"),
        ("cho", {"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ("cho", {"num_layers": -2}, "num_layers must be at least 1, got -2"),
        ("luong-local-m", {"window": 0}, "window must be at least 1, got 0"),
        ("cho", {"readout_size": 0}, "readout_size must be at least 1"),
        ("cho", {"cell": "sru"}, "unknown cell 'sru'"),
        ("luong-local-p", {"local_score": "location"}, "got local_score='location'"),
    ],
)
def test_configs_that_make_no_sense_are_refused(name, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(name, **changes)


@pytest.mark.parametrize("name", ["cho", "bahdanau-additive", "luong-dot", "luong-feeding-general"])
def test_where_training_begins_is_changed_and_nothing_else(name):
    """The encoder's update gates: by as much as asked; all else as drawn."""

    def made(**changes):
        torch.manual_seed(0)
        return build_model(tiny_config(name, **changes)).state_dict()

    plain = made()
    changed = made(update_gate_bias=-1.5)
    assert plain.keys() == changed.keys()
    for key, before in plain.items():
        expected = before.clone()
        if key.startswith("encoder") and key.rpartition(".")[2].startswith("bias_ih"):
            size = len(before) // 3
            expected[size : 2 * size] -= 1.5
        assert torch.equal(changed[key], expected), key


def test_parameters_are_counted_by_hand():
    """Cho with V_x = V_y = 5, E = 2, H = 3, readout 4."""
    config = Seq2SeqConfig(
        source_vocabulary_size=5,
        target_vocabulary_size=5,
        embedding_size=2,
        hidden_size=3,
        decoder="cho",
        readout_size=4,
    )
    embeddings = 2 * 5 * 2
    encoder = 3 * (3 * 2 + 3 * 3 + 2 * 3)
    bridge = 2 * (3 * 3 + 3)  # compress and first state
    decoder = 3 * (3 * (2 + 3) + 3 * 3 + 2 * 3)
    readout = (3 + 2 + 3) * 4 + 4 + 4 * 5 + 5
    model = build_model(config)
    assert count_parameters(model) == embeddings + encoder + bridge + decoder + readout
    model.encoder.requires_grad_(False)
    assert count_parameters(model) == 10 + bridge + decoder + readout
