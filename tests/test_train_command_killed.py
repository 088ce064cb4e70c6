"""`python -m utils train … --resume`, killed at random moments, ends as if never killed.

One kill by default; `ATTENTION_BOOK_KILLS=50 pytest tests/test_train_command_killed.py -s` kills
fifty times, and ten more between two stages, in three minutes. Moments are drawn over the whole
life of the command: while it starts, in a step, a validation or a save, between two stages, while
it scores the model and cleans up.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from utils.checkpoints import has_training_state, load_model, load_training_state
from utils.commands.main import main

ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("ATTENTION_BOOK_KILLS", "1"))
EPOCHS = 12 + 4 * KILLS  # of each stage

PRESETS = {
    "grammar-bahdanau": ["train_size=24", "validation_size=6", "hidden_size=8", "dropout=0.2"],
    "scenes-hard": ["train_size=12", "test_size=4", "hidden_size=8"],  # two stages
}
STAGES = {"grammar-bahdanau": 1, "scenes-hard": 2}


def arguments(preset: str, output: Path) -> list[str]:
    changes = [f"--set={change}" for change in (*PRESETS[preset], "batch_size=8")]
    return [
        *("train", preset, "--device", "cpu", "--epochs", str(EPOCHS), "--resume"),
        *("--output", str(output), "--progress", "none", *changes),
    ]


def saved_epochs(output: Path) -> int:
    """Epochs of all stages on the disk; at the end the state is gone and the model is there."""
    done = 0
    for index in sorted(output.glob("training/stage-*/training.json")):
        try:
            done += json.loads(index.read_text(encoding="utf-8"))["state"]["position"]["epoch"]
        except FileNotFoundError:  # put away between two looks
            return saved_epochs(output)
    return sys.maxsize if not done and (output / "model.json").exists() else done


def require_readable(output: Path) -> None:
    for folder in output.glob("training/stage-*"):
        if has_training_state(folder):
            load_training_state(folder)
    if (output / "model.json").exists():
        load_model(output)
    for path in output.glob("**/history.jsonl"):
        assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize(("preset", "kills"), list(zip(PRESETS, (KILLS, KILLS // 5), strict=True)))
def test_killed_and_resumed_is_as_if_never_killed(preset, kills, tmp_path, capsys) -> None:
    if not kills:
        pytest.skip("ATTENTION_BOOK_KILLS is below 5")
    assert main(arguments(preset, tmp_path / "whole")) == 0
    scores = json.loads(capsys.readouterr().out)

    output = tmp_path / "killed"
    command = [sys.executable, "-m", "utils", *arguments(preset, output)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    generator = random.Random(os.urandom(8))
    last = EPOCHS * STAGES[preset]
    found = []
    for target in sorted(generator.choices(range(last + 1), k=kills)):
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            while saved_epochs(output) < target and process.poll() is None:
                time.sleep(0.005)  # looking takes from the core that the command runs on
            # at the end a window as wide as scoring and cleaning up; at 0 as wide as the start
            time.sleep(generator.uniform(0, 0.05 if 0 < target < last else 1.0))
            process.kill()
            assert process.wait() in (-signal.SIGKILL, 0)
        require_readable(output)
        found.append(saved_epochs(output))
    assert found == sorted(found)

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == scores
    expected, result = (load_model(tmp_path / name).state_dict for name in ("whole", "killed"))
    assert expected.keys() == result.keys()
    assert all(torch.equal(result[name], value) for name, value in expected.items())
    left = sorted(path.name.split("-")[0] for path in output.iterdir())
    assert left == ["history.jsonl", "model.json", "weights"]  # nothing temporary, nothing old
    with capsys.disabled():
        print(f"\n{preset}: killed after {found} of {last} epochs")
