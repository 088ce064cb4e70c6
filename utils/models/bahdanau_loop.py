"""The time loop of Bahdanau's decoder with its gradient written out: the fast route of training.

Autograd takes a loop back one step at a time, and at every step it makes the gradient of every
weight anew and adds it to the last. But nothing waits for a weight's gradient, and the sum over
steps of g_t x_tᵀ is one matrix product of all g and all x. So this file goes through the steps
twice, forwards and backwards, computes only what the next step waits for, and does the rest at the
end, in one product each.

Up to rounding the numbers are those of `BahdanauDecoder.step`; the tests hold outputs and gradients
equal.
"""

import torch
from torch import Tensor


class BahdanauLoop(torch.autograd.Function):
    """c_t = attention(s_{t−1}), s_t = GRU([y_{t−1}; c_t], s_{t−1}) for all t, additive score.

    tanh x = 2 (σ(2x) − ½), and a processor computes σ, the sigmoid, five to ten times as fast.
    So the score v · tanh(q + k) is computed as 2v · h with h = σ(2q + 2k) − ½.

    Below, `x_t` is a step's value, `x` holds all steps (T, B, …), and `g_x` is the gradient of the
    loss with respect to x.

    Source: Bahdanau et al. 2015, §A.2.2. Deviations: those of `BahdanauDecoder`.
    """

    @staticmethod
    def forward(
        ctx,
        projected: Tensor,
        first_state: Tensor,
        keys: Tensor,
        values: Tensor,
        attention_mask: Tensor,
        query_weight: Tensor,
        score_vector: Tensor,
        fed_weight: Tensor,
        hidden_weight: Tensor,
        hidden_bias: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Step through the target.

        Args:
            projected: (B, T, 3H), W_w y_{t−1} + b, rows reset, update, new state.
            first_state: (B, H), s_0.
            keys: (B, S, A), W_k h. values: (B, S, D). attention_mask: (B, S) bool.
            query_weight: (A, H), W_q. score_vector: (A,), v.
            fed_weight: (3H, D), what the gates take of the context.
            hidden_weight: (3H, H). hidden_bias: (3H,).
        Returns:
            States s_1 … s_T (B, T, H), contexts (B, T, D) and weights (B, T, S).
        """
        batch_size, steps, rows = projected.shape
        size = first_state.shape[1]
        # all that reads a state, in one product: (3H + A, H)
        state_weight = torch.cat([hidden_weight, 2 * query_weight])
        state_bias = torch.cat([hidden_bias, torch.zeros_like(score_vector)])
        doubled_keys, doubled_vector = 2 * keys, 2 * score_vector
        mask_bias = torch.zeros_like(keys[:, :, 0]).masked_fill_(~attention_mask, float("-inf"))
        empty = projected.new_empty
        states = empty(steps + 1, batch_size, size)
        halves = []  # h; one block for all steps would go back to the system after every batch
        weights = empty(steps, *keys.shape[:2])
        contexts = empty(steps, batch_size, values.shape[2])
        gates = empty(steps, batch_size, rows)  # reset, update, candidate
        recalled = empty(steps, batch_size, size)  # what the reset gate lets through or not
        states[0] = first_state
        for t in range(steps):
            from_state = torch.addmm(state_bias, states[t], state_weight.T)
            halves.append((from_state[:, None, rows:] + doubled_keys).sigmoid_().sub_(0.5))
            scores_t = halves[t] @ doubled_vector  # (B, S)
            torch.softmax(scores_t + mask_bias, dim=1, out=weights[t])
            torch.bmm(weights[t].unsqueeze(1), values, out=contexts[t].unsqueeze(1))
            from_input = torch.addmm(projected[:, t], contexts[t], fed_weight.T)
            switches_t, candidate_t = gates[t].split([2 * size, size], dim=1)
            torch.add(from_input[:, : 2 * size], from_state[:, : 2 * size], out=switches_t)
            reset_t, update_t = switches_t.sigmoid_().chunk(2, dim=1)
            recalled[t] = from_state[:, 2 * size : rows]
            torch.addcmul(from_input[:, 2 * size :], reset_t, recalled[t], out=candidate_t).tanh_()
            torch.lerp(candidate_t, states[t], update_t, out=states[t + 1])
        inputs = values, state_weight, doubled_vector, fed_weight
        ctx.save_for_backward(*inputs, states, weights, contexts, gates, recalled, *halves)
        # copies: who changes an output must not change what the way back reads
        return tuple(torch.stack(each.unbind(), dim=1) for each in (states[1:], contexts, weights))

    @staticmethod
    def backward(ctx, g_states: Tensor, g_contexts: Tensor, g_weights: Tensor) -> tuple:
        """Step back through the target, then make the gradient of every weight at once.

        Raises:
            RuntimeError: this gradient is to have a gradient itself (`create_graph=True`).
        """
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the gradient of BahdanauLoop is written out and has no gradient of its own; "
                "for second derivatives go through BahdanauDecoder.step"
            )
        values, state_weight, doubled_vector, fed_weight, *saved = ctx.saved_tensors
        states, weights, contexts, gates, recalled, *halves = saved
        steps, batch_size, rows = gates.shape
        size = states.shape[2]
        g_contexts = torch.stack(g_contexts.unbind(1))  # a copy, to be added to
        g_scores = torch.empty_like(weights)
        g_keys = torch.zeros_like(halves[0])
        quarter = halves[0].new_tensor(0.25)
        g_input = torch.empty_like(gates)  # of what words and context say to the gates
        g_from_state = gates.new_empty(steps, batch_size, len(state_weight))
        g_state_t = torch.zeros_like(states[0])
        for t in reversed(range(steps)):
            # the cell
            g_state_t = g_state_t + g_states[:, t]
            reset_t, update_t, candidate_t = gates[t].chunk(3, dim=1)
            g_candidate = g_state_t * (1 - update_t) * (1 - candidate_t**2)
            g_switches = torch.cat(
                [g_candidate * recalled[t], g_state_t * (states[t] - candidate_t)], dim=1
            )
            g_switches *= gates[t, :, : 2 * size] * (1 - gates[t, :, : 2 * size])
            torch.cat([g_switches, g_candidate], dim=1, out=g_input[t])
            # the attention
            g_contexts[t].addmm_(g_input[t], fed_weight)
            g_weights_t = torch.bmm(g_contexts[t].unsqueeze(1), values.mT).squeeze(1)
            g_weights_t += g_weights[:, t]
            inner = (g_weights_t * weights[t]).sum(dim=1, keepdim=True)
            torch.mul(weights[t], g_weights_t - inner, out=g_scores[t])
            g_sums = torch.addcmul(quarter, halves[t], halves[t], value=-1)  # σ′ = ¼ − h²
            g_sums.mul_(doubled_vector).mul_(g_scores[t].unsqueeze(2))  # (B, S, A), of 2q + 2k
            g_keys += g_sums
            # what was read of the state
            parts = [g_switches, g_candidate * reset_t, g_sums.sum(dim=1)]
            torch.cat(parts, dim=1, out=g_from_state[t])
            g_state_t = torch.addmm(g_state_t * update_t, g_from_state[t], state_weight)
        pairs = zip(g_scores, halves, strict=True)
        g_vector = sum(g.flatten() @ half.flatten(0, 1) for g, half in pairs)
        g_state_weight = g_from_state.flatten(0, 1).T @ states[:-1].flatten(0, 1)
        g_fed_weight = g_input.flatten(0, 1).T @ contexts.flatten(0, 1)
        return (
            g_input.transpose(0, 1),
            g_state_t,
            2 * g_keys,
            torch.einsum("tbs,tbd->bsd", weights, g_contexts),
            None,
            2 * g_state_weight[rows:],
            2 * g_vector,
            g_fed_weight,
            g_state_weight[:rows],
            g_from_state[:, :, :rows].sum(dim=(0, 1)),
        )
