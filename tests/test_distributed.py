"""Several processes train as one does: the same curve, one of them writing, and resumable."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.nn import functional

from utils import training
from utils.checkpoints import load_model, load_training_state, save_model
from utils.commands.main import main
from utils.datasets.batching import BucketedBatches, ParallelDataset
from utils.datasets.grammar import Grammar
from utils.datasets.vocabulary import Vocabulary
from utils.distributed import (
    Alone,
    Team,
    _LossOfShare,
    _Shares,
    first_process_first,
    is_first,
    launched,
    process_group,
    workers,
)
from utils.losses import LossOutput, translation_loss
from utils.models.seq2seq import Seq2SeqConfig, build_model
from utils.training import fit
from utils.training_config import TrainingConfig

ROOT = Path(__file__).parents[1]
EPOCHS = 13  # of four batches: 52 steps


def make_batches(*, shuffle: bool = True) -> BucketedBatches:
    """13 pairs in batches of four: the last has one, and two processes cannot both get a row."""
    examples = Grammar(minimum_length=4, maximum_length=12).sample(13, seed=0)
    source, target = [e.source for e in examples], [e.target for e in examples]
    words = [sorted({word for sentence in side for word in sentence}) for side in (source, target)]
    pairs = ParallelDataset(source, target, *map(Vocabulary, words))
    return BucketedBatches(pairs, batch_size=4, shuffle=shuffle)


def make_model(batches: BucketedBatches, **settings: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(
        Seq2SeqConfig(
            source_vocabulary_size=len(batches.dataset.source_vocabulary),
            target_vocabulary_size=len(batches.dataset.target_vocabulary),
            embedding_size=8,
            hidden_size=12,
            **{
                "decoder": "bahdanau",
                "attention": "additive",
                "bidirectional": True,
                **settings,
            },
        )
    )


def loss_with_penalty(model, batch) -> LossOutput:
    """A mean over tokens as penalty and a sum as metric: both must be of the whole batch."""
    real = batch.target_mask
    output = model(batch.source, batch.source_lengths, batch.target_input, target_mask=real)
    total = functional.cross_entropy(output.logits, batch.target_output[real], reduction="sum")
    tokens = batch.target_tokens
    penalty = 0.01 * output.logits.square().sum() / tokens
    return LossOutput(total, tokens, penalty, {"sentences": len(batch)})


def curve() -> dict:
    """52 steps without dropout, validated after each: what one and two processes must share."""
    batches = make_batches()
    history = fit(
        make_model(batches),
        batches,
        make_batches(shuffle=False),
        TrainingConfig(epochs=EPOCHS, schedule="cosine", learning_rate=0.01, validate_every=1),
        compute_loss=loss_with_penalty,
        progress=False,
    )
    return {
        "validations": [entry["loss"] for entry in history.validations],
        "train_loss": history.train_loss,
        "sentences": history.metrics["sentences"],
    }


def with_dropout(epochs: int, folder: Path | None = None) -> torch.nn.Module:
    batches = make_batches()
    model = make_model(batches, dropout=0.3)
    config = TrainingConfig(epochs=epochs, time_limit_seconds=1000)
    fit(model, batches, None, config, checkpoint_directory=folder, resume=folder is not None,
        progress=False)  # fmt: skip
    return model


COMMAND = [
    *("train", "grammar-bahdanau", "--device", "cpu", "--epochs", "3", "--progress", "lines"),
    *("--set", "train_size=50", "--set", "validation_size=9", "--set", "batch_size=8"),
    *("--set", "hidden_size=8", "--set", "embedding_size=6", "--set", "dropout=0"),
]  # fmt: skip


def one_of_two(folder: Path) -> None:
    """What each of the two processes does; what it saw is written under its own name."""
    torch.set_num_threads(1)
    with process_group(torch.device("cpu")):
        rank = distributed.get_rank()
        assert distributed.get_world_size() == launched() == 2 and is_first() == (rank == 0)
        if rank:
            training.save_training_state = None  # only the first process may call it
        with first_process_first():
            with open(folder / "order", "a") as file:
                file.write(str(rank))
        found = curve()
        whole = with_dropout(4)
        with_dropout(2, folder / "state")
        resumed = with_dropout(4, folder / "state")
        save_model(folder / f"whole-{rank}", whole, config={}, vocabularies={})
        save_model(folder / f"resumed-{rank}", resumed, config={}, vocabularies={})
        (folder / f"curve-{rank}.json").write_text(json.dumps(found))
        torch.manual_seed(0)
        print(f"code {main([*COMMAND, '--output', str(folder / 'trained')])}", flush=True)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """The folder and the output of two real processes under torchrun."""
    folder = tmp_path_factory.mktemp("two")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command, str(Path(__file__)), str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.mark.skipif(not distributed.is_available(), reason="torch without torch.distributed")
class TestTwoProcesses:
    def test_the_curve_is_that_of_one_process(self, two) -> None:
        expected = curve()
        assert len(expected["validations"]) == 52
        assert expected["validations"][-1] < 0.8 * expected["validations"][0]
        for rank in (0, 1):
            found = json.loads((two[0] / f"curve-{rank}.json").read_text())
            for name, values in expected.items():
                assert found[name] == pytest.approx(values, abs=1e-4), name

    def test_both_end_with_the_same_weights_and_a_resumed_run_too(self, two) -> None:
        names = ("whole-0", "whole-1", "resumed-0", "resumed-1")
        first, *others = (load_model(two[0] / name).state_dict for name in names)
        for other in others:
            assert all(torch.equal(other[name], value) for name, value in first.items())

    def test_one_process_can_go_on_with_what_two_began(self, two, tmp_path) -> None:
        shutil.copytree(two[0] / "state", tmp_path / "state")
        with_dropout(5, tmp_path / "state")
        assert load_training_state(tmp_path / "state")[0]["position"]["epoch"] == 5

    def test_the_first_process_goes_first(self, two) -> None:
        assert (two[0] / "order").read_text() == "01"

    def test_the_command_writes_once_and_learns_what_one_process_learns(
        self, two, tmp_path, capsys
    ) -> None:
        folder, done = two
        assert main([*COMMAND, "--output", str(tmp_path / "alone")]) == 0
        scores = json.loads(capsys.readouterr().out)["validation"]
        lines = done.stdout.splitlines()
        assert sorted(lines)[:2] == ["code 0", "code 0"] and len(lines) == 3
        together = json.loads(sorted(lines)[2])["validation"]
        assert together["validation_loss"] == pytest.approx(scores["validation_loss"], abs=1e-3)
        assert done.stderr.count("saved in") == done.stderr.count("weights, on cpu") == 1
        curves = [
            [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]
            for path in (folder / "trained", tmp_path / "alone")
        ]
        for name in ("train_loss", "validation_loss"):
            values = [[line[name] for line in lines] for lines in curves]
            assert len(values[0]) == 3 and values[0] == pytest.approx(values[1], abs=1e-4)
        card = load_model(folder / "trained").card
        assert card["command"].startswith("torchrun --nproc-per-node=2 -m utils train grammar-")
        left = [path.name for path in (folder / "trained").iterdir()]
        assert sorted(left)[:2] == ["history.jsonl", "model.json"] and len(left) == 3


# --- in this process ------------------------------------------------------------------------------


@pytest.fixture
def team():
    """A team of one."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        yield Team()
    finally:
        distributed.destroy_process_group()


