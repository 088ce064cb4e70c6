"""Training: a frozen configuration, `fit`, and a history of what happened.

The loss is the mean over real target tokens: the sum of the token losses (nats) divided by the
number of tokens that are not padding. A run that is interrupted continues from its last saved
state and, on a CPU with the same number of threads, ends with the same weights bit for bit.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from utils.checkpoints import (
    CheckpointError,
    has_training_state,
    load_training_state,
    load_weights,
    save_training_state,
)
from utils.runtime import (
    autocast,
    mixed_precision,
    random_state,
    seed_everything,
    select_device,
    set_random_state,
)

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


@dataclass
class History:
    """What happened in training. Lists have one entry per epoch.

    Attributes:
        train_loss: nats per target token, averaged over the epoch while the weights changed.
        validation_loss: nats per target token at the end of the epoch; empty without validation
            batches.
        seconds: wall-clock time of the epoch, validation included.
        tokens_per_second: real target tokens per second of training, validation not included.
        metrics: what `compute_loss` reports beside the loss, per target token.
        validations: ``{"step", "loss"}`` of every validation, those inside epochs too.
        best_step: the step (counted from 1) with the lowest validation loss, or None.
        stopped: why training ended: "epochs", "patience" or "time"; None while it runs.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    validations: list[dict[str, float]] = field(default_factory=list)
    best_step: int | None = None
    stopped: str | None = None

    @property
    def epochs(self) -> int:
        """Epochs recorded; the last one may be shorter when the time ran out."""
        return len(self.train_loss)

    @property
    def best_loss(self) -> float | None:
        """The lowest validation loss, or None without validation."""
        return min((entry["loss"] for entry in self.validations), default=None)

    def to_dict(self) -> dict[str, Any]:
        """The history as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> History:
        """The inverse of `to_dict`."""
        return cls(**copy.deepcopy(dict(values)))


class LossOutput(NamedTuple):
    """The loss of one batch.

    Attributes:
        total: () float, sum of the token losses in nats.
        tokens: number of real target tokens in the sum.
        penalty: () float added to the mean token loss that is minimised, such as a
            regularisation term, or None. Not part of the loss that is reported.
        metrics: names to sums over the tokens, reported divided by `tokens`.
    """

    total: Tensor
    tokens: int
    penalty: Tensor | None = None
    metrics: Mapping[str, Tensor | float] = {}


ComputeLoss = Callable[..., LossOutput]


def translation_loss(model: nn.Module, batch: Any, *, label_smoothing: float = 0.0) -> LossOutput:
    """Cross-entropy of the reference translation under teacher forcing.

    Args:
        model: maps ``(source, source_lengths, target_input)`` to an output with ``logits``
            (B, T, V).
        batch: a `utils.datasets.batching.Batch`.
        label_smoothing: 0 … 1; applies only while the model is in training mode, so that
            validation losses stay comparable.
    """
    logits = model(batch.source, batch.source_lengths, batch.target_input).logits  # (B, T, V)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()  # sums over the vocabulary and the batch need the digits
    targets = batch.target_output.masked_fill(~batch.target_mask, -100)  # (B, T)
    total = functional.cross_entropy(
        logits.flatten(0, 1),  # (B * T, V)
        targets.flatten(),  # (B * T,)
        ignore_index=-100,
        reduction="sum",
        label_smoothing=label_smoothing if model.training else 0.0,
    )
    return LossOutput(total, batch.target_tokens)


@torch.no_grad()
def evaluate_loss(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    device: torch.device | str | None = None,
    compute_loss: ComputeLoss = translation_loss,
) -> float:
    """Mean loss over all batches, in nats per real target token, in the weights' precision.

    Dropout is off meanwhile; the model is left in the mode it was in, on its own device.

    Raises:
        ValueError: there is not one target token.
    """
    device = _device_of(model) if device is None else torch.device(device)
    training = model.training
    model.eval()
    try:
        total, tokens = 0.0, 0
        for batch in batches:
            loss = compute_loss(model, batch.to(device))
            total += loss.total.item()
            tokens += loss.tokens
    finally:
        model.train(training)
    if not tokens:
        raise ValueError("the batches to evaluate hold no target tokens; pass at least one pair")
    return total / tokens


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


def fit(
    model: nn.Module,
    train_batches: Iterable[Any],
    validation_batches: Iterable[Any] | None,
    config: TrainingConfig,
    *,
    checkpoint_directory: str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: torch.device | str | None = None,
    progress: bool = True,
    compute_loss: ComputeLoss = translation_loss,
) -> History:
    """Train a model with Adam and return what happened.

    With validation batches the model ends with the weights of its lowest validation loss. It is
    left in evaluation mode. The global random number generators are seeded with `config.seed`.

    Args:
        model: the model, changed in place.
        train_batches: batches with ``.to(device)``; a sized iterable that gives the same batches
            each time. If it has ``set_epoch(epoch)``, that is called before each epoch (from 0)
            and may change the order, as a pure function of the epoch.
        validation_batches: batches to validate on, or None.
        config: how to train.
        checkpoint_directory: where the state is saved after every epoch, or None.
        resume: continue from the state in `checkpoint_directory`; without one, start.
        device: where to train, as for `select_device`; None stays on the model's device.
        progress: show a progress bar on stderr. False writes nothing at all.
        compute_loss: ``(model, batch) -> LossOutput``.
    Raises:
        ValueError: the data are empty, or the settings contradict each other.
        CheckpointError: the saved state is damaged or belongs to another run.
        FileExistsError: a state is saved in the folder and `resume` is False.
        FloatingPointError: the loss or the gradient is no longer finite.
        KeyboardInterrupt: passed on; the state of the last full epoch stays saved.
    """
    run = _Run(model, train_batches, validation_batches, config, device, compute_loss)
    if checkpoint_directory is not None and has_training_state(checkpoint_directory):
        if not resume:
            raise FileExistsError(
                f"{os.fspath(checkpoint_directory)!r} already holds a training state; pass "
                "resume=True to continue it, or choose another folder"
            )
        run.load(checkpoint_directory)
    elif resume and checkpoint_directory is None:
        raise ValueError("resume=True needs the checkpoint_directory to resume from")

    with _ProgressBar(run, enabled=progress) as bar:
        while run.stop_reason() is None:
            run.start_epoch()
            for batch in run.remaining_batches():
                run.step(batch)
                bar.update()
                if config.validate_every and run.position.step % config.validate_every == 0:
                    run.validate()
                if run.stop_reason() is not None:
                    break
            run.end_epoch(checkpoint_directory)
            bar.update(steps=0)
    return run.finish()


@dataclass
class _Position:
    """Where a run stands, in JSON values. The sums are over the current epoch."""

    epoch: int = 0
    batch: int = 0  # batches of the current epoch already trained on
    step: int = 0
    seconds: float = 0.0  # before the current epoch's current part
    loss_sum: float = 0.0
    tokens: int = 0
    metric_sums: dict[str, float] = field(default_factory=dict)
    epoch_seconds: float = 0.0
    training_seconds: float = 0.0
    best_loss: float | None = None
    validations_since_best: int = 0


class _Run:
    """A training run: the model, its optimiser, and everything a resume must bring back."""

    def __init__(
        self,
        model: nn.Module,
        train_batches: Iterable[Any],
        validation_batches: Iterable[Any] | None,
        config: TrainingConfig,
        device: torch.device | str | None,
        compute_loss: ComputeLoss,
    ) -> None:
        if config.patience is not None and validation_batches is None:
            raise ValueError("patience needs validation_batches to watch; pass them, or None")
        if len(train_batches) == 0:
            raise ValueError("there are no training batches; pass at least one")
        self.device = _device_of(model) if device is None else select_device(device)
        self.model = model.to(self.device)
        self.train_batches = train_batches
        self.validation_batches = validation_batches
        self.config = config
        self.compute_loss = compute_loss
        if config.label_smoothing:
            self.compute_loss = partial(compute_loss, label_smoothing=config.label_smoothing)

        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.precision = mixed_precision(self.device, config.mixed_precision)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.uses_scaler)
        self.total_steps = config.epochs * len(train_batches)
        self.position = _Position()
        self.history = History()
        self.best: dict[str, Tensor] | None = None
        self.started = time.perf_counter()
        seed_everything(config.seed)

    # --- one epoch ----------------------------------------------------------------------------

    def start_epoch(self) -> None:
        self.model.train()
        if hasattr(self.train_batches, "set_epoch"):
            self.train_batches.set_epoch(self.position.epoch)

    def remaining_batches(self) -> Iterable[Any]:
        """The epoch's batches, without those trained on before the run was resumed."""
        done = self.position.batch
        for index, batch in enumerate(self.train_batches):
            if index >= done:
                yield batch

    def step(self, batch: Any) -> None:
        """Lower the mean token loss of one batch a little."""
        started = time.perf_counter()
        position = self.position
        with autocast(self.device, self.precision):
            loss = self.compute_loss(self.model, batch.to(self.device))
            # Sum, then divide by the token count: the seam where several batches, or several
            # processes, can share one step and still weigh every token the same.
            objective = loss.total / loss.tokens
            if loss.penalty is not None:
                objective = objective + loss.penalty
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(objective).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm or math.inf)
        self._require_finite(objective, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(position.step, self.config, self.total_steps)
        self.scaler.step(self.optimizer)
        self.scaler.update()

        position.batch += 1
        position.step += 1
        position.loss_sum += loss.total.item()
        position.tokens += loss.tokens
        for name, value in loss.metrics.items():
            position.metric_sums[name] = position.metric_sums.get(name, 0.0) + float(value)
        position.training_seconds += time.perf_counter() - started

    def _require_finite(self, objective: Tensor, norm: Tensor) -> None:
        # With float16 an infinite gradient is normal now and then: the scaler skips that step.
        checked = objective if self.precision.uses_scaler else objective + norm
        if not torch.isfinite(checked).item():
            what = "gradient" if torch.isfinite(objective).item() else "loss"
            raise FloatingPointError(
                f"the {what} is not finite in epoch {self.position.epoch + 1}, step "
                f"{self.position.step + 1} (loss {objective.item():g}, gradient norm "
                f"{norm.item():g}). Lower learning_rate ({self.config.learning_rate:g}), lower "
                f"clip_norm ({self.config.clip_norm}), or look for bad values in the data. "
                "Checkpoints saved before are intact."
            )

    def validate(self) -> float | None:
        """Validate, and keep the weights if they are the best so far."""
        if self.validation_batches is None:
            return None
        position, step = self.position, self.position.step
        if self.history.validations and self.history.validations[-1]["step"] == step:
            return self.history.validations[-1]["loss"]
        compute_loss = self.compute_loss
        loss = evaluate_loss(self.model, self.validation_batches, compute_loss=compute_loss)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the validation loss is {loss} after step {step} (epoch {position.epoch + 1}). "
                f"Lower learning_rate ({self.config.learning_rate:g}) or look for bad values in "
                "the validation data. Checkpoints saved before are intact."
            )
        self.history.validations.append({"step": step, "loss": loss})
        position.validations_since_best += 1
        if position.best_loss is None or loss < position.best_loss:
            position.best_loss, position.validations_since_best = loss, 0
            self.history.best_step = step
            self.best = _copy(self.model.state_dict())
        return loss

    def end_epoch(self, directory: str | os.PathLike[str] | None) -> None:
        """Validate, write the epoch into the history, and save the state."""
        position, history = self.position, self.history
        cut_short = position.batch < len(self.train_batches)
        if cut_short and directory is not None:
            self.save(directory)  # in the middle of an epoch: a resume goes on from right here
        validation_loss = self.validate()
        self._stop_clock()
        history.train_loss.append(position.loss_sum / max(1, position.tokens))
        if validation_loss is not None:
            history.validation_loss.append(validation_loss)
        history.seconds.append(position.epoch_seconds)
        history.tokens_per_second.append(position.tokens / max(1e-9, position.training_seconds))
        for name, value in position.metric_sums.items():
            history.metrics.setdefault(name, []).append(value / position.tokens)
        if cut_short:
            history.stopped = self.stop_reason()
            return
        position.epoch, position.batch = position.epoch + 1, 0
        position.loss_sum, position.tokens, position.metric_sums = 0.0, 0, {}
        position.epoch_seconds = position.training_seconds = 0.0
        if directory is not None:
            self.save(directory)

    def stop_reason(self) -> str | None:
        """Why training is over, or None if it is not."""
        config, position = self.config, self.position
        if config.patience is not None and position.validations_since_best >= config.patience:
            return "patience"
        if position.epoch >= config.epochs:
            return "epochs"
        if config.time_limit_seconds is not None and self.elapsed() >= config.time_limit_seconds:
            return "time"
        return None

    def finish(self) -> History:
        self.history.stopped = self.stop_reason() or self.history.stopped
        if self.best is not None:
            self.model.load_state_dict(self.best)
        self.model.eval()
        return self.history

    # --- time ---------------------------------------------------------------------------------

    def elapsed(self) -> float:
        """Seconds of this run so far, with those before it was resumed."""
        return self.position.seconds + time.perf_counter() - self.started

    def _stop_clock(self) -> None:
        """Move the time since the last call into the position."""
        now = time.perf_counter()
        self.position.seconds += now - self.started
        self.position.epoch_seconds += now - self.started
        self.started = now

    # --- saving and resuming ------------------------------------------------------------------

    def save(self, directory: str | os.PathLike[str]) -> None:
        self._stop_clock()
        groups = {"model": self.model.state_dict(), "random": random_state()}
        if self.best is not None:
            groups["best"] = self.best
        groups["optimizer"] = {
            f"{index}.{name}": value
            for index, values in self.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        content = {
            "config": asdict(self.config),
            "batches": len(self.train_batches),
            "position": asdict(self.position),
            "history": self.history.to_dict(),
            "scaler": self.scaler.state_dict(),
        }
        save_training_state(directory, content, groups)

    def load(self, directory: str | os.PathLike[str]) -> None:
        content, groups = load_training_state(directory)
        try:
            self._require_same_run(content, directory)
            position = _Position(**content["position"])
            history = History.from_dict(content["history"])
            load_weights(self.model, groups["model"], source=directory)
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in groups.get("optimizer", {}).items():
                index, _, key = name.partition(".")
                moments.setdefault(int(index), {})[key] = value
            state = self.optimizer.state_dict()
            self.optimizer.load_state_dict({**state, "state": moments})
            self.scaler.load_state_dict(content["scaler"]) if content["scaler"] else None
            set_random_state(groups["random"])
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"the training state in {os.fspath(directory)!r} is incomplete ({error!r}); "
                "delete the folder and train again"
            ) from error
        if "best" in groups:
            own = self.model.state_dict()
            self.best = {name: groups["best"][name].to(own[name].device) for name in own}
        self.position, self.history = position, history
        self.started = time.perf_counter()

    def _require_same_run(
        self, content: Mapping[str, Any], directory: str | os.PathLike[str]
    ) -> None:
        """A resumed run may be longer than planned; anything else would be another run."""
        free = {"time_limit_seconds"}
        if self.config.schedule == "constant":
            free.add("epochs")  # other schedules stretch over all epochs
        saved, own = content["config"], asdict(self.config)
        different = [
            f"{f.name} was {saved.get(f.name)!r} and is now {own[f.name]!r}"
            for f in fields(self.config)
            if f.name not in free and saved.get(f.name) != own[f.name]
        ]
        if content["batches"] != len(self.train_batches):
            different.append(
                f"an epoch had {content['batches']} batches and has {len(self.train_batches)} now"
            )
        if different:
            raise CheckpointError(
                f"the training state in {os.fspath(directory)!r} belongs to another run: "
                f"{'; '.join(different)}. Use the same settings, or another folder."
            )


