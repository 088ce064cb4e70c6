"""Attention: every score function against a slow loop written from its paper's formula."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from utils.models.attention import (
    SCORES,
    AdditiveAttention,
    Attention,
    DotAttention,
    LocationAttention,
    build_attention,
    check_attention_mask,
    masked_softmax,
)

BATCH, STEPS, SOURCE, SIZE, WINDOW = 3, 4, 6, 3, 2
LENGTHS = [6, 2, 4]
GLOBAL = ("dot", "general", "additive", "concat", "location")
CONTENT = ("dot", "general", "additive")
KINDS = [
    *((name, "general") for name in GLOBAL),
    *((name, score) for name in ("local-m", "local-p") for score in CONTENT),
]


def make(name: str, local_score: str = "general", window: int = WINDOW) -> Attention:
    attention = build_attention(
        name,
        query_size=SIZE,
        memory_size=SIZE,
        attention_size=5,
        longest_source=SOURCE + 1,
        window=window,
        local_score=local_score,
    ).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(1.5 * torch.randn_like(parameter))
    return attention


def make_inputs(lengths: list[int] = LENGTHS, steps: int = STEPS) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (B, T, Q), memory (B, S, D) with garbage on the padding, mask (B, S)."""
    rows, source = len(lengths), max(lengths)
    query = torch.randn(rows, steps, SIZE, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(rows, source, SIZE, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(source) < torch.tensor(lengths).unsqueeze(1)
    return query, memory, mask


def look(attention: Attention, query: Tensor, memory: Tensor, mask: Tensor):
    """All steps at once, as training does."""
    steps = torch.arange(query.shape[1]).unsqueeze(0)
    return attention(query, attention.project_keys(memory), memory, mask, step=steps)


# --- the papers' formulas, one number at a time ------------------------------------------------


def matrix_times(matrix: Tensor, vector: list[Tensor]) -> list[Tensor]:
    return [sum(w * x for w, x in zip(row, vector, strict=True)) for row in matrix]


def inner(left, right) -> Tensor:
    return sum(a * b for a, b in zip(left, right, strict=True))


def content_score(name: str, weights: dict[str, Tensor], query: list, word: list) -> Tensor:
    """score(h_t, h̄_s) of Luong et al. 2015, eq. 8, and e_ij of Bahdanau et al. 2015, A.1.2."""
    if name == "dot":
        return inner(query, word)
    if name == "general":
        matrix = weights["key_projection.weight"] / len(query) ** 0.5  # stored times √Q
        return inner(query, matrix_times(matrix, word))
    # v · tanh(W s + U h); Luong's concat, v · tanh(W [s; h]), has W and U side by side in one W
    joined = torch.cat(
        [weights["query_projection.weight"], weights["key_projection.weight"]], dim=1
    )
    hidden = [x.tanh() for x in matrix_times(joined, [*query, *word])]
    return inner(weights["score_vector.weight"][0], hidden)


def centre_of(name: str, weights: dict[str, Tensor], query: list, step: int, length: int) -> Tensor:
    """p_t of Luong et al. 2015, §3.2, clamped to the last real word as the book does."""
    last = torch.tensor(length - 1.0, dtype=torch.float64)
    if name == "local-m":
        return torch.minimum(torch.tensor(float(step), dtype=torch.float64), last)
    hidden = [x.tanh() for x in matrix_times(weights["centre_projection.weight"], query)]
    return torch.minimum(length * inner(weights["centre_vector.weight"][0], hidden).sigmoid(), last)


def slow_attention(name: str, local_score: str, attention: Attention, query, memory, lengths):
    """Weights (B, T, S) and contexts (B, T, D), by loops over b, t and s."""
    weights = dict(attention.named_parameters())
    inside = {key.removeprefix("content."): value for key, value in weights.items()}
    score_name = local_score if name.startswith("local") else name
    all_weights, all_contexts = [], []
    for b, length in enumerate(lengths):
        for t in range(query.shape[1]):
            q = list(query[b, t])
            words = [list(memory[b, s]) for s in range(length)]
            if name == "location":  # a_t = softmax(W_a h_t), eq. 9
                scores = matrix_times(weights["position_scores.weight"], q)[:length]
            else:
                scores = [content_score(score_name, inside, q, word) for word in words]
            chosen = list(range(length))
            if name.startswith("local"):
                centre = centre_of(name, weights, q, t, length)
                chosen = [s for s in chosen if abs(s - centre.item()) <= WINDOW]
            total = sum(scores[s].exp() for s in chosen)
            row = {s: scores[s].exp() / total for s in chosen}
            if name == "local-p":  # eq. 10, σ = D / 2
                sigma = WINDOW / 2
                row = {
                    s: w * torch.exp(-((s - centre) ** 2) / (2 * sigma**2)) for s, w in row.items()
                }
            zero = torch.zeros((), dtype=torch.float64)
            all_weights.append(torch.stack([row.get(s, zero) for s in range(memory.shape[1])]))
            context = [sum(w * words[s][d] for s, w in row.items()) for d in range(memory.shape[2])]
            all_contexts.append(torch.stack(context))
    shape = query.shape[:2]
    return torch.stack(all_weights).unflatten(0, shape), torch.stack(all_contexts).unflatten(
        0, shape
    )


@pytest.mark.parametrize(("name", "local_score"), KINDS)
def test_equals_the_papers_formula(name, local_score):
    attention = make(name, local_score)
    query, memory, mask = make_inputs()
    output = look(attention, query, memory, mask)
    weights, context = slow_attention(name, local_score, attention, query, memory, LENGTHS)
    torch.testing.assert_close(output.weights, weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(output.context, context, rtol=0, atol=1e-12)

    mixer = torch.randn_like(context)
    leaves = [query, memory, *attention.parameters()]
    found, expected = (
        # a centre that the clamp holds, and local-m's scores, may leave a leaf unused
        torch.autograd.grad((part * mixer).sum(), leaves, allow_unused=True)
        for part in (output.context, context)
    )
    for ours, slow in zip(found, expected, strict=True):
        assert (ours is None) == (slow is None)
        if ours is not None:
            torch.testing.assert_close(ours, slow, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("name", "local_score"), KINDS)
def test_all_steps_at_once_are_the_steps_one_by_one(name, local_score):
    attention = make(name, local_score)
    query, memory, mask = make_inputs()
    together = look(attention, query, memory, mask)
    keys = attention.project_keys(memory)
    for t in range(STEPS):
        for step in (t, torch.full((BATCH,), t)):  # an int, and one a row
            alone = attention(query[:, t], keys, memory, mask, step=step)
            for name_, part in alone._asdict().items():
                whole = getattr(together, name_)
                assert (part is None) == (whole is None)
                if part is not None:
                    torch.testing.assert_close(part, whole[:, t], rtol=0, atol=1e-12)


def test_rows_may_stand_at_different_steps():
    attention = make("local-m")
    query, memory, mask = make_inputs()
    output = attention(query[:, 0], memory, memory, mask, step=torch.tensor([5, 5, 1]))
    assert output.centre.tolist() == [5.0, 1.0, 1.0]  # the second row ends at position 1


# --- properties --------------------------------------------------------------------------------

lengths_of_rows = st.lists(st.integers(1, SOURCE), min_size=1, max_size=4)


@given(kind=st.sampled_from(KINDS), lengths=lengths_of_rows, steps=st.integers(1, 9))
def test_weights_are_zero_on_padding_and_sum_to_one(kind, lengths, steps):
    attention = make(*kind)
    query, memory, mask = make_inputs(lengths, steps)
    output = look(attention, query, memory, mask)
    blocked = ~mask.unsqueeze(1).expand_as(output.weights)
    assert (output.weights[blocked] == 0).all()
    assert (output.weights >= 0).all()
    sums = output.weights.sum(dim=-1)
    if kind[0] == "local-p":
        assert (sums <= 1 + 1e-6).all() and (sums > 0).all()
    else:
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-6)
    if output.centre is not None:
        assert (output.centre >= 0).all()
        assert (output.centre <= torch.tensor(lengths).unsqueeze(1) - 1).all()
        positions = torch.arange(memory.shape[1])
        outside = (positions - output.centre.unsqueeze(-1)).abs() > WINDOW
        assert (output.weights[outside] == 0).all()


@given(kind=st.sampled_from(KINDS), lengths=lengths_of_rows, garbage=st.sampled_from([1.0, 1e6]))
def test_what_stands_on_padding_changes_nothing(kind, lengths, garbage):
    attention = make(*kind)
    query, memory, mask = make_inputs(lengths)
    grads = []
    for fill in (0.0, garbage):
        filled = torch.where(mask.unsqueeze(2), memory, fill * torch.randn_like(memory))
        output = look(attention, query, filled, mask)
        leaves = [query, memory, *attention.parameters()]
        loss = output.context.sin().sum()
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
        grads.append([output.context, output.weights, *(g for g in found if g is not None)])
    for clean, dirty in zip(*grads, strict=True):
        torch.testing.assert_close(dirty, clean, rtol=0, atol=1e-6)


@given(name=st.sampled_from(CONTENT), order=st.permutations(range(SOURCE)))
def test_permuting_the_memory_permutes_the_weights(name, order):
    attention = make(name)
    query, memory, mask = make_inputs()
    before = look(attention, query, memory, mask)
    after = look(attention, query, memory[:, order], mask[:, order])
    torch.testing.assert_close(after.weights, before.weights[..., order], rtol=0, atol=1e-12)
    torch.testing.assert_close(after.scores, before.scores[..., order], rtol=0, atol=1e-12)
    torch.testing.assert_close(after.context, before.context, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["location", "local-m", "local-p"])
def test_position_based_scores_do_not_permute(name):
    """The control: a score that knows positions must notice a new order."""
    attention = make(name)
    query, memory, mask = make_inputs([SOURCE])
    order = list(reversed(range(SOURCE)))
    before = look(attention, query, memory, mask)
    after = look(attention, query, memory[:, order], mask)
    assert (after.weights - before.weights[..., order]).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SCORES)
def test_autocast_keeps_the_mask_exact(name, dtype):
    attention = make(name).float()
    query, memory, mask = (
        part.float() if part.is_floating_point() else part for part in make_inputs()
    )
    exact = look(attention, query, memory, mask)
    with torch.autocast("cpu", dtype=dtype):
        output = look(attention, query, memory, mask)
    blocked = ~mask.unsqueeze(1).expand_as(output.weights)
    assert (output.weights[blocked] == 0).all()
    assert output.weights.dtype == torch.float32
    if name != "local-p":
        sums = output.weights.sum(dim=-1)
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-6)
    assert (output.weights - exact.weights).abs().max() < 0.1


