"""Data sets, from fetching to frame stores, person boxes and data cards."""

import shutil
from pathlib import Path

import click

from mac.cli.options import (
    PATH,
    Group,
    Machine,
    Paths,
    config_dir,
    max_unusable,
    on_machine,
    paths,
    several_paths,
    shard,
    workers,
)
from mac.data.layouts import LAYOUTS
from mac.runtime.atomic import write_json, write_table, write_text

theme = Group("data", help="Data")


@theme.command()
@paths("config", "out")
@workers
def generate(config: Path, out: Path, workers: int) -> None:
    """Generate a synthetic data set into the folder of OUT, a marker file written last."""
    from mac.config import DatasetConfig, read_config
    from mac.data import synthetic

    wanted = read_config(config, DatasetConfig)
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir(parents=True)
    e = wanted.synthetic
    synthetic.generate(out.parent, wanted.layout, e.classes, e.videos_per_class, e.num_frames, e.seed, workers)
    write_json(out, wanted.canonical())


@theme.command()
@click.argument("name")
@paths("root")
@config_dir
@click.option("--offline", is_flag=True, help="Download nothing: say what is missing and where it goes.")
@click.option("--out", type=PATH, help="Record of where each part is from.")
def fetch(name: str, root: Path, config_dir: Path, offline: bool, out: Path | None) -> None:
    """Download, verify and unpack what the folder of NAME, a data set of CONFIG/catalog.yaml, lacks."""
    from mac.data import catalog
    from mac.data import fetch as fetching

    path = config_dir / "catalog.yaml"
    sources = catalog.load(path)
    if name not in sources and root.is_dir():
        done = {"videos": "found"}  # a data set of the user's own, which no catalog knows
    else:
        source = catalog.find(sources, name, path)
        if source.choice and not fetching.is_chosen_by_user(root):
            larger = source.choice.of
            fetching.complete(larger, catalog.find(sources, larger, path), root.parent / larger, offline)
        done = fetching.complete(name, source, root, offline)
    if out:
        write_json(out, done)


@theme.command()
@click.option("--layout", type=click.Choice(list(LAYOUTS)), required=True)
@paths("root", "out")
@workers
def subset(layout: str, root: Path, out: Path, workers: int) -> None:
    """Write the manifest of the part of a data set that a folder holds: names, frames, digests of the videos."""
    from mac.data import index
    from mac.data.check import scan

    listed = index.take(root, layout)
    listed = listed[(listed["file"] != "") & (listed["label"] != "")].reset_index(drop=True)
    found = index.assemble(listed, [scan(list(listed["file"]), root, workers)])
    table = index.usable(found)[["path", "num_frames", "content"]]
    write_text(out, table.to_csv(index=False, lineterminator="\n"))
    print(f"{out}: {len(table)} videos, {table['num_frames'].sum()} frames")


@theme.command("list")
@paths("config", "root", "out")
@config_dir
def list_videos(config: Path, root: Path, out: Path, config_dir: Path) -> None:
    """Find the file of every listed video of a data set."""
    from mac.config import DatasetConfig, read_config
    from mac.data import index

    dataset = read_config(config, DatasetConfig)
    table = index.take(root, dataset.layout, index.read_subset(dataset.subset, config_dir))
    write_table(out, table)
    print(f"{dataset.name}: {len(table)} videos, {(table['file'] != '').sum()} with a file")


@theme.command()
@paths("listing", "root", "out")
@shard
@workers
def scan(listing: Path, root: Path, out: Path, shard: tuple[int, int], workers: int) -> None:
    """Decode one shard of a data set's videos and note what is wrong with them."""
    import pandas as pd

    from mac.data import check, index

    part = index.shard(pd.read_parquet(listing), *shard)
    write_table(out, check.scan(list(part["file"]), root, workers))


