"""Clip order prediction (VCOP; Xu et al., CVPR 2019): three clips of a video are shuffled; the network says how.

"The order prediction network … first concatenates the features of each pair of clips" (§3.3), a hidden layer of 512
follows, and the 3! orders are classified. Clips have 16 frames each and lie 8 frames apart (§4.1). What differs from
the authors' code: clips are cut, flipped and coloured by our recipe, each clip anew as theirs are; other strides than 1
are possible; contrast, where it is added, is momentum contrast on the first clip shown.
"""

from __future__ import annotations

from itertools import combinations, permutations
from math import factorial
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt

from mac.data.clips import clips_in_a_row, span
from mac.methods.method import LabelMethod, MethodSettings, lazy
from mac.randomness import choose, uniform

torch = lazy("torch")
nn = lazy("torch.nn")

HIDDEN = 512


class ClipOrder(LabelMethod):
    """Which order a video's clips are shown in."""

    class Settings(MethodSettings):
        """``clips`` of a video, with ``interval`` frames between the end of one and the start of the next."""

        clips: Annotated[int, Field(ge=2, le=5)]
        interval: NonNegativeInt

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"clip order{' with contrast' if self.contrast else ''}"

    @property
    def clips(self) -> int:
        """Clips of a video that the backbone sees."""
        return self.settings.clips

    @property
    def chance(self) -> float:
        """Accuracy of guessing, in [0, 1]."""
        return 1 / factorial(self.clips)

    @property
    def shortest(self) -> int:
        """Frames from the first to the last of all clips, at the largest stride."""
        clip = self.config.clip
        return span(clip.num_frames, self.clips, self.settings.interval, max(clip.strides))

    def outputs(self, labels: np.ndarray) -> int:
        """A number for each order."""
        return factorial(self.clips)

    def frames(self, lengths: np.ndarray, epoch: int | str, videos: np.ndarray) -> np.ndarray:
        """Choose the frames (B, clips·T) of videos (B,), in the order that is asked for."""
        clip, keys = self.config.clip, (self.config.seed, "frames", epoch, videos)
        found = clips_in_a_row(lengths, clip.num_frames, self.clips, self.settings.interval, clip.strides, keys)
        orders = np.array(list(permutations(range(self.clips))))[self._answer(epoch, videos)]
        return np.take_along_axis(found, orders[:, :, None], 1).reshape(len(videos), -1)

    def draw(self, epoch: int | str, videos: np.ndarray, labels: np.ndarray) -> torch.Tensor:
        """Give the order's index, of all orders in lexicographic order, of videos (B,)."""
        return torch.from_numpy(self._answer(epoch, videos))

    def gather(self, features: torch.Tensor) -> torch.Tensor:
        """Concatenate the features (B·clips, D) of each pair of a video's clips: (B, pairs, 2·D)."""
        clips = features.unflatten(0, (-1, self.clips)).unbind(1)
        return torch.stack([torch.cat(pair, 1) for pair in combinations(clips, 2)], 1)

    def neck(self, features: int) -> tuple[torch.nn.Module, int]:
        """One layer for all pairs; their outputs stand side by side."""
        pairs = self.clips * (self.clips - 1) // 2
        return nn.Sequential(nn.Linear(2 * features, HIDDEN), nn.ReLU(), nn.Flatten(1)), pairs * HIDDEN

    def _answer(self, epoch: int | str, videos: np.ndarray) -> np.ndarray:
        return choose(uniform((self.config.seed, "order", epoch, videos), 1)[:, 0], factorial(self.clips))
