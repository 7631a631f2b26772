"""Data sets, from fetching to frame stores, person boxes and data cards."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click

from mac.cli.groups import Group
from mac.cli.options import (
    Machine,
    config_dir,
    config_of,
    max_unusable,
    on_machine,
    paths,
    several_paths,
    shard,
    workers,
)
from mac.data.layouts import LAYOUTS
from mac.runtime.atomic import write_json, write_table, write_text
from mac.runtime.reading import read_table

if TYPE_CHECKING:  # imported where it is used: help must not wait for pydantic
    from mac.config import BoxesConfig, DatasetConfig, StoreConfig

theme = Group("data", help="Data")


@theme.command()
@config_of("dataset")
@paths("out")
@workers
def generate(config: "DatasetConfig", paths: SimpleNamespace, workers: int) -> None:
    """Generate a synthetic data set into the folder of OUT, a marker file that is written last.

    The folder is emptied first, and so must be named after the data set's id.
    """
    from mac.data import synthetic

    folder, e = paths.out.resolve().parent, config.synthetic
    if folder.name != config.identify():
        raise click.UsageError(
            f"--out {paths.out}: would empty {folder}. Put it into a folder named {config.identify()}"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    synthetic.generate(folder, config.layout, e.classes, e.videos_per_class, e.num_frames, e.seed, workers)
    write_json(paths.out, config.canonical())


@theme.command()
@click.argument("name")
@paths("root", out="Record of the source of each part.")
@config_dir
@click.option("--offline", is_flag=True, help="Download nothing: say what is missing and where to put it.")
def fetch(name: str, paths: SimpleNamespace, config_dir: Path, offline: bool) -> None:
    """Download, verify and unpack what is missing in ROOT of NAME, a data set of CONFIG/catalog.yaml."""
    from mac.data import catalog
    from mac.data import fetch as fetching

    path, root = config_dir / "catalog.yaml", paths.root
    sources = catalog.load(path)
    if name not in sources and root.is_dir():
        done = {"videos": "found"}  # a data set of the user's own, which no catalog knows
    else:
        source = catalog.find(sources, name, path)
        if source.choice and not fetching.is_chosen_by_user(root):
            larger = source.choice.of
            fetching.complete(larger, catalog.find(sources, larger, path), root.parent / larger, offline)
        done = fetching.complete(name, source, root, offline)
    if paths.out:
        write_json(paths.out, done)


@theme.command()
@click.option("--layout", type=click.Choice(list(LAYOUTS)), required=True)
@paths("root", "out")
@workers
def subset(layout: str, paths: SimpleNamespace, workers: int) -> None:
    """Write the manifest of the part of a data set that a folder holds: names, frames, digests of the videos."""
    from mac.data import index, inventory
    from mac.data.check import scan

    listed = inventory.take(paths.root, layout)
    listed = listed[(listed["file"] != "") & (listed["label"] != "")].reset_index(drop=True)
    found = index.assemble(listed, [scan(list(listed["file"]), paths.root, workers)])
    table = index.usable(found)[["path", "num_frames", "content"]]
    write_text(paths.out, table.to_csv(index=False, lineterminator="\n"))
    print(f"{paths.out}: {len(table)} videos, {table['num_frames'].sum()} frames")


@theme.command("list")
@config_of("dataset")
@paths("root", "out")
@config_dir
def list_videos(config: "DatasetConfig", paths: SimpleNamespace, config_dir: Path) -> None:
    """Find the file of every listed video of a data set."""
    from mac.data import inventory

    table = inventory.take(paths.root, config.layout, inventory.read_subset(config.subset, config_dir))
    write_table(paths.out, table)
    print(f"{config.name}: {len(table)} videos, {(table['file'] != '').sum()} with a file")


@theme.command()
@paths("listing", "root", "out")
@shard
@workers
def scan(paths: SimpleNamespace, shard: tuple[int, int], workers: int) -> None:
    """Decode one shard of a data set's videos and note what is wrong with them."""
    from mac.data import check, index

    part = index.shard(read_table(paths.listing), *shard)
    write_table(paths.out, check.scan(list(part["file"]), paths.root, workers))


