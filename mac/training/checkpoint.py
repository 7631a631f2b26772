"""Checkpoints: backbone weights that finetuning starts from, and the full state that the next segment continues."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from mac.runtime.atomic import place


class CheckpointError(Exception):
    """A checkpoint belongs to another run or doesn't fit the network; the message names both."""


def save_backbone(path: Path, backbone: torch.nn.Module, facts: dict[str, str]) -> None:
    """Save a backbone's parameters and buffers under torchvision's names (safetensors), with facts as metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()}
    # One metadata entry: safetensors writes several in random order, and equal weights should be equal files.
    place(path, lambda partial: save_file(tensors, partial, {"mac": json.dumps(facts, sort_keys=True)}))


def load_backbone(path: Path, backbone: torch.nn.Module) -> None:
    """Load what :func:`save_backbone` saved.

    Raises:
        CheckpointError: the file's tensors are not this backbone's.
    """
    try:
        backbone.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise CheckpointError(f"{path}: not a checkpoint of this backbone — {error}") from None


def save_state(path: Path, run: str, state: dict[str, Any]) -> None:
    """Save the full training state of a run."""
    place(path, lambda partial: torch.save({"run": run} | state, partial))


def load_state(path: Path, run: str) -> dict[str, Any]:
    """Load a training state.

    Raises:
        CheckpointError: it is another run's.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["run"] != run:
        raise CheckpointError(f"{path}: the state of run {state['run']}, but this is run {run}; delete or move it")
    return state
