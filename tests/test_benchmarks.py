"""Benchmarks: every variant runs and computes the same numbers; the stored run keeps its floors."""

import json
from collections import Counter

import pytest
import torch

from benchmarks import page_engine, scenes
from benchmarks.decoders import (
    DECODERS,
    FLOORS,
    QUICK,
    RESULTS,
    StepLoop,
    make_model,
    missed_floors,
    run,
    sorted_batches,
    unsorted_batches,
)
from benchmarks.measuring import interleave, ratio, summarise
from benchmarks.multi30k_shapes import sentence_lengths


def test_lengths_are_those_of_the_training_split():
    pairs = sentence_lengths()
    assert len(pairs) == 29_000 and pairs == sentence_lengths()
    sources, targets = zip(*pairs, strict=True)
    assert sum(sources) == 322_383 + 29_000 and sum(targets) == 345_020 + 29_000
    assert Counter(targets)[11] == 3_490  # sentences of ten words, the most frequent length


@pytest.mark.parametrize("name", DECODERS)
def test_the_loops_compute_what_the_fast_route_computes(name):
    """A ratio of speeds means something only between equal results."""
    model = make_model(name, QUICK).double().eval()
    (batch,) = sorted_batches(QUICK)
    arguments = batch.source, batch.source_lengths, batch.target_input
    fast = model(*arguments).logits
    for projects_keys in (True, False) if "attention" in DECODERS[name] else (False,):
        slow = StepLoop(model, projects_keys=projects_keys)(*arguments).logits
        torch.testing.assert_close(slow, fast, rtol=0, atol=1e-12)


def test_sorting_saves_the_padding():
    def share(batches):
        positions = sum(batch.target_output.numel() for batch in batches)
        return sum(batch.target_tokens for batch in batches) / positions

    assert share(sorted_batches(QUICK)) > 0.9 > share(unsorted_batches(QUICK, 20))


def test_variants_are_interleaved_and_the_first_round_is_thrown_away():
    calls = []

    def measure(name: str, repetition: int) -> float:
        calls.append(name)
        return 10.0 * (name == "fast") + repetition + 1

    variants = {name: lambda i, name=name: measure(name, i) for name in ("slow", "fast")}
    rates = interleave(variants, 2, lambda line: None)
    assert rates == {"slow": [1.0, 2.0], "fast": [11.0, 12.0]}
    assert calls == ["slow", "fast", "fast", "slow", "slow", "fast"]
    assert ratio(rates, "fast", "slow") == {"median": 8.5, "minimum": 6.0, "maximum": 11.0}
    assert summarise([3.0, 1.0, 2.0]) == {"median": 2.0, "minimum": 1.0, "maximum": 3.0}


def test_everything_is_measured():
    results = run(QUICK, 1)
    assert {name for name in FLOORS if "bf16" not in name} <= results["ratios"].keys()
    for name in DECODERS:
        assert results["training_tokens_per_second"][name]["median"] > 0
        for key in (f"{name} / naive", f"{name} / nn.GRU alone"):
            assert results["ratios"][key]["median"] > 0
        for search in ("greedy", "beam"):
            assert results["decoding_sentences_per_second"][f"{name} {search}"]["median"] > 0
        assert 0 < results["share_of_peak"][name]["median"] < 1
    json.dumps(results)


def test_a_missed_floor_is_named():
    results = {"ratios": {"bahdanau / naive": {"median": 3.2}}}
    assert missed_floors(results) == ["bahdanau / naive is 3.20, the floor is 4.0"]


def test_the_stored_run_is_of_the_present_sizes_and_floors():
    stored = json.loads(RESULTS.read_text())
    assert stored["floors"] == FLOORS
    assert stored["sizes"]["hidden"] == 512 and stored["sizes"]["batch"] == 128
    assert stored["machine"]["threads"] == 1 and stored["date"]


@pytest.mark.parametrize("name", FLOORS)
def test_the_stored_run_reaches_its_floor(name):
    stored = json.loads(RESULTS.read_text())
    assert stored["ratios"][name]["median"] >= FLOORS[name]


@pytest.mark.parametrize("name", page_engine.CEILINGS)
def test_the_pages_engine_is_in_time(name):
    stored = json.loads(page_engine.RESULTS.read_text())
    assert stored["ceilings"] == page_engine.CEILINGS
    assert stored["milliseconds"][name]["wall"]["median"] <= page_engine.CEILINGS[name]


def test_models_of_the_presets_sizes_are_small_enough_to_ship():
    sizes = json.loads(page_engine.RESULTS.read_text())["model_bytes"]
    assert sizes.keys() == {name.split()[0] for name in page_engine.CEILINGS}
    for name, size in sizes.items():
        assert size <= (6_000_000 if name.startswith("multi30k") else 600_000)


@pytest.mark.parametrize("name", ["grammar-lstm", "scenes-soft"])
def test_a_benchmarked_model_never_ends_its_sentence(name):
    model, vocabularies = page_engine.build(name)
    layer = model.output if name == "scenes-soft" else model.decoder.readout.vocabulary
    assert float(layer.bias[3]) == -100.0
    assert len(vocabularies["target"]) == layer.bias.numel()


def test_scenes_are_drawn_and_trained_on():
    results = scenes.run(scenes.BATCH, 1, report=lambda line: None)
    assert results["ratios"].keys() == scenes.SETTINGS.keys()
    assert all(found["median"] > 0 for found in results["pictures_per_second"].values())
    json.dumps(results)


@pytest.mark.parametrize("name", scenes.SETTINGS)
def test_training_does_not_wait_for_drawn_scenes(name):
    """In the stored run, even if every picture were drawn anew in every epoch."""
    stored = json.loads(scenes.RESULTS.read_text())
    assert stored["floor"] == scenes.FLOOR and stored["machine"]["threads"] == 1
    assert stored["ratios"][name]["median"] >= scenes.FLOOR
