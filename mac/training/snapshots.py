"""Snapshots of a running training: two generations, each with its checksum, so that a torn file costs nothing.

A state is written as one JSON text and a few large tensors, which is much faster than a thousand small tensors.
"""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import torch

from mac.runtime.atomic import place
from mac.training.checkpoint import CheckpointError

NAMES = ("a.snapshot", "b.snapshot")
DIGEST = 32  # bytes of the SHA-256 that a file begins with


class Snapshots:
    """The last two states of one run, in a folder of its own; the next state replaces the older one."""

    def __init__(self, folder: Path, run: str) -> None:
        """Keep the states of ``run`` (its id) in ``folder``."""
        self.folder, self.run = folder, run
        self._generation = 0

    def save(self, state: dict[str, Any]) -> None:
        """Write a state to the disk, either completely or not at all.

        Raises:
            OSError: it can't be written (a full disk); the states before it are as they were.
        """
        self._generation += 1
        buffer = io.BytesIO()
        torch.save(pack({"run": self.run, "generation": self._generation, "state": state}), buffer)
        content = buffer.getbuffer()
        path = self.folder / NAMES[self._generation % 2]

        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)

        try:
            place(path, write)
        except OSError as error:
            self._generation -= 1
            raise OSError(
                error.errno, f"{error.strerror}; the snapshot before it is intact: make room and run again", str(path)
            ) from None
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def load(self) -> dict[str, Any] | None:
        """Read the newest whole state; None where there is none.

        Raises:
            CheckpointError: the folder holds another run's states.
        """
        whole = [found for name in NAMES if (found := self._read(self.folder / name))]
        if not whole:
            return None
        newest = max(whole, key=lambda found: found["generation"])
        if newest["run"] != self.run:
            raise CheckpointError(
                f"{self.folder}: the state of run {newest['run']}, but this is run {self.run}; delete or move it"
            )
        self._generation = newest["generation"]
        return newest["state"]

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        if not path.exists():
            return None
        content = path.read_bytes()
        if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
            return None  # torn, as by a failing disk; the other generation stands in
        return unpack(torch.load(io.BytesIO(content[DIGEST:]), map_location="cpu", weights_only=True))


def pack(state: Any) -> dict[str, Any]:
    """Copy a tree of dicts, lists and tuples, with tensors and plain values as leaves, to the CPU.

    Returns:
        ``tree``, JSON in which a tensor stands as its place in a block, its shape and its strides; and ``blocks``, one
        tensor (N,) for each dtype and device.

    Raises:
        TypeError: a leaf is neither a tensor nor a plain value.
    """
    parts: dict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = {}
    filled: dict[tuple[torch.dtype, torch.device], int] = {}

    def encode(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            flat, strides = _flatten(value.detach())
            key = (value.dtype, value.device)
            number, start = list(parts).index(key) if key in parts else len(parts), filled.get(key, 0)
            parts.setdefault(key, []).append(flat)
            filled[key] = start + len(flat)
            return {"tensor": [number, start, list(value.shape), strides]}
        if isinstance(value, dict):
            return {"dict": [[key, encode(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return {type(value).__name__: [encode(item) for item in value]}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"a state holds a {type(value).__name__}; allowed are tensors, numbers, texts, lists, dicts")

    tree = json.dumps(encode(state))
    return {"tree": tree, "blocks": [torch.cat(flats).cpu() for flats in parts.values()]}


def unpack(packed: dict[str, Any]) -> Any:
    """Give the state back: equal values, shapes and strides, every tensor with memory of its own, on the CPU."""
    blocks = packed["blocks"]

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "tensor":
            number, start, shape, strides = content
            return blocks[number].as_strided(shape, strides, start).clone(memory_format=torch.preserve_format)
        if kind == "dict":
            return {key: decode(item) for key, item in content}
        return {"list": list, "tuple": tuple}[kind](decode(item) for item in content)

    return decode(json.loads(packed["tree"]))


def _flatten(tensor: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """View a tensor as one row in the order of its memory; copy one that has gaps or overlaps."""
    if not torch.ops.aten.is_non_overlapping_and_dense(tensor):
        tensor = tensor.contiguous()
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset()), list(tensor.stride())
