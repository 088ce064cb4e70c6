"""Trained models for the page: one script that carries a model's weights, words and sizes.

A page opened by a double click can load scripts but cannot fetch files, so a model travels as a
classic script of two lines:

    globalThis.attentionBook ??= {}; globalThis.attentionBook.models ??= {};
    globalThis.attentionBook.models["name"] = {…};

The object holds `format`, `version`, `name`, `kind` ("translation" or "captioning"), `config`,
`vocabularies` (`kind` "words" or "subwords", and `tokens` in the order of their ids), `card`,
`precision`, `tensors`, `bytes`, `checksum` (CRC-32 of the bytes) and `data`, the bytes in base64.

Tensors carry the names and layouts of the state dict, fused layers included: encoders, Luong's
decoder without input feeding and the fixed-vector decoders have torch.nn's names, such as
`recurrence.weight_ih_l0` (`_reverse` for the backward direction); the other decoders have
`recurrence.cells.0.weight_ih`, whose columns are [word; context] (Bahdanau) or [word; attentional
vector] (Luong). An entry says `shape`, `type` and `begin`, its first byte (little-endian, a
multiple of 4):

    int8      codes −127 … 127; value = code · scale of its row (first axis); `scales` is the first
              byte of as many float32
    float16   IEEE half precision
    float32   vectors and matrices of one row: few numbers, and the most sensitive
    int64     no bytes, but `values`, a list (counters of batch normalisation)
"""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from utils.checkpoints import atomic_write, load_model, load_weights
from utils.models.captioning import CaptioningConfig, CaptioningModel, build_captioning_model
from utils.models.seq2seq import EncoderDecoder, Seq2SeqConfig, build_model

FORMAT = "attention-book-page"
FORMAT_VERSION = 1
PRECISIONS = ("int8", "float16")
VOCABULARIES = {"translation": ("source", "target"), "captioning": ("target",)}
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")
_PREPARE = "globalThis.attentionBook ??= {}; globalThis.attentionBook.models ??= {};\n"


class ExportError(ValueError):
    """A model that cannot be exported, or an exported one that cannot be read."""


class ExportedModel(NamedTuple):
    """What `load_exported` returns.

    Attributes:
        name, kind, precision: as exported.
        config: the values the model is built from.
        vocabularies: names to {"kind": …, "tokens": […]}.
        card: where the model comes from, or None.
        state_dict: names to tensors, with the rounding that the page's model has.
    """

    name: str
    kind: str
    precision: str
    config: dict[str, Any]
    vocabularies: dict[str, dict[str, Any]]
    card: dict[str, Any] | None
    state_dict: dict[str, Tensor]

    def build(self) -> nn.Module:
        """The model in PyTorch with the page's weights, in evaluation mode."""
        return build_from(self.config, self.state_dict, source=f"{self.name}.js")


def kind_of(config: Mapping[str, Any]) -> str:
    """What a model with this config does: "translation" or "captioning"."""
    return "captioning" if "channels" in config else "translation"


def build_from(
    config: Mapping[str, Any],
    state_dict: Mapping[str, Tensor],
    *,
    source: str | os.PathLike[str],
) -> nn.Module:
    """Any of the book's models from its config and weights, in evaluation mode.

    Raises:
        CheckpointError: the weights do not fit; `source` names where they come from.
    """
    if kind_of(config) == "captioning":
        model: nn.Module = build_captioning_model(CaptioningConfig(**config))
    else:
        model = build_model(Seq2SeqConfig.from_dict(dict(config)))
    load_weights(model, state_dict, source=source)
    return model.eval()


