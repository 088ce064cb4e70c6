"""Decoders: `forward` equals `step`, and both equal the papers' equations read one by one."""

from dataclasses import dataclass

import pytest
import torch
from tiny_models import (
    ALL,
    LONGEST_SOURCE,
    TARGET_VOCABULARY,
    WITH_ATTENTION,
    assert_same,
    gradients,
    random_batch,
    tiny_model,
)
from torch import Tensor, nn

from utils.models.attention_decoders import CellStack
from utils.models.cells import GRUCell, LSTMCell, RNNCell
from utils.models.decoders import DecoderState, FixedVectorDecoder
from utils.models.encoders import Encoded, select_rows
from utils.models.seq2seq import EncoderDecoder

CELLS = {"tanh": RNNCell, "gru": GRUCell, "lstm": LSTMCell}
SOURCE_LENGTHS, TARGET_LENGTHS = [5, 2, 7], [4, 6, 3]
SHAPES = [("gru", 1), ("lstm", 2), ("tanh", 2)]


def step_by_step(model: EncoderDecoder, batch) -> tuple[Tensor, Tensor | None]:
    """Logits (B, T, V) and weights (B, T, S) through the public step alone."""
    encoded, state = model.start(model.encode(batch.source, batch.source_lengths))
    logits, weights = [], []
    for tokens in batch.target_input.unbind(dim=1):
        output = model.step(tokens, state, encoded)
        state = output.state
        logits.append(output.logits)
        weights.append(output.weights)
    return torch.stack(logits, 1), None if weights[0] is None else torch.stack(weights, 1)


@pytest.mark.parametrize(("cell", "layers"), SHAPES)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_forward_equals_step(name, cell, layers, dtype, tolerance):
    """The fast route of training and the steps of decoding are one model."""
    model = tiny_model(name, cell=cell, num_layers=layers, dtype=dtype)
    batch = random_batch(SOURCE_LENGTHS, TARGET_LENGTHS, source_padding=2)
    output = model(batch.source, batch.source_lengths, batch.target_input)
    logits, weights = step_by_step(model, batch)
    torch.testing.assert_close(output.logits, logits, rtol=0, atol=tolerance)
    assert (weights is None) == (output.weights is None) == (name not in WITH_ATTENTION)
    if weights is not None:
        torch.testing.assert_close(output.weights, weights, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("cell", "layers"), SHAPES)
@pytest.mark.parametrize("name", ["cho", "bahdanau-additive", "luong-general", "luong-feeding-dot"])
def test_gradients_of_forward_are_those_of_the_steps(name, cell, layers):
    model = tiny_model(name, num_layers=layers, cell=cell)
    batch = random_batch(SOURCE_LENGTHS, TARGET_LENGTHS)
    mixer = torch.randn(3, max(TARGET_LENGTHS), TARGET_VOCABULARY, dtype=torch.float64)
    (model(batch.source, batch.source_lengths, batch.target_input).logits * mixer).sum().backward()
    fast = gradients(model)
    (step_by_step(model, batch)[0] * mixer).sum().backward()
    assert_same(fast, gradients(model), 1e-10)


# --- the papers' equations, one sentence and one word at a time --------------------------------


def linear(module: nn.Linear, vector: Tensor) -> Tensor:
    product = module.weight @ vector
    return product if module.bias is None else product + module.bias


