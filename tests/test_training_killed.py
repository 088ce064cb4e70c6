"""A run killed at random moments and resumed ends with the weights of a run left alone.

One kill by default; `ATTENTION_BOOK_KILLS=50 pytest tests/test_training_killed.py` takes minutes.
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

from utils.checkpoints import has_training_state, load_model, load_training_state, save_model
from utils.datasets.batching import BucketedBatches, ParallelDataset
from utils.datasets.vocabulary import Vocabulary
from utils.models.seq2seq import Seq2SeqConfig, build_model
from utils.training import fit
from utils.training_config import TrainingConfig

ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("ATTENTION_BOOK_KILLS", "1"))
EPOCHS = 30 + 12 * KILLS


def train(folder: Path) -> None:
    """One run, saved after each of its many short epochs; the result is stored as a model."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator = random.Random(0)
    words = list("abcdef")
    sentences = [generator.choices(words, k=generator.randint(1, 5)) for _ in range(12)]
    vocabulary = Vocabulary(words)
    pairs = ParallelDataset(sentences, sentences, vocabulary, vocabulary)
    model = build_model(
        Seq2SeqConfig(
            source_vocabulary_size=len(vocabulary),
            target_vocabulary_size=len(vocabulary),
            embedding_size=8,
            hidden_size=8,
            decoder="luong",
            attention="dot",
            dropout=0.2,
        )
    )
    print("training", flush=True)
    fit(
        model,
        BucketedBatches(pairs, batch_size=4),
        BucketedBatches(pairs, batch_size=4, shuffle=False),
        TrainingConfig(epochs=EPOCHS, schedule="cosine"),
        checkpoint_directory=folder / "run",
        resume=True,
        progress=False,
    )
    save_model(folder / "result", model, config={}, vocabularies={})


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__)), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "training\n"
    return process


def saved_epochs(run: Path) -> int:
    index = run / "training.json"
    if not index.exists():
        return 0
    return json.loads(index.read_text(encoding="utf-8"))["state"]["position"]["epoch"]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_and_resumed_is_as_if_never_killed(tmp_path):
    assert start(tmp_path / "whole").wait() == 0
    run = tmp_path / "killed" / "run"
    generator = random.Random(os.urandom(8))
    found = []
    for target in sorted(generator.choices(range(EPOCHS - 10), k=KILLS)):
        process = start(tmp_path / "killed")
        while saved_epochs(run) < target and process.poll() is None:
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.05))  # somewhere in a step, a validation or a save
        process.kill()
        assert process.wait() == -signal.SIGKILL
        if has_training_state(run):
            load_training_state(run)  # never unreadable
        found.append(saved_epochs(run))
    assert found == sorted(found)
    assert start(tmp_path / "killed").wait() == 0

    expected = load_model(tmp_path / "whole" / "result").state_dict
    result = load_model(tmp_path / "killed" / "result").state_dict
    assert all(torch.equal(result[name], value) for name, value in expected.items())
    left = sorted(path.suffix for path in run.iterdir())
    assert left == [".json", ".safetensors"]  # nothing temporary, nothing old
    print(f"killed after {found} of {EPOCHS} epochs")


if __name__ == "__main__":
    train(Path(sys.argv[1]))
