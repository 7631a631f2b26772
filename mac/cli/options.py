"""The options that several commands share."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # imported where it is used: help must not wait for torch or pydantic
    import torch

    from mac.config import Strict
    from mac.overrides import Overrides
    from mac.plan import Plan

PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class Machine:
    """What computes, as the user wants it: device, CPU threads, processes that read clips, and the job's CPU cores."""

    device: str
    threads: int
    loader_workers: int | None
    cores: int | None

    def prepare(self, precision: str = "tf32", deterministic: bool = True) -> "torch.device":
        """Choose the device and set it up, see :func:`mac.training.processor.prepare`."""
        from mac.training import processor

        return processor.prepare(self.device, self.threads, precision, deterministic)

    def count_readers(self, device: "torch.device", processes: int = 1) -> int:
        """Count the reading processes of each of a job's processes."""
        from mac.training import processor

        return processor.count_readers(device, self.loader_workers, self.cores, self.threads, processes)


@dataclass(frozen=True)
class Attempt:
    """One attempt at a training that can be killed: where it saves itself, how often, and in how many processes."""

    folder: Path
    save_minutes: float
    processes: int


class WholeOrAuto(click.ParamType):
    """A whole number, at least ``least``, or ``auto``, which becomes ``default``."""

    name = "N"

    def __init__(self, least: int, default: int | None) -> None:
        self.least, self.default = least, default

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Read the number by the same rule as ``config/config.yaml``."""
        from mac.validation import whole_or_auto

        try:
            found = whole_or_auto(int(value) if str(value).isdecimal() else value, self.least)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return self.default if found == "auto" else found


def gathered(name: str, make: Callable[..., Any], **options: Callable) -> Callable[[Callable], Callable]:
    """Join options into one decorator; the function gets what ``make`` makes of their values as the argument ``name``.

    Args:
        name: the argument that the function takes instead of the options.
        make: takes the options' values by name.
        options: click's decorators, by the name of the parameter that each adds.
    """

    def decorate(function: Callable) -> Callable:
        @wraps(function)
        def call(**values: Any) -> Any:
            own = make(**{option: values.pop(option) for option in options})
            return function(**{name: own}, **values)

        for option in reversed(options.values()):
            call = option(call)
        return call

    return decorate


def paths(*names: str, **optional: str) -> Callable[[Callable], Callable]:
    """Ask for a path by each name, and for an optional one by each keyword (its value is the help text).

    The function gets them as one argument ``paths``; an optional path that isn't given is None.
    """
    options = {name: click.option(f"--{name}", type=PATH, required=True) for name in names}
    options |= {name: click.option(f"--{name}", type=PATH, help=text) for name, text in optional.items()}
    return gathered("paths", SimpleNamespace, **options)


def several_paths(name: str, text: str | None = None) -> Callable[[Callable], Callable]:
    """Ask for one path or more after a flag."""
    return click.option(f"--{name}", type=PATH, multiple=True, required=True, help=text)


def config_of(stage: str) -> Callable[[Callable], Callable]:
    """Ask for the resolved configuration of a run of a stage; the function gets it, parsed, as ``config``."""

    def read(config: Path) -> "Strict":
        from mac.config import read_config
        from mac.pipeline import STAGES

        return read_config(config, STAGES[stage].config)

    return gathered("config", read, config=click.option("--config", type=PATH, required=True))


def _overrides(set: tuple[str, ...], sweep: tuple[str, ...]) -> "Overrides":
    from mac.overrides import Overrides

    return Overrides.from_words(set, sweep)


def _config_dir(ctx: click.Context, param: click.Parameter, given: Path | None) -> Path:
    """Take the folder that is given, else the one that the user's settings name, else ``config``."""
    settings = ctx.params.get("settings")
    if given or not (settings and settings.exists()):
        return given or Path("config")
    from mac.runtime import user

    return Path(user.load(settings).config_dir)


def _plan(scale: str, config_dir: Path, overrides: "Overrides") -> "Plan":
    from mac import plan

    return plan.load(config_dir, scale, overrides)


