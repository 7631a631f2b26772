"""One experiment: ``default.yaml`` ⊕ scale ⊕ row, parsed into typed sections, and the stage configs it resolves to."""

import copy
import difflib
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, Field, PositiveInt, ValidationError, model_validator

from mac import config as stages
from mac.config import Strict

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(Exception):
    """The configuration can't be used; the message lists every problem found, one a line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        count = len(self.problems)
        head = "The configuration has a problem:" if count == 1 else f"The configuration has {count} problems:"
        super().__init__("\n".join([head, *(f"  • {problem}" for problem in self.problems)]))


class _Dataset(Strict):
    layout: Literal["ucf101", "hmdb51", "kinetics"]
    embedded: stages.Embedded | None


class _Store(Strict):
    width: PositiveInt
    height: PositiveInt


class MaskLimits(Strict):
    """The mean foreground share a mask setting may have; outside, it is degenerate."""

    min_foreground: stages.Probability
    max_foreground: stages.Probability


class _Pretrain(stages.PretrainSections):
    dataset: str
    checkpoints: list[PositiveInt]

    @model_validator(mode="after")
    def _checkpoints_rise(self) -> Self:
        check_epochs(self.checkpoints, self.optimiser.epochs, "checkpoints")
        return self


class _Finetune(Strict):
    dataset: str
    videos_per_class: PositiveInt | None
    dropout: stages.Probability
    clip: stages.ClipConfig
    colour: stages.ColourConfig
    optimiser: stages.OptimiserConfig
    evaluate: stages.EvaluateConfig


class Experiment(Strict):
    """Everything ``default.yaml`` holds, with a scale's and a row's overrides applied."""

    seeds: list[int] = Field(min_length=1)
    splits: list[Literal[1, 2, 3]] = Field(min_length=1)
    supervised_baseline: Literal["weights", "pretrain"]
    datasets: dict[str, _Dataset]
    store: _Store
    model: stages.ModelConfig
    mask_limits: MaskLimits
    pretrain: _Pretrain
    finetune: _Finetune

    @model_validator(mode="after")
    def _names_known(self) -> Self:
        for stage in ("pretrain", "finetune"):
            name = getattr(self, stage).dataset
            if name not in self.datasets:
                raise ValueError(f"{stage}.dataset: unknown data set {name!r}{nearest(name, self.datasets)}")
        for name in ("seeds", "splits"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: {values} names one twice")
        return self

    def pretraining(self, seed: int, split: int, task: str = "mac") -> stages.PretrainConfig:
        """Resolve the pretraining stage for one seed and split."""
        p = self.pretrain
        store = self._store(p.dataset)
        sections = {name: getattr(p, name) for name in stages.PretrainSections.model_fields}
        split = split if split in store.dataset.splits else 1
        return stages.PretrainConfig(task=task, seed=seed, split=split, store=store, model=self.model, **sections)

    def finetuning(
        self, seed: int, split: int, initial: str, pretrain_id: str | None = None, epoch: int | None = None
    ) -> stages.FinetuneConfig:
        """Resolve the finetuning stage for one seed, split and starting point."""
        f = self.finetune
        store = self._store(f.dataset)
        sections = {
            name: getattr(f, name)
            for name in ("videos_per_class", "dropout", "clip", "colour", "optimiser", "evaluate")
        }
        return stages.FinetuneConfig(
            seed=seed,
            split=split if split in store.dataset.splits else 1,
            store=store,
            model=self.model,
            initial=initial,
            pretrain_id=pretrain_id,
            epoch=epoch,
            **sections,
        )

    def _store(self, name: str) -> stages.StoreConfig:
        spec = self.datasets[name]
        dataset = stages.DatasetConfig(name=name, layout=spec.layout, embedded=spec.embedded)
        return stages.StoreConfig(dataset=dataset, width=self.store.width, height=self.store.height)


def check_epochs(epochs: list[int], last: int, what: str) -> None:
    """Refuse epochs that don't rise or lie past the last one.

    Raises:
        ValueError: with the list found and what is allowed.
    """
    if epochs != sorted(set(epochs)):
        raise ValueError(f"{what} {epochs} must rise: write them sorted, each once")
    if epochs and epochs[-1] > last:
        raise ValueError(f"{what} {epochs} go past the last epoch, {last}")


def nearest(word: str, allowed: Any) -> str:
    """Phrase what is allowed and which of it comes closest to ``word``."""
    options = [str(option) for option in allowed]
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    return (f" — did you mean {close[0]!r}?" if close else " —") + f" Allowed: {', '.join(options)}"


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML that refuses a key written twice in one mapping (PyYAML keeps the last one, silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict:
    """Read a YAML mapping.

    Raises:
        ConfigError: the file is missing, isn't YAML, isn't a mapping, or writes a key twice.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: {' '.join(str(error).split())}"]) from None
    if content is not None and not isinstance(content, dict):
        raise ConfigError([f"{path}: expected a mapping of keys to values, found {type(content).__name__}"])
    return content or {}


def merge(base: dict, overrides: dict) -> dict:
    """Lay a tree of overrides over a tree; mappings merge, everything else is replaced."""
    merged = copy.copy(base)
    for key, value in overrides.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def unfold(dotted: dict[str, Any]) -> dict:
    """Turn ``{"pretrain.mask.threshold": 10}`` into nested mappings."""
    tree: dict = {}
    for key, value in dotted.items():
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


def validate(model: type[Model], tree: dict) -> Model:
    """Parse a tree into a model, phrasing pydantic's errors for a person.

    Raises:
        ConfigError: every problem, as "key: what was found — what is allowed".
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise ConfigError([_phrase(model, found) for found in error.errors()]) from None


def _phrase(model: type[BaseModel], error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    found = error["input"]
    if error["type"] == "extra_forbidden":
        siblings = _fields_at(model, error["loc"][:-1])
        return f"{where}: unknown key{nearest(str(error['loc'][-1]), siblings)}"
    if error["type"] == "missing":
        return f"{where}: missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{where}: {message}" if where else message
    if isinstance(found, str) and error["type"].startswith(("float", "int")):
        try:
            number = float(found)
        except ValueError:
            return f"{where}: found the text {found!r} — a number is wanted"
        written = f"{number:.10e}".rstrip("0")
        mantissa, _, exponent = f"{number:e}".partition("e")
        written = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
        written = written if "." in written else written.replace("e", ".0e")
        return f"{where}: found {found!r}, which YAML reads as text — write {written}, with a decimal point"
    close = ""
    if error["type"] == "literal_error" and isinstance(found, str):
        options = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        close = nearest(found, options).split(" Allowed")[0].removesuffix(" —")
    return f"{where}: found {found!r} — {message[0].lower()}{message[1:]}{close}"


def _fields_at(model: Any, location: tuple) -> list[str]:
    """Names of the fields a (possibly nested) location of a model may have."""
    for part in location:
        annotation = (
            model.model_fields[part].annotation if isinstance(part, str) and part in model.model_fields else None
        )
        options = [annotation, *getattr(annotation, "__args__", ())]
        inner = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        model = inner[0] if inner else model
    return list(model.model_fields)
