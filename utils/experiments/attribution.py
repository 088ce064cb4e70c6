"""Which source words a probability hangs on, read off gradients: ‖∂ log p(y_t) / ∂ x_s‖.

A gradient says how much the score would move if a word vector moved a little. It does not say
what would happen if the word were another one, and it has no built-in scale: the profiles here
are normalised to sum to one, so that they can be compared with each other and with gold links.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from utils.datasets.batching import Batch
from utils.datasets.grammar import Example
from utils.experiments.grammar_task import GrammarData
from utils.models.seq2seq import EncoderDecoder


def source_attribution(model: EncoderDecoder, batch: Batch) -> Tensor:
    """How strongly every source word moves every target word's log-probability.

    Args:
        model: in evaluation mode, on the batch's device; its weights collect no gradients.
    Returns:
        (B, T, S): Euclidean norm over E of ∂ log p(y_t | y_<t) / ∂ x_s under teacher forcing;
        each real row sums to one, rows past a target's length are zero.
    """
    # cuDNN computes gradients of recurrent layers in training mode only, which brings dropout back
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        vectors = model.encoder.embedding(batch.source).detach().requires_grad_()  # (B, S, E)
        encoded = model.encoder.encode_vectors(vectors, batch.source_lengths)
        logits = model.decoder(batch.target_input, encoded).logits  # (B, T, V)
        chosen = logits.log_softmax(-1).gather(-1, batch.target_output.unsqueeze(-1)).squeeze(-1)
        rows = []
        for step in range(chosen.shape[1]):
            # rows of a batch do not see each other, so one sum serves them all
            (gradient,) = torch.autograd.grad(chosen[:, step].sum(), vectors, retain_graph=True)
            rows.append(gradient.norm(dim=-1))  # (B, S)
    norms = nn.functional.normalize(torch.stack(rows, dim=1), p=1.0, dim=-1)  # (B, T, S)
    return norms * batch.target_mask.unsqueeze(-1)


def row_similarity(weights: np.ndarray) -> float:
    """Mean cosine between the profiles of two different target words: 1 when nothing moves.

    Args:
        weights: (T, S) non-negative, T ≥ 2, no row all zero.
    """
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    count = len(unit)
    return float(((unit @ unit.T).sum() - count) / (count * (count - 1)))


def gold_weights(example: Example) -> np.ndarray:
    """The sure links as profiles: (T, S), each linked row sums to one, unlinked rows are zero."""
    weights = np.zeros((len(example.target), len(example.source)))
    for source_index, target_index in example.sure:
        weights[target_index, source_index] = 1.0
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1.0)


def attribution_summary(
    model: EncoderDecoder, data: GrammarData, examples: Sequence[Example]
) -> dict[str, Any]:
    """Means over target words with a sure link (the end of sentence left out).

    Returns:
        similarity, gold_similarity: cosine between profiles of different target words, the
            model's and the gold links' (0–1).
        on_gold: share of a word's attribution on its gold source words (0–1).
        elsewhere: the same gold words under the profiles of the sentence's other target words:
            what a profile that ignores the word would get.
    """
    device = next(model.parameters()).device
    batch = data.encode(examples).collate(range(len(examples))).to(device)
    attribution = source_attribution(model.eval(), batch).cpu().numpy()
    found: dict[str, list[float]] = {
        name: [] for name in ("similarity", "gold_similarity", "on_gold", "elsewhere")
    }
    for example, weights in zip(examples, attribution, strict=True):
        gold = gold_weights(example)
        linked = gold.sum(axis=1) > 0
        if linked.sum() < 2:
            continue
        source = len(example.source)
        words = weights[: len(example.target), :source]
        if data.reverse_source:
            words = words[:, ::-1]
        words, gold = words[linked], gold[linked]
        words = words / words.sum(axis=1, keepdims=True)  # <eos> left out: shares of the words
        shares = words @ (gold > 0).T  # [t, u]: attribution of word t on the gold words of u
        count = len(shares)
        found["similarity"].append(row_similarity(words))
        found["gold_similarity"].append(row_similarity(gold))
        found["on_gold"].append(float(np.trace(shares)) / count)
        found["elsewhere"].append(float(shares.sum() - np.trace(shares)) / (count * (count - 1)))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}
