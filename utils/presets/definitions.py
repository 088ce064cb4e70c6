"""The presets: frozen settings for every model of the book, and how to change them.

`find_preset("multi30k-bahdanau")` gives one; `override` gives a copy with other values.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType, UnionType
from typing import Any

from utils.captioning_loss import CaptionLoss
from utils.experiments.attention_runs import ATTENTION_SETTINGS, BAHDANAU, LUONG
from utils.experiments.scene_task import SCENE_SETTINGS
from utils.experiments.visual_attention import SETTINGS as VISUAL_SETTINGS
from utils.models.captioning import CaptioningConfig
from utils.models.seq2seq import Seq2SeqConfig
from utils.training_config import TrainingConfig

TASKS = ("grammar", "scenes", "multi30k")


class PresetError(ValueError):
    """A preset, or a setting of one, that does not exist or has no such value."""


@dataclass(frozen=True)
class Stage:
    """One part of a training: its settings, and those of the loss if it is not the usual one."""

    training: TrainingConfig
    loss: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Preset:
    """Everything that decides what a training makes, apart from the machine.

    task: "grammar", "scenes" or "multi30k". data: keywords of the task's data. model: keywords of
    `Seq2SeqConfig` or `CaptioningConfig`, without the vocabulary sizes, which the data decide.
    stages: trained one after the other; all but hard attention have one.
    """

    name: str
    description: str
    task: str
    data: Mapping[str, Any]
    model: Mapping[str, Any]
    stages: tuple[Stage, ...]
    batch_size: int

    def __post_init__(self) -> None:
        for name in ("data", "model"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def model_class(self) -> type:
        """The class of the model's config."""
        return CaptioningConfig if self.task == "scenes" else Seq2SeqConfig

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as plain values, for a card."""
        return {
            "task": self.task,
            "data": dict(self.data),
            "model": dict(self.model),
            "batch_size": self.batch_size,
            "stages": [
                {
                    "training": {f.name: getattr(stage.training, f.name) for f in _TRAINING},
                    "loss": None if stage.loss is None else dict(stage.loss),
                }
                for stage in self.stages
            ],
        }


_TRAINING = fields(TrainingConfig)


def _grammar(name: str, description: str, **model: Any) -> Preset:
    settings = ATTENTION_SETTINGS
    sizes = {key: settings[key] for key in ("embedding_size", "hidden_size", "bidirectional")}
    training = TrainingConfig(
        epochs=4,
        learning_rate=settings["learning_rate"],
        schedule=settings["schedule"],
        warmup_steps=settings["warmup_steps"],
        seed=1,
    )
    return Preset(
        name=name,
        description=description,
        task="grammar",
        data={
            "train_size": 20_000,
            "validation_size": 500,
            "minimum_length": 4,
            "maximum_length": 30,
        },
        model=sizes | model,
        stages=(Stage(training),),
        batch_size=settings["batch_size"],
    )


def _scenes(name: str, description: str, *stages: Stage, **model: Any) -> Preset:
    data = {"train_size": SCENE_SETTINGS["train_size"], "test_size": SCENE_SETTINGS["test_size"]}
    return Preset(
        name=name,
        description=description,
        task="scenes",
        data=data,
        model=model,
        stages=stages,
        batch_size=SCENE_SETTINGS["batch_size"],
    )


def _scene_training(epochs: int, learning_rate: float) -> TrainingConfig:
    return TrainingConfig(
        epochs=epochs, learning_rate=learning_rate, schedule="cosine", warmup_steps=100, seed=1
    )


def _multi30k(name: str, description: str, **model: Any) -> Preset:
    training = TrainingConfig(
        epochs=14,
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=400,
        label_smoothing=0.1,
        clip_norm=1.0,
        mixed_precision=True,
        seed=1,
    )
    sizes = {
        "embedding_size": 192,
        "hidden_size": 256,
        "readout_size": 192,
        "bidirectional": True,
        "tie_embeddings": True,
        "dropout": 0.3,
    }
    return Preset(
        name=name,
        description=description,
        task="multi30k",
        # multiples of 64 suit the matrix products
        data={"source_pieces": 4096, "target_pieces": 4096, "subword_dropout": 0.0},
        model=sizes | model,
        stages=(Stage(training),),
        batch_size=64,
    )


_SCENE_FIRST = _scene_training(SCENE_SETTINGS["epochs"], SCENE_SETTINGS["learning_rate"])
_SCENE_HARD = _scene_training(VISUAL_SETTINGS["hard_epochs"], VISUAL_SETTINGS["hard_learning_rate"])
_EARLY_LOOKS = {"update_gate_bias": ATTENTION_SETTINGS["update_gate_bias"]}

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _grammar(
                "grammar-fixed",
                "English to French of the book's grammar, through one fixed vector (Cho)",
                decoder="cho",
                hidden_size=128,
            ),
            _grammar(
                "grammar-lstm",
                "the same through the last state of an LSTM, source reversed (Sutskever)",
                decoder="sutskever",
                cell="lstm",
                hidden_size=128,
                bidirectional=False,
                reverse_source=True,
            ),
            _grammar(
                "grammar-bahdanau",
                "the same with additive attention (Bahdanau)",
                **BAHDANAU,
                **_EARLY_LOOKS,
            ),
            _grammar(
                "grammar-luong",
                "the same with Luong's general attention",
                **LUONG,
                hidden_size=128,
            ),
            _grammar(
                "grammar-luong-feeding",
                "the same with Luong's general attention and input feeding",
                **LUONG,
                hidden_size=128,
                input_feeding=True,
            ),
            _grammar(
                "grammar-luong-local",
                "the same with Luong's local attention, window predicted (local-p)",
                decoder="luong",
                attention="local-p",
                window=4,
                hidden_size=128,
            ),
            _scenes(
                "scenes-soft",
                "captions of drawn scenes with soft attention (Xu)",
                Stage(_SCENE_FIRST, {}),
                attention="soft",
            ),
            _scenes(
                "scenes-hard",
                "captions of drawn scenes with hard attention, after a soft beginning (Xu)",
                Stage(_SCENE_FIRST, {"expected_share": 1.0}),
                Stage(_SCENE_HARD, VISUAL_SETTINGS["hard_loss"]),
                attention="hard",
            ),
            _multi30k(
                "multi30k-bahdanau",
                "German to English, captions of photographs, additive attention (Bahdanau)",
                **BAHDANAU,
                attention_size=128,
            ),
            _multi30k(
                "multi30k-fixed",
                "the same through one fixed vector (Cho), with as many weights",
                decoder="cho",
                summary_size=400,
            ),
            _multi30k(
                "multi30k-luong",
                "German to English with Luong's general attention and input feeding",
                **LUONG,
                input_feeding=True,
            ),
        )
    }
)


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        PresetError: there is none; the nearest names are listed.
    """
    if name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(name, PRESETS, n=3, cutoff=0.4)
    found = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(PRESETS)}"
    raise PresetError(f"no preset is called {name!r}; {found}")


