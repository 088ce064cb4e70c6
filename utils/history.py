"""What a training run shows: its history afterwards, its progress bar meanwhile."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from tqdm import tqdm


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


class ProgressBar:
    """Epoch, loss, tokens per second and time left, on stderr.

    Args:
        total_steps: steps of the whole run.
        done_steps: steps done before this part of a resumed run.
        enabled: True draws a bar; a name writes a line that begins with it every few seconds,
            which suits a log and several runs at once; False writes nothing at all.
    """

    seconds_between_lines = 15.0

    def __init__(self, *, total_steps: int, done_steps: int, enabled: bool | str) -> None:
        self.first_step, self.since = done_steps, time.perf_counter()
        self.total_steps = total_steps
        self.name = enabled if isinstance(enabled, str) else None
        self.line_written, self.line = self.since, ""
        self.bar = tqdm(
            total=total_steps,
            initial=done_steps,
            disable=enabled is not True,
            bar_format="{desc} |{bar:20}| {n_fmt}/{total_fmt} steps{postfix}",
            mininterval=0.5,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        if self.line:
            print(self.line, file=sys.stderr, flush=True)

    def update(
        self,
        *,
        step: int,
        epoch: str,
        loss: float,
        validation_loss: float | None,
        tokens_per_second: float,
        time_budget: float | None,
    ) -> None:
        """Show where the run is now.

        Args:
            step: steps done.
            epoch: such as ``"3/10"``.
            loss, validation_loss: nats per token.
            tokens_per_second: of training.
            time_budget: seconds that the time limit leaves, or None.
        """
        if self.bar.disable and self.name is None:
            return
        pace = (time.perf_counter() - self.since) / max(1, step - self.first_step)
        left = max(0, self.total_steps - step) * pace  # validations so far are in the pace
        if time_budget is not None:
            left = max(0.0, min(left, time_budget))
        validation = "" if validation_loss is None else f"validation {validation_loss:.3f}, "
        status = (
            f"loss {loss:.3f}, {validation}{tokens_per_second:,.0f} tokens/s, "
            f"{tqdm.format_interval(left)} left"
        )
        if self.name is not None:
            self.line = f"{self.name}: epoch {epoch}, step {step}/{self.total_steps}, {status}"
            if time.perf_counter() - self.line_written >= self.seconds_between_lines:
                print(self.line, file=sys.stderr, flush=True)
                self.line_written, self.line = time.perf_counter(), ""
            return
        self.bar.set_description_str(f"epoch {epoch}", refresh=False)
        self.bar.set_postfix_str(status, refresh=False)
        self.bar.update(step - self.bar.n)
