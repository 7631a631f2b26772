"""What moves between the host and the device in a step: its random parameters there, its loss and metrics back.

A blocking copy makes the host wait until the device has done all its work, and then the device until the host has found
more. So random parameters go in one copy that nobody waits for, and numbers come back one step late.
"""

from typing import Any

import torch
from torch.utils import _pytree as pytree

ALIGNMENT = 16  # bytes; a view of another dtype must begin at a multiple of its element size


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
    """Numbers on their way from the device, which works on meanwhile."""

    def __init__(self, values: torch.Tensor) -> None:
        """Begin to copy ``values`` (N,) when the device has computed them."""
        self._values = values.to("cpu", non_blocking=True)
        self._arrived = None
        if values.device.type == "cuda":
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def wait(self) -> list[float]:
        """Give the numbers, as soon as they are here."""
        if self._arrived:
            self._arrived.synchronize()
        return self._values.tolist()
