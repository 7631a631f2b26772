"""Data sets, from fetching to frame stores, person boxes and data cards."""

from pathlib import Path

from mac.arguments.common import Commands, paths, processor, shard, workers
from mac.data.layouts import LAYOUTS


def add(commands: Commands) -> None:
    """Add these commands."""
    s = commands.stage("draw", "sources:draw", "Draw an embedded data set.")
    paths(s, "config", "out")
    workers(s)
    s = commands.stage("fetch", "sources:fetch", "Download, verify and unpack what a data set's folder lacks.")
    s.add_argument("name", help="a data set of CONFIG/catalog.yaml")
    paths(s, "root")
    s.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")
    s.add_argument("--offline", action="store_true", help="download nothing: say what is missing and where it goes")
    s.add_argument("--out", type=Path, help="record of where each part is from")
    s = commands.stage("subset", "sources:subset", "Write the manifest of the part of a data set that a folder holds.")
    s.add_argument("--layout", choices=list(LAYOUTS), required=True)
    paths(s, "root", "out")
    workers(s)
    s = commands.stage("list", "data:list_videos", "Find the file of every listed video of a data set.")
    paths(s, "config", "root", "out")
    s.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")
    s = commands.stage(
        "scan", "data:scan_shard", "Decode one shard of a data set's videos and note what is wrong with them."
    )
    paths(s, "listing", "root", "out")
    shard(s)
    workers(s)
    s = commands.stage(
        "index", "data:index", "Join the scans of a data set into its index; refuse one that can't serve."
    )
    paths(s, "config", "listing", "root", "out")
    s.add_argument("--scans", type=Path, nargs="+", required=True)
    s.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")
    s.add_argument("--max-unusable", nargs="+", default=["default=0"], metavar="NAME=SHARE")
    s = commands.stage("extract", "data:extract", "Extract the frames of one shard of a data set's videos.")
    paths(s, "config", "root", "index", "out")
    shard(s)
    workers(s)
    s = commands.stage("store", "data:store", "Join extracted shards into a frame store.")
    paths(s, "config", "index", "out")
    s.add_argument("--parts", type=Path, nargs="+", required=True)
    s = commands.stage("detect", "boxes:detect", "Find the persons in one shard of a data set's videos.")
    paths(s, "config", "root", "index", "out")
    s.add_argument("--weights", type=Path, help="the detector's file; else torchvision fetches it")
    shard(s)
    processor(s)
    s = commands.stage("boxes", "boxes:boxes", "Join the person boxes of all shards.")
    paths(s, "config", "out")
    s.add_argument("--parts", type=Path, nargs="+", required=True)
    s = commands.stage("describe", "reporting:describe", "Write the data card of a data set.")
    s.add_argument("--title", required=True)
    paths(s, "index", "out")
    s.add_argument("--pictures", type=Path, nargs="+", required=True)
