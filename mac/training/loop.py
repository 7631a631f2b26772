"""The training loop of all stages, which can be saved and continued after any step."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from mac.training import batches
from mac.training.batches import Batch
from mac.training.distributed import ALONE, World
from mac.training.run_folder import RunFolder
from mac.training.transfer import Readback, send
from mac.training.usage import Usage


class NotFiniteError(Exception):
    """The loss became NaN or infinite; the message says where, and what the last finite one was."""


@dataclass
class Position:
    """How far a training is: ``epoch`` epochs and ``batch`` batches of the next one, with sums over those batches."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    clips: int = 0
    seconds: float = 0.0
    last_loss: float = float("nan")
    sums: dict[str, float] = field(default_factory=dict)


class _Step(NamedTuple):
    """A step whose loss and metrics are on their way from the device."""

    number: int
    epoch: int
    rate: float
    names: list[str]
    values: Readback


class Loop:
    """A learner and its optimiser in training.

    Attributes:
        position: how far the training is.
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
            learner: a network with ``trained``, the parameters that the optimiser moves; ``draw(videos, epoch)``, the
                random parameters of a step on videos (B,) as a tree of CPU tensors; ``forward(batch, drawn)``, which
                gets both on the device and gives the loss and metrics by name; and ``after_step()``.
            optimiser: moves ``learner.trained``.
            rate: the learning rate at a number of epochs done, fractions included.
            gradient_clip: largest norm of the gradient.
            folder: keeps the snapshots and the journal.
            world: the processes that train together; each has a learner of its own, built alike.
        """
        self.run, self.learner, self.optimiser, self.rate = run, learner, optimiser, rate
        self.gradient_clip, self.folder, self.world = gradient_clip, folder, world
        self.position = Position()
        self.device = next(learner.parameters()).device
        self._losses, self._usage = world.wrap(learner, self.device), Usage(self.device)
        self._unread: _Step | None = None

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
        read: Callable[[batches.Plan], Generator[Batch]],
        after_epoch: Callable[[Position], None] = lambda position: None,
    ) -> None:
        """Train up to an epoch, from wherever the position is.

        Args:
            until: epoch to end at.
            order: gives the batches (videos) of an epoch.
            read: reads all batches of the training, in order, until it is closed.
            after_epoch: called at the end of each epoch, before its snapshot; it may leave the learner in evaluation
                mode, and must change nothing else of the training.

        Raises:
            NotFiniteError: the loss diverged.
            mac.training.distributed.DistributedError: a batch can't be shared out evenly.
            mac.training.run_folder.Interrupted: the run was asked to leave, and has saved itself.
        """
        with closing(read(self._remaining(until, order))) as found:  # the reading processes end with it
            self._train(until, order, found, after_epoch)
        self.folder.remember(self.state)

    def _remaining(self, until: int, order: Callable[[int], list[np.ndarray]]) -> batches.Plan:
        """Plan the batches that are left of a training, in order: this process's part of each."""
        begun, done = self.position.epoch, self.position.batch  # now: batches are planned ahead of the training
        for epoch in range(begun, until):
            for batch in order(epoch)[done if epoch == begun else 0 :]:
                yield epoch, self.world.equal_share(batch)

    def _train(
        self,
        until: int,
        order: Callable[[int], list[np.ndarray]],
        found: Iterator[Batch],
        after_epoch: Callable[[Position], None],
    ) -> None:
        while self.position.epoch < until:
            epoch, count = self.position.epoch, len(order(self.position.epoch))
            self.learner.train()
            while self.position.batch < count:
                began = time.perf_counter()
                self._step(next(found), epoch + self.position.batch / count)
                if self.position.batch == count:
                    self._read_step()
                self.position.seconds += time.perf_counter() - began  # reading included, saving not
                self._usage.look()
                if self.position.batch < count:
                    self._keep(at_end_of_epoch=False)
            p = self.position
            means = {name: value / count for name, value in p.sums.items()}
            speed = float(f"{p.clips / p.seconds:.4g}")  # a large network on a CPU makes hundredths
            lr = self.optimiser.param_groups[0]["lr"]
            use = self._usage.read()
            self.folder.write("metrics", epoch=epoch + 1, step=p.step, lr=lr, clips_per_second=speed, **means, **use)
            self.position = Position(epoch=epoch + 1, step=p.step, last_loss=p.last_loss)
            after_epoch(self.position)
            self._keep(at_end_of_epoch=True)

    def _keep(self, at_end_of_epoch: bool) -> None:
        """Save the training, if it is time to."""
        if self.folder.is_due(at_end_of_epoch):
            self._read_step()
            self.folder.save(self.state())

    def _step(self, batch: Batch, progress: float) -> None:
        p = self.position
        # 1. the rate of this step
        rate = self.rate(progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # 2. the batch and its random parameters go to the device
        drawn = send(self.learner.draw(batch.videos, p.epoch), self.device)
        # 3. losses of the batch's views
        loss, metrics = self._losses(batch.to(self.device), drawn)
        # 4. one step of the optimiser
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learner.trained, self.gradient_clip)
        self.optimiser.step()
        # 5. what follows it (the key encoder)
        self.learner.after_step()
        p.batch, p.step = p.batch + 1, p.step + 1
        p.clips += len(batch.videos) * self.world.size
        # 6. loss and metrics of the step before: read only now, so that the device has work meanwhile
        values = Readback(torch.stack([loss.detach(), *metrics.values()]))
        self._read_step()
        self._unread = _Step(p.step, p.epoch + 1, rate, list(metrics), values)

    def _read_step(self) -> None:
        """Read the newest step's loss and metrics, if they are unread; this always happens before a snapshot.

        Raises:
            NotFiniteError: the loss is not a finite number.
        """
        if self._unread is None:
            return
        step, self._unread = self._unread, None
        value, *means = self.world.mean(step.values.wait())
        p = self.position
        if not np.isfinite(value):
            raise NotFiniteError(
                f"run {self.run}: loss {value} in step {step.number}, epoch {step.epoch}, at rate {step.rate:g}; the"
                f" last finite loss was {p.last_loss:g}. A smaller `lr` or `gradient_clip` may help"
            )
        for name, one in zip(step.names, means, strict=True):
            p.sums[name] = p.sums.get(name, 0.0) + one
        p.last_loss = value
