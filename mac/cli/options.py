"""What commands are made of: classes of commands and groups, and the options that several commands share."""

import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import torch

PATH = click.Path(path_type=Path)
Paths = tuple[Path, ...]
Function = TypeVar("Function", bound=Callable[..., Any])


class Command(click.Command):
    """A command whose repeatable options take several values after one flag, and whose expected errors are messages."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``--scans A B`` as click parses ``--scans A --scans B``."""
        several = {flag for param in self.params if getattr(param, "multiple", False) for flag in param.opts}
        return super().parse_args(ctx, list(_repeat(args, several)))

    def invoke(self, ctx: click.Context) -> Any:
        """Call the function; an error that speaks to the user ends the process with one message and a status.

        The status is the error's ``exit_status`` where it has one (75 of a training that was interrupted), else 1.
        """
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Errors of the package are written for the user, and those of the file system name their file.
            if not type(error).__module__.startswith("mac.") and not isinstance(error, OSError):
                raise
            message = f"{ctx.command_path}: {error}"
            status = getattr(error, "exit_status", None)
            if status is None:
                sys.exit(message)
            print(message, file=sys.stderr)
            sys.exit(status)


class Group(click.Group):
    """Commands of one theme, or under one name."""

    command_class = Command
    group_class = type


@dataclass(frozen=True)
class Machine:
    """What computes, as the user wants it: device, CPU threads, reading processes, and the job's CPU cores."""

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
    """A whole number from ``least`` on, or ``auto``, which becomes ``default``."""

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


def together(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Join options into one decorator."""

    def add(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def paths(*names: str) -> Callable[[Function], Function]:
    """Ask for a path by each name."""
    return together(*(click.option(f"--{name}", type=PATH, required=True) for name in names))


def several_paths(name: str, text: str | None = None) -> Callable[[Function], Function]:
    """Ask for one path or more after a flag."""
    return click.option(f"--{name}", type=PATH, multiple=True, required=True, help=text)


def read_shares(ctx: click.Context, param: click.Parameter, entries: tuple[str, ...]) -> dict[str, float]:
    """Read ``NAME=SHARE`` …, among them ``default=SHARE``."""
    try:
        shares = {name: float(share) for name, share in (entry.split("=") for entry in entries)}
    except ValueError:
        raise click.BadParameter(f"found {' '.join(entries)!r} — wanted is NAME=SHARE, e.g. ucf101=0.05") from None
    return {"default": 0.0} | shares


config_dir = click.option(
    "--config-dir", type=PATH, default=Path("config"), metavar="CONFIG", help="Folder of the configuration."
)
scaled = together(click.option("--scale", required=True, help="A file in CONFIG/scales."), config_dir)
scales = click.option("--scale", "scales", multiple=True, help="Files in CONFIG/scales (default: all).")
workers = click.option("--workers", type=int, default=1, help="Processes that read videos.")
shard = click.option(
    "--shard", type=int, nargs=2, default=(0, 1), metavar="NUMBER SHARDS", help="Which part of the work to do."
)
max_unusable = click.option(
    "--max-unusable",
    multiple=True,
    default=["default=0"],
    callback=read_shares,
    metavar="NAME=SHARE",
    help="Share of a data set's videos that may be unusable.",
)
boxes = click.option("--boxes", type=PATH, help="Person boxes, where the masks are made of them.")
runs_page = click.option("--runs-page", metavar="ADDRESS", help="Address of the runs in MLflow's pages, for links.")
tracking_uri = click.option("--tracking-uri", required=True, metavar="URI", help="MLflow's store.")
_of_attempt = together(
    paths("folder"),
    click.option("--save-minutes", type=float, default=10.0, help="Between two snapshots within an epoch."),
    click.option("--processes", type=int, default=1, help="Processes that share each batch, a GPU each."),
)
_of_machine = together(
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="What computes."),
    click.option("--threads", type=WholeOrAuto(1, default=1), default=1, help="CPU threads; auto is 1."),
    click.option(
        "--loader-workers",
        type=WholeOrAuto(0, default=None),
        help="Processes that read clips; 0 reads in this one (default and auto: 0 on a CPU, else the other cores).",
    ),
    click.option("--cores", type=click.IntRange(min=1), help="CPU cores of the job (default: all it may use)."),
)


def planned(function: Callable[..., Any]) -> Callable[..., Any]:
    """Ask for a scale; the function gets its plan as ``plan``."""

    @wraps(function)
    def load(scale: str, config_dir: Path, **others: Any) -> Any:
        from mac import plan as planning

        return function(plan=planning.load(config_dir, scale), **others)

    return scaled(load)


def on_machine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the user choose what computes; the function gets it as ``machine``."""

    @wraps(function)
    def gather(device: str, threads: int, loader_workers: int | None, cores: int | None, **others: Any) -> Any:
        return function(machine=Machine(device, threads, loader_workers, cores), **others)

    return _of_machine(gather)


def resumable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Ask for what a training that can be killed needs; the function gets it as ``attempt``."""

    @wraps(function)
    def gather(folder: Path, save_minutes: float, processes: int, **others: Any) -> Any:
        return function(attempt=Attempt(folder, save_minutes, processes), **others)

    return _of_attempt(gather)


def _repeat(words: list[str], several: Collection[str]) -> Iterator[str]:
    """Write each flag of ``several`` before every value that follows it.

    Raises:
        click.BadOptionUsage: no value follows one.
    """
    flag = None
    for word, following in zip(words, [*words[1:], "-"], strict=False):
        if word in several:
            flag = word
            if following.startswith("-"):
                raise click.BadOptionUsage(flag, f"Option {flag!r} requires an argument.")
        elif word.startswith("-"):
            flag, several = None, () if word == "--" else several  # what follows -- are no flags
            yield word
        else:
            yield from (flag, word) if flag else (word,)
