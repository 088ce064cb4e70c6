"""The settings of a training run, and the learning rate they lead to."""

from __future__ import annotations

import math
from dataclasses import dataclass

SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that decides how a model is trained, apart from the model and the data.

    Attributes:
        epochs: passes over the training batches, at most.
        learning_rate: Adam's step size at its highest.
        schedule: ``"constant"``, or ``"linear"`` or ``"cosine"`` decay to `final_learning_rate`
            over all steps of all epochs.
        warmup_steps: steps over which the learning rate first rises linearly from 0.
        final_learning_rate: where a decay ends.
        weight_decay: decoupled weight decay (AdamW); 0 is plain Adam.
        clip_norm: longest gradient (Euclidean norm over all parameters), or None for no limit.
        label_smoothing: share of the target probability spread evenly over the vocabulary, in
            training only; handed to `compute_loss` as a keyword if it is not 0.
        patience: stop after this many validations in a row without a lower loss, or None.
        validate_every: validate after every so many steps too, not only after each epoch.
        time_limit_seconds: stop after this much time (training, validation and saving, over all
            resumed parts), in the middle of an epoch if need be.
        mixed_precision: compute in bfloat16 or float16 where the hardware gains from it.
        seed: for dropout and whatever else draws random numbers during training.
    Raises:
        ValueError: a value is out of its range; the message says which and why.
    """

    epochs: int
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup_steps: int = 0
    final_learning_rate: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.0
    patience: int | None = None
    validate_every: int | None = None
    time_limit_seconds: float | None = None
    mixed_precision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "validate_every"):
            self._check(name, _is_count(getattr(self, name)), "an integer of at least 1")
        self._check(
            "warmup_steps",
            self.warmup_steps == 0 or _is_count(self.warmup_steps),
            "an integer of at least 0",
        )
        for name in ("learning_rate", "clip_norm", "time_limit_seconds"):
            value = getattr(self, name)
            self._check(name, _is_number(value) and value > 0, "a finite number above 0")
        for name in ("final_learning_rate", "weight_decay"):
            value = getattr(self, name)
            self._check(name, _is_number(value) and value >= 0, "a finite number of at least 0")
        smoothing = self.label_smoothing
        self._check(
            "label_smoothing",
            _is_number(smoothing) and 0 <= smoothing < 1,
            "at least 0 and less than 1",
        )
        self._check("schedule", self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}")

    def _check(self, name: str, holds: bool, expected: str) -> None:
        value = getattr(self, name)
        optional = type(self).__dataclass_fields__[name].type.endswith("| None")
        if not holds and not (optional and value is None):
            or_none = " (or None)" if optional else ""
            raise ValueError(f"{name} must be {expected}{or_none}, not {value!r}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def learning_rate_at(step: int, config: TrainingConfig, total_steps: int) -> float:
    """The learning rate of one step (counted from 0) in a run of `total_steps`.

    It rises linearly over the warm-up; then ``"linear"`` falls on a straight line and
    ``"cosine"`` on half a cosine wave, both to `config.final_learning_rate` at the end.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return config.learning_rate
    done = min(1.0, (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps))
    left = 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.final_learning_rate + left * (config.learning_rate - config.final_learning_rate)
