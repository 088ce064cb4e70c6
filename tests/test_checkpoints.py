"""Checkpoints: what comes back, what is refused, and what an interrupted save leaves behind."""

import errno
import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from utils import checkpoints
from utils.checkpoints import (
    CheckpointError,
    atomic_write,
    has_training_state,
    load_model,
    load_training_state,
    load_weights,
    save_model,
    save_training_state,
)
from utils.datasets.vocabulary import Vocabulary

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def make_model(seed: int = 0, size: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(size, 2)


def save(folder: Path, seed: int = 0, **changes) -> None:
    arguments = {
        "config": {"size": 3, "rate": 0.1},
        "vocabularies": {"source": Vocabulary(["chat", "noir"]), "target": {"a": [1, 2]}},
        "card": {"data": "grammar", "licence": "CC0", "naïve": "é"},
    }
    save_model(folder, make_model(seed), **{**arguments, **changes})


# --- models ---------------------------------------------------------------------------------------


def test_a_model_comes_back_whole(tmp_path):
    save(tmp_path / "new" / "folder")
    config, state_dict, vocabularies, card = load_model(tmp_path / "new" / "folder")
    assert config == {"size": 3, "rate": 0.1}
    assert card["naïve"] == "é"
    assert vocabularies["target"] == {"a": [1, 2]}
    vocabulary = Vocabulary.from_dict(vocabularies["source"])
    assert vocabulary.decode(vocabulary.encode(["chat", "noir"])) == ["chat", "noir"]
    model = make_model(seed=1)
    load_weights(model, state_dict, source=tmp_path)
    assert torch.equal(model.weight, make_model().weight)


def test_every_type_of_tensor_comes_back_bit_for_bit(tmp_path):
    tensors = {
        "double": torch.randn(2, 3, dtype=torch.float64),
        "bfloat16": torch.randn(4).bfloat16(),
        "whole": torch.tensor(2**40),
        "bool": torch.tensor([True, False]),
        "empty": torch.zeros(0, 5),
        "transposed": torch.randn(3, 4).T,
        "special": torch.tensor([float("inf"), float("nan"), -0.0]),
    }
    save_model(tmp_path, tensors, config={}, vocabularies={})
    loaded = load_model(tmp_path).state_dict
    assert loaded.keys() == tensors.keys()
    for name, value in tensors.items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(
            loaded[name].contiguous().view(-1).view(torch.uint8) if value.numel() else loaded[name],
            value.contiguous().view(-1).view(torch.uint8) if value.numel() else value,
        )


def test_tied_weights_can_be_saved(tmp_path):
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4, bias=False))
    model[1].weight = model[0].weight
    save_model(tmp_path, model, config={}, vocabularies={})
    other = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4, bias=False))
    other[1].weight = other[0].weight
    load_weights(other, load_model(tmp_path).state_dict, source=tmp_path)
    assert torch.equal(other[1].weight, model[0].weight)


def test_a_second_save_replaces_the_first(tmp_path):
    save(tmp_path, 0)
    save(tmp_path, 1, card=None)
    assert len(contents(tmp_path)) == 2  # the index and one file of tensors
    loaded = load_model(tmp_path)
    assert torch.equal(loaded.state_dict["weight"], make_model(1).weight)
    assert loaded.card is None


def test_saving_the_same_twice_keeps_it(tmp_path):
    save(tmp_path)
    before = contents(tmp_path)
    save(tmp_path)
    assert contents(tmp_path) == before


def test_nothing_is_a_pickle(tmp_path):
    save(tmp_path)
    (tensors,) = tmp_path.glob("*.safetensors")
    assert safetensors.torch.load_file(tensors).keys() == {"weight", "bias"}
    json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))


def test_files_follow_the_umask(tmp_path):
    old = os.umask(0o022)
    try:
        save(tmp_path)
    finally:
        os.umask(old)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"config": {"model": object()}}, TypeError),
        ({"card": {"score": float("nan")}}, ValueError),
    ],
)
def test_what_json_cannot_say_is_refused_before_anything_is_written(tmp_path, changes, error):
    save(tmp_path, 0)
    before = contents(tmp_path)
    with pytest.raises(error):
        save(tmp_path, 1, **changes)
    assert contents(tmp_path) == before


# --- training states ------------------------------------------------------------------------------