def plans_of(config_dir: Path, scales: Iterable[str]) -> list["Plan"]:
    """Plan these scales; one with a mistake is named on standard error and left out."""
    from mac import plan
    from mac.validation import ConfigError

    plans = []
    for scale in scales:
        try:
            plans.append(plan.load(config_dir, scale))
        except ConfigError as error:
            print(f"scale {scale} is left out. {error}", file=sys.stderr)
    return plans


def _read_shares(ctx: click.Context, param: click.Parameter, entries: tuple[str, ...]) -> dict[str, float]:
    """Read ``NAME=SHARE`` …, among them ``default=SHARE``."""
    try:
        shares = {name: float(share) for name, share in (entry.split("=") for entry in entries)}
    except ValueError:
        raise click.BadParameter(f"found {' '.join(entries)!r} — wanted is NAME=SHARE, e.g. ucf101=0.05") from None
    return {"default": 0.0} | shares


BOXES = "Person boxes, if the masks are made from them."
_settings = partial(click.option, "--settings", type=PATH, metavar="FILE", is_eager=True)
settings = _settings(help="The user's settings, config/config.yaml; they give what is not given here.")
own_settings = _settings(
    default=Path("config", "config.yaml"), help="The user's settings (default: config/config.yaml)."
)
config_dir = click.option(
    "--config-dir",
    type=PATH,
    callback=_config_dir,
    metavar="CONFIG",
    help="Folder of the configuration (default: that of --settings, or config).",
)
scale = click.option("--scale", required=True, help="Name of a file in CONFIG/scales.")
scales = click.option("--scale", "scales", multiple=True, help="Names of files in CONFIG/scales (default: all).")
workers = click.option("--workers", type=int, default=1, help="Number of processes that read videos.")
shard = click.option(
    "--shard", type=int, nargs=2, default=(0, 1), metavar="NUMBER SHARDS", help="Which part of the videos to work on."
)
max_unusable = click.option(
    "--max-unusable",
    multiple=True,
    default=["default=0"],
    callback=_read_shares,
    metavar="NAME=SHARE",
    help="Share of a data set's videos that may be unusable.",
)
svg = click.option("--svg", is_flag=True, help="Write curves as SVG too, beside the PNG.")
runs_page = click.option("--runs-page", metavar="ADDRESS", help="Address of the runs in MLflow's pages, for links.")
tracking_uri = click.option(
    "--tracking-uri",
    envvar="MAC_TRACKING_URI",
    show_envvar=True,
    required=True,
    metavar="URI",
    help="Address of MLflow's tracking store.",
)
overrides = gathered(
    "overrides",
    _overrides,
    set=click.option("--set", multiple=True, metavar="KEY=VALUE", help="Add a row with this override, or several."),
    sweep=click.option(
        "--sweep", multiple=True, metavar="KEY=VALUE,VALUE,…", help="Add a table with a row for each of these values."
    ),
)
planned = gathered("plan", _plan, scale=scale, config_dir=config_dir, overrides=overrides)
on_machine = gathered(
    "machine",
    Machine,
    device=click.option(
        "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Device to compute on."
    ),
    threads=click.option("--threads", type=WholeOrAuto(1, 1), default=1, help="CPU threads; auto is 1."),
    loader_workers=click.option(
        "--loader-workers",
        type=WholeOrAuto(0, None),
        help="Processes that read clips; 0: the training reads them itself (default and auto: 0 on a CPU, else the"
        " other cores).",
    ),
    cores=click.option("--cores", type=click.IntRange(min=1), help="CPU cores of the job (default: all it may use)."),
)
resumable = gathered(
    "attempt",
    Attempt,
    folder=click.option("--folder", type=PATH, required=True, help="Where the training saves itself."),
    save_minutes=click.option(
        "--save-minutes", type=float, default=10.0, help="Minutes between two snapshots within an epoch."
    ),
    processes=click.option(
        "--processes", type=int, default=1, help="Processes that share each batch, each with a GPU of its own."
    ),
)
