"""Pretraining: one segment, from a checkpoint epoch (or nothing) to the next."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mac.config import PretrainConfig
from mac.data.store import FrameStore, StoreError
from mac.methods import method_of
from mac.methods.learner import Learner
from mac.training import batches, checkpoint, trainer
from mac.training.distributed import ALONE, World
from mac.training.evaluation import held_out_scores
from mac.training.loop import Loop
from mac.training.monitor import Monitor, at_chance
from mac.training.processor import describe
from mac.training.run_folder import RunFolder


@dataclass(frozen=True)
class Outputs:
    """Files a segment leaves: the backbone for finetuning, the state the next segment continues, its journal."""

    backbone: Path
    state: Path
    journal: Path


def run(
    config: PretrainConfig,
    store: FrameStore,
    until: int,
    previous: Path | None,
    outputs: Outputs,
    folder: RunFolder,
    device: torch.device,
    loader_workers: int = 0,
    facts: dict[str, str] | None = None,
    world: World = ALONE,
    monitor_epochs: int | None = 0,
) -> dict[str, object]:
    """Train from the previous checkpoint's epoch to epoch ``until``, both of the schedule's ``epochs``.

    Args:
        config: the resolved stage.
        store: its frames.
        until: epoch to end at, 1 … ``config.optimiser.epochs``.
        previous: training state to continue, None to begin.
        outputs: files to write; they appear when the segment is complete.
        folder: where the segment keeps its snapshots and journal until then; it continues from what is there.
        device: where to train.
        loader_workers: reading processes.
        facts: provenance to put into the journal (git commit, …).
        world: the processes that train it; all call this, the first writes.
        monitor_epochs: epochs between two looks at its features (:class:`mac.training.monitor.Monitor`); 0: none.

    Returns:
        ``epoch``, ``index_digest``, ``device``, the held-out scores with the chance level of the pretext [percent],
        ``held_out_videos``, how many they are of, and ``warnings``, texts.

    Raises:
        mac.training.loop.NotFiniteError: the loss diverged.
        mac.training.run_folder.Interrupted: the run was asked to leave, and has saved itself.
        mac.training.checkpoint.CheckpointError: ``previous`` or the folder belongs to another run or to other data.
    """
    run_id, size = config.identify(), config.optimiser.batch_size
    least = config.boxes.min_share_of_frames if config.boxes else 0.0
    train, test = (
        _long_enough(store.select(config.split, side, least), side, store, config, folder) for side in ("train", "test")
    )
    learner = Learner(config, store.videos["label_index"].to_numpy(), device, world)
    read = partial(
        batches.read,
        store,
        choose=learner.method.frames,
        boxes=config.boxes is not None,
        workers=loader_workers,
        pinned=device.type == "cuda",
    )
    begin = partial(_continue_segment, previous, run_id, store.digest)
    monitor = Monitor(learner, store, train, test, partial(read, workers=0), folder, monitor_epochs)
    loop = trainer.train(
        "pretrain", config, learner, store, train, until, read, folder, device, facts, world, begin, monitor.look
    )
    held_out = held_out_scores(learner, read, test, size, folder.leave_if_asked)
    folder.write("metrics", epoch=until, step=loop.position.step, **held_out)
    if until == config.optimiser.epochs and (why := at_chance(held_out | learner.chance, len(test))):
        folder.warn("pretext still at chance", f"{why} after {loop.position.step} steps", until, loop.position.step)
    folder.write("end", epoch=until, final=held_out)
    if world.is_first:
        checkpoint.save_weights(outputs.backbone, learner.backbone, {"pretrain_id": run_id, "epoch": str(until)})
        state = {name: value for name, value in loop.state().items() if name != "position"}
        where = {"epoch": until, "step": loop.position.step, "index_digest": store.digest}
        checkpoint.save_state(outputs.state, run_id, where | state)
    folder.publish(outputs.journal)
    return {
        "epoch": until,
        **held_out,
        **learner.chance,
        "held_out_videos": len(test),
        "warnings": world.collect(folder.warnings)[0],
        "index_digest": store.digest,
        "device": describe(device, world.size),
    }


def _long_enough(
    videos: np.ndarray, side: str, store: FrameStore, config: PretrainConfig, folder: RunFolder
) -> np.ndarray:
    """Leave out the videos of a split's side that are too short for a method's clips, with a warning.

    Raises:
        mac.data.store.StoreError: none is long enough.
    """
    needed, lengths = method_of(config).shortest, store.lengths[videos]
    kept = videos[lengths >= needed]
    if len(videos) and not len(kept):
        raise StoreError(
            f"{store.folder}: {config.method} needs videos of {needed} frames, the longest of split {config.split}'s"
            f" {side} videos has {lengths.max()} — shorten pretrain.clip.num_frames, pretrain.clip.strides or the"
            " method's interval"
        )
    if len(kept) < len(videos):
        count = f"{len(videos) - len(kept):,} of {len(videos):,}"
        folder.warn(
            f"{side} videos left out", f"{count} have fewer frames than the {needed} that {config.method} needs", 0, 0
        )
    return kept


def _continue_segment(path: Path | None, run_id: str, digest: str, loop: Loop) -> None:
    """Continue where the segment before ended, if there is one."""
    if path is None:
        return
    state = checkpoint.load_state(path, run_id)
    if state["index_digest"] != digest:
        raise checkpoint.CheckpointError(
            f"{path}: trained on data with digest {state['index_digest']}, but the store's is {digest};"
            " restore the data, or delete the run's folder to train anew"
        )
    position = {"epoch": state["epoch"], "step": state["step"]}
    loop.restore({"position": position, "learner": state["learner"], "optimiser": state["optimiser"]})
