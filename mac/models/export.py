"""Weights for others: torchvision's names, and the lines of Python that load them."""

import torch

from mac.models.backbones import FULL_WIDTH, Backbone

EVAL = "model.eval()  # running statistics, not the batch's"
_NETWORKS = {
    "r2plus1d_18": (
        ["from torchvision.models.video import r2plus1d_18"],
        "r2plus1d_18()",
    ),
    "r3d_18": (
        ["from torchvision.models.video import r3d_18"],
        "r3d_18()",
    ),
    "r2plus1d_10": (
        ["from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet"],
        "VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [1, 1, 1, 1], R2Plus1dStem)",
    ),
}


def is_torchvisions(width: int) -> bool:
    """Whether torchvision alone can build the network; its constructors know no other width."""
    return width == FULL_WIDTH


def exported(backbone: Backbone, classifier: torch.nn.Linear | None = None) -> dict[str, torch.Tensor]:
    """Tensors by the names of torchvision's ``VideoResNet``: the backbone's, and the classifier as ``fc``."""
    tensors = dict(backbone.state_dict())
    if classifier is not None:
        tensors |= {f"fc.{name}": tensor for name, tensor in classifier.state_dict().items()}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def loading_lines(name: str, width: int, file: str, classes: int | None = None) -> list[str]:
    """Python that loads an exported file as ``model``: imports, an empty line, and two or three lines.

    Args:
        name: the backbone.
        width: channels of its first stage.
        file: the exported file.
        classes: outputs of the classifier; None where there is none, and the model gives features.
    """
    features = 512 * width // FULL_WIDTH
    last = "torch.nn.Identity()" if classes is None else f"torch.nn.Linear({features}, {classes})"
    if is_torchvisions(width):
        imports, network = _NETWORKS[name]
    else:
        imports, network = ["from mac.models.backbones import Backbone"], f'Backbone("{name}", width={width})'
    has_head = classes is not None or is_torchvisions(width)  # our backbone has no `fc` to replace
    return [
        *(["import torch"] if has_head else []),
        "from safetensors.torch import load_file",
        *imports,
        "",
        f"model = {network}",
        *([f"model.fc = {last}"] if has_head else []),
        f'model.load_state_dict(load_file("{file}"))',
    ]


def use_lines(width: int, classes: int | None = None) -> list[str]:
    """Python that runs the loaded ``model`` on a ``clip``."""
    if classes is None:
        return [EVAL, "features = model(clip)"]
    call = "model(clip)" if is_torchvisions(width) else "model.fc(model(clip))"
    return [EVAL, f"logits = {call}"]
