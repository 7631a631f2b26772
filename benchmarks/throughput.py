"""Throughput: clips a second of every kind of step that a scale's trainings take, for ``config/throughput.yaml``.

``python -m benchmarks.throughput --scale paper --where "the machine"`` prints entries to put there. The real learners
and loop run on random frames: what reading clips costs is in ``benchmarks clips``.
"""

import argparse
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.harness import ROOT
from benchmarks.stand_ins import NoFolder, RandomStore, learner_of, loop_of
from mac import plan
from mac.config import FinetuneConfig, PretrainConfig
from mac.costs.throughput import Kind, kinds_of
from mac.stages import finetune
from mac.training.batches import Batch, Plan
from mac.training.processor import describe, prepare

Config = PretrainConfig | FinetuneConfig


class Rates(NoFolder):
    """A run folder that keeps nothing but the times at which epochs ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.gpu_megabytes = 0.0

    def write(self, event: str, **values: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())
        self.gpu_megabytes = values.get("system/gpu_memory_peak_megabytes", 0.0)


def main() -> None:
    """Measure every distinct kind of a scale, cheapest first, and print each entry when it is known."""
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description=__doc__)
    parser.add_argument("--scale", required=True)
    parser.add_argument("--where", required=True, help="the machine, in words")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, help="clips a step, where the scale's don't fit")
    parser.add_argument("--steps", type=int, default=20, help="measured, after as many that are not (at most 5)")
    parser.add_argument("--stages", nargs="+", default=["pretrain", "finetune", "test"])
    a = parser.parse_args()
    for entry, _, _ in entries(a.scale, None, a.device, a.threads, a.batch, a.steps, a.where, a.stages):
        print("- " + in_one_line(entry), flush=True)


def entries(
    scale: str,
    precision: str | None,
    device: str,
    threads: int,
    batch: int | None,
    steps: int,
    where: str,
    stages: tuple[str, ...] = ("pretrain", "finetune", "test"),
) -> Iterator[tuple[dict, Config, float]]:
    """Measure every distinct kind of a scale's steps, cheapest first.

    Yields:
        An entry of ``config/throughput.yaml``, the stage it was measured on, and the megabytes of a GPU it took most.
    """
    planned = plan.load(ROOT / "config", scale)
    configs = [run.config for run in (*planned.pretrainings.values(), *planned.finetunings.values())]
    configs = [config.model_copy(update={"precision": precision or config.precision}) for config in configs]
    distinct = {kinds_of(config): config for config in configs}
    measured = {kind for kinds in distinct for kind in kinds if kind.stage not in stages}
    for kinds, config in sorted(distinct.items(), key=lambda entry: entry[0][0].operations):
        there, size = prepare(device, threads, config.precision), batch or config.optimiser.batch_size
        for kind, rate, megabytes in _measure(config, there, size, steps, kinds, measured):
            entry = {"device": describe(there), **kind.model_dump(), "batch": size, "threads": threads}
            entry |= {"clips_per_second": float(f"{rate:.4g}"), "date": str(date.today()), "where": where}
            yield entry, config, megabytes


def in_one_line(entry: dict) -> str:
    """Write an entry as YAML in one line."""
    text = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True)
    return text.strip()


def _measure(
    config: Config, device: torch.device, batch: int, steps: int, kinds: tuple[Kind, Kind], measured: set[Kind]
) -> Iterator[tuple[Kind, float, float]]:
    """Yield each kind that isn't in ``measured``, its clips a second, and the megabytes of a GPU it took at most."""
    store, (training, testing) = RandomStore(batch * steps, config.store.width, config.store.height), kinds
    learner = learner_of(config, store, device)
    if training not in measured:
        measured.add(training)
        yield training, *_train(learner, config, store, batch, steps)
    if testing not in measured and isinstance(config, FinetuneConfig):
        measured.add(testing)
        yield testing, _test(learner, config, store, device, batch), 0.0


def _train(learner: torch.nn.Module, config: Config, store: RandomStore, batch: int, steps: int) -> tuple[float, float]:
    """Clips a second of the last of two epochs, and its memory; the first lets caches and kernels settle."""
    folder = Rates()
    loop, videos = loop_of(config, learner, folder), np.arange(batch * steps).reshape(steps, batch)
    frames = np.broadcast_to(np.arange(config.clip.num_frames), (batch, config.clip.num_frames))
    one = Batch(videos[0], torch.from_numpy(store.clips(videos[0], frames)), torch.zeros(*frames.shape, 1, 4))
    one = one.pin_memory() if torch.cuda.is_available() else one

    def read(planned: Plan) -> Generator[Batch]:
        for _, chosen in planned:
            yield replace(one, videos=chosen)

    loop.train(2, lambda epoch: list(videos if epoch else videos[:5]), read)
    return batch * steps / (folder.ends[1] - folder.ends[0]), folder.gpu_megabytes


def _test(learner: torch.nn.Module, config: Config, store: RandomStore, device: torch.device, batch: int) -> float:
    sample = RandomStore(max(batch // config.evaluate.num_clips, 1), config.store.width, config.store.height)
    finetune.predict(config, sample, learner.classifier, device)
    rounds, began = 3, time.monotonic()
    for _ in range(rounds):
        finetune.predict(config, sample, learner.classifier, device)
    return rounds * len(sample.videos) * config.evaluate.num_clips / (time.monotonic() - began)


if __name__ == "__main__":
    main()
