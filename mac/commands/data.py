"""``list``, ``scan``, ``index``, ``extract`` and ``store``: from a data set's folder to its frame store."""

import argparse

import pandas as pd

from mac.commands.files import read_config, write_table
from mac.commands.sources import read_subset
from mac.config import DatasetConfig, StoreConfig
from mac.data import index as indexing
from mac.data import store as storing
from mac.data.check import scan


def list_videos(arguments: argparse.Namespace) -> None:
    """Write which file is which listed video."""
    config = read_config(arguments.config, DatasetConfig)
    subset = read_subset(config.subset, arguments.config_dir)
    table = indexing.take(arguments.root, config.layout, subset)
    write_table(arguments.out, table)
    print(f"{config.name}: {len(table)} videos, {(table['file'] != '').sum()} with a file")


def scan_shard(arguments: argparse.Namespace) -> None:
    """Examine one shard of an inventory."""
    part = indexing.shard(pd.read_parquet(arguments.listing), *arguments.shard)
    write_table(arguments.out, scan(list(part["file"]), arguments.root, arguments.workers))


def index(arguments: argparse.Namespace) -> None:
    """Join an inventory and its scans into the index; what is left out is also listed beside it."""
    config = read_config(arguments.config, DatasetConfig)
    subset = read_subset(config.subset, arguments.config_dir)
    scans = [pd.read_parquet(path) for path in arguments.scans]
    table = indexing.assemble(pd.read_parquet(arguments.listing), scans, subset)
    left_out = arguments.out.with_name("left_out.csv")
    left_out.parent.mkdir(parents=True, exist_ok=True)
    columns = ["path", "file", "status", "reason", "num_frames"]
    table.loc[table["status"] != indexing.OK, columns].to_csv(left_out, index=False, lineterminator="\n")
    budget = dict(entry.split("=") for entry in arguments.max_unusable)
    indexing.check(table, arguments.root, float(budget.get(config.name, budget["default"])))
    write_table(arguments.out, table)
    counts = ", ".join(f"{count} {status}" for status, count in table["status"].value_counts().items())
    print(f"{config.name}: {counts}; {table['num_frames'].sum()} frames, digest {indexing.digest(table)}")


def extract(arguments: argparse.Namespace) -> None:
    """Extract one shard of a store's videos."""
    config = read_config(arguments.config, StoreConfig)
    part = indexing.shard(indexing.usable(pd.read_parquet(arguments.index)), *arguments.shard)
    folder = arguments.config.parent
    size = (config.width, config.height)
    write_table(arguments.out, storing.extract_shard(arguments.root, part, folder, *size, arguments.workers))


def store(arguments: argparse.Namespace) -> None:
    """Join the shards into a store, ``store.json`` written last."""
    config = read_config(arguments.config, StoreConfig)
    parts = [pd.read_parquet(path) for path in arguments.parts]
    table = pd.read_parquet(arguments.index)
    storing.assemble(table, parts, arguments.out.parent, config.width, config.height)