@dataclass
class Recurrence:
    """f of the papers over a stack of layers, one sentence, from a decoder's own weights."""

    decoder: nn.Module
    cell_name: str

    def cells(self) -> list[dict[str, Tensor]]:
        """Every layer's four parameters, wherever the decoder keeps them."""
        recurrence = self.decoder.recurrence
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if isinstance(recurrence, CellStack):
            return [{name: getattr(cell, name) for name in names} for cell in recurrence.cells]
        return [
            {name: getattr(recurrence, f"{name}_l{layer}") for name in names}
            for layer in range(recurrence.num_layers)
        ]

    def advance(self, inputs: Tensor, hiddens: list, memories: list) -> tuple[list, list]:
        new_hiddens, new_memories = [], []
        for layer, weights in enumerate(self.cells()):
            h = hiddens[layer]
            x_part = weights["weight_ih"] @ inputs + weights["bias_ih"]
            h_part = weights["weight_hh"] @ h + weights["bias_hh"]
            if self.cell_name == "tanh":
                inputs = (x_part + h_part).tanh()
            elif self.cell_name == "gru":
                (r_x, z_x, n_x), (r_h, z_h, n_h) = x_part.chunk(3), h_part.chunk(3)
                r, z = (r_x + r_h).sigmoid(), (z_x + z_h).sigmoid()
                n = (n_x + r * n_h).tanh()
                inputs = (1 - z) * n + z * h
            else:
                i, f, g, o = (x_part + h_part).chunk(4)
                new_memories.append(f.sigmoid() * memories[layer] + i.sigmoid() * g.tanh())
                inputs = o.sigmoid() * new_memories[-1].tanh()
            new_hiddens.append(inputs)
        return new_hiddens, new_memories

    def first(self, vector: Tensor) -> tuple[list, list]:
        layers = len(self.cells())
        parts = list(vector.split(self.decoder.hidden_size))
        return parts[:layers], parts[layers:]


def attend_with(score, words: list[Tensor]) -> tuple[Tensor, Tensor]:
    """α = softmax(e), c = Σ α_s h_s over the real words."""
    exponentials = torch.stack([score(word).exp() for word in words])
    weights = exponentials / exponentials.sum()
    return sum(w * word for w, word in zip(weights, words, strict=True)), weights


def general_score(decoder, query):
    size = len(query)  # W is stored times √Q
    return lambda word: query @ linear(decoder.attention.key_projection, word) / size**0.5


def additive_score(decoder, query):
    parts = decoder.attention
    return lambda word: linear(
        parts.score_vector,
        (linear(parts.query_projection, query) + linear(parts.key_projection, word)).tanh(),
    ).squeeze(0)


SCORE = {"general": general_score, "additive": additive_score}


def read_out(decoder, *parts: Tensor) -> tuple[Tensor, Tensor]:
    inside = linear(decoder.readout.hidden, torch.cat(parts)).tanh()
    return linear(decoder.readout.vocabulary, inside), inside


def naive_bahdanau(decoder, cell, score, summary, words, tokens):
    """Bahdanau et al. 2015, §3.1: the query is s_{t−1}; c_t enters the recurrence."""
    recurrence = Recurrence(decoder, cell)
    s, memory = recurrence.first(linear(decoder.bridge.projection, summary).tanh())
    for token in tokens:
        y = decoder.embedding.weight[token]
        c, weights = attend_with(SCORE[score](decoder, s[-1]), words)  # s_{t−1}: before the step
        s, memory = recurrence.advance(torch.cat([y, c]), s, memory)
        yield read_out(decoder, s[-1], c, y)[0], weights


def naive_luong(decoder, cell, score, summary, words, tokens):
    """Luong et al. 2015, §3: the query is h_t; with input feeding f reads h̃_{t−1} as well."""
    recurrence = Recurrence(decoder, cell)
    h, memory = recurrence.first(linear(decoder.bridge.projection, summary).tanh())
    attentional = torch.zeros(decoder.readout_size, dtype=torch.float64)  # h̃_0
    for token in tokens:
        y = decoder.embedding.weight[token]
        inputs = torch.cat([y, attentional]) if decoder.input_feeding else y
        h, memory = recurrence.advance(inputs, h, memory)
        c, weights = attend_with(SCORE[score](decoder, h[-1]), words)  # h_t: after the step
        logits, attentional = read_out(decoder, c, h[-1])
        yield logits, weights