def test_one_process_stays_alone(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert isinstance(workers(), Alone) and launched() == 1 and is_first()
    with process_group(torch.device("mps")) as device, first_process_first():
        assert device.type == "mps" and not distributed.is_initialized()
    batches = [object()]
    assert workers().share(batches) is batches
    assert workers().agree(True) and not workers().agree(False)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    workers().seed_step(1, 1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("device", "reason"), [("mps", "not on mps"), ("cuda:0", "GPU of its own"), ("cuda", "GPU of")]
)
def test_a_device_that_cannot_be_shared_is_refused(device, reason, monkeypatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "9"}.items():
        monkeypatch.setenv(name, value)
    assert launched() == 2 and not is_first()
    with pytest.raises(ValueError, match=reason), process_group(torch.device(device)):
        pass


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_are_the_batches_dealt_out(size) -> None:
    batches = make_batches()
    shares = [_Shares(batches, rank, size) for rank in range(size)]
    for epoch in (0, 1):
        for share in shares:
            share.set_epoch(epoch)
        dealt = [list(share) for share in shares]
        for number, whole in enumerate(batches):
            own = [part[number] for part in dealt]
            rows = [row for part in own if part.is_counted for row in part.batch.indices.tolist()]
            assert sorted(rows) == sorted(whole.indices.tolist())
            assert all(len(part.batch) == 1 for part in own if not part.is_counted)
    assert len(shares[0]) == len(batches)


def test_a_share_that_is_not_counted_adds_nothing() -> None:
    batches = make_batches()
    model = make_model(batches)
    (*_, share) = _Shares(batches, 4, 5)
    loss = _LossOfShare(model, loss_with_penalty)(share)
    assert not share.is_counted
    assert loss.total.item() == 0 and loss.tokens == 0 and loss.metrics == {"sentences": 0.0}


@pytest.mark.parametrize(
    "settings",
    [
        {"decoder": "cho", "attention": None},
        {"decoder": "sutskever", "attention": None, "cell": "lstm", "bidirectional": False},
        {"decoder": "bahdanau", "attention": "additive", "tie_embeddings": True, "readout_size": 8},
        {"decoder": "luong", "attention": "general"},
        {"decoder": "luong", "attention": "general", "input_feeding": True},
        {"decoder": "luong", "attention": "local-p", "window": 3},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_a_team_of_one_trains_as_one_alone(settings, team) -> None:
    """Also: no model has weights that a step leaves out, which the engine would not forgive."""
    batches = make_batches()
    config = TrainingConfig(epochs=2, learning_rate=0.01)
    found = make_model(batches, **settings)
    together = fit(found, batches, batches, config, progress=False)
    distributed.destroy_process_group()
    try:
        expected = make_model(batches, **settings)
        alone = fit(expected, batches, batches, config, progress=False)
    finally:
        distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    assert together.train_loss == pytest.approx(alone.train_loss, abs=1e-5)
    assert together.validation_loss == pytest.approx(alone.validation_loss, abs=1e-5)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=1e-4)


def test_a_loss_that_is_not_finite_stops_all(team) -> None:
    batches = make_batches()
    model = make_model(batches)

    def broken(model, batch) -> LossOutput:
        loss = translation_loss(model, batch)
        return loss._replace(total=loss.total * float("nan"))

    with pytest.raises(FloatingPointError, match="the loss is not finite in epoch 1, step 1"):
        fit(model, batches, None, TrainingConfig(epochs=1), compute_loss=broken, progress=False)


def test_what_cannot_be_shared_is_refused(team) -> None:
    batches = make_batches()
    with pytest.raises(ValueError, match="cannot share list"):
        fit(make_model(batches), list(batches), None, TrainingConfig(epochs=1))
    with pytest.raises(ValueError, match="no target tokens"):
        team.evaluate(make_model(batches), [], translation_loss)


def test_random_numbers_are_a_function_of_process_and_step(team) -> None:
    drawn = []
    for rank, step in ((0, 5), (1, 5), (0, 6), (0, 5)):
        team.rank = rank
        team.seed_step(1, step)
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[3]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_the_first_decides(team) -> None:
    assert team.agree(True) and not team.agree(False)
    team.is_first = False
    assert not team.agree(True)


if __name__ == "__main__":
    one_of_two(Path(sys.argv[1]))
