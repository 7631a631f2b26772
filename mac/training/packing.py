"""A training's state as a text and a few large tensors: written one by one, its thousand small ones cost far more."""

import json
from collections.abc import Sequence
from typing import Any

import torch


def pack(state: Any) -> dict[str, Any]:
    """Copy a tree of dicts, lists and tuples, with tensors and plain values as leaves, to the CPU.

    Returns:
        ``tree``, JSON in which tensors are named by where they lie, and ``blocks``, one tensor (N,) a dtype and device.

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
        items = [decode(item) for item in content]
        return tuple(items) if kind == "tuple" else items

    return decode(json.loads(packed["tree"]))


def _flatten(tensor: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """View a tensor as one row in the order of its memory; copy one that has gaps or overlaps."""
    if not _is_dense(tensor.shape, tensor.stride()):
        tensor = tensor.contiguous()
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset()), list(tensor.stride())


def _is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    expected = 1
    for stride, length in sorted((s, n) for s, n in zip(strides, shape, strict=True) if n != 1):
        if stride != expected:
            return False
        expected *= length
    return True
