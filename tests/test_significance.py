"""The paired bootstrap: sure of large differences, unsure of small ones."""

import random

import pytest

from utils.metrics import bleu, chrf, signed_scores
from utils.significance import bootstrap_difference, paired_bootstrap

WORDS = "a man in red runs over the green field while two dogs look at him from far away".split()


def corpus(errors: float, *, seed: int) -> list[str]:
    """Forty sentences of twelve words; a share of the words is replaced."""
    choose, spoil = random.Random(0), random.Random(seed)
    sentences = [choose.choices(WORDS, k=12) for _ in range(40)]
    return [
        " ".join("wrong" if spoil.random() < errors else word for word in sentence)
        for sentence in sentences
    ]


REFERENCES = corpus(0, seed=0)


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_a_large_difference_is_no_chance(metric: str) -> None:
    systems = {"good": corpus(0.1, seed=1), "bad": corpus(0.4, seed=2)}
    found = paired_bootstrap(systems, REFERENCES, metric=metric, samples=200)
    score = {"bleu": bleu, "chrf": chrf}[metric]
    for name, hypotheses in systems.items():
        assert found[name].score == pytest.approx(score(hypotheses, REFERENCES))
        assert abs(found[name].mean - found[name].score) < found[name].half_width
    assert found["good"].p_value is None
    assert found["bad"].p_value < 0.02


def test_a_small_difference_may_be_chance() -> None:
    systems = {"one": corpus(0.2, seed=1), "other": corpus(0.2, seed=3)}
    found = paired_bootstrap(systems, REFERENCES, samples=200)
    assert found["other"].p_value > 0.05
    assert paired_bootstrap(systems, REFERENCES, samples=200) == found


def test_signed_scores_are_those_of_sacrebleu() -> None:
    found = signed_scores(corpus(0.2, seed=1), REFERENCES)
    assert found["bleu"] == round(bleu(corpus(0.2, seed=1), REFERENCES), 2)
    assert found["chrf"] == round(chrf(corpus(0.2, seed=1), REFERENCES), 2)
    assert "case:mixed|eff:no|tok:13a|smooth:exp|version:" in found["bleu_signature"]
    assert "nc:6|nw:0|space:no|version:" in found["chrf_signature"]
    assert chrf(REFERENCES, REFERENCES) == 100


@pytest.mark.parametrize(
    ("systems", "options", "message"),
    [
        ({"one": REFERENCES}, {}, "expected two or more"),
        ({"one": REFERENCES, "two": REFERENCES[:3]}, {}, r"'two': 3.*equally many"),
        ({"one": REFERENCES, "two": REFERENCES}, {"metric": "ter"}, "'ter'.*bleu, chrf"),
    ],
)
def test_what_cannot_be_compared(systems: dict, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(systems, REFERENCES, **options)


def test_no_sentences_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="at least one"):
        paired_bootstrap({"one": [], "two": []}, [])
    with pytest.raises(ValueError, match="at least one"):
        signed_scores([], [])
    with pytest.raises(ValueError, match="2 hypotheses, 1 references"):
        chrf(["a", "b"], ["a"])


def test_the_interval_of_a_difference() -> None:
    good, bad = corpus(0.1, seed=1), corpus(0.4, seed=2)
    found = bootstrap_difference(good, bad, REFERENCES, samples=200)
    assert found.first == pytest.approx(bleu(good, REFERENCES))
    assert found.second == pytest.approx(bleu(bad, REFERENCES))
    assert found.difference == found.first - found.second
    assert 0 < found.low < found.difference < found.high
    turned = bootstrap_difference(bad, good, REFERENCES, samples=200)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_the_difference_is_paired() -> None:
    """One system twice: each alone varies from set to set, their difference does not."""
    same = corpus(0.3, seed=1)
    assert bootstrap_difference(same, list(same), REFERENCES, samples=50)[2:] == (0, 0, 0)


def test_an_interval_contains_no_difference_where_there_is_none() -> None:
    found = bootstrap_difference(corpus(0.2, seed=1), corpus(0.2, seed=3), REFERENCES, samples=200)
    assert found.low < 0 < found.high
    again = bootstrap_difference(corpus(0.2, seed=1), corpus(0.2, seed=3), REFERENCES, samples=200)
    assert found == again


@pytest.mark.parametrize("counts", [(3, 2, 3), (3, 3, 2), (0, 0, 0)])
def test_sentences_that_do_not_pair(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected equally many"):
        bootstrap_difference(*(REFERENCES[:count] for count in counts))
