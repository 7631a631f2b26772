"""``draw``, ``fetch`` and ``subset``: where a data set's files come from."""

import argparse
import shutil
from pathlib import Path

import pandas as pd

from mac.commands.files import read_config, write_json
from mac.config import DatasetConfig
from mac.data import catalog, index, synthetic
from mac.data import fetch as fetching
from mac.data.check import scan
from mac.runtime.atomic import write_text


def draw(arguments: argparse.Namespace) -> None:
    """Draw an embedded data set into the folder of ``--out``, a marker file written last."""
    config = read_config(arguments.config, DatasetConfig)
    root = arguments.out.parent
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    e = config.embedded
    synthetic.generate(root, config.layout, e.classes, e.videos_per_class, e.num_frames, e.seed, arguments.workers)
    write_json(arguments.out, config.canonical())


def fetch(arguments: argparse.Namespace) -> None:
    """Bring a data set's folder to completeness and write down where each part is from."""
    path = arguments.config_dir / "catalog.yaml"
    sources = catalog.load(path)
    if arguments.name not in sources and arguments.root.is_dir():
        done = {"videos": "found"}  # a data set of the user's own, which no catalog knows
    else:
        source = catalog.find(sources, arguments.name, path)
        if source.choice and not fetching.is_chosen_by_user(arguments.root):
            larger = source.choice.of
            fetching.complete(
                larger, catalog.find(sources, larger, path), arguments.root.parent / larger, arguments.offline
            )
        done = fetching.complete(arguments.name, source, arguments.root, arguments.offline)
    if arguments.out:
        write_json(arguments.out, done)


def subset(arguments: argparse.Namespace) -> None:
    """Write the manifest of the videos a folder holds: official names, frames, digests of their bytes."""
    listed = index.take(arguments.root, arguments.layout)
    listed = listed[(listed["file"] != "") & (listed["label"] != "")].reset_index(drop=True)
    found = index.assemble(listed, [scan(list(listed["file"]), arguments.root, arguments.workers)])
    table = index.usable(found)[["path", "num_frames", "content"]]
    write_text(arguments.out, table.to_csv(index=False, lineterminator="\n"))
    print(f"{arguments.out}: {len(table)} videos, {table['num_frames'].sum()} frames")


def read_subset(name: str | None, config_dir: Path) -> pd.DataFrame | None:
    """Read a subset's manifest, ``CONFIG/subsets/NAME.csv``; None for no subset.

    Raises:
        FileNotFoundError: there is no such manifest.
    """
    if name is None:
        return None
    path = config_dir / "subsets" / f"{name}.csv"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.csv"))) or "none"
        raise FileNotFoundError(f"{path}: no such subset; there are: {known}")
    return pd.read_csv(path)
