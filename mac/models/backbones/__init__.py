"""The table of backbones. Reading it needs no torch; building one imports the module that its entry names.

A module defines ``build(name, width, channels)``, ``WEIGHTS`` and how torchvision loads its exported weights; see
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
PAPER, TORCHVISION = "paper", "torchvision"
NORM_EPSILON = 1e-5  # of torch's batch normalisation
EVAL = "model.eval()  # running statistics, not the batch's"


@dataclass(frozen=True)
class Backbone:
    """A backbone's module in this package, and what there is of it.

    Attributes:
        module: its name.
        is_published: torchvision publishes Kinetics-400 weights of it.
        has_channels: it has convolutions in two steps, whose channels in between can be counted in two ways.
    """

    module: str
    is_published: bool = False
    has_channels: bool = False


BACKBONES = {
    "r2plus1d_18": Backbone("resnet", is_published=True, has_channels=True),
    "r2plus1d_10": Backbone("resnet", has_channels=True),
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


def build(
    name: str, width: int = FULL_WIDTH, channels: str = TORCHVISION, norm_epsilon: float = NORM_EPSILON
) -> "torch.nn.Module":
    """Build a randomly initialised backbone.

    Args:
        name: a key of ``BACKBONES``.
        width: channels of the first stage; 64 is torchvision's network exactly, fewer serve small scales.
        channels: how a convolution in two steps counts its channels in between: ``paper``, for each convolution, or
            ``torchvision``, once a block.
        norm_epsilon: ε of batch normalisation.

    Raises:
        ValueError: there is no backbone of that name.
    """
    network = module_of(name).build(name, width, channels)
    if norm_epsilon != NORM_EPSILON:
        for layer in network.modules():
            if hasattr(layer, "eps"):
                layer.eps = norm_epsilon
    return network


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


def is_torchvisions(width: int) -> bool:
    """Whether torchvision alone can build the network; its constructors know no other width."""
    return width == FULL_WIDTH


def exported(
    name: str, backbone: "torch.nn.Module", classifier: "torch.nn.Linear | None" = None, width: int = FULL_WIDTH
) -> "dict[str, torch.Tensor]":
    """Name a backbone's tensors, and its classifier's, as torchvision's network does; a narrow network's is ``fc``."""
    tensors = dict(backbone.state_dict())
    if classifier is not None and is_torchvisions(width):
        tensors |= module_of(name).classifier_tensors(classifier.weight, classifier.bias)
    elif classifier is not None:
        tensors |= {f"fc.{key}": tensor for key, tensor in classifier.state_dict().items()}
    return {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}


def loading_lines(
    network: tuple[str, int, str, float], file: str, classes: int | None = None, features: int = 512
) -> list[str]:
    """Python that loads an exported file as ``model``: imports, an empty line, and two or three lines.

    Args:
        network: the backbone, as :func:`build` takes it.
        file: the exported file.
        classes: outputs of the classifier; None where there is none, and the model gives features.
        features: D, length of the backbone's feature vector.
    """
    name, width, channels, epsilon = network
    if is_torchvisions(width):
        lines = module_of(name).loading_lines(name, channels, classes)
    else:
        lines = [
            "from mac.models.backbones import build",
            "",
            f'model = build("{name}", width={width}, channels="{channels}")',
        ]
        lines += [] if classes is None else [f"model.fc = torch.nn.Linear({features}, {classes})"]
    if epsilon != NORM_EPSILON:
        lines += ["for layer in model.modules():", f"    layer.eps = {epsilon}  # of batch normalisation"]
    uses_torch = any("torch.nn." in line for line in lines)
    imports = (["import torch"] if uses_torch else []) + ["from safetensors.torch import load_file"]
    return [*imports, *lines, f'model.load_state_dict(load_file("{file}"))']


def use_lines(width: int, classes: int | None = None) -> list[str]:
    """Python that runs the loaded ``model`` on a ``clip``."""
    if classes is None:
        return [EVAL, "features = model(clip)"]
    call = "model(clip)" if is_torchvisions(width) else "model.fc(model(clip))"
    return [EVAL, f"logits = {call}"]
