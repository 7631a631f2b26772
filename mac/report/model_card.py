"""The card beside exported weights: what they are, where they come from, how good they are, how to load them."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mac.config import DatasetConfig, FinetuneConfig, PretrainConfig
from mac.data import catalog
from mac.plan import Plan


@dataclass(frozen=True)
class Card:
    """What a card is written from.

    Attributes:
        run_id: of the pretraining or finetuning.
        config: its configuration.
        epoch: of a pretraining's checkpoint; None of a finetuning.
        file: name of the exported file beside the card.
        digest: its SHA-256.
        parameters: numbers in it.
        metrics: what the run left (``metrics.json`` or ``epoch_E.json``).
        about: whose the data is, on which terms.
        used_by: rows of tables that use the run.
        finetunings: metrics of the finetunings that started here.
        loading, using: lines of Python.
        normalisation: mean and standard deviation by channel.
        is_torchvisions: whether torchvision alone builds the network.
    """

    run_id: str
    config: PretrainConfig | FinetuneConfig
    epoch: int | None
    file: str
    digest: str
    parameters: int
    metrics: dict[str, Any]
    about: str
    loading: list[str]
    using: list[str]
    normalisation: tuple[tuple[float, ...], tuple[float, ...]]
    is_torchvisions: bool
    used_by: list[str] = field(default_factory=list)
    finetunings: list[dict[str, Any]] = field(default_factory=list)


def page(card: Card) -> str:
    """Write the card (Markdown); equal facts give equal bytes."""
    parts = [
        f"# {_title(card)}",
        _what(card),
        "## Load it",
        _loading(card),
        "## What goes in",
        _preprocessing(card),
        "## How it was trained",
        _training(card),
        "## Results",
        _results(card),
        "## The data, and on which terms",
        f"{card.about}\n\nIndex digest `{card.metrics.get('index_digest', 'unknown')}`. Weights trained on a data set"
        " may be subject to its terms.",
        "## Configuration",
        "```yaml\n" + yaml.safe_dump(card.config.canonical(), sort_keys=False, allow_unicode=True) + "```",
    ]
    return "\n\n".join(parts) + "\n"


def about(dataset: DatasetConfig, config_dir: Path) -> str:
    """Say whose a data set is and on which terms, by ``CONFIG/catalog.yaml``."""
    if dataset.embedded:
        return (
            f"{dataset.name}: figures drawn by this project (`mac/data/synthetic.py`), not the data set of that name."
        )
    path = config_dir / "catalog.yaml"
    source = catalog.load(path).get(dataset.name)
    found = source.about if source else f"{dataset.name}: {path} says nothing of it."
    return f"{found} Only the part `{dataset.subset}`." if dataset.subset else found


def rows_that_use(run_id: str, plans: list[Plan]) -> list[str]:
    """List the rows of the scales' tables that use a pretraining or a finetuning."""
    used = {}
    for plan in plans:
        planned = plan.pretrainings.get(run_id) or plan.finetunings.get(run_id)
        used |= dict.fromkeys(f"{use} (scale {plan.scale})" for use in (planned.used_by if planned else []))
    return list(used)


def finetunings_from(pretrain_id: str, epoch: int | None, results: Path) -> list[dict[str, Any]]:
    """Read the metrics of the finished finetunings that started from a pretraining's epoch."""
    found = []
    for path in sorted(results.glob("finetune/*/metrics.json")):
        with suppress(ValueError):  # a damaged result is the report's matter
            found.append(json.loads(path.read_text(encoding="utf-8")))
    return [m for m in found if epoch and (m.get("pretrain_id"), m.get("pretrain_epoch")) == (pretrain_id, epoch)]


def _objective(config: PretrainConfig) -> str:
    return config.method if config.task == "supervised" else f"{config.method} (self-supervised)"


def _title(card: Card) -> str:
    network = f"{card.config.model.backbone}, width {card.config.model.width}"
    data = card.config.store.dataset
    if isinstance(card.config, PretrainConfig):
        return f"{network}: {_objective(card.config)} on {data.name}, epoch {card.epoch}"
    return f"{network}: action classifier of {data.name}, finetuned from {_origin(card.config)}"


def _origin(config: FinetuneConfig) -> str:
    if config.initial == "pretrained":
        return f"pretraining {config.pretrain_id} at epoch {config.epoch}"
    return "random weights" if config.initial == "random" else "torchvision's Kinetics-400 weights"


