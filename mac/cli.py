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

    groups = {
        name: stages.add_parser(name, help=text).add_subparsers(required=True, metavar="WHAT")
        for name, text in {"masks": "Judge, show or try mask settings.", "track": "Record runs in MLflow."}.items()
    }

    def nested(group: str, name: str, function: str, text: str) -> argparse.ArgumentParser:
        sub = groups[group].add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        return sub

    def scaled(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--scale", required=True, help="a file in CONFIG/scales")
        sub.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")

    def paths(sub: argparse.ArgumentParser, *names: str, required: bool = True) -> None:
        for name in names:
            sub.add_argument(f"--{name}", type=Path, required=required)

    def workers(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--workers", type=int, default=1, help="processes")

    def shard(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--shard", type=int, nargs=2, default=[0, 1], metavar=("NUMBER", "SHARDS"))

    def resumable(sub: argparse.ArgumentParser) -> None:
        paths(sub, "folder")
        sub.add_argument("--save-minutes", type=float, default=10.0, help="between two snapshots within an epoch")
        sub.add_argument("--processes", type=int, default=1, help="that share each batch, a GPU each")

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
    s = stage("draw", "sources:draw", "Draw an embedded data set.")
    paths(s, "config", "out")
    workers(s)
    s = stage("fetch", "sources:fetch", "Download, verify and unpack what a data set's folder lacks.")
    s.add_argument("name", help="a data set of CONFIG/catalog.yaml")
    paths(s, "root")
    s.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")
    s.add_argument("--offline", action="store_true", help="download nothing: say what is missing and where it goes")
    s.add_argument("--out", type=Path, help="record of where each part is from")
    s = stage("subset", "sources:subset", "Write the manifest of the part of a data set that a folder holds.")
    s.add_argument("--layout", choices=["ucf101", "hmdb51", "kinetics"], required=True)
    paths(s, "root", "out")
    workers(s)
    s = stage("list", "data:list_videos", "Find the file of every listed video of a data set.")
    paths(s, "config", "root", "out")
    s.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")
    s = stage("scan", "data:scan_shard", "Decode one shard of a data set's videos and note what is wrong with them.")
    paths(s, "listing", "root", "out")
    shard(s)
    workers(s)
    s = stage("index", "data:index", "Join the scans of a data set into its index; refuse one that can't serve.")
    paths(s, "config", "listing", "root", "out")
    s.add_argument("--scans", type=Path, nargs="+", required=True)
    s.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")
    s.add_argument("--max-unusable", nargs="+", default=["default=0"], metavar="NAME=SHARE")
    s = stage("extract", "data:extract", "Extract the frames of one shard of a data set's videos.")
    paths(s, "config", "root", "index", "out")
    shard(s)
    workers(s)
    s = stage("store", "data:store", "Join extracted shards into a frame store.")
    paths(s, "config", "index", "out")
    s.add_argument("--parts", type=Path, nargs="+", required=True)
    s = stage("detect", "boxes:detect", "Find the persons in one shard of a data set's videos.")
    paths(s, "config", "root", "index", "out")
    s.add_argument("--weights", type=Path, help="the detector's file; else torchvision fetches it")
    shard(s)
    processor(s)
    s = stage("boxes", "boxes:boxes", "Join the person boxes of all shards.")
    paths(s, "config", "out")
    s.add_argument("--parts", type=Path, nargs="+", required=True)
    s = stage("describe", "reporting:describe", "Write the data card of a data set.")
    s.add_argument("--title", required=True)
    paths(s, "index", "out")
    s.add_argument("--pictures", type=Path, nargs="+", required=True)
    s = nested("masks", "card", "masks:card", "Compute the card of a mask setting and refuse a degenerate one.")
    paths(s, "config", "store", "out", "picture")
    s.add_argument("--boxes", type=Path, help="person boxes, where the setting needs them")
    s.add_argument("--limits", type=float, nargs=2, required=True, metavar=("LOW", "HIGH"))
    scaled(s)
    s = nested("masks", "sweep", "masks:sweep", "Show one clip under all m and λ of Tables 7 and 8.")
    paths(s, "config", "store", "out")
    s.add_argument("--pictures", type=Path, nargs="+", required=True)
    s = nested(
        "masks",
        "preview",
        "masks:preview",
        "Show any video's mask under any m and λ, as a picture or a video.",
    )
    s.add_argument("video", type=Path, metavar="VIDEO")
    s.add_argument("--momentum", "-m", type=float, nargs="+", default=[0.5], help="the paper's m (default 0.5)")
    s.add_argument("--threshold", "-l", type=float, nargs="+", default=[30.0], help="the paper's λ (default 30)")
    s.add_argument("--preset", choices=["paper", "release"], default="paper")
    s.add_argument("--size", type=int, nargs=2, default=[171, 128], metavar=("WIDTH", "HEIGHT"), help="pixels")
    s.add_argument("--stride", type=int, default=2, help="of the frames (default 2)")
    s.add_argument("--start", type=int, default=0, help="first frame")
    s.add_argument("--out", type=Path, help=".png or .svg: a picture; .mp4 or .avi: a video (default VIDEO_masks.png)")
    s = stage(
        "pretrain", "training:pretrain", "Pretrain up to an epoch, from nothing or from an earlier epoch's state."
    )
    paths(s, "config", "store", "backbone", "state", "journal", "metrics")
    s.add_argument("--boxes", type=Path, help="person boxes, where the masks are made of them")
    s.add_argument("--until", type=int, required=True, metavar="EPOCH")
    s.add_argument("--previous", type=Path, help="state to continue from")
    resumable(s)
    processor(s)
    s = stage("weights", "training:weights", "Fetch torchvision's Kinetics-400 weights of a backbone.")
    s.add_argument("--backbone", required=True)
    paths(s, "out")
    s = stage("finetune", "training:finetune", "Finetune and test.")
    paths(s, "config", "store", "classifier", "journal", "predictions", "metrics")
    s.add_argument("--backbone", type=Path, help="checkpoint to start from")
    resumable(s)
    processor(s)
    s = stage("gradcam", "gradcam:gradcam", "Draw figures 2–4: where two finetuned models look.")
    for name, text in {
        "configs": "config.yaml of both finetunings, MAC's first",
        "classifiers": "their classifier.safetensors",
        "predictions": "their predictions.parquet",
    }.items():
        s.add_argument(f"--{name}", type=Path, nargs=2, required=True, metavar=("MAC", "SUPERVISED"), help=text)
    s.add_argument("--pretraining", type=Path, required=True, help="config.yaml of MAC's pretraining: name and mask")
    s.add_argument("--names", nargs=2, metavar=("MAC", "SUPERVISED"), help="what figures call the two")
    s.add_argument("--pictures", type=Path, nargs="+", required=True, help="F2, F3 and F4, .png or .svg")
    s.add_argument("--rows", type=int, default=4, help="videos in a figure")
    s.add_argument("--sample", type=int, default=200, help="most videos the overlap is measured on")
    paths(s, "store", "out")
    processor(s)
    s = nested("track", "run", "tracking:run", "Record a run that has results in MLflow.")
    s.add_argument("--stage", choices=["pretrain", "finetune"], required=True)
    s.add_argument("--id", required=True, help="of the run")
    paths(s, "results", "receipt")
    s.add_argument("--tracking-uri", required=True)
    scaled(s)
    s = nested("track", "follow", "tracking:follow", "Send what runs write while they train to MLflow.")
    paths(s, "results")
    s.add_argument("--while-pid", type=int, required=True, metavar="PID", help="until this process has ended")
    s.add_argument("--since", type=float, default=0.0, metavar="TIME", help="leave alone what was last written before")
    s.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="between two looks (default 5)")
    s.add_argument("--tracking-uri", required=True)
    scaled(s)
    s = nested("track", "sync", "tracking:sync", "Bring a tracking store up to date with all runs of a scale.")
    paths(s, "results")
    s.add_argument("--tracking-uri", required=True)
    scaled(s)
    s = stage("report", "reporting:report", "Write tables, curve and summary from results, or from MLflow alone.")
    scaled(s)
    s.add_argument("--table", nargs="*", help="only these tables; the summary is then left alone")
    s.add_argument("--runs-page", metavar="ADDRESS", help="of the runs in MLflow's pages, for links from cells")
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
    parsed.words = sys.argv[1:] if arguments is None else arguments  # to start more of the same
    module, function = parsed.function.split(":")
    commands = importlib.import_module(f"mac.commands.{module}")
    try:
        getattr(commands, function)(parsed)
    except Exception as error:
        if not _expected(error):
            raise
        message = f"mac {parsed.command}: {error}"
        status = getattr(error, "exit_status", None)
        if status is None:
            sys.exit(message)
        print(message, file=sys.stderr)
        sys.exit(status)


def _expected(error: Exception) -> bool:
    """Whether an error was raised by us (its message speaks to the user) or by the file system."""
    return type(error).__module__.startswith("mac.") or isinstance(error, OSError)
