"""Decoding: from a model's next-word probabilities to whole sentences.

Works with anything that has `encode`, `start` and `step` (translation and captioning alike):
`inputs` are passed to `model.encode` as they are.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from utils.models.encoders import Encoded, select_rows

BOS_ID = 2
EOS_ID = 3


@dataclass(frozen=True)
class Hypothesis:
    """One decoded sentence.

    tokens: ids without <bos> and <eos>. log_probability: natural logarithm, <eos> included.
    score: what the search ranked by, log_probability / length ** length_penalty. finished: False
    if the limit came before <eos>. weights: (T, S) attention of every step, the step that wrote
    <eos> included and padding cut off, or None without attention.
    """

    tokens: list[int]
    log_probability: float
    score: float
    finished: bool
    weights: Tensor | None = None


@dataclass
class SearchTree:
    """Every slot of a beam, kept for display: one list of nodes a step.

    A node is (parent slot, token, log-probability so far, finished?).
    """

    steps: list[list[tuple[int, int, float, bool]]] = field(default_factory=list)


def default_limits(encoded: Encoded) -> Tensor:
    """(B,) int64: 2 · source length + 10 words, a limit that ignores the rest of the batch."""
    return 2 * encoded.source_lengths + 10


def _limits(encoded: Encoded, maximum_length: int | None) -> Tensor:
    if maximum_length is None:
        return default_limits(encoded)
    if maximum_length < 1:
        raise ValueError(f"maximum_length must be at least 1 word, got {maximum_length}")
    return torch.full_like(encoded.source_lengths, maximum_length)


def _log_probabilities(logits: Tensor, *, rows_per_sentence: int) -> Tensor:
    """log softmax over the vocabulary; a sentence whose scores hold NaN is an error."""
    log_probabilities = logits.log_softmax(dim=-1, dtype=_at_least_float32(logits))
    wrong = log_probabilities.isnan().any(dim=-1).nonzero()
    if len(wrong):
        raise ValueError(
            f"the model's scores for sentence {int(wrong[0]) // rows_per_sentence} of the batch "
            "are NaN; are its weights finite? a diverged training leaves such a model"
        )
    return log_probabilities


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    """The type to add log-probabilities in: half precision has too few digits for a sum."""
    return torch.promote_types(tensor.dtype, torch.float32)


def _trim(weights: list[Tensor], row: int, steps: int, length: int) -> Tensor | None:
    """Stack one row's weights (steps, length), padding cut off; None without attention."""
    if not weights:
        return None
    return torch.stack([weight[row] for weight in weights[:steps]])[:, :length].cpu()


@torch.no_grad()
def greedy_search(
    model: torch.nn.Module,
    *inputs: Tensor,
    maximum_length: int | None = None,
    bos_id: int = BOS_ID,
    eos_id: int = EOS_ID,
) -> list[Hypothesis]:
    """Write the likeliest next word until every sentence has ended.

    Args:
        inputs: what `model.encode` reads, for translation source (B, S) and lengths (B,).
        maximum_length: most words to write; None: 2 · source length + 10.
    Returns:
        One hypothesis a row, in the order of the batch. Puts the model in evaluation mode for
        the search and back after it.
    """
    return _write(
        model,
        inputs,
        maximum_length,
        bos_id,
        eos_id,
        choose=lambda log_probabilities: log_probabilities.argmax(dim=-1),
    )


