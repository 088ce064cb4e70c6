"""The translator's benchmark runs and compares rightly; the page on scaling is its arithmetic."""

import json
from dataclasses import replace

import pytest
import torch
from tiny_text import raw_pairs, small_multi30k, tiny_translator

from benchmarks import scaling, translator
from benchmarks.decoders import RESULTS as DECODERS
from benchmarks.decoders import Sizes, make_model
from benchmarks.translator import FLOORS, RESULTS, TIE, compare, missed_floors
from utils.presets.definitions import PRESETS, override


def test_both_ways_of_decoding_are_measured_and_compared() -> None:
    lines = raw_pairs(12, seed=5).source
    found = translator.decode(tiny_translator(), lines, 1)
    assert found["ratios"].keys() == FLOORS.keys()
    assert found["same"]["float64"] == {"sentences": 12, "different": 0, "largest_gap": 0.0}
    assert found["same"]["float32"]["largest_gap"] <= TIE
    assert found["sentences"] == 12 and json.dumps(found)


def test_differences_are_counted_and_weighed() -> None:
    one, other, third = tiny_translator().translate(raw_pairs(3, seed=6).source, beam_size=1)
    changed = replace(other, text=other.text + "!", score=other.score - 0.25)
    found = compare([one, other, third], [one, changed, replace(third, score=9.0)])
    assert found == {"sentences": 3, "different": 1, "largest_gap": pytest.approx(0.25)}
    results = {
        "ratios": {name: {"median": least - 1} for name, least in FLOORS.items()},
        "same": {"float64": found, "float32": found},
    }
    slow, double, single = missed_floors(results)
    assert "is 2.50, the floor is 3.5" in slow
    assert double == "1 translations differ in float64" and "2.5e-01" in single


def test_training_is_measured_against_the_bare_recurrences(tmp_path, monkeypatch) -> None:
    small_multi30k(tmp_path, monkeypatch)
    changes = {"source_pieces": 110, "target_pieces": 110, "batch_size": 8}
    sizes = {"hidden_size": 8, "embedding_size": 6, "readout_size": 6}
    presets = [override(PRESETS[name], changes | sizes) for name in translator.TRAINED]
    found = translator.train(presets, torch.device("cpu"), steps=2, repetitions=1)
    for name in translator.TRAINED:
        ratio = found["ratios"][f"{name} / {translator.floor(name)}"]["median"]
        assert 0 < ratio
        rate = found["tokens_per_second"][name]["median"]
        tokens = found["models"][name]["epoch_tokens"]
        assert found["seconds_per_epoch"][name] == pytest.approx(tokens / rate)
        assert found["models"][name]["epoch_sentences"] == 40
    assert found["peak_memory_bytes"]["the whole process"] > 1e7
    stored = {"training": {"cpu": found}}
    times = translator.against_cpu(found, stored)
    assert times.keys() == found["tokens_per_second"].keys() and set(times.values()) == {1.0}
    assert translator.against_cpu(found, {}) == {}
    json.dumps(found)


@pytest.mark.skipif(not RESULTS.exists(), reason="run python -m benchmarks.translator decode")
def test_the_stored_run_reaches_its_floors() -> None:
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert stored["floors"] == FLOORS
    decoding = stored["decoding"]
    assert decoding["sentences"] == 500 and decoding["beam_size"] == 5
    assert decoding["machine"]["threads"] == 1 and decoding["date"]
    assert missed_floors(decoding) == []


# --- book/scaling.md ------------------------------------------------------------------------------


def test_the_page_holds_the_tables() -> None:
    page = scaling.PAGE.read_text(encoding="utf-8")
    assert scaling.filled(page) == page, "run python -m benchmarks.scaling --write"
    with pytest.raises(ValueError, match="0 places for the table 'sizes'"):
        scaling.filled("")


def test_the_page_s_assumptions_are_the_ones_computed_with() -> None:
    page = scaling.PAGE.read_text(encoding="utf-8")
    assert f"| {scaling.PIECES_A_WORD}, for a vocabulary of {scaling.WIDE_PIECES:,} pieces" in page
    assert f"| {scaling.LINK / 1e9:g} · 10⁹ a second" in page
    for size in (scaling.WIDE["hidden_size"], scaling.WIDE["readout_size"]):
        assert f"{size:,}" in page


def test_operations_are_as_many_as_were_counted() -> None:
    """A benchmark has counted the operations of the decoder; the formula must come near."""
    stored = json.loads(DECODERS.read_text(encoding="utf-8"))
    counted = (
        stored["share_of_peak"]["bahdanau"]["median"]
        * stored["peak_operations_per_second"]["peak"]["median"]
        / stored["training_tokens_per_second"]["bahdanau"]["median"]
    )
    small, _ = scaling.settings()
    model = make_model("bahdanau", Sizes())
    assert replace(small, model=model).operations == pytest.approx(counted, rel=0.1)


def test_numbers_are_written_for_people() -> None:
    assert [scaling.show(value) for value in (950, 12_345, 4.5e6, 3.14159e9, 2e17)] == [
        "950",
        "12,345",
        "4.5 million",
        "3.14 · 10⁹",
        "200 · 10¹⁵",
    ]
    assert [scaling.span(3600 * hours) for hours in (0.5, 5, 100, 24 * 365 * 3)] == [
        "30 minutes",
        "5 hours",
        "4 days",
        "3.0 years",
    ]
