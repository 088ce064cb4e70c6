"""Do two systems differ by more than the choice of test sentences?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

METRICS = {"bleu": BLEU, "chrf": CHRF}


class ScoreInterval(NamedTuple):
    """A system's score with its bootstrap interval, 0–100.

    Attributes:
        score: of all sentences. mean, half_width: of the resampled sets; 95 % lie inside mean ±
            half_width. p_value: how probable a difference from the first system as large as this
            one is by chance; None for the first system.
    """

    score: float
    mean: float
    half_width: float
    p_value: float | None


def paired_bootstrap(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[str],
    *,
    metric: str = "bleu",
    samples: int = 1000,
) -> dict[str, ScoreInterval]:
    """Do systems differ by more than the choice of test sentences? Resamples those, in pairs.

    Source: Koehn 2004, "Statistical significance tests for machine translation evaluation";
    computed by sacrebleu. Deviations: none.

    Args:
        systems: names to hypotheses; the first is the one that the others are compared with.
        references: one per sentence.
        metric: "bleu" or "chrf", with sacrebleu's defaults.
        samples: sets drawn with replacement, from sacrebleu's own fixed seed.
    Raises:
        ValueError: fewer than two systems, no sentences, not equally many, or another metric.
    """
    if len(systems) < 2:
        raise ValueError(f"systems has {len(systems)}; expected two or more to compare")
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; expected one of {', '.join(METRICS)}")
    counts = {name: len(sentences) for name, sentences in systems.items()}
    if set(counts.values()) != {len(references)} or not references:
        raise ValueError(
            f"hypotheses {counts} and {len(references)} references: expected equally many, at "
            "least one"
        )
    named = [(name, list(sentences)) for name, sentences in systems.items()]
    scorer = METRICS[metric]()
    test = PairedTest(named, {metric: scorer}, [list(references)], "bs", n_samples=samples)
    _, found = test()
    results = next(values for name, values in found.items() if name != "System")
    return {
        name: ScoreInterval(
            float(result.score),
            float(result.mean),
            float(result.ci),
            None if result.p_value is None else float(result.p_value),
        )
        for name, result in zip(systems, results, strict=True)
    }


class BleuDifference(NamedTuple):
    """How far apart two systems are in BLEU, 0–100.

    Attributes:
        first, second: BLEU of all sentences. difference: first − second. low, high: 95 % of the
            resampled sets have a difference between them.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float


def bootstrap_difference(
    first: Sequence[str],
    second: Sequence[str],
    references: Sequence[str],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> BleuDifference:
    """The interval of a difference in BLEU: both systems scored on the same resampled sentences.

    Source: Koehn 2004, section 3.3 (paired bootstrap). Deviations: it gives the interval of the
    difference (percentiles), where `paired_bootstrap` gives each system's own.

    Args:
        first, second, references: one text per sentence; scored with sacrebleu's defaults.
        samples: sets drawn with replacement.
        seed: of the draws; the same seed draws the same sentences for every pair of systems.
    Raises:
        ValueError: no sentences, or not equally many, or no samples.
    """
    counts = {len(first), len(second), len(references)}
    if len(counts) > 1 or not references or samples < 1:
        raise ValueError(
            f"{len(first)} and {len(second)} hypotheses, {len(references)} references, {samples} "
            "samples: expected equally many sentences, and at least one of each"
        )
    counted = [_count_matches(system, references) for system in (first, second)]
    every = np.arange(len(references))
    one, other = (_bleu_of(matches, every) for matches in counted)
    draws = np.random.default_rng(seed).integers(len(references), size=(samples, len(references)))
    differences = [_bleu_of(counted[0], rows) - _bleu_of(counted[1], rows) for rows in draws]
    low, high = np.percentile(differences, [2.5, 97.5])
    return BleuDifference(one, other, one - other, float(low), float(high))


def _count_matches(hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """(sentences, 10): right n-grams and n-grams for n = 1 … 4, words, words of the reference."""
    metric = BLEU(effective_order=True)
    rows = []
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        found = metric.sentence_score(hypothesis, [reference])
        rows.append([*found.counts, *found.totals, found.sys_len, found.ref_len])
    return np.array(rows)


def _bleu_of(matches: np.ndarray, rows: np.ndarray) -> float:
    """Corpus BLEU of some sentences, each as often as it is in `rows`."""
    sums = matches[rows].sum(axis=0).tolist()
    return BLEU.compute_bleu(
        correct=sums[:4], total=sums[4:8], sys_len=sums[8], ref_len=sums[9], smooth_method="exp"
    ).score
