"""Optimisers and the learning rate as a pure function of progress."""

import math
from collections.abc import Callable, Iterable

import torch


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