def export_model(
    model: str | os.PathLike[str] | nn.Module,
    output: str | os.PathLike[str],
    *,
    precision: str = "int8",
    vocabularies: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model as a script for the page; whole or not at all.

    Args:
        model: a folder that `save_model` wrote, or a model of `utils.models`.
        output: the file, `<name>.js`; its name without the ending becomes the model's name.
        precision: "int8", one scale a row, or "float16" with twice the size.
        vocabularies: of a model given as an object, {"source": …, "target": …}, for captions
            {"target": …}. For a folder None takes the stored ones.
        card: JSON values that say where the model comes from; None takes the folder's.
    Returns:
        The path that was written.
    Raises:
        ExportError: an unknown precision or model, a missing or wrong vocabulary, or a weight that
            is not finite or too large for half precision.
        CheckpointError: the folder holds no whole model.
    """
    output = Path(output)
    name = output.stem
    if output.suffix != ".js" or not _NAME.fullmatch(name):
        raise ExportError(
            f"output is {str(output)!r}; expected <name>.js, the name of letters, digits, - . _"
        )
    if precision not in PRECISIONS:
        raise ExportError(f"precision is {precision!r}; expected one of {PRECISIONS}")
    if isinstance(model, nn.Module):
        kind, config = _describe(model)
        state_dict = model.state_dict()
    else:
        saved = load_model(model)
        config, state_dict = saved.config, saved.state_dict
        kind = kind_of(config)
        vocabularies = saved.vocabularies if vocabularies is None else vocabularies
        card = saved.card if card is None else card
    words = _vocabularies(kind, config, vocabularies or {})
    tensors, data = _pack(state_dict, precision)
    content = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "name": name,
        "kind": kind,
        "precision": precision,
        "config": config,
        "card": dict(card) if card else None,
        "vocabularies": words,
        "tensors": tensors,
        "bytes": len(data),
        "checksum": zlib.crc32(data),
        "data": base64.b64encode(data).decode("ascii"),
    }
    # ASCII alone: what the page declares as its character set then does not matter
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    with atomic_write(output) as file:
        file.write(f'{_PREPARE}globalThis.attentionBook.models["{name}"] = {text};\n')
    return output


def load_exported(path: str | os.PathLike[str]) -> ExportedModel:
    """Read what `export_model` wrote, after checking that it is whole.

    Raises:
        ExportError: the file is missing, damaged, foreign or of another version.
    """
    path = Path(path)
    advice = "Export the model again."
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{str(path)!r} cannot be read ({error}). {advice}") from None
    found = re.search(r'^globalThis\.attentionBook\.models\["[^"]+"\] = (.*);\n\Z', text, re.M)
    try:
        content = json.loads(found.group(1)) if found else None
    except ValueError:
        content = None
    if content is None:
        raise ExportError(f"{str(path)!r} holds no exported model, or was cut short. {advice}")
    if content.get("format") != FORMAT or content.get("version") != FORMAT_VERSION:
        raise ExportError(
            f"{str(path)!r} has format {content.get('format')!r}, version "
            f"{content.get('version')!r}; this code reads {FORMAT!r}, version {FORMAT_VERSION}. "
            f"{advice}"
        )
    data = base64.b64decode(content["data"])
    if len(data) != content["bytes"] or zlib.crc32(data) != content["checksum"]:
        raise ExportError(f"{str(path)!r} is damaged: its checksum is wrong. {advice}")
    state_dict = {name: _unpack(entry, data) for name, entry in content["tensors"].items()}
    names = ("name", "kind", "precision", "config", "vocabularies", "card")
    return ExportedModel(**{name: content[name] for name in names}, state_dict=state_dict)


def _describe(model: nn.Module) -> tuple[str, dict[str, Any]]:
    if isinstance(model, EncoderDecoder):
        return "translation", model.config.to_dict()
    if isinstance(model, CaptioningModel):
        return "captioning", asdict(model.config)
    raise ExportError(
        f"{type(model).__name__} cannot be exported: expected an EncoderDecoder, a CaptioningModel "
        "or the folder of a saved model"
    )


def _vocabularies(
    kind: str, config: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The vocabularies that the page needs, as kind and tokens; each must fit the model."""
    needed = VOCABULARIES[kind]
    if kind == "captioning" and len(given) == 1:
        given = {"target": next(iter(given.values()))}
    missing = [name for name in needed if name not in given]
    if missing:
        raise ExportError(
            f"a {kind} model needs the vocabularies {list(needed)}; {missing} missing, pass "
            "vocabularies="
        )
    stored = {}
    for name in needed:
        stored[name] = _plain_vocabulary(given[name])
        size = config[f"{name}_vocabulary_size" if kind == "translation" else "vocabulary_size"]
        if len(stored[name]["tokens"]) > size:
            raise ExportError(
                f"the {name} vocabulary has {len(stored[name]['tokens'])} entries, the model has "
                f"{size}: they do not belong together"
            )
    return stored


def _plain_vocabulary(vocabulary: Any) -> dict[str, Any]:
    if isinstance(vocabulary, Mapping) and vocabulary.get("kind") == "subwords":
        from utils.datasets.subwords import SubwordVocabulary  # sentencepiece only where it is used

        vocabulary = SubwordVocabulary.from_dict(vocabulary)
    if hasattr(vocabulary, "scored_pieces"):
        # The page joins pieces in the order of their ids, so no scores have to travel.
        scores = [score for _, score in vocabulary.scored_pieces()[4:]]
        if any(later >= earlier for earlier, later in zip(scores, scores[1:], strict=False)):
            raise ExportError("the subwords do not stand in the order in which they were learnt")
        return {"kind": "subwords", "tokens": list(vocabulary.tokens)}
    tokens = vocabulary["tokens"] if isinstance(vocabulary, Mapping) else vocabulary.tokens
    return {"kind": "words", "tokens": list(tokens)}


def _pack(
    state_dict: Mapping[str, Tensor], precision: str
) -> tuple[dict[str, dict[str, Any]], bytes]:
    """All tensors one after the other, and where each begins."""
    tensors: dict[str, dict[str, Any]] = {}
    data = bytearray()

    def append(values: np.ndarray) -> int:
        begin = len(data)
        data.extend(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
        data.extend(bytes(-len(data) % 4))
        return begin

    for name, tensor in state_dict.items():
        entry: dict[str, Any] = {"shape": list(tensor.shape)}
        tensors[name] = entry
        if not tensor.is_floating_point():
            entry |= {"type": "int64", "values": tensor.flatten().tolist()}
            continue
        values = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
        if not np.isfinite(values).all():
            raise ExportError(f"{name!r} holds NaN or infinity; a diverged training leaves such")
        if tensor.ndim < 2 or tensor.shape[0] == 1:
            entry |= {"type": "float32", "begin": append(values)}
        elif precision == "float16":
            if np.abs(values).max() > np.finfo(np.float16).max:
                raise ExportError(f"{name!r} holds a weight above 65504, too large for float16")
            entry |= {"type": "float16", "begin": append(values.astype(np.float16))}
        else:
            codes, scales = quantise_rows(values)
            entry |= {"type": "int8", "begin": append(codes), "scales": append(scales)}
    return tensors, bytes(data)


def quantise_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round each row (first axis) to 255 levels around 0.

    Args:
        values: (R, …) float32.
    Returns:
        codes (R, …) int8 from −127 to 127, and scales (R,) float32, so that code · scale is within
        half a scale of the value; a row of zeros has scale 0.
    """
    rows = values.reshape(len(values), -1)
    scales = (np.abs(rows).max(axis=1) / 127).astype(np.float32)
    divisors = np.where(scales > 0, scales, 1)[:, None]
    codes = np.clip(np.rint(rows / divisors), -127, 127).astype(np.int8)
    return codes.reshape(values.shape), scales


def _unpack(entry: Mapping[str, Any], data: bytes) -> Tensor:
    shape = entry["shape"]
    if entry["type"] == "int64":
        return torch.tensor(entry["values"], dtype=torch.int64, device="cpu").reshape(shape)
    count = int(np.prod(shape))
    dtype = {"int8": "<i1", "float16": "<f2", "float32": "<f4"}[entry["type"]]
    values = np.frombuffer(data, dtype, count, entry["begin"]).astype(np.float32)
    if entry["type"] == "int8":
        scales = np.frombuffer(data, "<f4", shape[0], entry["scales"])
        values = values.reshape(shape[0], -1) * scales[:, None]
    return torch.from_numpy(values.reshape(shape))
