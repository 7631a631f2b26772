"""Throughput: clips a second of every kind of step that a scale's trainings take, for ``config/throughput.yaml``.

``python -m benchmarks.throughput --scale paper --where "the machine"`` prints entries to put there. The real learners
and loop run on random frames: what reading clips costs is in ``benchmarks clips``.
"""

import argparse
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.stand_ins import NoFolder, RandomStore
from mac import plan
from mac.config import FinetuneConfig, PretrainConfig
from mac.costs.throughput import kinds_of
from mac.stages import evaluate
from mac.stages.finetune import ActionLearner
from mac.stages.learners import MacLearner, SupervisedLearner
from mac.training.batches import Batch, Plan
from mac.training.loop import Loop
from mac.training.optim import build_optimiser
from mac.training.processor import describe, prepare


class _Rates(NoFolder):
    """A run folder that keeps nothing but the times at which epochs ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.gpu_megabytes = 0.0

    def write(self, event: str, **values: Any) -> None:
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
    arguments = parser.parse_args()
    planned = plan.load(Path("config"), arguments.scale)
    runs = [*planned.pretrainings.values(), *planned.finetunings.values()]
    configs = {kinds_of(run.config): run.config for run in runs}
    measured = {kind for kinds in configs for kind in kinds if kind.stage not in arguments.stages}
    for (training, testing), config in sorted(configs.items(), key=lambda entry: entry[0][0].operations):
        device = prepare(arguments.device, arguments.threads, config.precision)
        batch = arguments.batch or config.optimiser.batch_size
        for kind, rate, _ in _measure(config, device, batch, arguments.steps, training, testing, measured):
            entry = {"device": describe(device), **kind.model_dump(), "batch": batch, "threads": arguments.threads}
            entry |= {"clips_per_second": float(f"{rate:.3g}"), "date": str(date.today()), "where": arguments.where}
            print("- " + yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=1000).strip())
            sys.stdout.flush()


def _measure(
    config: PretrainConfig | FinetuneConfig,
    device: torch.device,
    batch: int,
    steps: int,
    training: object,
    testing: object,
    measured: set,
) -> Iterator[tuple[Any, float, float]]:
    """Yield each kind that isn't in ``measured``, its clips a second, and the megabytes of a GPU it took at most."""
    store = RandomStore(batch * steps, config.store.width, config.store.height)
    if isinstance(config, PretrainConfig):
        kind = MacLearner if config.task == "mac" else SupervisedLearner
        learner = kind(config, store.videos["label_index"].to_numpy(), device)
    else:
        learner = ActionLearner(config, store, device).to(device, memory_format=torch.channels_last_3d)
    if training not in measured:
        measured.add(training)
        yield training, *_train(learner, config, store, batch, steps)
    if testing not in measured and isinstance(learner, ActionLearner):
        measured.add(testing)
        yield testing, _test(learner, config, store, device, batch), 0.0


def _train(learner: torch.nn.Module, config: Any, store: RandomStore, batch: int, steps: int) -> tuple[float, float]:
    """Clips a second of the last of two epochs, and its memory; the first lets caches and kernels settle."""
    folder, o = _Rates(), config.optimiser
    optimiser = build_optimiser(learner.trained, o.name, o.lr, o.sgd_momentum, o.weight_decay)
    loop = Loop("benchmark", learner, optimiser, lambda _: 1e-5, o.gradient_clip, folder)
    videos = np.arange(batch * steps).reshape(steps, batch)

    frames = np.broadcast_to(np.arange(config.clip.num_frames), (batch, config.clip.num_frames))
    one = Batch(videos[0], torch.from_numpy(store.clips(videos[0], frames)), torch.zeros(*frames.shape, 1, 4))
    one = one.pin_memory() if torch.cuda.is_available() else one

    def read(planned: Plan) -> Generator[Batch]:
        for _, chosen in planned:
            yield replace(one, videos=chosen)

    loop.train(2, lambda epoch: list(videos if epoch else videos[:5]), read)
    return batch * steps / (folder.ends[1] - folder.ends[0]), folder.gpu_megabytes


def _test(learner: ActionLearner, config: Any, store: RandomStore, device: torch.device, batch: int) -> float:
    sample = RandomStore(max(batch // config.evaluate.num_clips, 1), config.store.width, config.store.height)
    evaluate.run(config, sample, learner.classifier, device)
    rounds, began = 3, time.monotonic()
    for _ in range(rounds):
        evaluate.run(config, sample, learner.classifier, device)
    return rounds * len(sample.videos) * config.evaluate.num_clips / (time.monotonic() - began)


if __name__ == "__main__":
    main()