@theme.command()
@paths("config", "listing", "root", "out")
@several_paths("scans")
@config_dir
@max_unusable
def index(
    config: Path, listing: Path, root: Path, out: Path, scans: Paths, config_dir: Path, max_unusable: dict
) -> None:
    """Join the scans of a data set into its index; refuse one that can't serve, and list beside it what is left out."""
    import pandas as pd

    from mac.config import DatasetConfig, read_config
    from mac.data import index as indexing

    dataset = read_config(config, DatasetConfig)
    subset = indexing.read_subset(dataset.subset, config_dir)
    table = indexing.assemble(pd.read_parquet(listing), [pd.read_parquet(path) for path in scans], subset)
    columns = ["path", "file", "status", "reason", "num_frames"]
    left_out = table.loc[table["status"] != indexing.OK, columns]
    write_text(out.with_name("left_out.csv"), left_out.to_csv(index=False, lineterminator="\n"))
    indexing.check(table, root, max_unusable.get(dataset.name, max_unusable["default"]))
    write_table(out, table)
    counts = ", ".join(f"{count} {status}" for status, count in table["status"].value_counts().items())
    print(f"{dataset.name}: {counts}; {table['num_frames'].sum()} frames, digest {indexing.digest(table)}")


@theme.command()
@paths("config", "root", "index", "out")
@shard
@workers
def extract(config: Path, root: Path, index: Path, out: Path, shard: tuple[int, int], workers: int) -> None:
    """Extract the frames of one shard of a data set's videos."""
    import pandas as pd

    from mac.config import StoreConfig, read_config
    from mac.data import index as indexing
    from mac.data.store import extract_shard

    wanted = read_config(config, StoreConfig)
    part = indexing.shard(indexing.usable(pd.read_parquet(index)), *shard)
    write_table(out, extract_shard(root, part, config.parent, wanted.width, wanted.height, workers))


@theme.command()
@paths("config", "index", "out")
@several_paths("parts")
def store(config: Path, index: Path, out: Path, parts: Paths) -> None:
    """Join extracted shards into a frame store, its OUT (store.json) written last."""
    import pandas as pd

    from mac.config import StoreConfig, read_config
    from mac.data.store import assemble

    wanted = read_config(config, StoreConfig)
    shards = [pd.read_parquet(path) for path in parts]
    assemble(pd.read_parquet(index), shards, out.parent, wanted.width, wanted.height)


@theme.command()
@paths("config", "root", "index", "out")
@click.option("--weights", type=PATH, help="The detector's file; else torchvision fetches it.")
@shard
@on_machine
def detect(
    config: Path, root: Path, index: Path, out: Path, weights: Path | None, shard: tuple[int, int], machine: Machine
) -> None:
    """Find (or read) the persons in one shard of a data set's videos."""
    import pandas as pd

    from mac.config import BoxesConfig, read_config
    from mac.data import index as indexing
    from mac.stages import detect as detecting

    wanted = read_config(config, BoxesConfig)
    part = indexing.shard(indexing.usable(pd.read_parquet(index)), *shard)
    write_table(out, detecting.run(wanted, root, part, weights, machine.prepare(deterministic=False)))


@theme.command()
@paths("config", "out")
@several_paths("parts")
def boxes(config: Path, out: Path, parts: Paths) -> None:
    """Join the person boxes of all shards."""
    import pandas as pd

    from mac.config import BoxesConfig, read_config
    from mac.data import boxes

    dataset = read_config(config, BoxesConfig).dataset
    table = boxes.join([pd.read_parquet(path) for path in parts])
    write_table(out, table)
    print(f"{dataset.name}: {len(table)} boxes on {table['path'].nunique()} videos")


@theme.command()
@click.option("--title", required=True)
@paths("index", "out")
@several_paths("pictures")
def describe(title: str, index: Path, out: Path, pictures: Paths) -> None:
    """Write the data card of a data set: a page, its numbers beside it as JSON, and its pictures."""
    import pandas as pd

    from mac.report import cards, figures

    table = pd.read_parquet(index)
    facts = cards.summarise(table)
    for path in pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
    figures.draw_lengths(table, title, list(pictures))
    write_json(out.with_suffix(".json"), facts)
    write_text(out, cards.data_card(title, facts, table, pictures[0].name))
