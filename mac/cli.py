"""The command line: ``python -m mac STAGE``. Parses arguments; imports a stage's code only when it is called."""

import argparse
import importlib
import sys
from pathlib import Path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mac", description="Run one stage of the pipeline, or ask about its plan.")
    stages = parser.add_subparsers(dest="command", required=True, metavar="STAGE")

    def stage(name: str, function: str, text: str) -> argparse.ArgumentParser:
        sub = stages.add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        return sub

    def scaled(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--scale", required=True, help="a file in CONFIG/scales")
        sub.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")

    def paths(sub: argparse.ArgumentParser, *names: str, required: bool = True) -> None:
        for name in names:
            sub.add_argument(f"--{name}", type=Path, required=required)

    def processor(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
        sub.add_argument("--threads", type=int, default=1, help="CPU threads")
        sub.add_argument("--loader-workers", type=int, default=0, help="processes that read clips")

    s = stage(
        "plan", "planning:show", "Show what a scale needs: data sets, cards, trainings, and the rows that share them."
    )
    scaled(s)
    s = stage(
        "resolve",
        "planning:resolve",
        "Write the resolved configuration of every run of a scale, RESULTS/STAGE/ID/config.yaml.",
    )
    scaled(s)
    paths(s, "results")
    s = stage("preflight", "planning:preflight", "Check that runs can be tracked, before work starts.")
    s.add_argument("--tracking-uri", required=True)
    s = stage("draw", "data:draw", "Draw an embedded data set.")
    paths(s, "config", "out")
    s.add_argument("--workers", type=int, default=1)
    s = stage("index", "data:index", "Decode every listed video of a data set once and write its index.")
    paths(s, "config", "root", "out")
    s.add_argument("--max-unusable", type=float, default=0.0, help="largest share of unusable videos")
    s.add_argument("--workers", type=int, default=1)
    s = stage("store", "data:store", "Extract the frames of a data set.")
    paths(s, "config", "root", "index", "out")
    s.add_argument("--workers", type=int, default=1)
    s = stage("masks", "masks:card", "Compute the card of a mask setting and refuse a degenerate one.")
    paths(s, "config", "store", "out", "picture")
    s.add_argument("--limits", type=float, nargs=2, required=True, metavar=("LOW", "HIGH"))
    scaled(s)
    s = stage("sweep", "masks:sweep", "Show one clip under all m and λ of Tables 7 and 8.")
    paths(s, "config", "store", "out")
    s.add_argument("--pictures", type=Path, nargs="+", required=True)
    s = stage(
        "pretrain", "training:pretrain", "Pretrain up to an epoch, from nothing or from an earlier epoch's state."
    )
    paths(s, "config", "store", "backbone", "state", "journal", "metrics")
    s.add_argument("--until", type=int, required=True, metavar="EPOCH")
    s.add_argument("--previous", type=Path, help="state to continue from")
    processor(s)
    s = stage("weights", "training:weights", "Fetch torchvision's Kinetics-400 weights of a backbone.")
    s.add_argument("--backbone", required=True)
    paths(s, "out")
    s = stage("finetune", "training:finetune", "Finetune and test.")
    paths(s, "config", "store", "journal", "predictions", "metrics")
    s.add_argument("--backbone", type=Path, help="checkpoint to start from")
    processor(s)
    s = stage("track", "reporting:track", "Record a finished run in MLflow.")
    s.add_argument("--stage", choices=["pretrain", "finetune"], required=True)
    paths(s, "config", "receipt")
    s.add_argument("--files", type=Path, nargs="+", required=True, help="journals, metrics and predictions of the run")
    s.add_argument("--parent", type=Path, help="receipt of the run this one starts from")
    s.add_argument("--tracking-uri", required=True)
    scaled(s)
    s = stage("report", "reporting:report", "Write tables, curve and summary from results, or from MLflow alone.")
    scaled(s)
    s.add_argument("--table", nargs="*", help="only these tables; the summary is then left alone")
    source = s.add_mutually_exclusive_group(required=True)
    source.add_argument("--results", type=Path)
    source.add_argument("--from-mlflow", metavar="URI")
    paths(s, "out")
    s = stage("ui", "interface:serve", "Open MLflow's browser on a tracking store, on this machine only.")
    s.add_argument("--tracking-uri", required=True)
    s.add_argument("--port", type=int, default=5000)
    s = stage("progress", "progress:follow", "Run a command (Snakemake) and show how far the scale's work is.")
    scaled(s)
    paths(s, "results", "reports", "log")
    s.add_argument("rest", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Parse the arguments, call the command, and turn expected errors into one clear message and exit status 1."""
    parsed = _parser().parse_args(arguments)
    module, function = parsed.function.split(":")
    commands = importlib.import_module(f"mac.commands.{module}")
    try:
        getattr(commands, function)(parsed)
    except Exception as error:
        if not _expected(error):
            raise
        sys.exit(f"mac {parsed.command}: {error}")


def _expected(error: Exception) -> bool:
    """Whether an error was raised by us (its message speaks to the user) or by the file system."""
    return type(error).__module__.startswith("mac.") or isinstance(error, OSError)
