"""Do two systems differ by more than the choice of test sentences?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
