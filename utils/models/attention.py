"""Attention: compare a query with keys, turn scores into weights, average the values.

Every class answers the same call and differs in one line, its score:

    context, weights, scores = attention(query, keys, values, attention_mask)

`keys = attention.project_keys(memory)` is computed once a sentence, since it does not depend on
the query. A query may be one step (B, Q) or all steps at once (B, T, Q).

    class                score[b, t, s]                         weights
    DotAttention         q · h_s                                softmax over s
    GeneralAttention     q · (W h_s)                            softmax over s
    AdditiveAttention    v · tanh(W_q q + W_k h_s)              softmax over s
    LocationAttention    (W q)[s]                               softmax over s
    LocalAttention       any content score above, in a window   softmax, times a Gaussian (local-p)

The slides' product sᵀh and Luong's *dot* are one function, so they share one class; so do
Bahdanau's additive score and Luong's *concat*: W [q; h] = W_q q + W_k h.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

CONTENT_SCORES = ("dot", "general", "additive", "concat")
SCORES = (*CONTENT_SCORES, "location", "local-m", "local-p")


class AttentionOutput(NamedTuple):
    """What one look back gives; (B, T, …) in place of (B, …) when the query has all steps.

    context: (B, D), the weighted sum of the values.
    weights: (B, S), exactly 0 where masked; rows sum to 1 (at most 1 for local-p).
    scores: (B, S), before the mask.
    centre: (B,), where a local window stands, else None.
    """

    context: Tensor
    weights: Tensor
    scores: Tensor
    centre: Tensor | None = None


def check_attention_mask(attention_mask: Tensor) -> None:
    """Raise a ValueError that names the first row of (B, S) with nothing to attend to."""
    if attention_mask.dtype != torch.bool:
        raise ValueError(
            f"attention_mask must be bool (True = may attend), got {attention_mask.dtype}"
        )
    empty = (~attention_mask.any(dim=-1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"row {empty[0]} of attention_mask is False everywhere: there is nothing to attend to "
            f"among its {attention_mask.shape[-1]} positions; leave empty sentences out"
        )


def masked_softmax(scores: Tensor, attention_mask: Tensor) -> Tensor:
    """Softmax over the last axis, in float32 at least; exactly 0 where the mask is False."""
    precise = torch.promote_types(scores.dtype, torch.float32)  # bfloat16 rows do not sum to 1
    return scores.masked_fill(~attention_mask, float("-inf")).softmax(dim=-1, dtype=precise)


class Attention(nn.Module):
    """What all score functions share: shapes, mask, softmax and weighted sum."""

    def project_keys(self, memory: Tensor) -> Tensor:
        """(B, S, D) → (B, S, K): all that a score needs of the memory, once a sentence."""
        return memory

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Queries (B, T, Q) and keys (B, S, K) → scores (B, T, S)."""
        raise NotImplementedError

    def weigh(
        self, query: Tensor, scores: Tensor, mask: Tensor, step: Tensor | None, lengths: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Scores (B, T, S) → weights (B, T, S), and the window's centre (B, T) if there is one."""
        return masked_softmax(scores, mask), None

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        attention_mask: Tensor,
        *,
        step: Tensor | int | None = None,
        source_lengths: Tensor | None = None,
    ) -> AttentionOutput:
        """Attend.

        Args:
            query: (B, Q), or (B, T, Q) for T steps at once.
            keys: (B, S, K), from `project_keys`.
            values: (B, S, D), usually the memory itself.
            attention_mask: (B, S) bool, True = may attend.
            step: the query's target position, from 0: an int, (B,), or (B, T). Only local-m
                reads it.
            source_lengths: (B,) int, real lengths; by default counted from the mask. Only the
                local scores read it.
        Raises:
            ValueError: shapes disagree (both are named), a row has nothing to attend to or holds
                NaN, or a position-based score is out of its range.
        """
        self._check(query, keys, values, attention_mask)
        check_attention_mask(attention_mask)
        output = self.attend(
            query, keys, values, attention_mask, step=step, source_lengths=source_lengths
        )
        wrong = output.weights.isnan().flatten(1).any(dim=1).nonzero().flatten().tolist()
        if wrong:
            raise ValueError(
                f"row {wrong[0]} gets no weights: its query or keys hold NaN or infinity, or its "
                "local window holds no position that attention_mask allows"
            )
        return output

    def attend(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        attention_mask: Tensor,
        *,
        step: Tensor | int | None = None,
        source_lengths: Tensor | None = None,
    ) -> AttentionOutput:
        """`forward` without its checks, for loops whose inputs were checked before them."""
        one_step = query.ndim == 2
        queries = query.unsqueeze(1) if one_step else query  # (B, T, Q)
        if source_lengths is None:
            source_lengths = attention_mask.sum(dim=-1)
        if step is not None:
            step = torch.as_tensor(step, device=query.device)
            step = step.reshape(-1, 1) if step.ndim < 2 else step  # (B or 1, T or 1)
        scores = self.score(queries, keys)  # (B, T, S)
        weights, centre = self.weigh(
            queries, scores, attention_mask.unsqueeze(1), step, source_lengths
        )
        context = weights.to(values.dtype) @ values  # (B, T, S) @ (B, S, D) → (B, T, D)
        if one_step:
            context, weights, scores = context.squeeze(1), weights.squeeze(1), scores.squeeze(1)
            centre = None if centre is None else centre.squeeze(1)
        return AttentionOutput(context, weights, scores, centre)

    @staticmethod
    def _check(query: Tensor, keys: Tensor, values: Tensor, attention_mask: Tensor) -> None:
        batch, source = attention_mask.shape if attention_mask.ndim == 2 else (None, None)
        if (
            query.ndim not in (2, 3)
            or query.shape[0] != batch
            or keys.ndim != 3
            or values.ndim != 3
            or keys.shape[:2] != (batch, source)
            or values.shape[:2] != (batch, source)
        ):
            raise ValueError(
                "expected query (B, Q) or (B, T, Q), keys (B, S, K), values (B, S, D) and "
                f"attention_mask (B, S) with one B and one S; got query {tuple(query.shape)}, "
                f"keys {tuple(keys.shape)}, values {tuple(values.shape)}, "
                f"attention_mask {tuple(attention_mask.shape)}"
            )


