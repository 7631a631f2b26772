"""Several processes that train one network, one GPU each: which videos each takes, and what they exchange.

The batch is the run's, not the process's: whatever the number of processes, every step sees the same videos, batch
normalisation takes its statistics over all of them, and the result is the same up to rounding.
"""

import inspect
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mac.runtime.signals import die_with_parent
from mac.runtime.waiting import told

STARTER = "MAC_STARTER"  # the process that started ours, by number
MEETING = "MAC_MEETING"  # where processes started by `launch` find each other; torchrun gives its own an address


class DistributedError(Exception):
    """A batch can't be split evenly; the message says over how many processes it can."""


@dataclass(frozen=True)
class World:
    """The processes of a run: this one is number ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def share(self, items: np.ndarray) -> np.ndarray:
        """Take this process's part of ``items`` (N, …); the parts in rank order are the whole."""
        return np.array_split(items, self.size)[self.rank]

    def equal_share(self, batch: np.ndarray) -> np.ndarray:
        """Take this process's part of a training batch (B,), as large as everyone's.

        Raises:
            DistributedError: ``B`` is no multiple of the number of processes.
        """
        if len(batch) % self.size:
            allowed = [str(n) for n in range(1, len(batch) + 1) if not len(batch) % n]
            raise DistributedError(
                f"a batch of {len(batch)} videos can't be split evenly over {self.size} processes; allowed are"
                f" {', '.join(allowed)}: change `gpus_per_run` in config/config.yaml"
            )
        return self.share(batch)

    def gather(self, rows: torch.Tensor) -> torch.Tensor:
        """Join everyone's rows (B, …) in rank order, (size · B, …); without gradient."""
        if self.size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def mean(self, values: list[float]) -> list[float]:
        """Average each value over the processes: the same on all of them."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return (total / self.size).tolist()

    def collect(self, part: Any) -> list[Any]:
        """Collect the part of every process, in rank order."""
        if self.size == 1:
            return [part]
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, part)
        return parts

    def wrap(self, learner: nn.Module, device: torch.device) -> nn.Module:
        """Make a learner's forward pass train all processes' copies alike: one normalisation, averaged gradients."""
        if self.size == 1:
            return learner
        _share_statistics(learner, device)
        ids = [device.index] if device.type == "cuda" else None
        # Buffers need no broadcast: shared statistics and gathered keys are the same everywhere.
        known = inspect.signature(DistributedDataParallel).parameters
        broadcast = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # torch < 2.13
        # With this option gradients keep their places in the messages. Without it DDP reorders them after the first
        # step, and again after a resumption, so that sums over more than two processes would round differently.
        warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
        return DistributedDataParallel(learner, ids, find_unused_parameters=True, **{broadcast: False})


ALONE = World()
_met: list[Any] = []  # keeps process groups alive: DDP's destructor may hang if it is their last owner


@contextmanager
def join(device: torch.device) -> Iterator[World]:
    """Connect to the other processes of the run, if torchrun's environment variables name any."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    if MEETING in os.environ:
        die_with_parent(int(os.environ[STARTER]))
    # Counts and flags are exchanged on the CPU: they must not wait for work that is queued on the GPU.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    rank, meeting = int(os.environ["RANK"]), os.environ.get(MEETING, "env://")
    with told(f"the other {size - 1} processes of this training"):
        dist.init_process_group(backend, init_method=meeting, rank=rank, world_size=size)
    _met.append(dist.group.WORLD)
    try:
        yield World(rank, size)
    finally:
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of everyone's."""

    @staticmethod
    def forward(_: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _Sum.apply(gradient.contiguous())


class AllReduceBatchNorm3d(nn.BatchNorm3d):
    """Batch normalisation over all processes' clips, on any device (torch's SyncBatchNorm refuses the CPU).

    Every process brings as many clips as every other.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C, T, H, W) over B, T, H and W of all processes; in evaluation by the running statistics."""
        if not self.training:
            return super().forward(x)
        given, axes, shape = x.dtype, (0, 2, 3, 4), (1, -1, 1, 1, 1)
        x = x.to(self.running_mean.dtype)  # sums of bfloat16 values need more bits
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _Sum.apply(x.sum(axes)) / count
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(given)


def _share_statistics(module: nn.Module, device: torch.device) -> None:
    """Replace the batch normalisations inside a module by ones over all processes, with the same parameters."""
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm3d:
            shared = AllReduceBatchNorm3d(child.num_features, child.eps, child.momentum)
            shared.__dict__.update(child.__dict__)  # the same parameter objects: the optimiser holds them
            setattr(module, name, shared)
        else:
            _share_statistics(child, device)
