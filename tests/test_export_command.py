"""`python -m utils export`: the file, the scores of both models, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from utils.checkpoints import load_model, save_model
from utils.commands import export as export_module
from utils.commands.main import main
from utils.exporting import load_exported

SIZES = ["hidden_size=8", "embedding_size=6", "train_size=48", "validation_size=6"]


def train(preset: str, folder: Path, *changes: str) -> Path:
    options = [part for change in changes for part in ("--set", change)]
    assert main(["train", preset, "--epochs", "1", "--output", str(folder), *options]) == 0
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("grammar-lstm", tmp_path_factory.mktemp("models") / "tiny", *SIZES)


def test_both_models_are_scored_on_the_same_sentences(model, tmp_path, capsys) -> None:
    output = tmp_path / "tiny.js"
    assert main(["export", "--model", str(model), "--output", str(output)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["bytes"] == output.stat().st_size
    assert result["precision"] == "int8"
    exported = load_exported(output)
    card = load_model(model).card
    assert exported.card == {**card, "export": result["scores"]}
    # the saved model's scores are those that its training wrote down
    own = card["scores"]["validation"]
    assert result["scores"]["saved"] == {name: own[name] for name in result["scores"]["saved"]}
    assert result["scores"]["exported"]["sentences"] == 6


def test_captions_too(tmp_path, capsys) -> None:
    changes = ("train_size=8", "test_size=4", "hidden_size=6", "embedding_size=4")
    folder = train("scenes-soft", tmp_path / "soft", *changes)
    output = tmp_path / "soft.js"
    code = main(
        ["export", "--model", str(folder), "--output", str(output), "--precision", "float16"]
    )
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 0
    assert result["scores"]["exported"]["scenes"] == 4
    assert load_exported(output).kind == "captioning"


def test_without_scores_and_into_the_book(model, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(export_module, "MODELS", tmp_path / "assets")
    assert main(["export", "--model", str(model), "--no-scores"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["scores"] is None
    assert load_exported(tmp_path / "assets" / "tiny.js").card == load_model(model).card


def test_a_model_of_unknown_origin_is_not_scored(model, tmp_path, capsys) -> None:
    saved = load_model(model)
    save_model(
        tmp_path / "own",
        saved.state_dict,
        config=saved.config,
        vocabularies=saved.vocabularies,
    )
    code = main(["export", "--model", str(tmp_path / "own"), "--output", str(tmp_path / "own.js")])
    shown = capsys.readouterr()
    assert code == 0
    assert json.loads(shown.out)["scores"] is None
    assert "names no preset" in shown.err


@pytest.mark.parametrize(
    "options, code, message",
    [
        (["--model", "nowhere"], 1, "no model 'nowhere'"),
        (["--output", "model.json"], 2, "--output must end in .js"),
        (["--output", "a b.js"], 1, "expected <name>.js"),
        (["--threads", "0"], 2, "--threads must be at least 1"),
    ],
)
def test_what_is_refused(options, code, message, model, capsys) -> None:
    given = options if "--model" in options else ["--model", str(model), *options]
    assert main(["export", *given]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
