"""`train`: a model with its card, a run that can be stopped, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from running import one_line
from tiny_text import small_multi30k

from utils.checkpoints import load_model
from utils.commands.main import main
from utils.datasets import multi30k
from utils.history import ProgressBar

SMALL = [
    *("--set", "train_size=48"), *("--set", "validation_size=8"),
    *("--set", "hidden_size=8"), *("--set", "embedding_size=6"),
]  # fmt: skip


def train(*arguments: object) -> int:
    return main(["train", *map(str, arguments)])


def test_train_saves_a_model_that_translates(tmp_path, capsys, stdin) -> None:
    output = tmp_path / "model"
    options = ["grammar-bahdanau", "--output", output, "--epochs", 2, "--seed", 5, *SMALL]
    assert train(*options, "--progress", "none") == 0
    found = capsys.readouterr()
    scores = json.loads(found.out)["validation"]
    assert {"validation_loss", "exact_match", "bleu"} <= scores.keys()
    assert "grammar-bahdanau: saved in" in found.err

    card = load_model(output).card
    assert card["scores"]["validation"] == scores
    assert card["command"] == (
        "python -m utils train grammar-bahdanau --set train_size=48 --set validation_size=8 "
        "--set hidden_size=8 --set embedding_size=6 --seed 5 --epochs 2"
    )
    assert {"licence", "source"} <= card["data"].keys()
    assert card["machine"]["threads"] == 1 and card["commit"] and card["date"]
    assert card["training"]["epochs"] == 2 and card["training"]["seconds"] > 0
    lines = [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert {"train_loss", "validation_loss", "seconds", "tokens_per_second"} <= lines[0].keys()
    left = sorted(path.name.split("-")[0] for path in output.iterdir())
    assert left == ["history.jsonl", "model.json", "weights"]

    assert train(*options, "--resume") == 0
    assert "already trained" in capsys.readouterr().err
    assert train(*options, "--resume", "--set", "dropout=0.25") == 2
    assert "with other settings" in one_line(capsys.readouterr().err)
    assert train(*options) == 2
    assert "already holds a model" in one_line(capsys.readouterr().err)
    before = (output / "model.json").read_text()
    assert train(*options, "--replace", "--set", "dropout=0.25", "--progress", "none") == 0
    assert (output / "model.json").read_text() != before
    stdin(b"the girl reads .\n")
    assert main(["translate", "--model", str(output), "--beam", "1"]) == 0


def test_weights_are_stored_in_half_precision_and_scored_like_that(tmp_path, capsys) -> None:
    assert train("grammar-fixed", "--output", tmp_path / "m", "--epochs", 1, *SMALL) == 0
    saved = load_model(tmp_path / "m")
    assert {str(value.dtype) for value in saved.state_dict.values()} == {"torch.float16"}
    assert saved.card["weights"] == "float16"


@pytest.mark.parametrize("preset", ["grammar-luong-feeding", "multi30k-bahdanau"])
def test_a_stopped_run_goes_on_as_if_never_stopped(preset, tmp_path, monkeypatch, capsys) -> None:
    small_multi30k(tmp_path / "data", monkeypatch, train=48)
    options = [preset, "--epochs", 3, "--progress", "none", "--set", "dropout=0.2"]
    if preset.startswith("multi30k"):
        for change in ("source_pieces=110", "target_pieces=110", "hidden_size=8"):
            options += ["--set", change]
        for change in ("embedding_size=6", "readout_size=6", "subword_dropout=0.1"):
            options += ["--set", change]
    else:
        options += SMALL
    assert train(*options, "--output", tmp_path / "whole") == 0

    updates = ProgressBar.update
    calls = 0

    def stop(self: ProgressBar, **values: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        updates(self, **values)

    stopped = tmp_path / "stopped"
    monkeypatch.setattr(ProgressBar, "update", stop)
    assert train(*options, "--output", stopped) == 130
    assert "the same command with --resume goes on" in capsys.readouterr().err
    monkeypatch.setattr(ProgressBar, "update", updates)
    assert (stopped / "training" / "history.jsonl").read_text().count("\n") >= 1
    assert train(*options, "--output", stopped) == 2
    assert "add --resume" in one_line(capsys.readouterr().err)
    assert train(*options, "--output", stopped, "--resume") == 0

    whole, resumed = (load_model(tmp_path / name) for name in ("whole", "stopped"))
    assert whole.state_dict.keys() == resumed.state_dict.keys()
    for name, value in whole.state_dict.items():
        assert value.equal(resumed.state_dict[name]), name
    histories = [
        [json.loads(line)["train_loss"] for line in (folder / "history.jsonl").open()]
        for folder in (tmp_path / "whole", stopped)
    ]
    assert histories[0] == histories[1] and len(histories[0]) == 3


def test_both_stages_of_hard_attention_are_trained(tmp_path, capsys) -> None:
    options = ["--set", "train_size=32", "--set", "test_size=4", "--set", "hidden_size=8"]
    assert train("scenes-hard", "--output", tmp_path / "m", "--epochs", 1, *options) == 0
    lines = [json.loads(line) for line in (tmp_path / "m" / "history.jsonl").open()]
    assert [(line["stage"], line["epoch"]) for line in lines] == [(1, 1), (2, 1)]
    assert load_model(tmp_path / "m").vocabularies.keys() == {"caption"}


def test_progress_as_lines_names_the_preset(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(ProgressBar, "seconds_between_lines", 0.0)
    options = ["--output", tmp_path / "m", "--epochs", 1, *SMALL, "--progress", "lines"]
    assert train("grammar-luong", *options) == 0
    lines = capsys.readouterr().err.splitlines()
    steps = [line for line in lines if "step" in line]
    assert len(steps) >= 2
    assert re.fullmatch(
        r"grammar-luong: epoch 1/1, step 1/2, loss [\d.]+, [\d,]+ tokens/s, \d\d:\d\d left",
        steps[0],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["multi30k-bahdana"], "did you mean multi30k-bahdanau"),
        (["grammar-fixed", "--set", "dropot=1"], "no setting 'dropot'; nearest: dropout"),
        (["grammar-fixed", "--set", "dropout"], "NAME=VALUE, not 'dropout'"),
        (["grammar-fixed", "--epochs", "0"], "epochs must be an integer of at least 1"),
        (["grammar-fixed", "--device", "cuda:99"], "device 'cuda:99'"),
        (["grammar-fixed", "--threads", "0"], "--threads must be at least 1"),
    ],
)
def test_train_refuses(arguments, message, tmp_path, capsys) -> None:
    assert train(*arguments, "--output", tmp_path / "m") == 2
    assert message in one_line(capsys.readouterr().err)
    assert not (tmp_path / "m").exists()


def test_without_data_and_network_train_says_how_to_get_it(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(multi30k, "ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv(multi30k.FOLDER_VARIABLE, str(tmp_path))
    assert train("multi30k-fixed", "--output", tmp_path / "m") == 1
    assert "train.de.gz is not there" in one_line(capsys.readouterr().err)


def test_a_diverging_run_is_one_line(tmp_path, capsys) -> None:
    options = ["--set", "learning_rate=1e30", "--set", "clip_norm=1e30", "--epochs", 3]
    options += ["--set", "warmup_steps=0"]
    output = tmp_path / "m"
    assert train("grammar-fixed", "--output", output, *options, *SMALL, "--progress", "none") == 1
    assert "is not finite" in capsys.readouterr().err.splitlines()[-1]


def test_tensorboard_is_optional(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    options = ["--output", tmp_path / "m", "--tensorboard", tmp_path / "board", *SMALL]
    assert train("grammar-fixed", "--epochs", 1, *options) == 2
    assert "pip install tensorboard" in capsys.readouterr().err


def test_tensorboard_gets_the_curves(tmp_path, capsys, monkeypatch) -> None:
    import types

    written = []

    class Writer:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            written.append("closed")

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append((name, epoch))

        def flush(self) -> None:
            pass

    stand_in = types.ModuleType("torch.utils.tensorboard")
    stand_in.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    options = ["--output", tmp_path / "m", "--tensorboard", tmp_path / "board", *SMALL]
    assert train("grammar-fixed", "--epochs", 2, *options) == 0
    assert ("validation_loss", 1) in written and ("train_loss", 2) in written
    assert written[-1] == "closed"