def naive_cho(decoder, cell, _, summary, words, tokens):
    """Cho et al. 2014, §2.2: c = tanh(V h_T) is read by every step and by the readout."""
    recurrence = Recurrence(decoder, cell)
    c = linear(decoder.compress, summary).tanh()
    h, memory = recurrence.first(linear(decoder.bridge.projection, c).tanh())
    for token in tokens:
        y = decoder.embedding.weight[token]
        h, memory = recurrence.advance(torch.cat([y, c]), h, memory)
        yield read_out(decoder, h[-1], y, c)[0], None


def naive_sutskever(decoder, cell, _, summary, words, tokens):
    """Sutskever et al. 2014, §2, with a narrow c: only the first state knows the source."""
    recurrence = Recurrence(decoder, cell)
    c = linear(decoder.compress, summary).tanh()
    h, memory = recurrence.first(linear(decoder.bridge.projection, c).tanh())
    for token in tokens:
        h, memory = recurrence.advance(decoder.embedding.weight[token], h, memory)
        yield read_out(decoder, h[-1])[0], None


NAIVE = {
    "bahdanau-additive": naive_bahdanau,
    "bahdanau-general": naive_bahdanau,
    "luong-general": naive_luong,
    "luong-additive": naive_luong,
    "luong-feeding-general": naive_luong,
    "cho": naive_cho,
    "cho-narrow": naive_cho,
    "sutskever-narrow": naive_sutskever,
}


@pytest.mark.parametrize(("cell", "layers"), SHAPES)
@pytest.mark.parametrize("name", NAIVE)
def test_equals_the_papers_equations(name, cell, layers):
    """Logits, weights and every gradient of a padded batch, against sentences read alone."""
    model = tiny_model(name, cell=cell, num_layers=layers, scale=1.5)
    batch = random_batch(SOURCE_LENGTHS, TARGET_LENGTHS)
    output = model(batch.source, batch.source_lengths, batch.target_input)
    mixer = torch.randn_like(output.logits)

    logits = torch.zeros_like(output.logits)
    weights = torch.zeros(3, max(TARGET_LENGTHS), max(SOURCE_LENGTHS), dtype=torch.float64)
    encoded = model.encode(batch.source, batch.source_lengths)
    for row, length in enumerate(SOURCE_LENGTHS):
        words = list(encoded.memory[row, :length])
        steps = NAIVE[name](
            model.decoder,
            cell,
            name.split("-")[-1],
            encoded.summary[row],
            words,
            batch.target_input[row].tolist(),
        )
        for t, (scores, looked) in enumerate(steps):
            logits[row, t] = scores
            if looked is not None:
                weights[row, t, :length] = looked
    torch.testing.assert_close(output.logits, logits, rtol=0, atol=1e-12)
    if output.weights is not None:
        torch.testing.assert_close(output.weights, weights, rtol=0, atol=1e-12)

    (output.logits * mixer).sum().backward()
    fast = gradients(model)
    (logits * mixer).sum().backward()
    slow = gradients(model)
    # the naive decoders read padding words' vectors, whose gradient nn.Embedding drops
    slow["decoder.embedding.weight"][0] = 0
    assert_same(fast, slow, 1e-10)


@pytest.mark.parametrize(("cell", "layers"), SHAPES)
def test_sutskever_copies_every_layers_last_state(cell, layers):
    model = tiny_model("sutskever", cell=cell, num_layers=layers)
    batch = random_batch(SOURCE_LENGTHS, TARGET_LENGTHS)
    encoded = model.encode(batch.source, batch.source_lengths)
    _, state = model.start(encoded)
    assert torch.equal(state.hidden, encoded.final_hidden)
    assert (state.cell is None) == (cell != "lstm")
    if cell == "lstm":
        assert torch.equal(state.cell, encoded.final_cell)


# --- the stack of cells ------------------------------------------------------------------------

