"""Saved models and training states: safetensors for numbers, JSON for the rest, no pickles.

A checkpoint is a folder with two files, an index (``model.json`` or ``training.json``) and the
tensors it names (``weights-<hash>.safetensors`` or ``training-<hash>.safetensors``). A save
writes the tensors under a new name, then replaces the index in one atomic step, then deletes
the old tensors. So the folder always holds one whole checkpoint, the old one or the new one,
whatever interrupts the save: an exception, a full disk, or the power.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor, nn

FORMAT = "attention-book"
FORMAT_VERSION = 1
_INDEX = {"model": "model.json", "training": "training.json"}
_TENSORS = {"model": "weights", "training": "training"}


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, foreign, or made for another model."""


class SavedModel(NamedTuple):
    """What `load_model` returns.

    Attributes:
        config: the values the model is built from.
        state_dict: names to tensors, on the CPU.
        vocabularies: names to what the vocabularies' ``to_dict`` gave.
        card: where the model comes from (data, licence, command, scores …), or None.
    """

    config: dict[str, Any]
    state_dict: dict[str, Tensor]
    vocabularies: dict[str, dict[str, Any]]
    card: dict[str, Any] | None


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Write a file so that its name holds either the old content or the whole new content.

    The text or bytes go to a temporary name in the same folder, which takes the real name only
    after everything has reached the disk. On any error or interrupt the temporary file is
    removed and the old file stays as it was.

    Args:
        path: the file to write; its folder is made if it is not there.
        mode: ``"w"`` for text (UTF-8, newlines as written) or ``"wb"`` for bytes.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"mode must be 'w' or 'wb', not {mode!r}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    text = {} if mode == "wb" else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(temporary, mode.replace("w", "x"), **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    _synchronise(path.parent)


def _synchronise(folder: Path) -> None:
    """Make a rename in this folder survive a power cut, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- models -------------------------------------------------------------------------------------


def save_model(
    directory: str | os.PathLike[str],
    model: nn.Module | Mapping[str, Tensor],
    *,
    config: Mapping[str, Any],
    vocabularies: Mapping[str, Any],
    card: Mapping[str, Any] | None = None,
) -> None:
    """Save a model with all that is needed to use it again.

    Args:
        directory: the folder; made if needed. A model saved there before is replaced as a whole.
        model: the model or its state dict.
        config: JSON values from which the model can be built again.
        vocabularies: names to objects with ``to_dict()``, or to plain JSON dictionaries.
        card: JSON values that say where the model comes from.
    Raises:
        TypeError: something is not expressible in JSON; nothing was written.
        OSError: the folder cannot be written; the model that was there is intact.
    """
    tensors = model.state_dict() if isinstance(model, nn.Module) else model
    stored = {
        name: vocabulary.to_dict() if hasattr(vocabulary, "to_dict") else dict(vocabulary)
        for name, vocabulary in vocabularies.items()
    }
    content = {"config": dict(config), "vocabularies": stored, "card": dict(card) if card else None}
    _save(Path(directory), "model", content, tensors)


def load_model(directory: str | os.PathLike[str]) -> SavedModel:
    """Load what `save_model` wrote, after checking that it is whole.

    Raises:
        CheckpointError: there is no model, or it is damaged, foreign or of another version.
    """
    content, tensors = _load(Path(directory), "model", ("config", "vocabularies", "card"))
    return SavedModel(content["config"], tensors, content["vocabularies"], content["card"])


def load_weights(
    model: nn.Module, state_dict: Mapping[str, Tensor], *, source: str | os.PathLike[str]
) -> None:
    """Copy weights into a model that they fit exactly; else change nothing and say why.

    Args:
        model: the model, built from the checkpoint's own config.
        state_dict: names to tensors.
        source: the folder the weights came from, for the error message.
    Raises:
        CheckpointError: names or shapes differ.
    """
    own = model.state_dict()
    faults = [f"{name!r} is missing" for name in own if name not in state_dict]
    faults += [f"{name!r} is unknown to the model" for name in state_dict if name not in own]
    faults += [
        f"{name!r} has shape {tuple(state_dict[name].shape)}, "
        f"the model's is {tuple(own[name].shape)}"
        for name in own
        if name in state_dict and state_dict[name].shape != own[name].shape
    ]
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise CheckpointError(
            f"the weights in {os.fspath(source)!r} do not fit this {type(model).__name__}: "
            f"{'; '.join(faults[:3])}{more}. Build the model from the checkpoint's own config, "
            "or train it again."
        )
    model.load_state_dict(state_dict)


# --- training states ----------------------------------------------------------------------------


def save_training_state(
    directory: str | os.PathLike[str],
    content: Mapping[str, Any],
    groups: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Save everything a training run needs to go on as if it had never stopped.

    Args:
        directory: the folder; made if needed. A state saved there before is replaced.
        content: JSON values (configuration, position, history …).
        groups: named groups of tensors, such as ``{"model": …, "best": …, "optimizer": …}``.
            Group names have no slash.
    Raises:
        OSError: the folder cannot be written; the state that was there is intact.
    """
    tensors = {
        f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()
    }
    _save(Path(directory), "training", {"state": dict(content)}, tensors)


