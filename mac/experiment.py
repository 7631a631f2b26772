"""One experiment: ``default.yaml`` ⊕ scale ⊕ row, parsed into typed sections, and the stage configs it resolves to."""

import copy
from itertools import product
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, create_model, model_validator

from mac import config as stages
from mac.config import Strict
from mac.methods import METHODS, Mac
from mac.validation import ConfigError, nearest, validate


class _Dataset(Strict):
    layout: stages.LayoutName
    subset: str | None = None
    synthetic: stages.Synthetic | None = None


class _Store(Strict):
    width: PositiveInt
    height: PositiveInt


class MaskLimits(Strict):
    """The mean share of foreground that a mask setting may have; outside of it, the setting is degenerate."""

    min_foreground: stages.Probability
    max_foreground: stages.Probability


class VerdictSettings(Strict):
    """What a report's verdicts assume [points of top-1]; not part of any run. Margins by data set, or ``default``."""

    margin: dict[str, PositiveFloat]
    seed_sd: PositiveFloat

    @model_validator(mode="after")
    def _has_default(self) -> Self:
        if "default" not in self.margin:
            raise ValueError("margin: `default` is wanted, for data sets without a margin of their own")
        return self

    def margin_of(self, dataset: str) -> float:
        """Return the margin of numbers on a data set [points]."""
        return self.margin.get(dataset, self.margin["default"])


class GainsSettings(Strict):
    """Which row, ``TABLE: ROW``, the figure of gains compares with which others, in a column of finetunings."""

    row: str
    over: list[str] = Field(min_length=1, max_length=3)
    column: str


class FigureSettings(Strict):
    """What figures 2–4 show, and whose gains are drawn; not part of any run."""

    rows: PositiveInt
    gains: GainsSettings | None


_OTHER_METHODS = {name: method for name, method in METHODS.items() if method.Settings is not Mac.Settings}


class _Pretrain(
    create_model(
        "_Settings",
        __base__=stages.PretrainSections,
        **{name: (method.Settings, ...) for name, method in _OTHER_METHODS.items()},
    )
):
    """``pretext`` are the settings of MAC; other methods' stand in a section of their name."""

    dataset: str
    method: Literal[*METHODS]
    checkpoints: list[PositiveInt]
    mask: stages.MaskConfig
    pretext: Mac.Settings | None

    @model_validator(mode="after")
    def _checkpoints_rise(self) -> Self:
        check_epochs(self.checkpoints, self.optimiser.epochs, "checkpoints")
        return self


class _Finetune(stages.FinetuneSections):
    dataset: str