class DotAttention(Attention):
    """score = q · h_s, the slides' e^t = [s_tᵀ h_1, …, s_tᵀ h_N].

    Source: Luong et al. 2015, arXiv:1508.04025, §3.1, eq. 8 (dot). Deviations: none.
    """

    def __init__(self, *, query_size: int, memory_size: int) -> None:
        super().__init__()
        if query_size != memory_size:
            raise ValueError(
                f"a dot product needs vectors of one size, got query_size={query_size} and "
                f"memory_size={memory_size}; use 'general', which puts a matrix between them"
            )

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)  # (B, T, Q) @ (B, Q, S) → (B, T, S)


class GeneralAttention(Attention):
    """score = q · (W h_s), a product after one learnt map.

    Source: Luong et al. 2015, arXiv:1508.04025, §3.1, eq. 8 (general). Deviation in the storage,
    not in the function: W is `key_projection.weight` / √Q. Adam moves every weight by about the
    learning rate, whatever the gradient's size, so one step moves a score by a sum of D · Q such
    moves; unscaled, the softmax saturates within a few steps, wherever it then points.
    """

    def __init__(self, *, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.key_projection = nn.Linear(memory_size, query_size, bias=False)
        self.scale = query_size**-0.5

    def project_keys(self, memory: Tensor) -> Tensor:
        return self.scale * self.key_projection(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)  # (B, T, Q) @ (B, Q, S) → (B, T, S)


class AdditiveAttention(Attention):
    """score = v · tanh(W_q q + W_k h_s): a small network decides how well q and h_s match.

    Source: Bahdanau et al. 2015, arXiv:1409.0473, appendix A.1.2; the same function as Luong's
    concat, v · tanh(W [q; h_s]) with W = [W_q W_k]. Deviations: none in the function. Where it
    begins can be chosen: `score_gain` multiplies the first W_q and W_k. While their products are
    small, tanh is a straight line, and the score is one term of q plus one term of h_s: after the
    softmax the query has no say, and some words look interesting to every query.
    """

    def __init__(
        self, *, query_size: int, memory_size: int, attention_size: int, score_gain: float = 1.0
    ) -> None:
        super().__init__()
        self.query_projection = nn.Linear(query_size, attention_size, bias=False)
        self.key_projection = nn.Linear(memory_size, attention_size, bias=False)
        self.score_vector = nn.Linear(attention_size, 1, bias=False)
        with torch.no_grad():
            self.query_projection.weight.mul_(score_gain)
            self.key_projection.weight.mul_(score_gain)

    def project_keys(self, memory: Tensor) -> Tensor:
        return self.key_projection(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        queries = self.query_projection(query)  # (B, T, A)
        hidden = torch.tanh(queries.unsqueeze(2) + keys.unsqueeze(1))  # (B, T, S, A)
        return self.score_vector(hidden).squeeze(-1)  # (B, T, S)


class LocationAttention(Attention):
    """score = (W q)[s]: the query alone says which *position* to look at.

    Source: Luong et al. 2015, arXiv:1508.04025, §3.1, eq. 9. W has one row a position, so the
    longest source is fixed when the model is made. Deviations: none.
    """

    def __init__(self, *, query_size: int, longest_source: int) -> None:
        super().__init__()
        if longest_source < 1:
            raise ValueError(f"longest_source must be at least 1, got {longest_source}")
        self.longest_source = longest_source
        self.position_scores = nn.Linear(query_size, longest_source, bias=False)

    def project_keys(self, memory: Tensor) -> Tensor:
        if memory.shape[1] > self.longest_source:
            raise ValueError(
                f"the source has {memory.shape[1]} positions, location attention was made for at "
                f"most longest_source={self.longest_source}; shorten it or make the model larger"
            )
        return memory

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        self.project_keys(keys)  # raises above the longest source
        return self.position_scores(query)[..., : keys.shape[1]]  # (B, T, S)


class LocalAttention(Attention):
    """A content score inside a window of 2D + 1 positions around a centre p_t.

    local-m: p_t = t, and the weights are the softmax inside the window.
    local-p: p_t = S · sigmoid(v_p · tanh(W_p q)), S the row's real length, and the softmax is
    multiplied by exp(−(s − p_t)² / 2σ²) with σ = D / 2, so its rows sum to at most 1.

    Source: Luong et al. 2015, arXiv:1508.04025, §3.2, eqs. 9–10. Deviations: positions count from
    0, and the centre is clamped to the last real word, S − 1 (t may run past a short source).
    """

    def __init__(
        self, *, content: Attention, window: int, predictive: bool, query_size: int
    ) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window (D, positions to either side) must be ≥ 1, got {window}")
        self.content = content
        self.window = window
        self.predictive = predictive
        if predictive:
            self.centre_projection = nn.Linear(query_size, query_size, bias=False)
            self.centre_vector = nn.Linear(query_size, 1, bias=False)

    def project_keys(self, memory: Tensor) -> Tensor:
        return self.content.project_keys(memory)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        return self.content.score(query, keys)

    def find_centre(self, query: Tensor, step: Tensor | None, source_lengths: Tensor) -> Tensor:
        """Queries (B, T, Q), steps (B or 1, T or 1), lengths (B,) → centres (B, T), from 0."""
        lengths = source_lengths.to(query.device).unsqueeze(1)  # (B, 1)
        if self.predictive:
            hidden = torch.tanh(self.centre_projection(query))  # (B, T, Q)
            logits = self.centre_vector(hidden).squeeze(-1)  # (B, T)
            # half precision cannot tell neighbouring positions of a long source apart
            share = torch.sigmoid(logits.to(torch.promote_types(logits.dtype, torch.float32)))
            return torch.minimum(lengths * share, (lengths - 1).to(share.dtype))
        if step is None:
            raise ValueError("local-m looks around position t = step: pass step=")
        return torch.minimum(step.expand(query.shape[:2]), lengths - 1).float()  # (B, T)

    def weigh(
        self, query: Tensor, scores: Tensor, mask: Tensor, step: Tensor | None, lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        centre = self.find_centre(query, step, lengths)  # (B, T)
        positions = torch.arange(scores.shape[-1], device=scores.device)
        distance = positions - centre.unsqueeze(-1)  # (B, T, S)
        weights = masked_softmax(scores, mask & (distance.abs() <= self.window))
        if self.predictive:
            weights = weights * torch.exp(-(distance**2) / (2 * (self.window / 2) ** 2))
        return weights, centre


def build_attention(
    name: str,
    *,
    query_size: int,
    memory_size: int,
    attention_size: int,
    longest_source: int,
    window: int,
    local_score: str = "general",
    score_gain: float = 1.0,
) -> Attention:
    """Make an attention by its name in the papers.

    Args:
        name: one of `SCORES`; "concat" is another name of "additive".
        attention_size: A, the width inside the additive score.
        longest_source: positions that "location" can tell apart.
        window: D, positions to either side of a local centre.
        local_score: the content score inside a local window: dot, general or additive.
        score_gain: see `AdditiveAttention`; the other scores do not read it.
    Raises:
        ValueError: an unknown name; the known ones are listed.
    """
    sizes = {"query_size": query_size, "memory_size": memory_size}
    match name:
        case "dot":
            return DotAttention(**sizes)
        case "general":
            return GeneralAttention(**sizes)
        case "additive" | "concat":
            return AdditiveAttention(**sizes, attention_size=attention_size, score_gain=score_gain)
        case "location":
            return LocationAttention(query_size=query_size, longest_source=longest_source)
        case "local-m" | "local-p":
            if local_score not in CONTENT_SCORES:
                raise ValueError(
                    f"a local window needs a content score, one of {', '.join(CONTENT_SCORES)}; "
                    f"got local_score={local_score!r}"
                )
            content = build_attention(
                local_score,
                **sizes,
                attention_size=attention_size,
                longest_source=longest_source,
                window=window,
                score_gain=score_gain,
            )
            return LocalAttention(
                content=content,
                window=window,
                predictive=name == "local-p",
                query_size=query_size,
            )
    raise ValueError(f"unknown attention {name!r}; choose one of {', '.join(SCORES)}")
