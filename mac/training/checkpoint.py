"""Checkpoints: backbones that finetuning starts from, finetuned classifiers, and the state that a segment continues."""

import io
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from mac.models.heads import ActionClassifier
from mac.runtime.atomic import place
from mac.runtime.reading import naming


class CheckpointError(Exception):
    """A checkpoint belongs to another run or doesn't fit the network; the message names both."""


def save_weights(path: Path, network: torch.nn.Module, facts: dict[str, Any]) -> None:
    """Save a backbone (under torchvision's names) or a classifier: parameters and buffers, in safetensors.

    Args:
        path: the file.
        network: whose weights to save.
        facts: what the weights are, any JSON, kept as metadata: ``pretrain_id`` and ``epoch`` of a backbone;
            ``finetune_id``, ``classes`` (their names in order) and ``index_digest`` of a classifier.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    # One metadata entry: safetensors writes several in random order, and equal weights should be equal files.
    place(path, lambda partial: save_file(tensors, partial, {"mac": json.dumps(facts, sort_keys=True)}))


def load_weights(path: Path, network: torch.nn.Module, kind: str = "backbone") -> None:
    """Load what :func:`save_weights` saved of a network built alike; an error calls the network a ``kind``.

    Raises:
        CheckpointError: the file's tensors are not this network's.
        mac.runtime.reading.DamagedFileError: the file is damaged.
    """
    with naming(path):
        tensors = load_file(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: not a checkpoint of this {kind} — {error}") from None


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


def load_classifier(path: Path, finetune_id: str, backbone: torch.nn.Module) -> tuple[ActionClassifier, dict[str, Any]]:
    """Load a finetuning's classifier, on a backbone built alike, and the facts it was saved with.

    Raises:
        CheckpointError: it is another finetuning's, or doesn't fit the network.
        mac.runtime.reading.DamagedFileError: the file is damaged.
    """
    facts = check_origin(path, finetune_id=finetune_id)
    network = ActionClassifier(backbone, len(facts["classes"]))
    load_weights(path, network, "classifier")
    return network, facts


def check_origin(path: Path, **expected: str) -> dict[str, Any]:
    """Read the facts that weights were saved with, and refuse another run's.

    Raises:
        CheckpointError: the file says that it is another run's, or is not one of ours.
    """
    facts = read_facts(path)
    for name, value in expected.items():
        if str(facts.get(name)) != value:
            raise CheckpointError(
                f"{path}: written for {name} {facts.get(name)}, not {value}; name the files of one run, or delete it"
                " and run its training again"
            )
    return facts


def save_state(path: Path, run: str, state: dict[str, Any]) -> None:
    """Save a training state of a run.

    Raises:
        OSError: it can't be written (a full disk); what was there before is as it was.
    """
    buffer = io.BytesIO()  # into a file, torch would say only that a position is unexpected where a disk is full
    torch.save({"run": run} | state, buffer)
    place(path, lambda partial: partial.write_bytes(buffer.getbuffer()))


def load_state(path: Path, run: str) -> dict[str, Any]:
    """Load a training state.

    Raises:
        CheckpointError: it is another run's.
        mac.runtime.reading.DamagedFileError: the file is damaged.
    """
    with naming(path):
        state = torch.load(path, map_location="cpu", weights_only=True)
    if state["run"] != run:
        raise CheckpointError(f"{path}: the state of run {state['run']}, but this is run {run}; delete or move it")
    return state
