"""Video cloze procedure (VCP; Luo et al., AAAI 2020): the middle one of three clips is changed; the network says how.

"VCP first generates blanks by withholding video clips and then creates options by applying spatio-temporal operations
on the withheld clips. Finally, it fills the blanks with options and learns representations by predicting the categories
of operations" (abstract). The five options: as it is; turned by 90, 180 or 270 degrees; two of its four tiles swapped;
two of its four quarters in time swapped; another clip, from after the third. Clips have 16 frames and lie 8 apart, as
in clip order prediction, whose data the method shares. The authors' code was not at hand: how tiles are permuted and
where the other clip lies are our reading; views are made by our recipe.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import NonNegativeInt

from mac.data.clips import clips_in_a_row, span
from mac.methods.method import LabelMethod, MethodSettings, lazy
from mac.randomness import choose, uniform

if TYPE_CHECKING:
    from mac.augment.views import ViewRecipe
    from mac.training.batches import Batch

torch = lazy("torch")
nn = lazy("torch.nn")

AS_IT_IS, TURNED, TILES, QUARTERS, REMOTE = range(5)
OPTIONS, MIDDLE, OTHER, PARTS, HIDDEN = 5, 1, 3, 4, 512


class Filled(NamedTuple):
    """How each middle clip is made.

    ``option`` (B,), quarter ``turns`` (B,), orders of the ``tiles`` and of the ``quarters`` in time, (B, 4) each, and
    ``source`` (B,), the clip that it is made of: 1, or 3 for another one.
    """

    option: torch.Tensor
    turns: torch.Tensor
    tiles: torch.Tensor
    quarters: torch.Tensor
    source: torch.Tensor


class Cloze(LabelMethod):
    """Which of five options fills the blank between two clips."""

    class Settings(MethodSettings):
        """``interval``: frames between the end of one clip and the start of the next."""

        interval: NonNegativeInt

        def check(self, clip: Any) -> None:
            """Refuse clips that can't be cut into four tiles and four quarters."""
            if clip.size % 2 or clip.num_frames % PARTS:
                raise ValueError(
                    f"cloze swaps tiles and quarters of a clip: clip.size {clip.size} must be even and clip.num_frames"
                    f" {clip.num_frames} a multiple of {PARTS}"
                )

    clips, more_clips = 3, 1  # the fourth may fill the blank

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"video cloze{' with contrast' if self.contrast else ''}"

    @property
    def chance(self) -> float:
        """Accuracy of guessing, in [0, 1]."""
        return 1 / OPTIONS

    @property
    def shortest(self) -> int:
        """Frames from the first to the last of all clips, at the largest stride."""
        clip = self.config.clip
        return span(clip.num_frames, self.read, self.settings.interval, max(clip.strides))

    def outputs(self, labels: np.ndarray) -> int:
        """A number for each option."""
        return OPTIONS

    def frames(self, lengths: np.ndarray, epoch: int | str, videos: np.ndarray) -> np.ndarray:
        """Choose the frames (B, 4·T) of videos (B,): three clips and the one that may fill the blank."""
        clip, keys = self.config.clip, (self.config.seed, "frames", epoch, videos)
        found = clips_in_a_row(lengths, clip.num_frames, self.read, self.settings.interval, clip.strides, keys)
        return found.reshape(len(videos), -1)

    def draw(self, epoch: int | str, videos: np.ndarray, labels: np.ndarray) -> Filled:
        """Draw the option of videos (B,), and how it is made; what another option needs is left as it is."""
        draws = uniform(("cloze", *self.keys(epoch, videos)), 4)
        option = choose(draws[:, 0], OPTIONS)
        turns = np.where(option == TURNED, 1 + choose(draws[:, 1], 3), 0)
        pairs = np.array(list(combinations(range(PARTS), 2)))
        tiles, quarters = (
            np.where((option == own)[:, None], _swapped(pairs[choose(draws[:, column], len(pairs))]), np.arange(PARTS))
            for own, column in ((TILES, 2), (QUARTERS, 3))
        )
        source = np.where(option == REMOTE, OTHER, MIDDLE)
        return Filled(*map(torch.from_numpy, (option, turns, tiles, quarters, source)))

    def view(self, batch: Batch, drawn: dict[str, Any], recipe: ViewRecipe) -> torch.Tensor:
        """Make the views (B·3, 3, T, S, S) of three clips, the middle one filled in."""
        clips = super().view(batch, drawn, recipe).unflatten(0, (-1, self.read))
        filled = drawn["pretext"]
        each = torch.arange(len(clips), device=clips.device)
        middle = _reorder(_turn(clips[each, filled.source], filled.turns), filled.tiles, filled.quarters)
        shown = torch.stack([clips[:, 0], middle, clips[:, 2]], 1).flatten(0, 1)
        return shown.contiguous(memory_format=torch.channels_last_3d)

    def gather(self, features: torch.Tensor) -> torch.Tensor:
        """Concatenate the features (B·3, D) of a video's clips: (B, 3·D)."""
        return features.unflatten(0, (-1, self.clips)).flatten(1)

    def neck(self, features: int) -> tuple[torch.nn.Module, int]:
        """One hidden layer on the three clips' features."""
        return nn.Sequential(nn.Linear(self.clips * features, HIDDEN), nn.ReLU()), HIDDEN

    def loss(self, outputs: torch.Tensor, asked: Filled) -> torch.Tensor:
        """Cross-entropy of the option."""
        return super().loss(outputs, asked.option)

    def correct(self, outputs: torch.Tensor, asked: Filled) -> torch.Tensor:
        """Whether the largest output is the option's."""
        return super().correct(outputs, asked.option)


def _swapped(pairs: np.ndarray) -> np.ndarray:
    """Orders (B, 4) in which the two parts of each pair (B, 2) have changed places."""
    orders = np.tile(np.arange(PARTS), (len(pairs), 1))
    np.put_along_axis(orders, pairs, pairs[:, ::-1], 1)
    return orders


def _turn(clip: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Turn clips (B, 3, T, S, S) by so many quarters (B,), 0 … 3."""
    turned = torch.stack([torch.rot90(clip, count, (3, 4)) for count in range(4)])
    return turned[turns, torch.arange(len(clip), device=clip.device)]


def _reorder(clip: torch.Tensor, tiles: torch.Tensor, quarters: torch.Tensor) -> torch.Tensor:
    """Put the four tiles and the four quarters in time of clips (B, 3, T, S, S) into these orders (B, 4) each."""
    size, each = clip.shape[-1], torch.arange(len(clip), device=clip.device)[:, None]
    timed = clip.unflatten(2, (PARTS, -1)).movedim(2, 1)[each, quarters].movedim(1, 2).flatten(2, 3)
    tiled = timed.unflatten(4, (2, -1)).unflatten(3, (2, -1)).movedim((3, 5), (1, 2)).flatten(1, 2)[each, tiles]
    return tiled.unflatten(1, (2, 2)).movedim((1, 2), (3, 5)).reshape(*clip.shape[:3], size, size)
