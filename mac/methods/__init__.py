"""The table of pretraining methods, one module an entry; what a method is stands in :mod:`mac.methods.method`.

Reading the table needs no torch.
"""

from typing import Any

from mac.methods.background_erasing import BackgroundErasing
from mac.methods.clip_order import ClipOrder
from mac.methods.cloze import Cloze
from mac.methods.mac import Attenuate, Mac
from mac.methods.method import Method, MethodSettings
from mac.methods.pace import Pace
from mac.methods.supervised import Supervised

__all__ = ["METHODS", "Attenuate", "Mac", "Method", "MethodSettings", "method_of"]

METHODS: dict[str, type[Method]] = {
    "background_erasing": BackgroundErasing,
    "clip_order": ClipOrder,
    "cloze": Cloze,
    "mac": Mac,
    "pace": Pace,
    "supervised": Supervised,
}


def method_of(config: Any) -> Method:
    """Give the method of a pretraining's configuration; without a pretext, one that only contrasts views."""
    return METHODS[config.task](config) if config.pretext else Method(config)
