"""``export``: a finished run's weights for use elsewhere, with a model card beside them."""

import argparse
import contextlib
import difflib
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from mac import plan as planning
from mac.augment.colour import MEAN, STD
from mac.commands.files import read_config
from mac.config import DatasetConfig, FinetuneConfig, PretrainConfig
from mac.data import catalog
from mac.models.backbones import build
from mac.models.export import exported, is_torchvisions, loading_lines, use_lines
from mac.report.cards import model_card
from mac.runtime.atomic import place, write_text
from mac.training import checkpoint

HEAD = "head."


class ExportError(Exception):
    """There is nothing to export under that name; the message says what there is, and the way out."""


def export(arguments: argparse.Namespace) -> None:
    """Write FILE.safetensors and FILE.md.

    Raises:
        ExportError: no such run, or its weights are missing.
        mac.training.checkpoint.CheckpointError: the weights are not the network's that its configuration names.
    """
    if arguments.out.suffix != ".safetensors":
        raise ExportError(f"--out {arguments.out}: must end in .safetensors; the card goes beside it, ending in .md")
    stage = _stage(arguments.results, arguments.id)
    folder = arguments.results / stage / arguments.id
    if stage == "pretrain":
        config = read_config(folder / "config.yaml", PretrainConfig)
        epoch, classes, classifier = _epoch(folder, arguments.epoch, config), None, None
        backbone = build(config.model.backbone, config.model.width)
        path = folder / f"epoch_{epoch}.safetensors"
        _check_origin(path, {"pretrain_id": arguments.id, "epoch": str(epoch)})
        checkpoint.load_backbone(path, backbone)
        metrics = _read(folder / f"epoch_{epoch}.json")
    else:
        if arguments.epoch:
            raise ExportError(f"--epoch {arguments.epoch}: {arguments.id} is a finetuning, which keeps its end only")
        config, epoch = read_config(folder / "config.yaml", FinetuneConfig), None
        metrics = _read(folder / "metrics.json")
        backbone, classifier = _classifier(folder / "classifier.safetensors", config)
        _check_origin(folder / "classifier.safetensors", {"finetune_id": arguments.id})
        classes = classifier.out_features
    facts = {"id": arguments.id, "stage": stage, "epoch": epoch, "model": config.model.canonical()}
    tensors = exported(config.model.backbone, backbone, classifier, config.model.width)
    used_by = _rows(arguments, stage)
    finetunings = _finetunings(arguments.results, arguments.id, epoch) if stage == "pretrain" else []
    place(arguments.out, lambda partial: save_file(tensors, partial, {"mac": json.dumps(facts, sort_keys=True)}))
    width, name = config.model.width, config.model.backbone
    card = model_card(
        run_id=arguments.id,
        config=config,
        epoch=epoch,
        file=arguments.out.name,
        digest=hashlib.sha256(arguments.out.read_bytes()).hexdigest(),
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        metrics=metrics,
        about=_about(config.store.dataset, arguments.config_dir),
        loading=loading_lines(name, width, arguments.out.name, classes, backbone.num_features),
        using=use_lines(width, classes),
        normalisation=(MEAN, STD),
        is_torchvisions=is_torchvisions(width),
        used_by=used_by,
        finetunings=finetunings,
    )
    write_text(arguments.out.with_suffix(".md"), card)
    print(f"{arguments.out} and {arguments.out.with_suffix('.md').name}, which says how to load it")


def _stage(results: Path, run_id: str) -> str:
    known = {path.parent.name: path.parent.parent.name for stage in ("pretrain", "finetune")
             for path in sorted((results / stage).glob("*/config.yaml"))}  # fmt: skip
    if run_id not in known:
        near = ", ".join(difflib.get_close_matches(run_id, known, n=3, cutoff=0.0)) or "none"
        raise ExportError(
            f"{run_id}: no pretraining or finetuning in {results}. The nearest: {near}; `python -m mac plan --scale"
            " SCALE` lists all, with the rows that use them"
        )
    return known[run_id]


