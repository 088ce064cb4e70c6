"""Scores: of translations against references, and of attention against gold alignments.

A link is a pair (source index, target index), counted from 0, without EOS.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple, TypeVar

import numpy
import sacrebleu

Links = AbstractSet[tuple[int, int]]
Sentence = str | Sequence[Any]
Value = TypeVar("Value")


# --- translations ---------------------------------------------------------------------------------


def exact_match(hypotheses: Sequence[Sentence], references: Sequence[Sentence]) -> float:
    """Share of hypotheses that equal their reference in every token, 0–1.

    Args:
        hypotheses, references: one string or one sequence of tokens per sentence.
    Raises:
        ValueError: there are none, or not equally many.
    """
    _require_pairs(hypotheses=hypotheses, references=references)
    return _mean(_tokens(h) == _tokens(r) for h, r in zip(hypotheses, references, strict=True))


def token_accuracy(hypotheses: Sequence[Sentence], references: Sequence[Sentence]) -> float:
    """Share of positions with the right token, 0–1, over all sentences together.

    Position i of the hypothesis is compared with position i of the reference. A sentence counts
    as many positions as the longer of the two has, so missing and surplus tokens are wrong; one
    token too many at the start makes all that follow wrong. Strings are split at white space.

    Raises:
        ValueError: there are none, not equally many, or not one token among them.
    """
    _require_pairs(hypotheses=hypotheses, references=references)
    right = total = 0
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        own, expected = _tokens(hypothesis), _tokens(reference)
        right += sum(a == b for a, b in zip(own, expected, strict=False))
        total += max(len(own), len(expected))
    if total == 0:
        raise ValueError("hypotheses and references hold no tokens; pass at least one word")
    return right / total


def bleu(
    hypotheses: Sequence[Sentence], references: Sequence[Sentence], *, tokenize: str = "13a"
) -> float:
    """Corpus BLEU, 0–100, mixed case, one reference per sentence.

    Source: Papineni et al. 2002; computed by sacrebleu (Post 2018, arXiv:1804.08771).
    Deviations: none; sacrebleu's default smoothing.

    Args:
        hypotheses, references: strings, or sequences of words (then joined with spaces).
        tokenize: sacrebleu's tokeniser; ``"none"`` for text that is already tokenised, as the
            grammar's is.
    Raises:
        ValueError: there are none, or not equally many.
    """
    return bleu_against_any(hypotheses, [[r] for r in references], tokenize=tokenize)


def bleu_against_any(
    hypotheses: Sequence[Sentence],
    references: Sequence[Sequence[Sentence]],
    *,
    tokenize: str = "13a",
) -> float:
    """Corpus BLEU, 0–100, with one or more references for each hypothesis, all of them right.

    As `bleu`, but references holds a list for each hypothesis, such as the five captions of a
    photograph. An n-gram counts as often as in the reference that has it most often; the length
    compared with is that of the reference closest in length.
    """
    _require_pairs(hypotheses=hypotheses, references=references)
    for index, several in enumerate(references):
        if isinstance(several, str) or not several:
            raise ValueError(
                f"references[{index}] is {several!r:.80}; expected a list of one or more"
            )
    streams = [  # sacrebleu wants the first reference of every sentence, then the second, …
        [_text(several[rank]) if rank < len(several) else None for several in references]
        for rank in range(max(map(len, references)))
    ]
    own = [_text(sentence) for sentence in hypotheses]
    return sacrebleu.corpus_bleu(own, streams, tokenize=tokenize, force=True).score


def chrf(hypotheses: Sequence[Sentence], references: Sequence[Sentence]) -> float:
    """Corpus chrF, 0–100: the F-score of character n-grams, one reference per sentence.

    Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"; computed by
    sacrebleu. Deviations: none; sacrebleu's defaults (n to 6, recall counts twice).

    Raises:
        ValueError: there are none, or not equally many.
    """
    _require_pairs(hypotheses=hypotheses, references=references)
    own, expected = ([_text(s) for s in sentences] for sentences in (hypotheses, references))
    return sacrebleu.corpus_chrf(own, [expected]).score


def signed_scores(
    hypotheses: Sequence[Sentence], references: Sequence[Sentence]
) -> dict[str, float | str]:
    """BLEU and chrF with sacrebleu's defaults, and the signatures that say how they were made.

    Returns:
        ``bleu``, ``bleu_signature``, ``chrf``, ``chrf_signature``; scores 0–100, two decimals.
    Raises:
        ValueError: there are none, or not equally many.
    """
    _require_pairs(hypotheses=hypotheses, references=references)
    own, expected = ([_text(s) for s in sentences] for sentences in (hypotheses, references))
    found: dict[str, float | str] = {}
    for name, metric in (("bleu", sacrebleu.metrics.BLEU()), ("chrf", sacrebleu.metrics.CHRF())):
        found[name] = round(metric.corpus_score(own, [expected]).score, 2)
        found[f"{name}_signature"] = str(metric.get_signature())
    return found


class LengthBucket(NamedTuple):
    """The values of all sentences with a length in ``minimum … maximum`` (both included).

    Attributes:
        maximum: an integer, or infinity for a last bucket without end.
        values: in the order they came in; may be empty.
    """

    minimum: int
    maximum: float
    values: list[Any]

    @property
    def label(self) -> str:
        """Such as "5–9", "7" or "20+"."""
        if math.isinf(self.maximum):
            return f"{self.minimum}+"
        same = self.minimum == self.maximum
        return f"{self.minimum}" if same else f"{self.minimum}–{self.maximum}"

    @property
    def mean(self) -> float:
        """Mean of the values, nan if there are none."""
        return sum(self.values) / len(self.values) if self.values else math.nan


def by_length(
    values: Sequence[Value], lengths: Sequence[int], edges: Sequence[float]
) -> list[LengthBucket]:
    """Sort one value per sentence into buckets of sentence length.

    Args:
        values: anything: scores to average, or (hypothesis, reference) pairs to score.
        lengths: the length of each sentence.
        edges: where buckets begin, ascending, and one past the end of the last bucket:
            ``[4, 10, 20, math.inf]`` makes 4–9, 10–19 and 20+.
    Raises:
        ValueError: the counts differ, the edges do not ascend, or a length is outside them.
    """
    _require_pairs(values=values, lengths=lengths)
    pairs = list(zip(edges, edges[1:], strict=False))
    if not pairs or any(low >= high for low, high in pairs):
        raise ValueError(f"edges must be at least two ascending numbers, not {list(edges)}")
    buckets = [LengthBucket(low, high if math.isinf(high) else high - 1, []) for low, high in pairs]
    for value, length in zip(values, lengths, strict=True):
        for bucket in buckets:
            if bucket.minimum <= length <= bucket.maximum:
                bucket.values.append(value)
                break
        else:
            raise ValueError(
                f"a sentence of length {length} fits no bucket of the edges {list(edges)}; widen "
                "them (math.inf leaves the last bucket open) or leave that sentence out"
            )
    return buckets


# --- alignments -----------------------------------------------------------------------------------


def hard_links(weights: Any, target_length: int, source_length: int) -> frozenset:
    """Link every target word to the source word with its largest weight.

    Source: Luong et al. 2015, arXiv:1508.04025, section 5.4 (one-to-one hard alignments).
    Deviations: none known; the first of equal weights wins.

    Args:
        weights: (≥ target_length, ≥ source_length) float, rows are target positions: an array or
            a tensor. EOS and padding, which come after the words, are left out, so the columns
            must be in the sentence's own order, also where a model read the source reversed.
        target_length, source_length: words without EOS.
    Returns:
        At most one link per target word; none for a word whose weights are all 0.
    Raises:
        ValueError: the array is smaller than the lengths, or has values below 0 or not finite.
    """
    weights = _weights(weights)
    if weights.ndim != 2 or weights.shape[0] < target_length or weights.shape[1] < source_length:
        raise ValueError(
            f"weights have shape {weights.shape}; expected 2 dimensions, at least "
            f"({target_length}, {source_length}): target words by source words"
        )
    _require_lengths(target_length, source_length)
    words = weights[:target_length, :source_length]
    best = words.argmax(axis=1)
    return frozenset((int(s), t) for t, s in enumerate(best) if words[t, s] > 0)


def diagonal_links(target_length: int, source_length: int) -> frozenset:
    """The baseline that links every target word to the source word at the same relative place.

    Raises:
        ValueError: a length is below 1.
    """
    _require_lengths(target_length, source_length)
    return frozenset(
        ((2 * t + 1) * source_length // (2 * target_length), t) for t in range(target_length)
    )


def random_links(
    target_length: int, source_length: int, *, seed: int | numpy.random.Generator
) -> frozenset:
    """The baseline that links every target word to a source word drawn at random.

    Args:
        seed: a number, or one generator for many sentences (the same number would give all
            sentences of one size the same links).
    Raises:
        ValueError: a length is below 1.
    """
    _require_lengths(target_length, source_length)
    drawn = numpy.random.default_rng(seed).integers(source_length, size=target_length)
    return frozenset((int(s), t) for t, s in enumerate(drawn))


def alignment_error_rate(
    predicted: Sequence[Links], sure: Sequence[Links], possible: Sequence[Links]
) -> float:
    """Alignment error rate over all sentences together, 0 (best) – 1.

    1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|) for predicted links A, sure links S and possible links
    P. It is 0 exactly when every sure link is predicted and every predicted link is possible.

    Source: Och and Ney 2003, "A systematic comparison of various statistical alignment models",
    equation 21. Deviations: none.

    Args:
        predicted, sure, possible: one set of links per sentence; possible contains sure.
    Raises:
        ValueError: the counts differ, there are no links at all, or possible lacks a sure link.
    """
    _require_alignments(predicted=predicted, sure=sure, possible=possible)
    for index, (certain, allowed) in enumerate(zip(sure, possible, strict=True)):
        if not certain <= allowed:
            raise ValueError(
                f"sentence {index}: sure links {sorted(certain - allowed)} are not among the "
                "possible ones; possible must contain sure"
            )
    total = _count(predicted) + _count(sure)
    if total == 0:
        raise ValueError("there are no predicted and no sure links; expected at least one")
    return 1 - (_overlap(predicted, sure) + _overlap(predicted, possible)) / total


def sure_recall(predicted: Sequence[Links], sure: Sequence[Links]) -> float:
    """Share of the sure links that are predicted, 0–1: |A ∩ S| / |S|.

    Source: Och and Ney 2003, equation 20.

    Raises:
        ValueError: the counts differ, or there are no sure links.
    """
    _require_alignments(predicted=predicted, sure=sure)
    if _count(sure) == 0:
        raise ValueError("there are no sure links to recall; expected at least one")
    return _overlap(predicted, sure) / _count(sure)


def alignment_precision(predicted: Sequence[Links], possible: Sequence[Links]) -> float:
    """Share of the predicted links that are possible, 0–1: |A ∩ P| / |A|.

    Source: Och and Ney 2003, equation 20.

    Raises:
        ValueError: the counts differ, or there are no predicted links.
    """
    _require_alignments(predicted=predicted, possible=possible)
    if _count(predicted) == 0:
        raise ValueError("there are no predicted links to judge; expected at least one")
    return _overlap(predicted, possible) / _count(predicted)


def crossing_rate(links: Sequence[Links]) -> float:
    """Share of pairs of links that cross, 0 (same order) – 1 (reversed), over all sentences.

    Links (i, j) and (k, l) of one sentence cross if i < k and j > l. Only pairs that differ in
    both words are counted, as others cannot cross. Without any such pair the rate is 0.

    Raises:
        ValueError: there are no sentences.
    """
    _require_alignments(links=links)
    crossing = pairs = 0
    for sentence in links:
        ordered = sorted(sentence)
        for index, (i, j) in enumerate(ordered):
            for k, l in ordered[index + 1 :]:  # noqa: E741 - i, j, k, l as in the definition
                pairs += i != k and j != l
                crossing += i < k and j > l
    return crossing / pairs if pairs else 0.0


def weight_entropy(weights: Any, row_mask: Any = None) -> float:
    """Mean entropy of attention rows, in nats: 0 for one word, log S for S words alike.

    Rows that do not sum to 1, as those of local attention, are scaled to 1 first.

    Args:
        weights: (…, S) float, at least 0: an array or a tensor.
        row_mask: (…) bool, True = a row to count, or None to count all.
    Raises:
        ValueError: no row is counted, a counted row is all 0, or values are below 0 or not
            finite.
    """
    weights = _weights(weights)
    if row_mask is not None:
        mask = _array(row_mask).astype(bool)
        if mask.shape != weights.shape[:-1]:
            raise ValueError(
                f"row_mask has shape {mask.shape}; weights of shape {weights.shape} need "
                f"{weights.shape[:-1]}"
            )
        weights = weights[mask]
    rows = weights.reshape(-1, weights.shape[-1])
    if len(rows) == 0:
        raise ValueError("there are no rows of weights to count; expected at least one")
    sums = rows.sum(axis=1, keepdims=True)
    if (sums == 0).any():
        raise ValueError(
            f"row {int(sums[:, 0].argmin())} of the counted rows has only zero weights; mask it out"
        )
    rows = rows / sums
    logarithms = numpy.log(rows, where=rows > 0, out=numpy.zeros_like(rows))  # 0 · log 0 = 0
    return float(-(rows * logarithms).sum(axis=1).mean()) + 0.0  # + 0.0 turns -0.0 into 0.0


# --- small parts ----------------------------------------------------------------------------------


def _tokens(sentence: Sentence) -> tuple:
    return tuple(sentence.split() if isinstance(sentence, str) else sentence)


def _text(sentence: Sentence) -> str:
    return sentence if isinstance(sentence, str) else " ".join(sentence)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def _count(sentences: Sequence[Links]) -> int:
    return sum(len(links) for links in sentences)


def _overlap(first: Sequence[Links], second: Sequence[Links]) -> int:
    return sum(len(a & b) for a, b in zip(first, second, strict=True))


def _array(values: Any) -> numpy.ndarray:
    if hasattr(values, "detach"):  # a tensor, on whichever device, in whichever precision
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    return numpy.asarray(values)


def _weights(values: Any) -> numpy.ndarray:
    weights = _array(values).astype(float)
    if weights.ndim == 0:
        raise ValueError("weights must have at least one dimension, not a single number")
    if not numpy.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("weights must be finite and at least 0; were these scores, not weights?")
    return weights


def _require_pairs(**sequences: Sequence[Any]) -> None:
    """All sequences have the same number of items, at least one."""
    for name, values in sequences.items():
        if isinstance(values, str):
            raise ValueError(f"{name} is one string; expected one item per sentence: put it in []")
    counts = {name: len(values) for name, values in sequences.items()}
    shown = ", ".join(f"{count} {name}" for name, count in counts.items())
    if len(set(counts.values())) > 1:
        raise ValueError(f"{shown}: expected equally many, one per sentence, in the same order")
    if 0 in counts.values():
        raise ValueError(f"{shown}: expected at least one")


def _require_alignments(**sequences: Sequence[Links]) -> None:
    for name, values in sequences.items():
        if isinstance(values, AbstractSet):
            raise ValueError(f"{name} is one set; expected one set per sentence: put it in []")
    _require_pairs(**sequences)


def _require_lengths(target_length: int, source_length: int) -> None:
    for name, length in (("target_length", target_length), ("source_length", source_length)):
        if length < 1:
            raise ValueError(f"{name} must be at least 1, not {length}")
