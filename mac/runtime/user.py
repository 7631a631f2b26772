"""The user's own choices, ``config/config.yaml``: machine and places, never part of a run's identity."""

import os
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PositiveFloat, PositiveInt, field_validator

from mac.config import Probability, Strict
from mac.costs.machine import Settings
from mac.plan import Plan
from mac.validation import ConfigError, whole_or_auto


def _normal(path: str) -> str:
    """One spelling of a path, as Snakemake compares them as text: no ``~``, no ``./`` before and no ``/`` behind."""
    return os.path.normpath(os.path.expanduser(path))


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
    max_unusable: dict[str, Probability]
    videos_per_job: PositiveInt
    download: bool
    detector_weights: str | None
    svg: bool

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
        if set(path) & set("{}\n"):
            raise ValueError(f"found {path!r} — allowed are names without braces and line ends: Snakemake reads them")
        return path

    @field_validator("detector_weights")
    @classmethod
    def _file(cls, path: str | None) -> str | None:
        return None if path is None else _normal(path)


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