def test_a_training_state_comes_back_beside_a_model(tmp_path):
    assert not has_training_state(tmp_path)
    save(tmp_path)
    groups = {
        "model": {"a.b": torch.randn(2)},
        "optimizer": {"0.step": torch.tensor(3.0)},
        "random": {"torch": torch.get_rng_state()},
    }
    content = {"epoch": 3, "best": None, "loss": 0.1 + 0.2}
    save_training_state(tmp_path, content, groups)
    assert has_training_state(tmp_path)
    loaded, loaded_groups = load_training_state(tmp_path)
    assert loaded == content
    assert loaded_groups.keys() == groups.keys()
    for group, named in groups.items():
        for name, value in named.items():
            assert torch.equal(loaded_groups[group][name], value)
    assert torch.equal(load_model(tmp_path).state_dict["weight"], make_model().weight)


def test_a_training_state_is_not_a_model(tmp_path):
    save_training_state(tmp_path, {}, {"model": {"a": torch.zeros(1)}})
    with pytest.raises(CheckpointError, match="no model checkpoint"):
        load_model(tmp_path)
    (tmp_path / "training.json").rename(tmp_path / "model.json")
    with pytest.raises(CheckpointError, match="does not describe a model checkpoint"):
        load_model(tmp_path)


# --- damaged and foreign files --------------------------------------------------------------------


def edit_index(folder: Path, edit) -> None:
    path = folder / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def refuse(folder: Path, *parts: str) -> None:
    """Loading fails with one error whose message has all the parts."""
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    for part in (str(folder), *parts):
        assert part in str(caught.value)


def test_no_checkpoint(tmp_path):
    refuse(tmp_path, "model.json", "does not exist", "train the model again")
    refuse(tmp_path / "nowhere", "does not exist")
    (tmp_path / "file").write_text("")
    refuse(tmp_path / "file", "does not exist")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe\x00", b"PK\x03\x04", b'"text"', b"[]", b'{"epochs": 3}']
)
def test_a_foreign_index(tmp_path, data):
    save(tmp_path)
    (tmp_path / "model.json").write_bytes(data)
    refuse(tmp_path, "model.json")


def test_another_version(tmp_path):
    save(tmp_path)
    edit_index(tmp_path, lambda content: content.update(version=99))
    refuse(tmp_path, "format version 99", "version 1", "release that wrote it")


@pytest.mark.parametrize("field", ["config", "vocabularies", "card", "tensors", "kind"])
def test_an_index_with_a_hole(tmp_path, field):
    save(tmp_path)
    edit_index(tmp_path, lambda content: content.pop(field))
    refuse(tmp_path, "does not describe a model checkpoint")


@pytest.mark.parametrize("name", ["../weights-1.safetensors", "/etc/passwd", "weights-/../../x", 3])
def test_an_index_that_points_outside_its_folder(tmp_path, name):
    save(tmp_path)
    edit_index(tmp_path, lambda content: content["tensors"].update(file=name))
    refuse(tmp_path, "does not describe a model checkpoint")


def test_missing_truncated_and_damaged_tensors(tmp_path):
    save(tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    refuse(tmp_path, path.name, "truncated", f"{len(data) - 5} bytes instead of {len(data)}")
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refuse(tmp_path, path.name, "damaged", "SHA-256")
    path.unlink()
    refuse(tmp_path, path.name, "is missing")


def test_foreign_tensors_that_the_index_vouches_for(tmp_path):
    save(tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(b"not tensors at all")
    entry = {"bytes": 18, "sha256": checkpoints.hashlib.sha256(path.read_bytes()).hexdigest()}
    edit_index(tmp_path, lambda content: content["tensors"].update(entry))
    refuse(tmp_path, path.name, "is not a safetensors file")


def test_weights_that_do_not_fit_change_nothing(tmp_path):
    save(tmp_path)
    state_dict = load_model(tmp_path).state_dict
    model = make_model(seed=1, size=4)
    with pytest.raises(CheckpointError, match=r"'weight' has shape \(2, 3\).*\(2, 4\)") as caught:
        load_weights(model, state_dict, source=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert torch.equal(model.bias, make_model(seed=1, size=4).bias)
    with pytest.raises(CheckpointError, match="'bias' is unknown to the model"):
        load_weights(nn.Linear(3, 2, bias=False), state_dict, source=tmp_path)
    with pytest.raises(CheckpointError, match=r"'0.weight' is missing.*\(and 1 more\)"):
        load_weights(nn.Sequential(nn.Linear(3, 2)), state_dict, source=tmp_path)


# --- interrupted saves ----------------------------------------------------------------------------


class FailingCall:
    """Calls the original function until its n-th call, which fails (before or after the work)."""

    def __init__(self, original, call: int, error: BaseException, *, after: bool = False) -> None:
        self.original, self.call, self.error, self.after = original, call, error, after
        self.calls = 0

    def __call__(self, *arguments, **keywords):
        self.calls += 1
        if self.calls == self.call and not self.after:
            raise self.error
        result = self.original(*arguments, **keywords)
        if self.calls == self.call:
            raise self.error
        return result


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt(), RuntimeError("odd")])
@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("call", [1, 2])
def test_an_interrupted_save_leaves_the_old_checkpoint(
    tmp_path, monkeypatch, function, call, error
):
    save(tmp_path, 0)
    before = contents(tmp_path)
    call = call if function == "replace" else 2 * call - 1  # fsync: file, folder, file, folder
    failing = FailingCall(getattr(os, function), call, error)
    with monkeypatch.context() as patch:
        patch.setattr(os, function, failing)
        with pytest.raises(type(error)) as caught:
            save(tmp_path, 1)
    assert failing.calls >= call
    assert contents(tmp_path) == before
    assert torch.equal(load_model(tmp_path).state_dict["weight"], make_model(0).weight)
    if error is FULL:
        for part in ("No space left", "intact", "Free some space", str(tmp_path)):
            assert part in str(caught.value)
        assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()])
