"""``detect`` and ``boxes``: the person boxes of a data set."""

import argparse

import pandas as pd

from mac.commands.files import read_config, write_table
from mac.config import BoxesConfig
from mac.data import detections
from mac.data import index as indexing
from mac.stages import detect as detecting
from mac.training import processor


def detect(arguments: argparse.Namespace) -> None:
    """Find (or read) the boxes of one shard of a data set's videos."""
    config = read_config(arguments.config, BoxesConfig)
    part = indexing.shard(indexing.usable(pd.read_parquet(arguments.index)), *arguments.shard)
    device = processor.prepare(arguments.device, arguments.threads, deterministic=False)
    write_table(arguments.out, detecting.run(config, arguments.root, part, arguments.weights, device))


def boxes(arguments: argparse.Namespace) -> None:
    """Join the shards into one table."""
    config = read_config(arguments.config, BoxesConfig)
    table = detections.join([pd.read_parquet(path) for path in arguments.parts])
    write_table(arguments.out, table)
    print(f"{config.dataset.name}: {len(table)} boxes on {table['path'].nunique()} videos")