def load_training_state(
    directory: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Load what `save_training_state` wrote: the JSON values and the groups of tensors.

    Raises:
        CheckpointError: there is no training state, or it is damaged, foreign or of another
            version.
    """
    content, tensors = _load(Path(directory), "training", ("state",))
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        group, _, key = name.partition("/")
        groups.setdefault(group, {})[key] = value
    return content["state"], groups


def has_training_state(directory: str | os.PathLike[str]) -> bool:
    """Whether a training state was saved in this folder (whole or not)."""
    return (Path(directory) / _INDEX["training"]).exists()


# --- the two files --------------------------------------------------------------------------------


def _save(
    directory: Path, kind: str, content: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    # safetensors refuses tensors that share memory (tied weights, flattened GRU weights on a
    # GPU), so every tensor is copied.
    copies = {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()
    }
    data = safetensors.torch.save(copies, metadata={"format": FORMAT})
    digest = hashlib.sha256(data).hexdigest()
    name = f"{_TENSORS[kind]}-{digest[:16]}.safetensors"
    index = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "kind": kind,
        "tensors": {"file": name, "bytes": len(data), "sha256": digest},
        **content,
    }
    text = json.dumps(index, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _refuse_foreign_index(directory / _INDEX[kind])
    try:
        with atomic_write(directory / name, "wb") as file:
            file.write(data)
        with atomic_write(directory / _INDEX[kind]) as file:
            file.write(text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            error.errno,
            f"could not save a checkpoint ({reason}); what was saved there before is intact. "
            "Free some space or choose another folder",
            str(directory),
        ) from error
    finally:
        _remove_leftovers(directory, kind)


def _refuse_foreign_index(path: Path) -> None:
    """Never write over a file that only happens to have the index's name."""
    with suppress(FileNotFoundError, NotADirectoryError):
        content = None
        with suppress(ValueError):
            content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CheckpointError(
                f"{str(path.parent)!r} holds a {path.name!r} of something else. Move it away, or "
                "save to another folder."
            )


def _remove_leftovers(directory: Path, kind: str) -> None:
    """Delete tensors that the index on disk does not name, and temporary files of killed saves.

    The index is read again rather than remembered: an interrupt may arrive just after it was
    replaced, and then the new tensors are the ones to keep.
    """
    with suppress(OSError):
        index = directory / _INDEX[kind]
        try:
            named = json.loads(index.read_text(encoding="utf-8"))["tensors"]["file"]
        except FileNotFoundError:
            named = None
        except (ValueError, KeyError, TypeError):
            return  # not ours: touch nothing
        for path in directory.glob(f"{_TENSORS[kind]}-*.safetensors"):
            if path.name != named:
                path.unlink()
        for pattern in (f".{index.name}.*.tmp", f".{_TENSORS[kind]}-*.tmp"):
            for path in directory.glob(pattern):
                path.unlink()


def _load(
    directory: Path, kind: str, fields: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    path = directory / _INDEX[kind]
    advice = "Point to a folder written by this book's code, or train the model again."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"no {kind} checkpoint: {str(path)!r} does not exist. {advice}"
        ) from None
    except ValueError as error:  # also bytes that are not UTF-8
        raise CheckpointError(f"{str(path)!r} is not valid JSON ({error}). {advice}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{str(path)!r} is not in the format {FORMAT!r}. {advice}")
    if content.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{str(path)!r} has format version {content.get('version')!r}, this code reads version "
            f"{FORMAT_VERSION}. Use the release that wrote it, or train the model again."
        )
    named = content.get("tensors")
    absent = [field for field in fields if field not in content]
    if content.get("kind") != kind or absent or not _names_tensors(named, kind):
        what = f"it lacks {', '.join(absent)}" if absent else "its entries are of another kind"
        raise CheckpointError(
            f"{str(path)!r} does not describe a {kind} checkpoint: {what}. {advice}"
        )
    return content, _load_tensors(directory / named["file"], named, advice)


def _names_tensors(named: object, kind: str) -> bool:
    """Whether the index's entry about its tensors is complete, and a file in its own folder."""
    if not isinstance(named, dict):
        return False
    file = named.get("file")
    return (
        isinstance(file, str)
        and file.startswith(f"{_TENSORS[kind]}-")
        and Path(file).name == file
        and {"bytes", "sha256"} <= named.keys()
    )


def _load_tensors(path: Path, named: Mapping[str, Any], advice: str) -> dict[str, Tensor]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            f"{str(path)!r} is missing, though the index beside it names it. {advice}"
        ) from None
    if len(data) != named["bytes"]:
        raise CheckpointError(
            f"{str(path)!r} is truncated or replaced: {len(data)} bytes instead of "
            f"{named['bytes']}. Copy it again, or train the model again."
        )
    if hashlib.sha256(data).hexdigest() != named["sha256"]:
        raise CheckpointError(
            f"{str(path)!r} is damaged: its SHA-256 is not the one its index names. Copy it "
            "again, or train the model again."
        )
    try:
        return safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"{str(path)!r} is not a safetensors file ({error}). {advice}"
        ) from None