@theme.command()
@config_of("dataset")
@paths("listing", "root", "out")
@several_paths("scans")
@config_dir
@max_unusable
def index(
    config: "DatasetConfig",
    paths: SimpleNamespace,
    scans: tuple[Path, ...],
    config_dir: Path,
    max_unusable: dict[str, float],
) -> None:
    """Join the scans of a data set into its index, and list beside it what is left out; refuse an unusable index."""
    from mac.data import index, inventory

    subset = inventory.read_subset(config.subset, config_dir)
    table = index.assemble(read_table(paths.listing), [read_table(path) for path in scans], subset)
    columns = ["path", "file", "status", "reason", "num_frames"]
    left_out = table.loc[table["status"] != index.OK, columns]
    write_text(paths.out.with_name("left_out.csv"), left_out.to_csv(index=False, lineterminator="\n"))
    index.check(table, paths.root, max_unusable.get(config.name, max_unusable["default"]))
    write_table(paths.out, table)
    counts = ", ".join(f"{count} {status}" for status, count in table["status"].value_counts().items())
    print(f"{config.name}: {counts}; {table['num_frames'].sum()} frames, digest {index.digest(table)}")


@theme.command()
@paths("config", "root", "index", "out")
@shard
@workers
def extract(paths: SimpleNamespace, shard: tuple[int, int], workers: int) -> None:
    """Extract the frames of one shard of a data set's videos, into the folder of CONFIG."""
    from mac.config import StoreConfig, read_config
    from mac.data import index
    from mac.data.store import extract_shard

    wanted = read_config(paths.config, StoreConfig)
    part = index.shard(index.usable(read_table(paths.index)), *shard)
    table = extract_shard(paths.root, part, paths.config.parent, wanted.width, wanted.height, workers)
    write_table(paths.out, table)


@theme.command()
@config_of("store")
@paths("index", "out")
@several_paths("parts")
def store(config: "StoreConfig", paths: SimpleNamespace, parts: tuple[Path, ...]) -> None:
    """Join extracted shards into a frame store; its OUT (store.json) is written last."""
    from mac.data.store import assemble

    shards = [read_table(path) for path in parts]
    assemble(read_table(paths.index), shards, paths.out.parent, config.width, config.height)


@theme.command()
@config_of("boxes")
@paths("root", "index", "out", weights="File of the detector's weights (default: torchvision downloads it).")
@shard
@on_machine
def detect(config: "BoxesConfig", paths: SimpleNamespace, shard: tuple[int, int], machine: Machine) -> None:
    """Find (or read) the persons in one shard of a data set's videos."""
    from mac.data import index
    from mac.stages import detect

    part = index.shard(index.usable(read_table(paths.index)), *shard)
    device = machine.prepare(deterministic=False)
    write_table(paths.out, detect.run(config, paths.root, part, paths.weights, device))


@theme.command()
@config_of("boxes")
@paths("out")
@several_paths("parts")
def boxes(config: "BoxesConfig", paths: SimpleNamespace, parts: tuple[Path, ...]) -> None:
    """Join the person boxes of all shards."""
    from mac.data import boxes

    table = boxes.join([read_table(path) for path in parts])
    write_table(paths.out, table)
    print(f"{config.dataset.name}: {len(table)} boxes on {table['path'].nunique()} videos")


@theme.command()
@click.option("--title", required=True)
@paths("index", "out")
@several_paths("pictures")
def describe(title: str, paths: SimpleNamespace, pictures: tuple[Path, ...]) -> None:
    """Write the data card of a data set: a page, its numbers beside it as JSON, and its pictures."""
    from mac.report import cards, figures

    table = read_table(paths.index)
    facts = cards.summarise(table)
    figures.draw_lengths(table, title, list(pictures))
    write_json(paths.out.with_suffix(".json"), facts)
    write_text(paths.out, cards.data_card(title, facts, table, pictures[0].name))