@torch.no_grad()
def sample(
    model: torch.nn.Module,
    *inputs: Tensor,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    maximum_length: int | None = None,
    bos_id: int = BOS_ID,
    eos_id: int = EOS_ID,
) -> list[Hypothesis]:
    """Draw every next word from softmax(logits / temperature).

    A low temperature comes close to greedy search, a high one to chance. The log-probability of a
    hypothesis is the model's own, at temperature 1.

    Raises:
        ValueError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(
            f"temperature must be above 0, got {temperature}; for the likeliest word every time "
            "use greedy_search"
        )

    def choose(log_probabilities: Tensor) -> Tensor:
        # relative to the likeliest word, so that no temperature overflows
        behind = log_probabilities - log_probabilities.amax(dim=-1, keepdim=True)
        flattened = (behind / temperature).softmax(dim=-1)
        return torch.multinomial(flattened, 1, generator=generator).squeeze(1)

    return _write(model, inputs, maximum_length, bos_id, eos_id, choose=choose)


def _write(model, inputs, maximum_length, bos_id, eos_id, *, choose) -> list[Hypothesis]:
    """The loop of greedy search and sampling: `choose` turns (B, V) into words (B,)."""
    with _evaluating(model):
        encoded, state = model.start(model.encode(*inputs))
        limits = _limits(encoded, maximum_length)
        tokens = torch.full_like(encoded.source_lengths, bos_id)
        rows = torch.arange(len(tokens), device=tokens.device)
        total = torch.zeros(
            len(tokens), dtype=_at_least_float32(encoded.memory), device=tokens.device
        )
        is_open = torch.ones_like(tokens, dtype=torch.bool)
        written, weights = [], []
        for step in range(int(limits.max())):
            output = model.step(tokens, state, encoded)
            state = output.state
            log_probabilities = _log_probabilities(output.logits, rows_per_sentence=1)
            tokens = choose(log_probabilities)
            total = total + torch.where(is_open, log_probabilities[rows, tokens], 0.0)
            written.append(torch.where(is_open, tokens, -1))
            if output.weights is not None:
                weights.append(output.weights)
            is_open = is_open & (tokens != eos_id) & (step + 1 < limits)
            if not is_open.any():
                break
    written = torch.stack(written, dim=1).tolist()
    hypotheses = []
    for row, ids in enumerate(written):
        ids = [token for token in ids if token >= 0]
        finished = ids[-1] == eos_id
        log_probability = float(total[row])
        hypotheses.append(
            Hypothesis(
                tokens=ids[:-1] if finished else ids,
                log_probability=log_probability,
                score=log_probability,
                finished=finished,
                weights=_trim(weights, row, len(ids), int(encoded.source_lengths[row])),
            )
        )
    return hypotheses


@torch.no_grad()
def beam_search(
    model: torch.nn.Module,
    *inputs: Tensor,
    beam_size: int = 5,
    length_penalty: float = 1.0,
    best: int = 1,
    maximum_length: int | None = None,
    keep_tree: bool = False,
    bos_id: int = BOS_ID,
    eos_id: int = EOS_ID,
) -> list[list[Hypothesis]] | tuple[list[list[Hypothesis]], list[SearchTree]]:
    """Keep the `beam_size` likeliest beginnings; an ended sentence leaves and narrows the beam.

    A hypothesis of n words, <eos> counted, ranks by log p / n ** length_penalty: 0 ranks by
    probability and favours short sentences, 1 by the mean a word. With beam 1 this is greedy
    search. Whatever else is in the batch changes no row's result.

    Source: Sutskever et al. 2014, §3.2 (an ended hypothesis leaves the beam). Deviation: the
    length penalty.

    Args:
        inputs: what `model.encode` reads, for translation source (B, S) and lengths (B,).
        beam_size: K ≥ 1. best: how many hypotheses a row returns, at most K.
        maximum_length: most words to write; None: 2 · source length + 10.
        keep_tree: also return each row's SearchTree.
    Returns:
        A list of `best` hypotheses a row, best first; with `keep_tree` also the trees.
    Raises:
        ValueError: beam_size < 1, best outside 1 … beam_size, or length_penalty < 0.
    """
    if beam_size < 1:
        raise ValueError(f"beam_size must be at least 1, got {beam_size}")
    if not 1 <= best <= beam_size:
        raise ValueError(f"best must be from 1 to beam_size={beam_size}, got {best}")
    if not length_penalty >= 0:
        raise ValueError(f"length_penalty must be at least 0, got {length_penalty}")
    with _evaluating(model):
        encoded, state = model.start(model.encode(*inputs))
        search = _Beam(
            encoded, beam_size, length_penalty, _limits(encoded, maximum_length), eos_id, keep_tree
        )
        rows = search.rows_of(torch.zeros_like(search.slots))
        encoded, state = select_rows(encoded, rows), select_rows(state, rows)
        tokens = torch.full_like(rows, bos_id)
        while search.is_open():
            output = model.step(tokens, state, encoded)
            parents, tokens = search.advance(output.logits, output.weights)
            state = select_rows(output.state, parents)
    hypotheses = [search.ranked(row)[:best] for row in range(search.batch_size)]
    return (hypotheses, search.trees) if keep_tree else hypotheses


class _Beam:
    """The bookkeeping of a batched beam: B rows of K slots, flattened to B·K for the model."""

    def __init__(
        self,
        encoded: Encoded,
        beam_size: int,
        length_penalty: float,
        limits: Tensor,
        eos_id: int,
        keep_tree: bool,
    ) -> None:
        self.batch_size, self.beam_size = len(limits), beam_size
        self.length_penalty, self.eos_id = length_penalty, eos_id
        self.limits = limits
        self.lengths = encoded.source_lengths.tolist()
        device, dtype = limits.device, _at_least_float32(encoded.memory)
        self.slots = torch.arange(beam_size, device=device).repeat(self.batch_size, 1)  # (B, K)
        # only slot 0 is alive at first, or all slots would write the same sentence
        self.totals = torch.full(
            (self.batch_size, beam_size), -math.inf, dtype=dtype, device=device
        )
        self.totals[:, 0] = 0.0
        self.narrowing = torch.full_like(limits, beam_size)  # live slots each row may still have
        self.history: list[tuple[Tensor, Tensor, Tensor | None]] = []  # a step's parents, tokens…
        self.ended: list[list[tuple[int, int, float, bool]]] = [[] for _ in range(self.batch_size)]
        self.trees = [SearchTree() for _ in range(self.batch_size)] if keep_tree else []

    def rows_of(self, slots: Tensor) -> Tensor:
        """Slots (B, K) → rows of the model's batch (B·K,): b · K + slot, at first b alone."""
        base = torch.arange(self.batch_size, device=slots.device).unsqueeze(1)  # (B, 1)
        scale = self.beam_size if self.history else 1
        return (base * scale + slots).flatten()

    def is_open(self) -> bool:
        return bool(torch.isfinite(self.totals).any())

    def advance(self, logits: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Extend every live slot, keep the best; return flat parents (B·K,) and tokens (B·K,)."""
        vocabulary_size = logits.shape[-1]
        step_scores = _log_probabilities(logits, rows_per_sentence=self.beam_size)
        step_scores = step_scores.view(self.batch_size, self.beam_size, -1)  # (B, K, V)
        candidates = (self.totals.unsqueeze(-1) + step_scores).flatten(1)  # (B, K·V)
        width = min(self.beam_size, candidates.shape[1])
        totals, chosen = candidates.topk(width, dim=1)
        if width < self.beam_size:  # more slots than there are continuations
            totals = torch.nn.functional.pad(totals, (0, self.beam_size - width), value=-math.inf)
            chosen = torch.nn.functional.pad(chosen, (0, self.beam_size - width))
        totals = totals.masked_fill(self.slots >= self.narrowing.unsqueeze(1), -math.inf)
        parents = chosen.div(vocabulary_size, rounding_mode="floor")  # (B, K)
        tokens = chosen % vocabulary_size
        self.history.append((parents, tokens, weights))
        is_live = torch.isfinite(totals)
        is_ended = is_live & (tokens == self.eos_id)
        at_limit = (len(self.history) >= self.limits).unsqueeze(1)
        self._collect(totals, parents, tokens, is_live, is_ended, is_ended | (is_live & at_limit))
        self.narrowing = self.narrowing - is_ended.sum(dim=1)
        self.totals = totals.masked_fill(is_ended | at_limit, -math.inf)
        return self.rows_of(parents), tokens.flatten()

    def _collect(self, totals, parents, tokens, is_live, is_ended, leaves) -> None:
        step = len(self.history) - 1
        for row, slot in leaves.nonzero().tolist():
            total = float(totals[row, slot])
            self.ended[row].append((step, slot, total, bool(is_ended[row, slot])))
        columns = [column.tolist() for column in (parents, tokens, totals, is_ended, is_live)]
        for row, tree in enumerate(self.trees):
            nodes = zip(*(column[row] for column in columns), strict=True)
            nodes = [node[:4] for node in nodes if node[4]]
            if nodes:
                tree.steps.append(nodes)

    def ranked(self, row: int) -> list[Hypothesis]:
        """The row's hypotheses, best score first."""
        made = [self._trace(row, *end) for end in self.ended[row]]
        return sorted(made, key=lambda hypothesis: -hypothesis.score)

    def _trace(self, row: int, step: int, slot: int, total: float, finished: bool) -> Hypothesis:
        """Follow the parents back from (step, slot) to the beginning."""
        tokens, looks = [], []
        for parents, written, weights in reversed(self.history[: step + 1]):
            tokens.append(int(written[row, slot]))
            slot = int(parents[row, slot])
            if weights is not None:
                looks.append(weights[row * self.beam_size + slot])
        tokens.reverse()
        looks.reverse()
        length = self.lengths[row]
        return Hypothesis(
            tokens=tokens[:-1] if finished else tokens,
            log_probability=total,
            score=total / len(tokens) ** self.length_penalty,
            finished=finished,
            weights=torch.stack(looks)[:, :length].cpu() if looks else None,
        )


class _evaluating:
    """Evaluation mode inside the block, the model's own mode after it."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.was_training = self.model.training
        self.model.eval()

    def __exit__(self, *error: object) -> None:
        self.model.train(self.was_training)