def test_a_first_save_that_fails_leaves_nothing(tmp_path, monkeypatch, error):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", FailingCall(os.replace, 2, error))
        with pytest.raises(type(error)):
            save(tmp_path, 1)
    assert contents(tmp_path) == {}


def test_an_interrupt_just_after_the_replacement_keeps_the_new_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", FailingCall(os.replace, 2, KeyboardInterrupt(), after=True))
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 1)
    assert len(contents(tmp_path)) == 2
    assert torch.equal(load_model(tmp_path).state_dict["weight"], make_model(1).weight)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_while_the_bytes_are_written(tmp_path, monkeypatch):
    save(tmp_path, 0)
    before = contents(tmp_path)

    def open_full(path, mode, **keywords):
        with open(path, mode, **keywords):  # the temporary file appears, its bytes find no room
            return open("/dev/full", mode.replace("x", "w"), **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "open", open_full, raising=False)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path, 1)
    assert contents(tmp_path) == before


def test_what_a_killed_save_left_behind_is_cleared_by_the_next(tmp_path):
    save(tmp_path, 0)
    (tmp_path / ".weights-0123.safetensors.0123456789ab.tmp").write_bytes(b"half")
    (tmp_path / ".model.json.0123456789ab.tmp").write_bytes(b"half")
    (tmp_path / "weights-0123.safetensors").write_bytes(b"whole, but never named")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "training-0123.safetensors").write_bytes(b"of the training state")
    load_model(tmp_path)
    save(tmp_path, 1)
    names = set(contents(tmp_path))
    assert len(names) == 4
    assert {"model.json", "notes.txt", "training-0123.safetensors"} <= names


def test_a_foreign_index_is_not_overwritten(tmp_path):
    (tmp_path / "model.json").write_text("[]")
    (tmp_path / "weights-mine.safetensors").write_bytes(b"mine")
    with pytest.raises(CheckpointError, match="holds a 'model.json' of something else"):
        save(tmp_path)
    assert contents(tmp_path) == {"model.json": b"[]", "weights-mine.safetensors": b"mine"}


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="could not save a checkpoint"):
        save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# --- atomic_write ---------------------------------------------------------------------------------


def test_atomic_write_of_text_and_bytes(tmp_path):
    path = tmp_path / "folder" / "file"
    with atomic_write(path) as file:
        file.write("é\n")
    assert path.read_bytes() == "é\n".encode()
    with atomic_write(path, "wb") as file:
        file.write(b"\x00")
        assert path.read_bytes() == "é\n".encode()  # the old content until the end
    assert path.read_bytes() == b"\x00"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt(), ValueError("odd")])
def test_atomic_write_interrupted_by_its_body(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as file:
        file.write("new")
        raise error
    assert contents(tmp_path) == {"file": b"old"}


def test_atomic_write_knows_two_modes(tmp_path):
    with pytest.raises(ValueError, match="mode must be 'w' or 'wb', not 'a'"):
        with atomic_write(tmp_path / "file", "a"):
            pass