def test_half_precision_does_not_blur_a_far_centre():
    """bfloat16 has 8 bits: without care a centre near 300 would move in steps of 2."""
    attention = make("local-p").float().bfloat16()
    query = torch.randn(1, 64, SIZE, dtype=torch.bfloat16)
    lengths = torch.tensor([301])
    centre = attention.find_centre(query, None, lengths)
    share = torch.sigmoid(
        attention.centre_vector(torch.tanh(attention.centre_projection(query))).squeeze(-1).float()
    )
    torch.testing.assert_close(centre, (301 * share).clamp(max=300.0))


# --- local attention: centre, length, window ---------------------------------------------------


def saturate(attention: Attention, towards: float) -> None:
    """Push local-p's centre to one end: S · sigmoid(± large)."""
    with torch.no_grad():
        attention.centre_projection.weight.copy_(torch.eye(SIZE))
        attention.centre_vector.weight.fill_(towards)


@pytest.mark.parametrize(("towards", "expected"), [(100.0, [5.0, 1.0, 3.0]), (-100.0, [0.0] * 3)])
def test_local_p_reads_each_rows_real_length(towards, expected):
    attention = make("local-p")
    saturate(attention, towards)
    _, memory, mask = make_inputs()
    query = torch.ones(BATCH, SIZE, dtype=torch.float64)
    output = attention(query, attention.project_keys(memory), memory, mask)
    assert output.centre.tolist() == pytest.approx(expected)