def _epoch(folder: Path, asked: int | None, config: PretrainConfig) -> int:
    """The epoch to export: the one asked for, or the last kept."""
    kept = _epochs(folder, "safetensors")
    epoch = asked or max(kept, default=max(_epochs(folder, "json"), default=config.optimiser.epochs))
    if epoch in kept:
        return epoch
    path = folder / f"epoch_{epoch}.safetensors"
    if epoch in _epochs(folder, "json"):
        raise ExportError(
            f"{path}: the pretraining got there, but its checkpoint was deleted. Kept: {_listed(kept)}. The rule"
            f" `pretrain` makes it again: snakemake --cores all --config scale=SCALE -- {path} (first delete"
            " REPORTS/SCALE/kept, if the run was recalled from there)"
        )
    raise ExportError(
        f"{path}: no checkpoint of that epoch. Kept: {_listed(kept)}. The rule `pretrain` makes those a table asks for"
        f" (`curve.epochs`, `pretrain.checkpoints`, or the last): snakemake --cores all --config scale=SCALE -- {path}"
    )


def _epochs(folder: Path, ending: str) -> list[int]:
    names = [path.name.removeprefix("epoch_").removesuffix(f".{ending}") for path in folder.glob(f"epoch_*.{ending}")]
    return sorted(int(name) for name in names if name.isdecimal())


def _listed(epochs: list[int]) -> str:
    return ", ".join(map(str, epochs)) or "none"


def _classifier(path: Path, config: FinetuneConfig) -> tuple[torch.nn.Module, torch.nn.Linear]:
    """Read a finetuned classifier: tensors ``backbone.*`` and ``head.*``."""
    if not path.exists():
        raise ExportError(
            f"{path}: missing — the finetuning has not ended, it was deleted to save disk, or it was trained before"
            f" classifiers were kept. Delete {path.parent / 'metrics.json'} and run again (rule `finetune`), or export"
            f" what it started from: {config.pretrain_id or config.initial}"
        )
    tensors = load_file(path)
    backbone = build(config.model.backbone, config.model.width)
    try:
        classifier = torch.nn.Linear(backbone.num_features, len(tensors[f"{HEAD}bias"]))
        classifier.load_state_dict({k.removeprefix(HEAD): v for k, v in tensors.items() if k.startswith(HEAD)})
        prefix = "backbone."
        backbone.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    except (KeyError, RuntimeError) as error:
        raise checkpoint.CheckpointError(f"{path}: not a classifier on this backbone — {error}") from None
    return backbone, classifier


def _check_origin(path: Path, expected: dict[str, str]) -> None:
    """Refuse weights that say they are another run's."""
    found = checkpoint.read_facts(path)
    for name, value in expected.items():
        if str(found.get(name)) != value:
            raise checkpoint.CheckpointError(
                f"{path}: written for {name} {found.get(name)}, not {value}; delete it and run its training again"
            )


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ExportError(f"{path}: missing, so this run has not ended; see `python -m mac plan`")
    return json.loads(path.read_text(encoding="utf-8"))


def _about(dataset: DatasetConfig, config_dir: Path) -> str:
    if dataset.embedded:
        return (
            f"{dataset.name}: figures drawn by this project (`mac/data/synthetic.py`), not the data set of that name."
        )
    path = config_dir / "catalog.yaml"
    source = catalog.load(path).get(dataset.name)
    about = source.about if source else f"{dataset.name}: {path} says nothing of it."
    return f"{about} Only the part `{dataset.subset}`." if dataset.subset else about


def _rows(arguments: argparse.Namespace, stage: str) -> list[str]:
    """Rows of the scales' tables that use the run."""
    rows = {}
    for scale in arguments.scale or planning.scales(arguments.config_dir):
        plan = planning.load(arguments.config_dir, scale)
        planned = (plan.pretrainings if stage == "pretrain" else plan.finetunings).get(arguments.id)
        rows |= dict.fromkeys(f"{use} (scale {scale})" for use in (planned.used_by if planned else []))
    return list(rows)


def _finetunings(results: Path, pretrain_id: str, epoch: int | None) -> list[dict[str, Any]]:
    found = []
    for path in sorted(results.glob("finetune/*/metrics.json")):
        with contextlib.suppress(ValueError):  # a damaged result is the report's matter
            found.append(json.loads(path.read_text(encoding="utf-8")))
    return [m for m in found if (m.get("pretrain_id"), m.get("pretrain_epoch")) == (pretrain_id, epoch)]