LAYERS = {"tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@pytest.mark.parametrize("fed_size", [0, 3])
@pytest.mark.parametrize(("cell", "layers"), [(cell, n) for cell in CELLS for n in (1, 2, 3)])
def test_cell_stack_equals_torchs_layers(cell, layers, fed_size):
    """With nothing fed, or fed as part of the input, the stack is torch's fused recurrence."""
    stack = CellStack(
        cell, word_size=4, fed_size=fed_size, hidden_size=5, num_layers=layers, dropout=0.0
    ).double()
    fused = LAYERS[cell](4 + fed_size, 5, layers, batch_first=True).double()
    for layer, own in enumerate(stack.cells):
        for key, value in own.state_dict().items():
            getattr(fused, f"{key}_l{layer}").data.copy_(value)
    words = torch.randn(2, 6, 4, dtype=torch.float64)
    fed = torch.randn(2, 6, fed_size, dtype=torch.float64)
    first = torch.randn(2, 2, layers, 5, dtype=torch.float64)
    state = DecoderState(
        hidden=first[0],
        cell=first[1] if cell == "lstm" else None,
        position=torch.zeros(2, dtype=torch.int64),
    )
    tops = []
    projected, fed_weight = stack.project_words(words)
    for t in range(6):
        top, state = stack(projected[:, t], fed[:, t], fed_weight, state)
        tops.append(top)
    start = first.transpose(1, 2).contiguous()  # (2, L, B, H)
    outputs, final = fused(
        torch.cat([words, fed], dim=2), tuple(start) if cell == "lstm" else start[0]
    )
    torch.testing.assert_close(torch.stack(tops, 1), outputs, rtol=0, atol=1e-12)
    hidden = final[0] if cell == "lstm" else final
    torch.testing.assert_close(state.hidden.transpose(0, 1), hidden, rtol=0, atol=1e-12)
    if cell == "lstm":
        torch.testing.assert_close(state.cell.transpose(0, 1), final[1], rtol=0, atol=1e-12)
    assert state.position.tolist() == [6, 6]


# --- states, limits, errors --------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("name", ALL)
def test_selecting_rows_of_the_state_selects_the_continuation(name, cell):
    """What a beam does: after a step, rows of state and source are picked and repeated."""
    model = tiny_model(name, cell=cell, num_layers=2)
    batch = random_batch(SOURCE_LENGTHS, TARGET_LENGTHS)
    encoded, state = model.start(model.encode(batch.source, batch.source_lengths))
    state = model.step(batch.target_input[:, 0], state, encoded).state
    assert state.position.tolist() == [1, 1, 1]
    tokens, rows = batch.target_input[:, 1], torch.tensor([2, 0, 0, 1])
    straight = model.step(tokens, state, encoded)
    picked = model.step(tokens[rows], select_rows(state, rows), select_rows(encoded, rows))
    torch.testing.assert_close(picked.logits, straight.logits[rows], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["luong-local-m", "bahdanau-local-m", "luong-feeding-local-m"])
def test_local_m_moves_one_word_a_step(name):
    model = tiny_model(name, window=1)
    batch = random_batch([7], [6])
    weights = model(batch.source, batch.source_lengths, batch.target_input).weights[0]
    expected = torch.tensor([[abs(s - t) <= 1 for s in range(7)] for t in range(6)])
    assert torch.equal(weights > 0, expected)


def test_step_shows_the_whole_look_back():
    model = tiny_model("luong-local-p")
    batch = random_batch(SOURCE_LENGTHS, TARGET_LENGTHS)
    encoded, state = model.start(model.encode(batch.source, batch.source_lengths))
    output = model.step(batch.target_input[:, 0], state, encoded)
    assert torch.equal(output.attention.weights, output.weights)
    assert output.attention.context.shape == (3, 6) and output.attention.centre.shape == (3,)


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_autocast_keeps_padding_at_zero(name):
    model = tiny_model(name, dtype=torch.float32)
    batch = random_batch(SOURCE_LENGTHS, TARGET_LENGTHS)
    arguments = (batch.source, batch.source_lengths, batch.target_input)
    exact = model(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(*arguments)
        stepped, _ = step_by_step(model, batch)
    assert (output.logits.float() - exact.logits).abs().max() < 0.05
    assert (stepped.float() - exact.logits).abs().max() < 0.05
    if output.weights is not None:
        blocked = ~batch.source_mask.unsqueeze(1).expand_as(output.weights)
        assert (output.weights[blocked] == 0).all()
        if "local-p" not in name:
            sums = output.weights.sum(dim=-1)
            torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["cho", "bahdanau-dot", "luong-feeding-general"])
def test_dropout_acts_in_training_only(name):
    model = tiny_model(name, dropout=0.5, num_layers=2)
    batch = random_batch(SOURCE_LENGTHS, TARGET_LENGTHS)
    arguments = (batch.source, batch.source_lengths, batch.target_input)
    assert torch.equal(model(*arguments).logits, model(*arguments).logits)
    model.train()
    assert not torch.equal(model(*arguments).logits, model(*arguments).logits)


@pytest.mark.parametrize("name", ["cho", "bahdanau-dot", "luong-dot", "luong-feeding-dot"])
@pytest.mark.parametrize("wrong", [TARGET_VOCABULARY, -1])
def test_ids_outside_the_vocabulary_are_named(name, wrong):
    model = tiny_model(name)
    batch = random_batch([3], [2])
    encoded, state = model.start(model.encode(batch.source, batch.source_lengths))
    message = f"target holds id {wrong}, the vocabulary has ids 0 to {TARGET_VOCABULARY - 1}"
    with pytest.raises(ValueError, match=message):
        model.step(torch.tensor([wrong]), state, encoded)
    with pytest.raises(ValueError, match=message):
        model(batch.source, batch.source_lengths, torch.tensor([[2, wrong]]))


@pytest.mark.parametrize("shape", [(1, 2), (0,)])
def test_a_step_reads_one_word_a_row(shape):
    model = tiny_model("bahdanau-dot")
    batch = random_batch([3, 3], [2, 2])
    encoded, state = model.start(model.encode(batch.source, batch.source_lengths))
    with pytest.raises(ValueError, match="target|tokens"):
        model.step(torch.ones(shape, dtype=torch.int64), state, encoded)


def test_location_refuses_a_longer_source():
    model = tiny_model("luong-location")
    batch = random_batch([LONGEST_SOURCE + 1], [2])
    with pytest.raises(ValueError, match=f"13 positions.*longest_source={LONGEST_SOURCE}"):
        model(batch.source, batch.source_lengths, batch.target_input)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"style": "kalchbrenner"}, "style must be 'cho' or 'sutskever', got 'kalchbrenner'"),
        ({"style": "sutskever", "memory_size": 8}, "it has 8 units and the decoder 4"),
        ({"cell": "sru"}, "unknown cell 'sru'; choose one of tanh, gru, lstm"),
    ],
)
def test_what_cannot_be_built_says_why(changes, message):
    arguments = {
        "style": "cho",
        "memory_size": 4,
        "summary_size": None,
        "readout_size": 4,
        "vocabulary_size": 9,
        "embedding_size": 4,
        "hidden_size": 4,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        FixedVectorDecoder(**arguments)


def test_a_fixed_vector_is_all_that_the_decoder_learns_of_the_source():
    """Change the memory and keep c: nothing may happen; with attention something must."""
    batch = random_batch([5], [4])
    for name, sees_memory in (("cho", False), ("sutskever", False), ("bahdanau-general", True)):
        model = tiny_model(name)
        encoded = model.encode(batch.source, batch.source_lengths)
        changed: Encoded = encoded._replace(memory=torch.randn_like(encoded.memory))
        logits = [model.decoder(batch.target_input, part).logits for part in (encoded, changed)]
        assert torch.equal(*logits) != sees_memory