class _ProgressBar:
    """Epoch, loss, tokens per second and time left, on stderr."""

    def __init__(self, run: _Run, *, enabled: bool) -> None:
        self.run = run
        self.bar = tqdm(
            total=run.total_steps,
            initial=run.position.step,
            disable=not enabled,
            bar_format="{desc} |{bar:20}| {n_fmt}/{total_fmt} steps{postfix}",
            mininterval=0.5,
        )

    def __enter__(self) -> Self:
        self.first_step, self.since = self.run.position.step, time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def update(self, steps: int = 1) -> None:
        if self.bar.disable:
            return
        position, config = self.run.position, self.run.config
        self.bar.set_description(
            f"epoch {min(position.epoch + 1, config.epochs)}/{config.epochs}", refresh=False
        )
        shown = []
        if position.tokens:
            shown.append(f"loss {position.loss_sum / position.tokens:.3f}")
        if self.run.history.validations:
            shown.append(f"validation {self.run.history.validations[-1]['loss']:.3f}")
        if position.training_seconds:
            shown.append(f"{position.tokens / position.training_seconds:,.0f} tokens/s")
        shown.append(f"{tqdm.format_interval(self.seconds_left())} left")
        self.bar.set_postfix_str(", ".join(shown), refresh=False)
        self.bar.update(steps)

    def seconds_left(self) -> float:
        """From the speed so far, validations included; never more than the time limit allows."""
        run, done = self.run, max(1, self.run.position.step - self.first_step)
        pace = (time.perf_counter() - self.since) / done
        left = max(0, run.total_steps - run.position.step) * pace
        limit = run.config.time_limit_seconds
        return left if limit is None else max(0.0, min(left, limit - run.elapsed()))


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}