def _what(card: Card) -> str:
    kind = "Pretraining" if isinstance(card.config, PretrainConfig) else "Finetuning"
    gives = "features" if isinstance(card.config, PretrainConfig) else "logits, after the features"
    lines = [
        f"{kind} `{card.run_id}` of the MAC pipeline: mask-augmentation for motion-aware video representations. It"
        f" gives {gives}. `{card.file}` holds {card.parameters:,} numbers, SHA-256 `{card.digest}`.",
    ]
    if card.used_by:
        lines.append(f"Rows that use it: {'; '.join(card.used_by)}.")
    if card.config.store.dataset.embedded:
        lines.append(
            "**Trained on generated stick figures, to show that the pipeline works: of no use on real video.**"
        )
    return "\n\n".join(lines)


def _loading(card: Card) -> str:
    note = (
        "torchvision alone, no code of ours:"
        if card.is_torchvisions
        else f"torchvision builds no network of width {card.config.model.width}, so this one needs our package (`pip"
        " install -e .` in the repository):"
    )
    code = "\n".join([*card.loading, *card.using])
    return f"{note}\n\n```python\n{code}\n```".replace(
        "model.eval()\n", "model.eval()  # running statistics, not the batch's\n"
    )


def _preprocessing(card: Card) -> str:
    config, (mean, std) = card.config, card.normalisation
    clip, strides = config.clip, ", ".join(map(str, config.clip.strides))
    scales = ", ".join(f"{width}×{height}" for width, height in clip.scales)
    lines = [
        f"- `clip`: float32, (B, 3, {clip.num_frames}, {clip.size}, {clip.size}); channels are R, G, B in this order",
        f"- values: 8-bit / 255, then minus mean {list(mean)}, divided by standard deviation {list(std)} by channel",
        f"- frames: {clip.num_frames}, stride {strides}{' (drawn per clip)' if len(clip.strides) > 1 else ''};"
        " a short video repeats its last frame",
        f"- stored at {config.store.width}×{config.store.height} pixels (JPEG, quality 95); in training resized to one"
        f" of {scales}, then a random crop of {clip.size}",
    ]
    if isinstance(config, FinetuneConfig):
        e = config.evaluate
        lines.append(
            f"- tested on {e.num_clips} clips spread evenly over the video, stride {e.stride}, resized to"
            f" {e.scale[0]}×{e.scale[1]}, centre crop of {clip.size}; logits averaged"
        )
    return "\n".join(lines)


def _training(card: Card) -> str:
    o, metrics = card.config.optimiser, card.metrics
    until = f"{card.epoch} of {o.epochs} epochs" if card.epoch else f"{o.epochs} epochs"
    start = "" if isinstance(card.config, PretrainConfig) else f" from {_origin(card.config)},"
    return (
        f"{until},{start} {o.name}, lr {o.lr:g}, batch {o.batch_size}, seed {card.config.seed}, split"
        f" {card.config.split}, precision {metrics.get('arithmetic', card.config.precision)}; on"
        f" {metrics.get('device', 'unknown')}, commit `{metrics.get('commit', 'unknown')}`, torch"
        f" {metrics.get('torch', 'unknown')}. All else is below."
    )


def _results(card: Card) -> str:
    if isinstance(card.config, FinetuneConfig):
        m = card.metrics
        classes = ", ".join(m["classes"])
        return (
            f"Top-1 {m['top1']:.1f} % on the {m['videos']:,} test videos of {m['dataset']}, split {m['split']}.\n\n"
            f"Classes, in the order of the logits: {classes}."
        )
    lines = [
        f"- {name.removesuffix('_held_out').replace('_', ' ')}, held out: {value:.2f}"
        for name, value in sorted(card.metrics.items())
        if name.endswith("_held_out")
    ]
    if not card.finetunings:
        return "\n".join([*lines, "", "No finished finetuning started from this checkpoint."]).strip()
    rows = [
        f"| {m['dataset']} | {m['split']} | {m['seed']} | {m['top1']:.1f} | {m['videos']:,} | `{m['finetune_id']}` |"
        for m in sorted(card.finetunings, key=lambda m: (m["dataset"], m["split"], m["seed"], m["finetune_id"]))
    ]
    head = [
        "| finetuned on | split | seed | top-1, % | test videos | run |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    return "\n".join([*lines, "", *head, *rows]).strip()
