"""The table of backbones. Reading it needs no torch; building one imports the module that its entry names.

A module defines ``build(name, width)``, ``WEIGHTS`` and how torchvision loads its exported weights; see
:mod:`mac.models.backbones.resnet`. The network that it builds maps clips (B, 3, T, H, W) to features (B, D), has
``num_features`` (D), ``activations`` (the last feature map, for class activation maps) and torchvision's tensor names.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FULL_WIDTH = 64  # channels of the first stage of torchvision's networks


@dataclass(frozen=True)
class Backbone:
    """A backbone's module in this package, and whether torchvision publishes Kinetics-400 weights of it."""

    module: str
    is_published: bool = False


BACKBONES = {
    "r2plus1d_18": Backbone("resnet", is_published=True),
    "r2plus1d_10": Backbone("resnet"),
    "r3d_18": Backbone("resnet", is_published=True),
    "s3d": Backbone("s3d", is_published=True),
}


class NoWeightsError(Exception):
    """There are no published weights of a backbone, or they can't be fetched; the message says what to do."""


def module_of(name: str) -> ModuleType:
    """Import the module that defines a backbone.

    Raises:
        ValueError: there is no backbone of that name.
    """
    if name not in BACKBONES:
        raise ValueError(f"backbone {name!r}: allowed are {', '.join(BACKBONES)}")
    return import_module(f"mac.models.backbones.{BACKBONES[name].module}")


def build(name: str, width: int = FULL_WIDTH) -> "torch.nn.Module":
    """Build a randomly initialised backbone.

    Args:
        name: a key of ``BACKBONES``.
        width: channels of the first stage; 64 is torchvision's network exactly, fewer serve small scales.

    Raises:
        ValueError: there is no backbone of that name.
    """
    return module_of(name).build(name, width)


def published_weights(name: str) -> "dict[str, torch.Tensor]":
    """Fetch the Kinetics-400-supervised weights without the classifier, through torchvision's download and cache.

    Raises:
        NoWeightsError: none are published for this backbone, or the download failed.
    """
    if not BACKBONES[name].is_published:
        published = ", ".join(known for known, entry in BACKBONES.items() if entry.is_published)
        raise NoWeightsError(
            f"torchvision publishes Kinetics-400 weights for {published}, not for {name};"
            " set `supervised_baseline: pretrain`"
        )
    module = module_of(name)
    weights = module.WEIGHTS[name]
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise NoWeightsError(
            f"{weights.url}: {error} — put the file into torch's hub cache (checkpoints/), or set"
            " `supervised_baseline: pretrain`"
        ) from None
    return {key: tensor for key, tensor in state.items() if not key.startswith(f"{module.CLASSIFIER}.")}
