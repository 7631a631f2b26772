"""Export: a finished run's weights for use elsewhere, under torchvision's names."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from mac.augment.colour import MEAN, STD
from mac.config import FinetuneConfig, PretrainConfig, read_config
from mac.models.backbones import build, exported, is_torchvisions, loading_lines, use_lines
from mac.run_ids import complete
from mac.runtime.atomic import place
from mac.runtime.reading import read_json
from mac.training import checkpoint


class ExportError(Exception):
    """The run or its weights are missing; the message says what there is, and what to do."""


def run(results: Path, run_id: str, epoch: int | None, out: Path) -> dict[str, Any]:
    """Write a run's weights.

    Args:
        results: the results folder.
        run_id: of a pretraining or a finetuning, or the beginning of one.
        epoch: of a pretraining; None takes the last kept.
        out: the file, ``.safetensors``.

    Returns:
        What a model card says of the file: ``run_id``, ``config`` and ``metrics`` of the run; ``epoch`` of a
        pretraining's checkpoint, None of a finetuning; name of the exported ``file``, its SHA-256 ``digest`` and how
        many ``parameters`` it holds; lines of Python for ``loading`` and ``using`` it; ``normalisation``: mean and
        standard deviation by channel; ``is_torchvisions``: whether torchvision alone builds the network.

    Raises:
        mac.run_ids.UnknownRunError: no such run, or several.
        ExportError: its weights are missing, or ``out`` has another ending.
        mac.training.checkpoint.CheckpointError: the weights are not the network's that its configuration names.
    """
    if out.suffix != ".safetensors":
        raise ExportError(f"--out {out}: must end in .safetensors; the card goes beside it, ending in .md")
    known = [path.parent.relative_to(results) for path in sorted(results.glob("*/*/config.yaml"))]
    runs = [path.as_posix() for path in known if path.parts[0] in ("pretrain", "finetune")]
    stage, run_id = complete(run_id, runs, str(results)).split("/")
    folder, classifier = results / stage / run_id, None
    if stage == "pretrain":
        config = read_config(folder / "config.yaml", PretrainConfig)
        epoch = _choose_epoch(folder, epoch, config)
        backbone = build(*config.model.network)
        path = folder / f"epoch_{epoch}.safetensors"
        checkpoint.check_origin(path, pretrain_id=run_id, epoch=str(epoch))
        checkpoint.load_weights(path, backbone)
        metrics = _read(folder / f"epoch_{epoch}.json")
    else:
        if epoch is not None:
            raise ExportError(
                f"--epoch {epoch}: {run_id} is a finetuning, which keeps only its last weights; leave --epoch out"
            )
        config = read_config(folder / "config.yaml", FinetuneConfig)
        metrics = _read(folder / "metrics.json")
        path = folder / "classifier.safetensors"
        if not path.exists():
            raise ExportError(
                f"{path}: missing — the finetuning has not ended, it was deleted to save disk, or it was trained before"
                f" classifiers were kept. Delete {path.parent / 'metrics.json'} and run again (rule `finetune`), or"
                f" export what it started from: {config.pretrain_id or config.initial}"
            )
        network, _ = checkpoint.load_classifier(path, run_id, build(*config.model.network))
        backbone, classifier = network.backbone, network.head
    name, width = config.model.backbone, config.model.width
    tensors = exported(name, backbone, classifier, width)
    facts = {"id": run_id, "stage": stage, "epoch": epoch, "model": config.model.canonical()}
    place(out, lambda partial: save_file(tensors, partial, {"mac": json.dumps(facts, sort_keys=True)}))
    classes = None if classifier is None else classifier.out_features
    return {
        "run_id": run_id,
        "config": config,
        "epoch": epoch,
        "file": out.name,
        "digest": hashlib.sha256(out.read_bytes()).hexdigest(),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "metrics": metrics,
        "loading": loading_lines(config.model.network, out.name, classes, backbone.num_features),
        "using": use_lines(width, classes),
        "normalisation": (MEAN, STD),
        "is_torchvisions": is_torchvisions(width),
    }


def _choose_epoch(folder: Path, asked: int | None, config: PretrainConfig) -> int:
    """The epoch to export: the one asked for, or the last kept."""
    kept, reached = _epochs(folder, "safetensors"), _epochs(folder, "json")
    epoch = asked if asked is not None else max(kept, default=max(reached, default=config.optimiser.epochs))
    if epoch in kept:
        return epoch
    path, listed = folder / f"epoch_{epoch}.safetensors", ", ".join(map(str, kept)) or "none"
    command = f"snakemake --cores all --config scale=SCALE -- {path}"
    if epoch in reached:
        raise ExportError(
            f"{path}: the pretraining got there, but its checkpoint was deleted. Kept: {listed}. The rule `pretrain`"
            f" makes it again: {command} (first delete REPORTS/SCALE/kept, if the run was restored from there)"
        )
    raise ExportError(
        f"{path}: no checkpoint of that epoch. Kept: {listed}. The rule `pretrain` makes those a table asks for"
        f" (`curve.epochs`, `pretrain.checkpoints`, or the last): {command}"
    )


def _epochs(folder: Path, ending: str) -> list[int]:
    names = [path.name.removeprefix("epoch_").removesuffix(f".{ending}") for path in folder.glob(f"epoch_*.{ending}")]
    return sorted(int(name) for name in names if name.isdecimal())


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ExportError(f"{path}: missing, so this run has not ended; see `python -m mac plan`")
    return read_json(path)
