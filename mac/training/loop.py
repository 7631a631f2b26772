"""The training loop that all stages share: a position that can be saved and continued after any step."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from mac.training.batches import Batch
from mac.training.distributed import ALONE, World
from mac.training.run_folder import RunFolder
from mac.training.usage import Usage


class NotFiniteError(Exception):
    """The loss became NaN or infinite; the message says where, and what the last finite one was."""


class Learner(Protocol):
    """What a stage trains: networks, the losses of a step, and what follows a step."""

    @property
    def trained(self) -> list[torch.nn.Parameter]: ...  # noqa: D102

    def forward(self, batch: Batch, epoch: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]: ...  # noqa: D102

    def after_step(self) -> None: ...  # noqa: D102


@dataclass
class Position:
    """Where a training stands: ``epoch`` epochs done and ``batch`` batches of the next, with their running sums."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    clips: int = 0
    seconds: float = 0.0
    last_loss: float = float("nan")
    sums: dict[str, float] = field(default_factory=dict)


class Loop:
    """A learner and its optimiser on the way from one epoch to another.

    Attributes:
        position: where the training stands.
    """

    def __init__(
        self,
        run: str,
        learner: torch.nn.Module,
        optimiser: torch.optim.Optimizer,
        rate: Callable[[float], float],
        gradient_clip: float,
        folder: RunFolder,
        world: World = ALONE,
    ) -> None:
        """Prepare a training.

        Args:
            run: its id, for messages.
            learner: a :class:`Learner`.
            optimiser: moves ``learner.trained``.
            rate: the learning rate at a number of epochs done, fractions included.
            gradient_clip: largest norm of the gradient.
            folder: keeps the snapshots and the journal.
            world: the processes that train together; each has a learner of its own, built alike.
        """
        self.run, self.learner, self.optimiser, self.rate = run, learner, optimiser, rate
        self.gradient_clip, self.folder, self.world = gradient_clip, folder, world
        self.position = Position()
        device = next(learner.parameters()).device
        self._losses, self._usage = world.wrap(learner, device), Usage(device)

    def state(self) -> dict[str, Any]:
        """Everything the training needs to continue with the next step, bit for bit."""
        return {
            "position": asdict(self.position),
            "learner": self.learner.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where :meth:`state` was taken."""
        self.learner.load_state_dict(state["learner"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.position = Position(**state["position"])

    def resume(self) -> bool:
        """Continue from the folder's newest snapshot and note it; False where there is none."""
        if not self.folder.state:
            return False
        self.restore(self.folder.state)
        self.folder.write("continued", epoch=self.position.epoch, step=self.position.step)
        return True

    def train(
        self,
        until: int,
        order: Callable[[int], list[np.ndarray]],
        read: Callable[[list[np.ndarray], int], Iterator[Batch]],
    ) -> None:
        """Train up to an epoch, from wherever the position is.

        Args:
            until: epoch to end at.
            order: gives the batches (videos) of an epoch.
            read: reads batches of an epoch, in order.

        Raises:
            NotFiniteError: the loss diverged.
            mac.training.distributed.DistributedError: a batch can't be shared out evenly.
            mac.training.run_folder.Interrupted: the run was asked to leave, and has saved itself.
        """
        while self.position.epoch < until:
            epoch = self.position.epoch
            planned = order(epoch)
            self.learner.train()
            began = time.perf_counter()
            remaining = [self.world.equal_share(batch) for batch in planned[self.position.batch :]]
            for batch in read(remaining, epoch):
                self._step(batch, epoch + self.position.batch / len(planned))
                self.position.seconds += time.perf_counter() - began  # reading included, saving not
                self._usage.look()
                if self.position.batch < len(planned):
                    self.folder.keep(self.state, at_end_of_epoch=False)
                began = time.perf_counter()
            p = self.position
            means = {name: value / len(planned) for name, value in p.sums.items()}
            speed = float(f"{p.clips / p.seconds:.4g}")  # a large network on a CPU makes hundredths
            lr = self.optimiser.param_groups[0]["lr"]
            use = self._usage.read()
            self.folder.write("metrics", epoch=epoch + 1, step=p.step, lr=lr, clips_per_second=speed, **means, **use)
            self.position = Position(epoch=epoch + 1, step=p.step, last_loss=p.last_loss)
            self.folder.keep(self.state, at_end_of_epoch=True)

    def _step(self, batch: Batch, progress: float) -> None:
        p = self.position
        # 1. the rate of this step
        rate = self.rate(progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # 2. losses of the batch's views
        loss, metrics = self._losses(batch, p.epoch)
        # 3. one step of the optimiser
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learner.trained, self.gradient_clip)
        self.optimiser.step()
        # 4. what follows it (the key encoder)
        self.learner.after_step()
        # 5. what the step gave: one copy from the device, when all its work is queued; nothing is saved before this
        value, *means = self.world.mean(torch.stack([loss.detach(), *metrics.values()]).tolist())
        if not np.isfinite(value):
            raise NotFiniteError(
                f"run {self.run}: loss {value} in step {p.step + 1}, epoch {p.epoch + 1}, at rate {rate:g}; the last"
                f" finite loss was {p.last_loss:g}. A smaller `lr` or `gradient_clip` may help"
            )
        for name, one in zip(metrics, means, strict=True):
            p.sums[name] = p.sums.get(name, 0.0) + one
        p.batch, p.step, p.last_loss = p.batch + 1, p.step + 1, value
        p.clips += len(batch.videos) * self.world.size
