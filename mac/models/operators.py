"""Make torchvision importable beside a torch build its compiled operators don't match.

torchvision has no CPU-only build for every torch; its models, transforms and data sets need none of the compiled
operators, but its import declares rules for two of them and fails when they are unknown.
"""

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: list[torch.library.Library] = []  # a library's definitions live as long as it does


def declare_missing_operators() -> None:
    """Declare the two operator schemas when torchvision's compiled operators can't load; else do nothing."""
    if _library or _compiled_operators_load():
        return
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _library.append(library)


def _compiled_operators_load() -> bool:
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return True  # importing torchvision will say what is wrong
    for compiled in Path(package.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(compiled)
        except OSError:
            return False
        return True
    return False
