"""The long experiments: their store, their registry, and a cheap run of each."""

import json
import math

import numpy as np
import pytest
import torch

from utils.datasets.multi30k import is_downloaded
from utils.experiments import __main__ as command
from utils.experiments import registry, store
from utils.experiments.attribution import (
    attribution_summary,
    gold_weights,
    row_similarity,
    source_attribution,
)
from utils.experiments.grammar_task import make_data
from utils.experiments.registry import EXPERIMENTS, experiment_module, run_experiment
from utils.experiments.store import load_results, load_settings, results_path, store_run
from utils.models.seq2seq import build_model

NEEDS_MULTI30K = ("translation-quality", "translation-ablations")


def skip_without_data(name):
    if name in NEEDS_MULTI30K and not is_downloaded():
        pytest.skip(f"{name}: Multi30k is not downloaded")


def keep(folder, *, seed=1, settings=None, records=None):
    return store_run(
        "trial",
        seed=seed,
        settings=settings or {"epochs": 2},
        records=records or [{"loss": 0.5}],
        seconds=1.25,
        folder=folder,
    )


class TestStore:
    def test_round_trip(self, tmp_path):
        keep(tmp_path, records=[{"loss": 0.5}, {"loss": 0.25}])
        keep(tmp_path, seed=2)
        assert load_results("trial", folder=tmp_path, minimum_seeds=2) == [
            {"seed": 1, "loss": 0.5},
            {"seed": 1, "loss": 0.25},
            {"seed": 2, "loss": 0.5},
        ]
        assert load_settings("trial", folder=tmp_path) == {"epochs": 2}

    def test_a_run_says_where_it_comes_from(self, tmp_path):
        (run,) = json.loads(keep(tmp_path).read_text())["runs"]
        assert set(run) == {"seed", "date", "commit", "machine", "seconds", "records"}
        assert run["machine"]["torch"] == torch.__version__
        assert run["machine"]["threads"] == torch.get_num_threads()
        assert len(run["date"]) == 10 and run["commit"]

    def test_the_same_seed_replaces_its_older_run(self, tmp_path):
        keep(tmp_path, records=[{"loss": 0.5}])
        keep(tmp_path, records=[{"loss": 0.1}])
        assert load_results("trial", folder=tmp_path) == [{"seed": 1, "loss": 0.1}]

    def test_runs_of_other_settings_are_not_mixed(self, tmp_path):
        keep(tmp_path, settings={"epochs": 2})
        keep(tmp_path, seed=2, settings={"epochs": 3})
        assert [record["seed"] for record in load_results("trial", folder=tmp_path)] == [2]

    def test_missing_results_name_the_command(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="python -m utils.experiments trial"):
            load_results("trial", folder=tmp_path)

    def test_too_few_seeds(self, tmp_path):
        keep(tmp_path)
        with pytest.raises(ValueError, match=r"holds seeds \[1\], at least 5"):
            load_results("trial", folder=tmp_path, minimum_seeds=5)

    @pytest.mark.parametrize("text", ['{"format": 1, "expe', ""])
    def test_truncated_file(self, tmp_path, text):
        results_path("trial", tmp_path).write_text(text)
        with pytest.raises(ValueError, match="not readable JSON"):
            load_results("trial", folder=tmp_path)

    @pytest.mark.parametrize("change", [{"format": 99}, {"experiment": "other"}])
    def test_foreign_file(self, tmp_path, change):
        path = keep(tmp_path)
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(ValueError, match="expected 'trial' in format 1"):
            load_results("trial", folder=tmp_path)

    def test_an_interrupted_write_leaves_the_old_results(self, tmp_path):
        keep(tmp_path)
        with pytest.raises(TypeError):
            keep(tmp_path, seed=2, records=[{"loss": torch.ones(1, device="cpu")}])
        assert load_results("trial", folder=tmp_path) == [{"seed": 1, "loss": 0.5}]
        assert [path.name for path in tmp_path.iterdir()] == ["trial.json"]

    def test_outside_git_the_commit_is_unknown(self, monkeypatch, tmp_path):
        monkeypatch.setattr(store, "ROOT", tmp_path)
        assert store.describe_commit() == "unknown"


class TestRegistry:
    def test_unknown_name_lists_the_known_ones(self):
        with pytest.raises(ValueError, match=r"'nonsense'; there are: .*context-width"):
            experiment_module("nonsense")

    def test_command_lists_the_experiments(self, capsys):
        assert command.main([]) == 0
        printed = capsys.readouterr().out
        assert all(name in printed for name in EXPERIMENTS)

    def test_command_says_what_is_wrong(self, capsys):
        assert command.main(["nonsense"]) == 2
        assert "nonsense" in capsys.readouterr().err

    def test_command_stores_a_quick_run_away_from_the_book(self, monkeypatch, capsys, tmp_path):
        asked = {}
        monkeypatch.setattr(
            command, "run_experiment", lambda name, **options: asked.update(options, name=name)
        )
        threads = torch.get_num_threads()
        try:
            assert command.main(["source-order", "--quick", "--seeds", "7"]) == 0
        finally:
            torch.set_num_threads(threads)
        assert asked["seeds"] == [7] and asked["quick"]
        assert asked["folder"] != store.RESULTS
        assert str(asked["folder"]) in capsys.readouterr().out


