"""The user's own choices, ``config/config.yaml``: machine and folders, never part of a run's identity."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PositiveFloat, PositiveInt, field_validator

from mac.config import DatasetConfig, Probability, Strict
from mac.costs.machine import Settings
from mac.overrides import Overrides
from mac.plan import Plan
from mac.validation import ConfigError, read_yaml, validate, whole_or_auto

TRACKING_URI = "MAC_TRACKING_URI"  # the environment variable for an address with a password


class UnwritableError(Exception):
    """A folder can't be made or written; the message names it and the setting to change."""


def _normal(path: str) -> str:
    """Spell a path in one way, as Snakemake compares paths as text: no ``~``, no leading ``./``, no final ``/``."""
    return os.path.normpath(os.path.expanduser(path))


def _numbers(shares: Any) -> Any:
    """Read numbers that are text: so Snakemake gives what stands in a mapping of ``--config``."""
    if not isinstance(shares, dict):
        return shares
    read = {}
    for name, share in shares.items():
        try:
            read[name] = float(share) if isinstance(share, str) else share
        except ValueError:
            read[name] = share
    return read


class UserConfig(Strict):
    """``config/config.yaml``: choices of the machine and the user, never part of a run's identity."""

    scale: str
    config_dir: str
    data_root: str
    results: str
    reports: str
    tracking_uri: str | None
    runs_page: str | None
    device: Literal["auto", "cpu", "cuda"]
    gpus_per_run: PositiveInt
    jobs_per_gpu: PositiveInt
    loader_workers: Annotated[Any, BeforeValidator(partial(whole_or_auto, least=0))]
    training_threads: Annotated[Any, BeforeValidator(partial(whole_or_auto, least=1))]
    training_memory: Annotated[Any, BeforeValidator(partial(whole_or_auto, least=1))]
    training_minutes: PositiveInt
    save_minutes: PositiveFloat
    monitor_epochs: Annotated[Any, BeforeValidator(partial(whole_or_auto, least=0))]
    max_unusable: Annotated[dict[str, Probability], BeforeValidator(_numbers)]
    videos_per_job: PositiveInt
    download: bool
    detector_weights: str | None
    svg: bool
    set: dict[str, Any] = {}  # these two on Snakemake's command line: rows beside those of tables.yaml
    sweep: dict[str, Any] = {}

    @property
    def overrides(self) -> Overrides:
        """Rows from the command line.

        Raises:
            ConfigError: every value that can't be read.
        """
        return Overrides.from_settings(self.set, self.sweep)

    @property
    def tracking_store(self) -> str:
        """Address of MLflow's store: the setting, else the environment's, else sqlite beside the results."""
        return self.tracking_uri or os.environ.get(TRACKING_URI) or f"sqlite:///{self.results}/mlflow.db"

    @property
    def of_each_training(self) -> Settings:
        """What the user wants a training to take of the machine."""
        return Settings(self.loader_workers, self.training_threads, self.training_memory, self.gpus_per_run)

    @field_validator("max_unusable")
    @classmethod
    def _has_default(cls, shares: dict[str, float]) -> dict[str, float]:
        if "default" not in shares:
            raise ValueError("give a share for `default`, the data sets not named")
        return shares

    @field_validator("config_dir", "data_root", "results", "reports")
    @classmethod
    def _plain(cls, path: str) -> str:
        path = _normal(path)
        if path == ".":
            raise ValueError("name a folder")
        if path.startswith("-"):
            raise ValueError(f"found {path!r} — a name that begins with - would be read as an option of a command")
        if set(path) & set("{}\n"):
            raise ValueError(f"found {path!r} — allowed are names without braces and line ends: Snakemake reads them")
        return path

    @field_validator("detector_weights")
    @classmethod
    def _file(cls, path: str | None) -> str | None:
        return None if path is None else _normal(path)


def load(path: Path) -> UserConfig:
    """Read the user's settings, ``config/config.yaml``.

    Raises:
        ConfigError: every problem of the file.
    """
    return validate(UserConfig, read_yaml(path), str(path))


def check_gpus_per_run(plan: Plan, gpus: int) -> None:
    """Refuse a number of GPUs that some training's batch can't be split over evenly.

    Raises:
        ConfigError: every such batch size, and the rows that have it.
    """
    trainings = [*plan.pretrainings.values(), *plan.finetunings.values()]
    sizes = {training.config.optimiser.batch_size: training.used_by[0] for training in reversed(trainings)}
    if problems := {size: row for size, row in sizes.items() if size % gpus}:
        found = "gpus_per_run: {} doesn't divide the batch of {} videos ({}, …); change it in config/config.yaml"
        raise ConfigError([found.format(gpus, size, row) for size, row in problems.items()])


def dataset_root(data_root: Path, dataset: DatasetConfig) -> Path:
    """Find a data set's folder: its generated videos, else the user's own copy of a subset, else the whole set."""
    if dataset.synthetic:
        return data_root / "synthetic" / dataset.identify()
    own = data_root / dataset.subset if dataset.subset else None
    return own if own and own.is_dir() else data_root / dataset.name


def check_writable(folder: Path, setting: str) -> None:
    """Refuse a folder that can't be made or written, without making it.

    Raises:
        UnwritableError: naming the folder, what is in the way, and the key in ``config/config.yaml``.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        reason = f"{existing} is a file"
    elif not os.access(existing, os.W_OK | os.X_OK):
        reason = f"no permission to write in {existing.resolve()}"
    else:
        return
    raise UnwritableError(f"{folder}: can't be written, {reason}; change `{setting}` in config/config.yaml")
