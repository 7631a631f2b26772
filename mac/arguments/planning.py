"""What is to be done: plan, clean, and the commands that the workflow itself starts with."""

import argparse
from pathlib import Path

from mac.arguments.common import Commands, paths, scaled


def add(commands: Commands) -> None:
    """Add these commands."""
    s = commands.stage(
        "plan", "costing:show", "Show what a scale trains, which rows share it, and what it costs, beforehand."
    )
    scaled(s)
    s.add_argument("--results", type=Path, help="subtract what is done there, and reckon with its speed")
    s.add_argument("--device", help="only this one (a part of its name)")
    s.add_argument("--gpus-per-run", type=int, default=1, metavar="N", help="devices that share each training")
    s.add_argument("--json", action="store_true", help="for programs")
    s = commands.stage(
        "resolve",
        "planning:resolve",
        "Write the resolved configuration of every run of a scale, RESULTS/STAGE/ID/config.yaml.",
    )
    scaled(s)
    paths(s, "results")
    s = commands.stage("clean", "cleaning:clean", "List results that no table refers to; delete them when told to.")
    paths(s, "results")
    s.add_argument("--scale", nargs="+", help="files in CONFIG/scales whose results stay (default: all)")
    s.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")
    s.add_argument("--states", action="store_true", help="also what is only needed to train on")
    s.add_argument("--yes", action="store_true", help="delete what is listed")
    s = commands.stage("preflight", "planning:preflight", "Check that runs can be tracked, before work starts.")
    s.add_argument("--tracking-uri", required=True)
    s = commands.stage("progress", "progress:follow", "Run a command (Snakemake) and show how far the scale's work is.")
    scaled(s)
    paths(s, "results", "reports", "log")
    s.add_argument("rest", nargs=argparse.REMAINDER, metavar="-- COMMAND")