def test_local_p_in_the_middle_is_half_the_real_length():
    attention = make("local-p")
    query, memory, mask = make_inputs()
    output = attention(torch.zeros_like(query[:, 0]), memory, memory, mask)
    assert output.centre.tolist() == [3.0, 1.0, 2.0]


def test_source_lengths_given_are_the_lengths_counted():
    attention = make("local-p")
    query, memory, mask = make_inputs()
    counted = attention(query, memory, memory, mask)
    given_ = attention(query, memory, memory, mask, source_lengths=torch.tensor(LENGTHS))
    assert torch.equal(counted.weights, given_.weights)


def test_local_m_stays_on_the_last_real_word():
    attention = make("local-m")
    query, memory, mask = make_inputs()
    output = attention(query[:, 0], memory, memory, mask, step=99)
    assert output.centre.tolist() == [5.0, 1.0, 3.0]
    assert output.weights.isfinite().all()


def test_the_gaussian_is_one_at_the_centre_and_falls_as_the_paper_says():
    attention = make("local-p")
    saturate(attention, 0.0)
    with torch.no_grad():
        attention.content.key_projection.weight.zero_()  # equal scores: only the Gaussian is left
    memory = torch.randn(1, 6, SIZE, dtype=torch.float64)
    mask = torch.ones(1, 6, dtype=torch.bool)
    query = torch.ones(1, SIZE, dtype=torch.float64)
    weights = attention(query, attention.project_keys(memory), memory, mask).weights[0]
    expected = [0.0, *(math.exp(-((s - 3) ** 2) / 2) / 5 for s in (1, 2, 3, 4, 5))]
    assert weights.tolist() == pytest.approx(expected)


