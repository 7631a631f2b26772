"""Checkpoints: backbones that finetuning starts from, finetuned classifiers, and the state that a segment continues."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from mac.runtime.atomic import place


class CheckpointError(Exception):
    """A checkpoint belongs to another run or doesn't fit the network; the message names both."""


def save_backbone(path: Path, backbone: torch.nn.Module, facts: dict[str, str]) -> None:
    """Save a backbone's parameters and buffers under torchvision's names (safetensors), with facts as metadata."""
    _save(path, backbone, facts)


def load_backbone(path: Path, backbone: torch.nn.Module) -> None:
    """Load what :func:`save_backbone` saved.

    Raises:
        CheckpointError: the file's tensors are not this backbone's.
    """
    _load(path, backbone, "backbone")


def save_classifier(path: Path, classifier: torch.nn.Module, facts: dict[str, Any]) -> None:
    """Save a finetuned network, backbone and head, as :func:`save_backbone` does.

    ``facts`` say what it is: ``finetune_id``, ``classes`` (their names in order), ``index_digest``; any JSON.
    """
    _save(path, classifier, facts)


def load_classifier(path: Path, classifier: torch.nn.Module) -> None:
    """Load what :func:`save_classifier` saved.

    Raises:
        CheckpointError: the file's tensors are not this classifier's.
    """
    _load(path, classifier, "classifier")


def read_facts(path: Path) -> dict[str, Any]:
    """Read the facts a backbone or a classifier was saved with; its tensors stay on disk.

    Raises:
        CheckpointError: the file is not one of ours.
    """
    try:
        with safe_open(path, "pt") as file:
            return json.loads((file.metadata() or {})["mac"])
    except (SafetensorError, KeyError) as error:
        raise CheckpointError(
            f"{path}: not a file of weights that this pipeline wrote — {error}; delete it and run its training again"
        ) from None


def _save(path: Path, network: torch.nn.Module, facts: dict[str, Any]) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    # One metadata entry: safetensors writes several in random order, and equal weights should be equal files.
    place(path, lambda partial: save_file(tensors, partial, {"mac": json.dumps(facts, sort_keys=True)}))


def _load(path: Path, network: torch.nn.Module, kind: str) -> None:
    try:
        network.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise CheckpointError(f"{path}: not a checkpoint of this {kind} — {error}") from None


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
