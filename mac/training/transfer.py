"""What moves between the host and the device in a step: its random parameters there, its loss and metrics back.

A blocking copy would make the host wait until the device has finished all its work, and then the device wait until the
host has launched more. So a step's random parameters go to the device in one copy that the host doesn't wait for, and
its loss and metrics are read one step late.
"""

from typing import Any

import torch
from torch.utils import _pytree as pytree

ALIGNMENT = 16  # bytes; in a packed tensor, a view of another dtype must begin at a multiple of its element size


def send(tree: Any, device: torch.device) -> Any:
    """Move the tensors of a tree of dicts, tuples and lists to the device, in one copy that the host doesn't wait for.

    Args:
        tree: CPU tensors of any dtype and shape, among other leaves.
        device: where to. On the CPU the tree is returned as it is.

    Returns:
        The same tree, its tensors on the device. They share memory with each other: write into none of them.
    """
    if device.type == "cpu":
        return tree
    leaves, structure = pytree.tree_flatten(tree)
    places, size = {}, 0
    for number, leaf in enumerate(leaves):
        if isinstance(leaf, torch.Tensor):
            places[number] = slice(size, size + leaf.nbytes)
            size += -(-leaf.nbytes // ALIGNMENT) * ALIGNMENT
    packed = torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
    for number, place in places.items():
        packed[place].view(leaves[number].dtype).view(leaves[number].shape).copy_(leaves[number])
    moved = packed.to(device, non_blocking=True)
    for number, place in places.items():
        leaves[number] = moved[place].view(leaves[number].dtype).view(leaves[number].shape)
    return pytree.tree_unflatten(leaves, structure)


class Readback:
    """Numbers that are being copied from the device while it goes on working."""

    def __init__(self, values: torch.Tensor) -> None:
        """Start a copy of ``values`` (N,) that runs as soon as the device has computed them."""
        self._values = values.to("cpu", non_blocking=True)
        self._arrived = None
        if values.device.type == "cuda":
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def wait(self) -> list[float]:
        """Wait until the numbers have arrived, and give them."""
        if self._arrived:
            self._arrived.synchronize()
        return self._values.tolist()
