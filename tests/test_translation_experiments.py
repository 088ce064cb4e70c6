"""Chapter 7's experiments on a tiny text of their own, without Multi30k."""

from __future__ import annotations

import json

import pytest
from tiny_text import raw_pairs, tiny_translator

from utils.datasets.multi30k import TextPairs
from utils.experiments import translation_ablations, translation_quality
from utils.experiments.store import load_results
from utils.metrics import bleu
from utils.translator import MODELS

PAIRS = raw_pairs(40)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two untrained translators and forty pairs in place of the released ones and Multi30k."""
    other = tiny_translator(decoder="cho", attention=None)
    models = {"one": tiny_translator(), "other": other}
    monkeypatch.setattr(translation_quality, "load_translator", models.__getitem__)
    monkeypatch.setattr(translation_quality, "weights_digest", lambda name: f"weights of {name}")
    monkeypatch.setattr(translation_quality, "load_multi30k", lambda split: PAIRS)
    monkeypatch.setattr(translation_ablations, "load_multi30k", lambda split: PAIRS)


def test_a_record_for_each_model_split_and_width(tiny: None) -> None:
    settings = translation_quality.SETTINGS | translation_quality.QUICK
    settings |= {"models": ["one", "other"], "splits": ["validation", "test"], "sentences": 10}
    records = translation_quality.run(1, settings)
    beams = [record for record in records if record["kind"] == "beam"]
    assert len(beams) == 2 * 2 * 2
    assert {record["sentences"] for record in beams} == {10}
    assert {record["weights"] for record in beams} == {"weights of one", "weights of other"}
    assert all(record["processor_seconds"] > 0 for record in beams)
    everything = next(record for record in records if record["kind"] == "length")
    wide = {r["model"]: r["bleu"] for r in beams if r["beam_size"] == 2}
    assert everything["first"] == pytest.approx(wide["one"], abs=0.011)
    assert everything["second"] == pytest.approx(wide["other"], abs=0.011)
    assert everything["beam_size"] == 2


def test_buckets_hold_every_sentence_once() -> None:
    pairs = TextPairs([" ".join("a" * n) for n in (1, 2, 3, 9)], ["some words here now"] * 4)
    good, bad = list(pairs.target), ["nothing of it"] * 4
    found = translation_quality.compare_by_length(
        good, bad, pairs, [1, 3, 5, 7, 10], samples=5, seed=0
    )
    sizes = [(row["minimum"], row["maximum"], row["sentences"]) for row in found]
    assert sizes == [(1, 9, 4), (1, 2, 2), (3, 4, 1), (7, 9, 1)]  # 5 to 6 has none
    for row in found:
        assert row["first"] == pytest.approx(100) and row["second"] < 5
        assert row["low"] <= row["difference"] <= row["high"]


def test_scores_are_those_of_the_translations() -> None:
    translator = tiny_translator()
    texts, record = translation_quality.translate_and_score(translator, PAIRS, 1)
    assert record["bleu"] == pytest.approx(bleu(texts, PAIRS.target), abs=0.01)
    assert texts == [each.text for each in translator.translate(PAIRS.source, beam_size=1)]
    words = [sum(len(text.split()) for text in side) for side in (texts, PAIRS.target)]
    assert record["length_ratio"] == pytest.approx(words[0] / words[1], abs=1e-4)


def test_stored_scores_are_those_of_the_released_weights() -> None:
    for record in load_results("translation-quality"):
        if record["kind"] == "beam":
            index = json.loads((MODELS / record["model"] / "model.json").read_text("utf-8"))
            assert index["tensors"]["sha256"].startswith(record["weights"]), "run it again"


def test_each_condition_changes_one_thing(tiny: None) -> None:
    settings = translation_ablations.SETTINGS | translation_ablations.QUICK
    settings |= {"train_size": 40, "conditions": translation_ablations.SETTINGS["conditions"]}
    settings["conditions"] = settings["conditions"] | {"512 pieces": {"pieces": 90}}
    settings |= {"warmup_steps": 0, "epochs": 2, "learning_rate": 0.03, "dropout": 0.5}
    records = translation_ablations.run(1, settings)
    found = {record["condition"]: record for record in records}
    assert list(found) == list(settings["conditions"])
    usual = found["the recipe"]
    assert found["no dropout"]["parameters"] == usual["parameters"]
    assert found["no dropout"]["validation_loss"] != usual["validation_loss"]
    assert found["no label smoothing"]["validation_loss"] != usual["validation_loss"]
    assert found["512 pieces"]["pieces_per_sentence"] > usual["pieces_per_sentence"]
    assert found["whole words"]["pieces_per_sentence"] < usual["pieces_per_sentence"]
    assert found["fixed vector"]["parameters"] != usual["parameters"]
    for record in records:
        per_piece = record["nats_per_sentence"] / (record["pieces_per_sentence"] + 1)
        assert per_piece == pytest.approx(record["validation_loss"], rel=0.01)


def test_words_and_punctuation_are_told_apart() -> None:
    assert translation_ablations.split_words(["A man's T-shirt, isn't it?"]) == [
        "A man's T-shirt , isn't it ?"
    ]