@pytest.mark.parametrize("name", EXPERIMENTS)
class TestEveryExperiment:
    def test_cheap_run(self, name, tmp_path):
        """The code behind stored numbers still runs, and writes records of the stored form."""
        skip_without_data(name)
        records = run_experiment(name, seeds=[1], quick=True, folder=tmp_path)
        assert records and load_results(name, folder=tmp_path) == records
        for value in numbers(records):
            assert math.isfinite(value)
        stored = load_results(name)
        assert {key for record in records for key in record} == {
            key for record in stored for key in record
        }

    def test_stored_results_are_of_the_present_settings(self, name):
        module = experiment_module(name)
        load_results(name, minimum_seeds=len(module.SEEDS))
        assert load_settings(name) == json.loads(json.dumps(module.SETTINGS))

    def test_cheap_settings_are_known_settings(self, name):
        module = experiment_module(name)
        assert set(module.QUICK) <= set(module.SETTINGS)
        assert module.DESCRIPTION.strip().endswith("?")


def numbers(values):
    """Every number inside nested records."""
    if isinstance(values, dict):
        values = values.values()
    for value in values:
        if isinstance(value, dict | list):
            yield from numbers(value)
        elif isinstance(value, int | float):
            yield value


@pytest.fixture(scope="module")
def task():
    torch.manual_seed(0)
    data = make_data(train_size=64, validation_size=8, test_size=12, maximum_length=12)
    model = build_model(data.config(embedding_size=6, hidden_size=10, decoder="cho"))
    return data, model.double().eval()


class TestAttribution:
    def test_equals_finite_differences(self, task):
        data, model = task
        batch = data.train.collate([0, 5, 9])
        row, step, position, nudge = 1, 2, 3, 1e-6
        vectors = model.encoder.embedding(batch.source).detach()

        def log_probability(vectors):
            encoded = model.encoder.encode_vectors(vectors, batch.source_lengths)
            logits = model.decoder(batch.target_input, encoded).logits
            word = batch.target_output[row, step]
            return logits[row, step].log_softmax(-1)[word].item()

        def slopes(position):
            for unit in range(vectors.shape[2]):
                moved = vectors.clone()
                moved[row, position, unit] += nudge
                yield (log_probability(moved) - log_probability(vectors)) / nudge

        def norm(position):
            return math.hypot(*slopes(position))

        weights = source_attribution(model, batch)[row, step]
        assert weights[position] / weights[0] == pytest.approx(norm(position) / norm(0), rel=1e-4)

    def test_rows_sum_to_one_and_padding_gets_nothing(self, task):
        data, model = task
        batch = data.train.collate(range(8))
        weights = source_attribution(model, batch)
        assert torch.equal(weights.sum(dim=-1) > 0.5, batch.target_mask)
        torch.testing.assert_close(weights.sum(dim=-1), batch.target_mask.double())
        hidden = ~batch.source_mask.unsqueeze(1).expand_as(weights)
        assert weights[hidden].abs().max() == 0.0
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_row_similarity(self):
        assert row_similarity(np.ones((3, 4))) == pytest.approx(1.0)
        assert row_similarity(np.eye(3)) == pytest.approx(0.0)
        halves = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        assert row_similarity(halves) == pytest.approx(1 / 3)

    def test_gold_profiles_follow_the_links(self, task):
        example = task[0].test[0]
        weights = gold_weights(example)
        assert {(s, t) for t, s in zip(*np.nonzero(weights), strict=True)} == set(example.sure)
        linked = weights.sum(axis=1)
        assert np.allclose(linked[linked > 0], 1.0)

    def test_a_perfect_profile_scores_one(self, task, monkeypatch):
        data, model = task
        chosen = [example for example in data.test if len(gold_weights(example)) > 3][:4]

        def gold(model, batch):
            weights = torch.full((*batch.target_output.shape, batch.source.shape[1]), 1e-12)
            for row, example in enumerate(chosen):
                found = torch.from_numpy(gold_weights(example))
                weights[row, : found.shape[0], : found.shape[1]] += found
            return weights

        monkeypatch.setattr("utils.experiments.attribution.source_attribution", gold)
        summary = attribution_summary(model, data, chosen)
        assert summary["on_gold"] == pytest.approx(1.0, abs=1e-3)
        assert summary["similarity"] == pytest.approx(summary["gold_similarity"], abs=1e-3)
        assert summary["elsewhere"] < 0.5


def test_registry_and_modules_agree():
    assert len(set(registry.EXPERIMENTS)) == len(registry.EXPERIMENTS)