def test_a_window_wider_than_the_source_is_global_attention():
    wide = make("local-m", "general", window=SOURCE)
    query, memory, mask = make_inputs()
    local = look(wide, query, memory, mask)
    everywhere = wide.content(query, wide.project_keys(memory), memory, mask)
    torch.testing.assert_close(local.weights, everywhere.weights)


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCORES)
def test_a_fully_masked_row_is_named(name):
    attention = make(name)
    query, memory, mask = make_inputs()
    mask[1] = False
    with pytest.raises(ValueError, match="row 1 of attention_mask is False everywhere"):
        look(attention, query, memory, mask)


def test_a_mask_of_numbers_is_refused():
    with pytest.raises(ValueError, match=r"must be bool \(True = may attend\), got torch.int64"):
        check_attention_mask(torch.ones(2, 3, dtype=torch.int64))


def test_masked_softmax_of_one_position():
    assert masked_softmax(torch.tensor([3.0, 9.0]), torch.tensor([True, False])).tolist() == [1, 0]


@pytest.mark.parametrize("broken", ["query", "keys", "values", "mask", "query-axes"])
def test_shapes_that_disagree_are_all_named(broken):
    query, memory, mask = make_inputs()
    keys = values = memory
    if broken == "query":
        query = query[:2]
    elif broken == "query-axes":
        query = query.unsqueeze(0)
    elif broken == "keys":
        keys = keys[:, :3]
    elif broken == "values":
        values = values[:, 0]
    else:
        mask = mask[:, :4]
    with pytest.raises(ValueError, match="expected query") as error:
        make("dot")(query, keys, values, mask)
    for part in (query, keys, values, mask):
        assert str(tuple(part.shape)) in str(error.value)


def test_nan_is_an_error_that_names_the_row():
    query, memory, mask = make_inputs()
    query = query.detach().clone()
    query[2, 1, 0] = float("nan")
    with pytest.raises(ValueError, match="row 2 gets no weights: its query or keys hold NaN"):
        make("general")(query, memory, memory, mask)


def test_a_window_on_masked_positions_only_is_an_error():
    query, memory, _ = make_inputs([SOURCE])
    mask = torch.tensor([[True, False, False, False, False, False]])
    with pytest.raises(ValueError, match="row 0 gets no weights.*local window"):
        make("local-m")(
            query[:, 0], memory, memory, mask, step=5, source_lengths=torch.tensor([SOURCE])
        )


def test_local_m_needs_the_step():
    query, memory, mask = make_inputs()
    with pytest.raises(ValueError, match="pass step="):
        make("local-m")(query, memory, memory, mask)


def test_location_states_its_longest_source():
    attention = LocationAttention(query_size=SIZE, longest_source=4).double()
    query, memory, mask = make_inputs()
    with pytest.raises(ValueError, match="6 positions.*at most longest_source=4"):
        attention.project_keys(memory)
    with pytest.raises(ValueError, match="6 positions"):
        attention(query, memory, memory, mask)
    assert attention(query, memory[:, :4], memory[:, :4], mask[:, :4]).weights.shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "bilinear"}, "unknown attention 'bilinear'; choose one of dot, general"),
        ({"name": "local-m", "window": 0}, "window .* must be ≥ 1, got 0"),
        ({"name": "local-p", "local_score": "location"}, "content score.*'location'"),
        ({"name": "location", "longest_source": 0}, "longest_source must be at least 1, got 0"),
        ({"name": "dot", "memory_size": 8}, "query_size=4 and memory_size=8; use 'general'"),
        ({"name": "local-p", "local_score": "dot", "memory_size": 8}, "use 'general'"),
    ],
)
def test_what_cannot_be_built_says_why(changes, message):
    arguments = {
        "query_size": 4,
        "memory_size": 4,
        "attention_size": 4,
        "longest_source": 9,
        "window": 2,
        **changes,
    }
    name = arguments.pop("name")
    with pytest.raises(ValueError, match=message):
        build_attention(name, **arguments)


def test_equal_functions_share_one_class():
    assert type(make("concat")) is type(make("additive")) is AdditiveAttention
    assert not list(DotAttention(query_size=2, memory_size=2).parameters())


def test_a_larger_gain_gives_the_query_a_say():
    """While tanh is straight the score is a term of the query plus one of the key.

    The softmax forgets the first, so that all queries get the same weights.
    """

    def interplay(score_gain: float) -> float:
        torch.manual_seed(1)
        attention = AdditiveAttention(
            query_size=96, memory_size=192, attention_size=96, score_gain=score_gain
        )
        query, memory = 0.3 * torch.randn(1, 20, 96), 0.3 * torch.randn(1, 20, 192)
        scores = attention.score(query, attention.project_keys(memory))[0]  # (T, S)
        seen = scores - scores.mean(dim=1, keepdim=True)  # by the softmax
        return ((seen - seen.mean(dim=0)).var() / seen.var()).item()

    assert interplay(1.0) < 0.02
    assert interplay(6.0) > 0.1
