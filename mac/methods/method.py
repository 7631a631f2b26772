"""What every pretraining method is made of. A method alone knows its settings, what it shows and what it asks for.

The configuration and the plan read methods too, and must not wait for torch: a method's module imports torch, and what
needs torch, with :func:`lazy`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import PositiveFloat

from mac.data.clips import training_frames
from mac.randomness import Key
from mac.validation import Probability, Strict

if TYPE_CHECKING:
    import torch

    from mac.augment.views import ViewRecipe
    from mac.training.batches import Batch

HELD_OUT = "held out"  # stands for the epoch where clips of videos that are not trained on are scored


class lazy:  # noqa: N801 (used like a keyword)
    """A module that is imported when one of its names is first used; Python 3.15 has ``lazy import`` for it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


class MethodSettings(Strict):
    """The settings that every method has: dropout before its head's linear layer, and the weight of its loss."""

    dropout: Probability
    weight: PositiveFloat

    def check(self, clip: Any) -> None:
        """Compare the settings with those of the clip.

        Raises:
            ValueError: they don't fit; the message says what is allowed.
        """


class Method:
    """A method without a pretext: two natural views for momentum contrast. Other methods override what differs.

    ``draw`` and ``frames`` run on the host, without global state: a value depends on the seed, the epoch and the video.
    What ``draw`` gives comes back on the device as ``drawn["pretext"]``.
    """

    Settings = MethodSettings
    needs_mask = False  # whether its views are made with a foreground mask
    has_mask_section = False  # whether its configuration holds the section `mask`, needed or not
    needs_labels = False  # whether it learns from the videos' labels
    uses_contrast = True  # whether momentum contrast may be added to it
    needs_contrast = False  # whether it is nothing without momentum contrast
    clips = 1  # of a video that the backbone sees in a step
    more_clips = 0  # of a video that are read besides
    prefix = "pretext_"  # of its metrics' names
    view_key = "mac"  # names the random numbers of its view

    def __init__(self, config: Any) -> None:
        """Keep the configuration of the pretraining (:class:`mac.config.PretrainConfig`)."""
        self.config, self.settings = config, config.pretext

    @property
    def name(self) -> str:
        """What a report calls it."""
        return "momentum contrast without masks"

    @property
    def contrast(self) -> Any:
        """Settings of the momentum contrast that is added to it; None where none is."""
        return self.config.contrast if self.uses_contrast else None

    @property
    def read(self) -> int:
        """Clips of a video that are read for a step."""
        return self.clips + self.more_clips

    @property
    def passes(self) -> int:
        """Forward passes that one video costs in a step.

        A trained clip costs three (the backward pass counts two), and with contrast the key of the other view one.
        """
        trained, keys = self.clips, 0
        if self.contrast:  # symmetric, it also trains on the natural clip, and needs its key
            trained, keys = (trained + 1, 2) if self.contrast.symmetric else (trained, 1)
        return 3 * trained + keys

    @property
    def shortest(self) -> int:
        """Frames that a video must have; shorter ones are left out."""
        return 1

    @property
    def weight(self) -> float:
        """Weight of its loss in the sum with the contrastive loss."""
        return self.settings.weight

    @property
    def chance(self) -> float | None:
        """Accuracy of guessing, in [0, 1]; None where there is none."""
        return None

    def outputs(self, labels: np.ndarray) -> int:
        """Outputs of the head, given the labels (N,) of all videos; 0 for a method without a pretext."""
        return 0

    def keys(self, epoch: int | str, videos: np.ndarray) -> tuple[Key, ...]:
        """Keys of the random numbers of videos (B,) in an epoch, or in the held-out score."""
        if epoch == HELD_OUT:
            return (HELD_OUT, self.config.seed, 0, videos)
        return (self.view_key, self.config.seed, epoch, videos)

    def view_keys(self, epoch: int | str, videos: np.ndarray) -> tuple[Key, ...]:
        """Keys of the random numbers of the views of all clips that are read: a video's clips one after the other."""
        if self.read == 1:
            return self.keys(epoch, videos)
        return (*self.keys(epoch, np.repeat(videos, self.read)), np.tile(np.arange(self.read), len(videos)))

    def frames(self, lengths: np.ndarray, epoch: int | str, videos: np.ndarray) -> np.ndarray:
        """Choose the frames (B, read·T) of videos (B,) of these lengths (B,) [frames], one clip after the other."""
        clip = self.config.clip
        return training_frames(lengths, clip.num_frames, clip.strides, (self.config.seed, "frames", epoch, videos))

    def draw(self, epoch: int | str, videos: np.ndarray, labels: np.ndarray) -> Any:
        """Draw what the pretext asks for of videos (B,): a tree of CPU tensors; ``labels`` (N,) of all videos."""
        return None

    def view(self, batch: "Batch", drawn: dict[str, Any], recipe: "ViewRecipe") -> "torch.Tensor":
        """Make the views (B·clips, 3, T, S, S) that the backbone sees, attenuated where the configuration says so."""
        frames, boxes = (
            part if part is None else part.unflatten(1, (self.read, -1)).flatten(0, 1)
            for part in (batch.frames, batch.boxes)
        )
        if not self.config.attenuate:
            return lazy("mac.augment.views").make_views(frames, drawn["view"], recipe)
        shown = boxes, drawn["view"], drawn["attenuate"], recipe, self.config.mask, self.config.attenuate.reverse
        return lazy("mac.methods.attenuation").attenuated_views(frames, *shown)

    def gather(self, features: "torch.Tensor") -> "torch.Tensor":
        """Put the features (B·clips, D) of a video's clips together for the layers of :meth:`neck`, (B, …)."""
        return features

    def neck(self, features: int) -> "tuple[torch.nn.Module | None, int]":
        """Build the layers between gathered features of D channels and the head; and how many channels they give."""
        return None, features

    def loss(self, outputs: "torch.Tensor", asked: Any) -> "torch.Tensor":
        """Mean loss of the head's outputs (B, outputs), given what was asked."""
        raise NotImplementedError

    def correct(self, outputs: "torch.Tensor", asked: Any) -> "torch.Tensor | None":
        """Which clips (B,) the outputs answer correctly; None where no answer is right or wrong."""
        raise NotImplementedError


class LabelMethod(Method):
    """A method that classifies natural views: ``draw`` gives one label (B,) int64 for each clip."""

    def view(self, batch: "Batch", drawn: dict[str, Any], recipe: "ViewRecipe") -> "torch.Tensor":
        """Make the natural view, in the memory layout that convolutions are fastest in."""
        view = super().view(batch, drawn, recipe)
        return view.contiguous(memory_format=lazy("torch").channels_last_3d)

    def loss(self, outputs: "torch.Tensor", asked: "torch.Tensor") -> "torch.Tensor":
        """Cross-entropy."""
        return lazy("torch.nn.functional").cross_entropy(outputs, asked)

    def correct(self, outputs: "torch.Tensor", asked: "torch.Tensor") -> "torch.Tensor":
        """Whether the largest output is the label's."""
        return outputs.argmax(1) == asked
