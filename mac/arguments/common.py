"""What commands are added with, and the arguments that several of them share."""

import argparse
from pathlib import Path

GROUPS = {"masks": "Judge, show or try mask settings.", "track": "Record runs in MLflow."}


class Commands:
    """The commands of a parser. Each names the function that runs it, as ``module:function`` in ``mac.commands``."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._stages = parser.add_subparsers(dest="command", required=True, metavar="STAGE")
        self._groups = {
            name: self._stages.add_parser(name, help=text).add_subparsers(required=True, metavar="WHAT")
            for name, text in GROUPS.items()
        }

    def stage(self, name: str, function: str, text: str) -> argparse.ArgumentParser:
        """Add ``mac NAME``."""
        sub = self._stages.add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        return sub

    def nested(self, group: str, name: str, function: str, text: str) -> argparse.ArgumentParser:
        """Add ``mac GROUP NAME``."""
        sub = self._groups[group].add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        return sub


def scaled(sub: argparse.ArgumentParser) -> None:
    """Ask for a scale."""
    sub.add_argument("--scale", required=True, help="a file in CONFIG/scales")
    sub.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")


def paths(sub: argparse.ArgumentParser, *names: str) -> None:
    """Ask for a path by each name."""
    for name in names:
        sub.add_argument(f"--{name}", type=Path, required=True)


def workers(sub: argparse.ArgumentParser) -> None:
    """Let a command read videos in several processes."""
    sub.add_argument("--workers", type=int, default=1, help="processes")


def shard(sub: argparse.ArgumentParser) -> None:
    """Let a command do one part of the work."""
    sub.add_argument("--shard", type=int, nargs=2, default=[0, 1], metavar=("NUMBER", "SHARDS"))


def resumable(sub: argparse.ArgumentParser) -> None:
    """Ask for what a training that can be killed needs."""
    paths(sub, "folder")
    sub.add_argument("--save-minutes", type=float, default=10.0, help="between two snapshots within an epoch")
    sub.add_argument("--processes", type=int, default=1, help="that share each batch, a GPU each")


def processor(sub: argparse.ArgumentParser) -> None:
    """Let the user choose what computes."""
    sub.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    sub.add_argument("--threads", type=_threads, default=1, metavar="N", help="CPU threads")
    sub.add_argument(
        "--loader-workers",
        type=_readers,
        metavar="N",
        help="processes that read clips; 0 reads in this one (default and auto: 0 on a CPU, else the other cores)",
    )
    sub.add_argument("--cores", type=_cores, metavar="N", help="CPU cores of the job (default: all it may use)")


def _whole(text: str, least: int, also: str = "") -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"found {text!r} — allowed are {also}whole numbers from {least} on")
    return int(text)


def _cores(text: str) -> int:
    return _whole(text, 1)


def _threads(text: str) -> int:
    return 1 if text == "auto" else _whole(text, 1, "auto and ")


def _readers(text: str) -> int | None:
    return None if text == "auto" else _whole(text, 0, "auto and ")
