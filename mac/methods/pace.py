"""Pace prediction (Wang, Jiao and Liu, ECCV 2020): a clip is played at one of several paces; the network says which.

"We randomly sample training clips in different paces and ask a neural network to identify the pace for each video clip"
(abstract). There are four paces: every frame, every 2nd, 3rd or 4th. What differs from the authors' code: a clip lies
within its video where it fits, and only a longer one starts over at the video's first frame (theirs may start anywhere,
so that fast clips start over more often); colours change once a clip, not at each frame; contrast, where it is added,
is momentum contrast (:mod:`mac.models.moco`).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt, field_validator

from mac.methods.method import LabelMethod, MethodSettings, lazy
from mac.randomness import choose, uniform

torch = lazy("torch")


class Pace(LabelMethod):
    """Which of the paces a clip is played at."""

    class Settings(MethodSettings):
        """``paces``: frames from one frame of a clip to the next; each is one answer."""

        paces: Annotated[list[PositiveInt], Field(min_length=2)]

        @field_validator("paces")
        @classmethod
        def _differ(cls, paces: list[int]) -> list[int]:
            if len(set(paces)) != len(paces):
                raise ValueError(f"{paces} names one twice, so no answer would be right")
            return paces

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"pace prediction{' with contrast' if self.config.contrast else ''}"

    @property
    def chance(self) -> float:
        """Accuracy of guessing, in [0, 1]."""
        return 1 / len(self.settings.paces)

    def outputs(self, labels: np.ndarray) -> int:
        """A number for each pace."""
        return len(self.settings.paces)

    def frames(self, lengths: np.ndarray, epoch: int | str, videos: np.ndarray) -> np.ndarray:
        """Choose the frames (B, T) of videos (B,) at the pace that is asked for."""
        count, pace = self.config.clip.num_frames, np.asarray(self.settings.paces)[self._answer(epoch, videos)]
        room = np.maximum(lengths - (count - 1) * pace, 1)
        start = choose(uniform((self.config.seed, "frames", epoch, videos), 1)[:, 0], room)
        step = pace * (not self.config.clip.is_frozen)
        return (start[:, None] + step[:, None] * np.arange(count)) % lengths[:, None]

    def draw(self, epoch: int | str, videos: np.ndarray, labels: np.ndarray) -> torch.Tensor:
        """Give the pace's index of videos (B,)."""
        return torch.from_numpy(self._answer(epoch, videos))

    def _answer(self, epoch: int | str, videos: np.ndarray) -> np.ndarray:
        return choose(uniform((self.config.seed, "pace", epoch, videos), 1)[:, 0], len(self.settings.paces))
