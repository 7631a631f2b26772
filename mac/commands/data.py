"""``draw``, ``index`` and ``store``."""

import argparse
import shutil

import pandas as pd

from mac.commands.files import read_config, write_json
from mac.config import DatasetConfig, StoreConfig
from mac.data import index as indexing
from mac.data import store as storing
from mac.data import synthetic


def draw(arguments: argparse.Namespace) -> None:
    """Draw an embedded data set into the folder of ``--out``, a marker file written last."""
    config = read_config(arguments.config, DatasetConfig)
    root = arguments.out.parent
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    e = config.embedded
    synthetic.generate(root, config.layout, e.classes, e.videos_per_class, e.num_frames, e.seed, arguments.workers)
    write_json(arguments.out, config.canonical())


def index(arguments: argparse.Namespace) -> None:
    """Write a data set's index (parquet)."""
    config = read_config(arguments.config, DatasetConfig)
    if not arguments.root.is_dir():
        raise FileNotFoundError(
            f"{arguments.root}: no such folder — data set {config.name} is expected there, layout {config.layout}; put"
            " it there, or set `data_root` in config/config.yaml"
        )
    table = indexing.build(arguments.root, config.layout, arguments.max_unusable, arguments.workers)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(arguments.out, index=False)
    print(f"{config.name}: {len(table)} videos, {table['num_frames'].sum()} frames, digest {indexing.digest(table)}")


def store(arguments: argparse.Namespace) -> None:
    """Extract a store into the folder of ``--out`` (its ``store.json``, written last)."""
    config = read_config(arguments.config, StoreConfig)
    table = pd.read_parquet(arguments.index)
    folder = arguments.out.parent
    folder.mkdir(parents=True, exist_ok=True)
    storing.extract(arguments.root, table, folder, config.width, config.height, arguments.workers)
