"""Training: `fit` takes a model, batches and a frozen configuration, and gives a history.

The loss is the mean over real target tokens: the sum of the token losses (nats) divided by the
number of tokens that are not padding. A run that is interrupted continues from its last saved
state and, on a CPU with the same number of threads, ends with the same weights bit for bit.
Several processes train one model where `utils.distributed` has joined them.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from utils.checkpoints import (
    CheckpointError,
    has_training_state,
    load_training_state,
    load_weights,
    save_training_state,
)
from utils.distributed import workers
from utils.history import History, ProgressBar
from utils.losses import ComputeLoss, translation_loss
from utils.runtime import (
    autocast,
    mixed_precision,
    random_state,
    seed_everything,
    select_device,
    set_random_state,
)
from utils.training_config import TrainingConfig, learning_rate_at


def fit(
    model: nn.Module,
    train_batches: Iterable[Any],
    validation_batches: Iterable[Any] | None,
    config: TrainingConfig,
    *,
    checkpoint_directory: str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: torch.device | str | None = None,
    progress: bool | str = True,
    compute_loss: ComputeLoss = translation_loss,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train a model with Adam and return what happened.

    With validation batches the model ends with the weights of its lowest validation loss. It is
    left in evaluation mode. The global random number generators are seeded with `config.seed`.
    Among several processes each computes its share of every batch, all end with the same weights,
    and the first alone saves, shows progress and calls `on_epoch`.

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
        progress: show a progress bar on stderr; a name writes lines that begin with it, for a log.
            False writes nothing at all.
        compute_loss: ``(model, batch) -> LossOutput``.
        on_epoch: called with the history after every epoch, once its state is saved; and once
            before the first epoch of a resumed run.
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

    if not run.workers.is_first:
        progress, on_epoch = False, None
    done = run.position.step
    if done and on_epoch is not None:
        on_epoch(run.history)  # what the interrupted part may not have lived to tell
    with ProgressBar(total_steps=run.total_steps, done_steps=done, enabled=progress) as bar:
        while run.stop_reason() is None:
            run.start_epoch()
            for batch in run.remaining_batches():
                run.step(batch)
                bar.update(**run.report())
                if config.validate_every and run.position.step % config.validate_every == 0:
                    run.validate()
                if run.stop_reason() is not None:
                    break
            run.end_epoch(checkpoint_directory)
            bar.update(**run.report())
            if on_epoch is not None:
                on_epoch(run.history)
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
        self.device = next(model.parameters()).device if device is None else select_device(device)
        self.model = model.to(self.device)
        self.workers = workers()
        self.train_batches = self.workers.share(train_batches)
        self.validation_batches = validation_batches
        self.config = config
        self.compute_loss = compute_loss
        if config.label_smoothing:
            self.compute_loss = partial(compute_loss, label_smoothing=config.label_smoothing)
        self.loss_of = self.workers.loss_of(self.model, self.compute_loss)

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
        self.workers.seed_step(self.config.seed, position.step)
        with autocast(self.device, self.precision):
            # Sums over a share of the batch, divided by the tokens of the whole: so several
            # processes share one step and still weigh every token the same.
            objective, mean, loss = self.workers.weigh(self.loss_of(batch.to(self.device)))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(objective).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm or math.inf)
        self._require_finite(mean, norm)
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

    def _require_finite(self, mean: Tensor, norm: Tensor) -> None:
        # With float16 an infinite gradient is normal now and then: the scaler skips that step.
        checked = mean if self.precision.uses_scaler else mean + norm
        if not torch.isfinite(checked).item():
            what = "gradient" if torch.isfinite(mean).item() else "loss"
            raise FloatingPointError(
                f"the {what} is not finite in epoch {self.position.epoch + 1}, step "
                f"{self.position.step + 1} (loss {mean.item():g}, gradient norm "
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
        loss = self.workers.evaluate(self.model, self.validation_batches, self.compute_loss)
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
        limit = config.time_limit_seconds
        if limit is not None and self.workers.agree(self.elapsed() >= limit):
            return "time"
        return None

    def finish(self) -> History:
        self.history.stopped = self.stop_reason() or self.history.stopped
        if self.best is not None:
            self.model.load_state_dict(self.best)
        self.model.eval()
        return self.history

    def report(self) -> dict[str, Any]:
        """What the progress bar shows; between two epochs, the numbers of the last one."""
        position, history, config = self.position, self.history, self.config
        between = position.tokens == 0
        speed = position.tokens / max(1e-9, position.training_seconds)
        limit = config.time_limit_seconds
        return {
            "step": position.step,
            "epoch": f"{position.epoch + (not between)}/{config.epochs}",
            "loss": history.train_loss[-1] if between else position.loss_sum / position.tokens,
            "validation_loss": history.validations[-1]["loss"] if history.validations else None,
            "tokens_per_second": history.tokens_per_second[-1] if between else speed,
            "time_budget": None if limit is None else limit - self.elapsed(),
        }

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
        if not self.workers.is_first:
            return
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


def _copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}