def override(preset: Preset, changes: Mapping[str, Any]) -> Preset:
    """A copy with other values.

    Args:
        changes: names of settings of the data, the model, the training or the loss, or
            ``batch_size``. Training settings change in every stage. Texts, as a command line has
            them, are read as Python values where they are one: "0.4", "None", "True".
    Raises:
        PresetError: there is no such setting (the nearest are listed), or a value is impossible.
    """
    for name, value in changes.items():
        preset = _change(preset, name, _value(value) if isinstance(value, str) else value)
    try:
        check_model(preset)
    except (TypeError, ValueError) as error:
        raise PresetError(f"these settings do not suit {preset.name}: {error}") from error
    return preset


def _value(text: str) -> Any:
    for value in ("none", "true", "false"):
        text = value.capitalize() if text.lower() == value else text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _change(preset: Preset, name: str, value: Any) -> Preset:
    training = {field.name for field in _TRAINING}
    model = {field.name for field in fields(preset.model_class)} - {
        "vocabulary_size",
        "source_vocabulary_size",
        "target_vocabulary_size",
    }
    data = set(preset.data) | ({"train_size"} if preset.task == "multi30k" else set())
    loss = {field.name for field in fields(CaptionLoss)} if preset.task == "scenes" else set()
    try:
        if name == "batch_size":
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"batch_size must be an integer of at least 1, not {value!r}")
            return replace(preset, batch_size=value)
        if name in training:
            stages = [
                replace(s, training=replace(s.training, **{name: value})) for s in preset.stages
            ]
            return replace(preset, stages=tuple(stages))
        if name in data:
            return replace(preset, data={**preset.data, name: value})
        if name in model:
            return replace(preset, model={**preset.model, name: value})
        if name in loss:
            CaptionLoss(**{name: value})
            stages = [replace(s, loss={**s.loss, name: value}) for s in preset.stages]
            return replace(preset, stages=tuple(stages))
    except (TypeError, ValueError) as error:
        raise PresetError(f"{name}={value!r} does not suit {preset.name}: {error}") from error
    known = {"batch_size"} | training | data | model | loss
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)
    raise PresetError(f"{preset.name} has no setting {name!r}; nearest: {', '.join(near)}")


def check_model(preset: Preset) -> None:
    """Raise a ValueError or TypeError if the model's settings contradict each other."""
    vocabulary = (
        {"vocabulary_size": 8}
        if preset.task == "scenes"
        else {"source_vocabulary_size": 8, "target_vocabulary_size": 8}
    )
    config = preset.model_class(**vocabulary, **preset.model)
    for field in fields(config):
        value = getattr(config, field.name)
        kinds = float | int if field.type is float else field.type
        if isinstance(kinds, type | UnionType) and (
            not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool)
        ):
            raise TypeError(f"{field.name} cannot be {value!r}")
