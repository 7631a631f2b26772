"""Weights for use elsewhere: torchvision's names, and the lines of Python that load them."""

import torch

from mac.models.backbones import FULL_WIDTH, module_of

EVAL = "model.eval()  # running statistics, not the batch's"


def is_torchvisions(width: int) -> bool:
    """Whether torchvision alone can build the network; its constructors know no other width."""
    return width == FULL_WIDTH


def exported(
    name: str, backbone: torch.nn.Module, classifier: torch.nn.Linear | None = None, width: int = FULL_WIDTH
) -> dict[str, torch.Tensor]:
    """Name a backbone's tensors, and its classifier's, as torchvision's network does; a narrow network's is ``fc``."""
    tensors = dict(backbone.state_dict())
    if classifier is not None and is_torchvisions(width):
        tensors |= module_of(name).classifier_tensors(classifier.weight, classifier.bias)
    elif classifier is not None:
        tensors |= {f"fc.{key}": tensor for key, tensor in classifier.state_dict().items()}
    return {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}


def loading_lines(name: str, width: int, file: str, classes: int | None = None, features: int = 512) -> list[str]:
    """Python that loads an exported file as ``model``: imports, an empty line, and two or three lines.

    Args:
        name: the backbone.
        width: channels of its first stage.
        file: the exported file.
        classes: outputs of the classifier; None where there is none, and the model gives features.
        features: D, length of the backbone's feature vector.
    """
    if is_torchvisions(width):
        lines = module_of(name).loading_lines(name, classes)
    else:
        lines = ["from mac.models.backbones import build", "", f'model = build("{name}", width={width})']
        lines += [] if classes is None else [f"model.fc = torch.nn.Linear({features}, {classes})"]
    uses_torch = any("torch.nn." in line for line in lines)
    imports = (["import torch"] if uses_torch else []) + ["from safetensors.torch import load_file"]
    return [*imports, *lines, f'model.load_state_dict(load_file("{file}"))']


def use_lines(width: int, classes: int | None = None) -> list[str]:
    """Python that runs the loaded ``model`` on a ``clip``."""
    if classes is None:
        return [EVAL, "features = model(clip)"]
    call = "model(clip)" if is_torchvisions(width) else "model.fc(model(clip))"
    return [EVAL, f"logits = {call}"]
