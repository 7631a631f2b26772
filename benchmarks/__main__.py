"""``python -m benchmarks NAME …``: run one benchmark, or all."""

import argparse
import importlib
from pathlib import Path

NAMES = ("clips", "feed", "growth", "masks", "overhead", "planning", "start", "step", "verdicts", "views")
NEED_NO_DATA = ("planning", "start", "verdicts")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure, against peers, in one run.")
    parser.add_argument("names", nargs="*", default=NAMES, choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", type=Path, help="folder with ucf101-originals, a sample of UCF101")
    arguments = parser.parse_args()
    if arguments.data is None and any(name not in NEED_NO_DATA for name in arguments.names):
        parser.error("--data is needed by all but " + ", ".join(NEED_NO_DATA))
    for name in arguments.names:
        importlib.import_module(f"benchmarks.{name}").run(arguments.data)


main()
