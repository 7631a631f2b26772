"""How many videos and frames the data sets of a plan have: counted where there is an index, else as declared."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mac.config import DatasetConfig
from mac.data import catalog
from mac.data.layouts import LAYOUTS
from mac.validation import ConfigError


@dataclass(frozen=True)
class DatasetSize:
    """Videos on both sides of each split, frames of all videos, GB of downloads; ``origin`` says how they are known."""

    sides: dict[int, tuple[int, int]]
    videos: int
    frames: int
    gigabytes: float
    labels: int | None
    origin: str


class Sizes:
    """Looks up the sizes of data sets, each once."""

    def __init__(self, config_dir: Path, results: Path | None = None) -> None:
        """Look into ``results`` for indexes, and into ``config_dir`` for what is declared."""
        self._config_dir, self._results = config_dir, results
        self.of = cache(self._of)

    def sides(self, dataset: DatasetConfig, split: int) -> tuple[int, int]:
        """Training and test videos of a split."""
        return self.of(dataset.identify(), dataset).sides[split]

    def find(self, dataset: DatasetConfig) -> DatasetSize:
        """All that is known of a data set's size.

        Raises:
            ConfigError: neither an index nor the catalog says how many videos it has.
        """
        return self.of(dataset.identify(), dataset)

    def _of(self, dataset_id: str, dataset: DatasetConfig) -> DatasetSize:
        index = self._results / "dataset" / dataset_id / "index.parquet" if self._results else None
        declared = _synthetic(dataset) if dataset.embedded else None
        if index and index.exists():
            return _counted(index, dataset, 0.0 if declared else self._gigabytes(dataset))
        return declared or self._declared(dataset)

    def _gigabytes(self, dataset: DatasetConfig) -> float:
        source = catalog.load(self._config_dir / "catalog.yaml").get(dataset.name)
        return float((source.gigabytes if source else 0) or 0)

    def _declared(self, dataset: DatasetConfig) -> DatasetSize:
        path = self._config_dir / "catalog.yaml"
        source = catalog.load(path).get(dataset.name)
        if source is None or not source.sides or not source.mean_frames:
            raise ConfigError(
                [
                    f"{path}: {dataset.name}: how many videos each split has is not said — give it `sides` and"
                    " `mean_frames`, or index it first (target `data`) and say where with --results"
                ]
            )
        sides = {number: (train, test) for number, (train, test) in enumerate(source.sides, 1)}
        if not dataset.subset:
            frames = source.videos * source.mean_frames
            gigabytes = float(source.gigabytes or 0)
            return DatasetSize(sides, source.videos, frames, gigabytes, None, "official lists")
        with (self._config_dir / "subsets" / f"{dataset.subset}.csv").open(encoding="utf-8") as manifest:
            lengths = [int(row["num_frames"]) for row in csv.DictReader(manifest)]
        part = len(lengths) / source.videos
        sides = {number: (round(train * part), round(test * part)) for number, (train, test) in sides.items()}
        gigabytes = part * float(source.gigabytes or 0)
        return DatasetSize(sides, len(lengths), sum(lengths), gigabytes, None, "manifest, its share of the lists")


def _counted(index: Path, dataset: DatasetConfig, gigabytes: float) -> DatasetSize:
    """Count a data set's index; importing pandas takes a moment, so only where there is one."""
    import pandas as pd

    from mac.data.check import USABLE

    table = pd.read_parquet(index, columns=["label", "status", "num_frames", *(f"split_{s}" for s in dataset.splits)])
    table = table[table["status"].isin(USABLE)]
    sides = {
        split: tuple(int((table[f"split_{split}"] == side).sum()) for side in ("train", "test"))
        for split in dataset.splits
    }
    frames = int(table["num_frames"].sum())
    return DatasetSize(sides, len(table), frames, gigabytes, table["label"].nunique(), "index")


def _synthetic(dataset: DatasetConfig) -> DatasetSize:
    """Count what :mod:`mac.data.synthetic` will generate."""
    stated = dataset.embedded
    videos, _ = LAYOUTS[dataset.layout].synthesise([str(i) for i in range(stated.classes)], stated.videos_per_class)
    sides = {
        split: tuple(sum(video.sides[place] == side for video in videos) for side in ("train", "test"))
        for place, split in enumerate(dataset.splits)
    }
    return DatasetSize(sides, len(videos), len(videos) * stated.num_frames, 0.0, stated.classes, "as drawn")
