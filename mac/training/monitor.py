"""A pretraining seen while it trains: what its features are worth, and whether its pretext is learned.

Every few epochs, on a small fixed sample of videos: the accuracy of nearest neighbours by the backbone's features of
one natural clip of each video (its middle, cut from the centre), the features' effective rank and spread, and the
pretext on held-out videos. Nothing that is trained depends on it, and no id.
"""

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.special import bdtrc

from mac.data.store import FrameStore
from mac.models.probe import effective_rank, spread, vote
from mac.randomness import shuffle
from mac.training import batches
from mac.training.batches import Batch
from mac.training.evaluation import held_out_scores, mean_outputs
from mac.training.loop import Position
from mac.training.run_folder import RunFolder

GALLERY, QUERIES = 512, 256  # training and test videos at most, and at most a quarter of each
NEIGHBOURS, TEMPERATURE = 20, 0.07  # as Caron et al., ICCV 2021 (DINO)
SHARE = 0.02  # of a training's time may go into it
LEAST_RANK, LEAST_SPREAD = 2.0, 0.01  # features below one of them have collapsed


class Monitor:
    """Looks at a pretraining at ends of epochs and writes what it sees into the journal, as metrics ``monitor/…``."""

    def __init__(
        self,
        learner: Any,
        store: FrameStore,
        train: np.ndarray,
        test: np.ndarray,
        read: Callable[[batches.Plan], Iterator[Batch]],
        folder: RunFolder,
        every: int | None,
    ) -> None:
        """Choose the sample: the same videos in every run on the same data.

        Args:
            learner: the :class:`mac.methods.learner.Learner` that is trained.
            store: its frames.
            train: training videos (N,), among a sample of which neighbours are looked for.
            test: videos (M,) that are not trained on, whose sample is classified.
            read: reads batches of the method's clips.
            folder: keeps the journal.
            every: epochs between two looks; 0: none; None: as often as takes at most ``SHARE`` of the time.
        """
        self._learner, self._store, self._read, self._folder, self._every = learner, store, read, folder, every
        self._gallery, self._queries = (
            shuffle(videos, ("monitor",))[: max(min(most, len(videos) // 4), 1)]
            for videos, most in ((train, GALLERY), (test, QUERIES))
        )
        self._began, self._cost = time.monotonic(), None  # seconds that a look takes, once that is known

    def look(self, position: Position) -> None:
        """Look, if it is time to; all processes call this at the end of an epoch and share the work, the first writes.

        The learner is left in evaluation mode.
        """
        if self._every == 0:
            return
        self._learner.eval()
        if not self._is_due(position.epoch):
            return
        began = time.monotonic()
        seen = self._look_at_features(position) | self._look_at_pretext()
        values = {f"monitor/{name}": value for name, value in seen.items()}
        self._folder.write("metrics", epoch=position.epoch, step=position.step, **values)
        self._began = time.monotonic()
        self._cost = self._began - began

    def _is_due(self, epoch: int) -> bool:
        if self._every:
            return epoch % self._every == 0
        if self._cost is None:
            self._cost = self._estimate()
        world, age = self._learner.world, time.monotonic() - self._began
        return world.mean([float(world.is_first and age >= self._cost / SHARE)])[0] > 0  # all must decide alike

    def _estimate(self) -> float:
        """Estimate from one batch how long a look takes."""
        some, began = self._gallery[: self._learner.config.optimiser.batch_size], time.monotonic()
        self._features(some)
        clips = len(self._gallery) + len(self._queries) * (1 + self._learner.method.read)
        return (time.monotonic() - began) / len(some) * clips

    def _look_at_features(self, position: Position) -> dict[str, float]:
        known, asked = self._features(self._gallery), self._features(self._queries)
        if not (known.isfinite().all() and asked.isfinite().all()):
            self._warn("features not finite", "nothing can be measured", position)
            return {}
        labels = torch.tensor(self._learner.labels)
        named = vote(asked, known, labels[self._gallery], NEIGHBOURS, TEMPERATURE)
        right = 100 * float((named == labels[self._queries]).double().mean())
        rank, width = effective_rank(known), spread(known)
        if rank < LEAST_RANK or width < LEAST_SPREAD:
            self._warn("features collapsed", f"effective rank {rank:.1f}, spread {width:.3f}", position)
        return {"knn_top1": right, "effective_rank": rank, "spread": width}

    def _look_at_pretext(self) -> dict[str, float]:
        size = self._learner.config.optimiser.batch_size
        scores = held_out_scores(self._learner, self._read, self._queries, size) | self._learner.chance
        return {name: value for name, value in scores.items() if "loss" not in name}

    def _features(self, videos: np.ndarray) -> torch.Tensor:
        """Compute the features (N, D) of videos (N,), by the middle one of the training's strides and scales."""
        learner, clip = self._learner, self._learner.config.clip
        stride, scale = (sorted(each)[(len(each) - 1) // 2] for each in (clip.strides, clip.scales))
        shown = SimpleNamespace(num_clips=1, stride=stride, scale=scale, positions="ends")
        own = mean_outputs(
            learner.backbone,
            SimpleNamespace(evaluate=shown, precision=learner.config.precision),
            self._store,
            learner.world.share(videos),
            clip.num_frames,
            clip.size,
            learner.config.optimiser.batch_size,
            learner.device,
            loader_workers=0,
        )
        return torch.cat([part for part in learner.world.collect(own) if part is not None])

    def _warn(self, name: str, detail: str, position: Position) -> None:
        self._folder.warn(name, f"{detail} at epoch {position.epoch}", position.epoch, position.step)


def at_chance(scores: dict[str, float], videos: int) -> str | None:
    """Say that a pretext is not learned: guessing gets as many held-out videos right with a probability above 2.5 %.

    Args:
        scores: held-out ``pretext_top1_held_out`` and ``pretext_chance`` [percent]; without them nothing is said.
        videos: how many were scored.
    """
    if not {"pretext_top1_held_out", "pretext_chance"} <= scores.keys():
        return None
    top1, chance = scores["pretext_top1_held_out"], scores["pretext_chance"]
    if bdtrc(round(top1 / 100 * videos) - 1, videos, chance / 100) <= 0.025:
        return None
    return f"{top1:.1f} % of {videos} held-out videos, chance {chance:.1f} %,"
