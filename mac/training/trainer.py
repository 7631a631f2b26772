"""A training as its configuration says it: optimiser, learning rate, order of the videos, start of the journal."""

import math
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np
import torch

from mac.data.store import FrameStore
from mac.training import batches
from mac.training.batches import Batch
from mac.training.distributed import World
from mac.training.loop import Loop, Position
from mac.training.processor import describe
from mac.training.run_folder import RunFolder


def build_optimiser(
    parameters: Iterable[torch.nn.Parameter], name: str, lr: float, sgd_momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Build ``sgd`` or ``adamw`` (whose betas are torch's defaults) over all parameters."""
    if name == "sgd":
        return torch.optim.SGD(parameters, lr, momentum=sgd_momentum, weight_decay=weight_decay, fused=True)
    return torch.optim.AdamW(parameters, lr, weight_decay=weight_decay, fused=True)


def learning_rate(
    lr: float, epoch: float, epochs: int, schedule: str, milestones: list[int], gamma: float, warmup_epochs: int
) -> float:
    """Compute the rate at a point of training.

    Args:
        lr: base rate.
        epoch: epochs done so far, fractions included (epoch 3 has finished at 3.0).
        epochs: length of the whole schedule.
        schedule: ``step`` multiplies by ``gamma`` at each of ``milestones``; ``cosine`` falls to 0 at ``epochs``.
        milestones: whole epochs, rising.
        gamma: factor at each milestone.
        warmup_epochs: epochs of linear rise from 0 before that.
    """
    if epoch < warmup_epochs:
        return lr * epoch / warmup_epochs
    if schedule == "step":
        return lr * gamma ** sum(epoch >= milestone for milestone in milestones)
    return lr * 0.5 * (1 + math.cos(math.pi * (epoch - warmup_epochs) / (epochs - warmup_epochs)))


def schedule_of(
    lr: float, epochs: int, schedule: str, milestones: list[int], gamma: float, warmup_epochs: int
) -> Callable[[float], float]:
    """Make :func:`learning_rate` a function of the epochs done alone."""
    return lambda epoch: learning_rate(lr, epoch, epochs, schedule, milestones, gamma, warmup_epochs)


def train(
    stage: str,
    config: Any,
    learner: torch.nn.Module,
    store: FrameStore,
    videos: np.ndarray,
    until: int,
    read: Callable[[batches.Plan], Generator[Batch]],
    folder: RunFolder,
    device: torch.device,
    facts: dict[str, str] | None,
    world: World,
    begin: Callable[[Loop], None] = lambda loop: None,
    after_epoch: Callable[[Position], None] = lambda position: None,
) -> Loop:
    """Train on ``videos`` (N,) as the stage's configuration says, from the folder's newest snapshot if there is one.

    ``learner``, ``read`` and ``after_epoch`` are those of :class:`mac.training.loop.Loop`; ``begin`` prepares the loop
    where there is no snapshot. Returns the loop at the end of its training.

    Raises:
        mac.training.loop.NotFiniteError: the loss diverged.
        mac.training.run_folder.Interrupted: the run was asked to leave, and has saved itself.
    """
    o, run_id = config.optimiser, config.identify()
    optimiser = build_optimiser(learner.trained, o.name, o.lr, o.sgd_momentum, o.weight_decay)
    rate = schedule_of(o.lr, o.epochs, o.schedule, o.milestones, o.gamma, o.warmup_epochs)
    loop = Loop(run_id, learner, optimiser, rate, o.gradient_clip, folder, world)
    if not loop.resume():
        begin(loop)
        folder.write(
            "start",
            stage=stage,
            id=run_id,
            epoch=loop.position.epoch,
            until=until,
            epochs=o.epochs,
            device=describe(device, world.size),
            index_digest=store.digest,
            videos=len(videos),
            facts=facts or {},
        )

    def order(epoch: int) -> list[np.ndarray]:
        return batches.epoch_order(videos, o.batch_size, (config.seed, "order", epoch))

    loop.train(until, order, read, after_epoch)
    return loop