class Experiment(Strict):
    """Everything ``default.yaml`` holds, with a scale's and a row's overrides applied."""

    seeds: list[int] = Field(min_length=1)
    splits: list[Literal[1, 2, 3]] = Field(min_length=1)
    label_draws: list[int]
    supervised_baseline: Literal["weights", "pretrain"]
    datasets: dict[str, _Dataset]
    store: _Store
    model: stages.ModelConfig
    precision: stages.Precision
    mask_limits: MaskLimits
    verdicts: VerdictSettings
    figures: FigureSettings
    person_boxes: stages.DetectorConfig
    pretrain: _Pretrain
    finetune: _Finetune
    probe: stages.ProbeSections | None

    @model_validator(mode="after")
    def _names_known(self) -> Self:
        for stage in ("pretrain", "finetune"):
            name = getattr(self, stage).dataset
            if name not in self.datasets:
                raise ValueError(f"{stage}.dataset: unknown data set {name!r}{nearest(name, self.datasets)}")
        for name in ("seeds", "splits", "label_draws"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: {values} names one twice")
        if unknown := self.verdicts.margin.keys() - {"default", *self.datasets}:
            name = min(unknown)
            raise ValueError(f"verdicts.margin: unknown data set {name!r}{nearest(name, self.datasets)}")
        return self

    @property
    def repeats(self) -> list[tuple[int, int, int | None]]:
        """Seed, split and label draw of each training of a row; without few labels, and without draws, None."""
        draws = (self.label_draws if self.finetune.videos_per_class else []) or [None]
        return list(product(self.seeds, self.splits, draws))

    def pretraining(self, seed: int, split: int, task: str | None = None) -> stages.PretrainConfig:
        """Resolve the pretraining stage for one seed and split, by the method ``task`` or the configured one.

        Raises:
            ConfigError: the method can't do with the settings.
        """
        p = self.pretrain
        task, run = task or p.method, self._run(p.dataset, seed, split)
        sections = {name: getattr(p, name) for name in stages.PretrainSections.model_fields}
        sections["pretext"] = getattr(p, task) if task in _OTHER_METHODS else p.pretext
        boxes = None
        if not METHODS[task].has_mask_section and not p.attenuate:
            sections["mask"] = None
        elif p.mask.source == "person_boxes":
            boxes = stages.BoxesConfig(dataset=run["store"].dataset, **self.person_boxes.model_dump())
        return validate(stages.PretrainConfig, {"task": task, "boxes": boxes, **run, **sections}, "pretrain")

    def finetuning(
        self,
        seed: int,
        split: int,
        initial: str,
        pretrain_id: str | None = None,
        epoch: int | None = None,
        label_draw: int | None = None,
    ) -> stages.FinetuneConfig:
        """Resolve the finetuning stage for one seed, split, starting point and draw of the labelled videos."""
        sections = {name: getattr(self.finetune, name) for name in stages.FinetuneSections.model_fields}
        start = {"initial": initial, "pretrain_id": pretrain_id, "epoch": epoch, "label_draw": label_draw}
        return stages.FinetuneConfig(**self._run(self.finetune.dataset, seed, split), **start, **sections)

    def probing(self, finetuning: stages.FinetuneConfig) -> stages.ProbeConfig | None:
        """Resolve the probe of the weights a finetuning starts from, on the same data; None where none is wanted."""
        if self.probe is None:
            return None
        return stages.ProbeConfig(
            **{name: getattr(finetuning, name) for name in stages.StartConfig.model_fields},
            num_frames=finetuning.clip.num_frames,
            size=finetuning.clip.size,
            **dict(self.probe),
        )

    def _run(self, dataset: str, seed: int, split: int) -> dict[str, Any]:
        """Settings that every run on frames has; if the data set has no such split, its first one is taken."""
        data = stages.DatasetConfig(name=dataset, **dict(self.datasets[dataset]))
        store = stages.StoreConfig(dataset=data, **dict(self.store))
        split = split if split in data.splits else 1
        return {"seed": seed, "split": split, "store": store, "model": self.model, "precision": self.precision}


def check_epochs(epochs: list[int], last: int, what: str) -> None:
    """Refuse epochs that don't rise or lie past the last one.

    Raises:
        ValueError: with the list found and what is allowed.
    """
    if epochs != sorted(set(epochs)):
        raise ValueError(f"{what} {epochs} must rise: write them sorted, each once")
    if epochs and epochs[-1] > last:
        raise ValueError(f"{what} {epochs} go past the last epoch, {last}")


def merge(base: dict, overrides: dict) -> dict:
    """Apply a tree of overrides to a tree; mappings are merged, everything else is replaced."""
    merged = copy.copy(base)
    for key, value in overrides.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def unfold(dotted: dict[str, Any]) -> dict:
    """Turn ``{"pretrain.mask.threshold": 10}`` into nested mappings.

    Raises:
        ConfigError: a key stands beside another one that holds it.
    """
    tree: dict = {}
    for key, value in dotted.items():
        if within := [other for other in dotted if str(other).startswith(f"{key}.")]:
            raise ConfigError([f"{within[0]}: stands beside {key}, which holds it — keep one of the two"])
        *path, leaf = str(key).split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = value
    return tree


def parse(tree: dict) -> Experiment:
    """Parse a merged tree.

    Raises:
        ConfigError: every problem, as "key: what was found — what is allowed".
    """
    return validate(Experiment, tree)
