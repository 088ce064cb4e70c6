"""Training on several processes, through PyTorch's own engine (DistributedDataParallel).

`torchrun --nproc-per-node=N -m utils train PRESET` starts N processes. Each takes its share of
every batch; gradients are summed over the processes, every target token weighing the same wherever
it was counted. So N processes take the steps that one process takes with the same batches, up to
rounding. The first process alone writes and shows progress.

`utils.training` asks `workers()` who takes part: `Alone` in one process, a `Team` in several.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from utils.losses import ComputeLoss, LossOutput, evaluate_loss, mean_loss, sum_losses
from utils.runtime import seed_everything

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


def launched() -> int:
    """How many processes were started together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes: always, without torchrun."""
    return launched() == 1 or int(os.environ["RANK"]) == 0


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that torchrun started; without torchrun, or if joined, do nothing.

    Args:
        device: the kind of device that all train on; a GPU without a number is for one each.
    Yields:
        This process's own device.
    Raises:
        ValueError: PyTorch's engine does not serve this device, or there are too few of them.
    """
    if launched() == 1 or _in_group():
        yield device
        return
    if device.type not in BACKENDS:
        raise ValueError(
            f"several processes train on cpu or cuda, not on {device.type}; choose --device cpu"
        )
    if device.type == "cuda":
        own = int(os.environ["LOCAL_RANK"])
        if device.index is not None or own >= torch.cuda.device_count():
            raise ValueError(
                f"process {own} on this machine wants a GPU of its own, of {device} (there are "
                f"{torch.cuda.device_count()}): choose --device cuda, and --nproc-per-node not "
                "above the number of GPUs"
            )
        device = torch.device("cuda", own)
        torch.cuda.set_device(device)
    distributed.init_process_group(BACKENDS[device.type])
    try:
        yield device
    finally:
        distributed.destroy_process_group()


@contextmanager
def first_process_first() -> Iterator[None]:
    """Run a block in the first process, then in the others: a download happens once."""
    if _in_group() and distributed.get_rank() > 0:
        distributed.barrier()
    yield
    if _in_group() and distributed.get_rank() == 0:
        distributed.barrier()


def workers() -> Alone | Team:
    """Who takes part in a training that starts here and now."""
    return Team() if _in_group() else Alone()


def _in_group() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class Weighed(NamedTuple):
    """One step's loss.

    Attributes:
        objective: () what this process differentiates.
        mean: () what is minimised: over the whole batch, the penalty included.
        loss: the sums over the whole batch.
    """

    objective: Tensor
    mean: Tensor
    loss: LossOutput


class Alone:
    """One process trains on whole batches."""

    is_first = True

    def share(self, batches: Iterable[Any]) -> Iterable[Any]:
        """The training batches, or this process's share of each."""
        return batches

    def loss_of(self, model: nn.Module, compute_loss: ComputeLoss) -> Any:
        """The function that gives the loss of a batch, or of a share of one."""
        return partial(compute_loss, model)

    def weigh(self, loss: LossOutput) -> Weighed:
        """From sums over this process's share to the mean over the whole batch."""
        mean = mean_loss(loss)
        return Weighed(mean, mean, loss)

    def evaluate(
        self, model: nn.Module, batches: Iterable[Any], compute_loss: ComputeLoss
    ) -> float:
        """The mean loss over all batches; every process gets the same number."""
        return evaluate_loss(model, batches, compute_loss=compute_loss)

    def seed_step(self, seed: int, step: int) -> None:
        """Give this process random numbers of its own for a step (counted from 0)."""

    def agree(self, verdict: bool) -> bool:
        """The first process's verdict, for what processes could judge differently."""
        return verdict


class Team:
    """One of several processes; the same methods as `Alone`."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.is_first = self.rank == 0
        on_gpu = distributed.get_backend() == "nccl"
        self.device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else "cpu"

    def share(self, batches: Iterable[Any]) -> Iterable[Any]:
        if not hasattr(batches, "batch_indices"):
            raise ValueError(
                f"several processes cannot share {type(batches).__name__}: expected training "
                "batches with batch_indices() and a dataset, as BucketedBatches has"
            )
        return _Shares(batches, self.rank, self.size)

    def loss_of(self, model: nn.Module, compute_loss: ComputeLoss) -> Any:
        return DistributedDataParallel(_LossOfShare(model, compute_loss))

    def weigh(self, loss: LossOutput) -> Weighed:
        """The objectives of all processes have the mean of the batch as *their* mean.

        DistributedDataParallel averages gradients over the processes, hence the factor `size`.
        A penalty is weighed by its share of the tokens: exact for a mean over tokens.
        """
        penalty = loss.total.new_zeros(()) if loss.penalty is None else loss.penalty
        part = loss.total + penalty * loss.tokens
        metrics = [float(value) for value in loss.metrics.values()]
        sums = self._sum([part.item(), loss.total.item(), loss.tokens, *metrics])
        tokens = round(sums[2])
        whole = LossOutput(
            total=torch.tensor(sums[1], dtype=torch.float64, device="cpu"),
            tokens=tokens,
            metrics=dict(zip(loss.metrics, sums[3:], strict=True)),
        )
        mean = torch.tensor(sums[0] / tokens, dtype=torch.float64, device=part.device)
        return Weighed(part * (self.size / tokens), mean, whole)

    def evaluate(
        self, model: nn.Module, batches: Iterable[Any], compute_loss: ComputeLoss
    ) -> float:
        own = islice(batches, self.rank, None, self.size)
        total, tokens = self._sum(sum_losses(model, own, compute_loss=compute_loss))
        if not tokens:
            raise ValueError("the batches to evaluate hold no target tokens; pass at least one")
        return total / tokens

    def seed_step(self, seed: int, step: int) -> None:
        # A function of the step, not a stream: then a resumed run has no state of N processes
        # to bring back, and no two processes drop the same units.
        seed_everything(random.Random(f"{seed}/{self.rank}/{step}").getrandbits(32))

    def agree(self, verdict: bool) -> bool:
        return self._sum([float(verdict and self.is_first)])[0] > 0

    def _sum(self, values: Iterable[float]) -> list[float]:
        """The sums over the processes, the same in each."""
        shared = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        distributed.all_reduce(shared)
        return shared.tolist()


@dataclass(frozen=True)
class _Share:
    """A process's rows of a batch; not counted if it got none and stands in with another's."""

    batch: Any
    is_counted: bool

    def to(self, device: torch.device | str) -> _Share:
        return replace(self, batch=self.batch.to(device))


class _Shares:
    """Every size-th row of every batch: in sorted batches all shares are about as long."""

    def __init__(self, batches: Any, rank: int, size: int) -> None:
        self.batches, self.rank, self.size = batches, rank, size

    def set_epoch(self, epoch: int) -> None:
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[_Share]:
        for rows in self.batches.batch_indices():
            own = rows[self.rank :: self.size]
            # Fewer rows than processes: all must take part in the sum of the gradients.
            yield _Share(self.batches.dataset.collate(own or rows[:1]), bool(own))


class _LossOfShare(nn.Module):
    """The loss as a module: the engine wraps a module's forward."""

    def __init__(self, model: nn.Module, compute_loss: ComputeLoss) -> None:
        super().__init__()
        self.model, self.compute_loss = model, compute_loss

    def forward(self, share: _Share) -> LossOutput:
        loss = self.compute_loss(self.model, share.batch)
        if share.is_counted:
            return loss
        nothing = {name: 0.0 for name in loss.metrics}
        return loss._replace(total=loss.total * 0, tokens=0, metrics=nothing)
