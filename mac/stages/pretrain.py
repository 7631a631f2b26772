"""Pretraining: one segment, from a checkpoint epoch (or nothing) to the next."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mac.config import PretrainConfig
from mac.data.clips import training_frames
from mac.data.store import FrameStore
from mac.stages.learners import MacLearner, SupervisedLearner
from mac.tracking.journal import Journal
from mac.training import batches, checkpoint
from mac.training.optim import build_optimiser, learning_rate
from mac.training.processor import describe


@dataclass(frozen=True)
class Outputs:
    """Files a segment leaves: the backbone for finetuning, the state the next segment continues, its journal."""

    backbone: Path
    state: Path
    journal: Path


class NotFiniteError(Exception):
    """The loss became NaN or infinite; the message says where."""


def run(
    config: PretrainConfig,
    store: FrameStore,
    until: int,
    previous: Path | None,
    outputs: Outputs,
    device: torch.device,
    loader_workers: int = 0,
    facts: dict[str, str] | None = None,
) -> dict[str, object]:
    """Train from the previous checkpoint's epoch to epoch ``until``, both of the schedule's ``epochs``.

    Args:
        config: the resolved stage.
        store: its frames.
        until: epoch to end at, 1 … ``config.optimiser.epochs``.
        previous: training state to continue, None to begin.
        outputs: files to write; they appear when the segment is complete.
        device: where to train.
        loader_workers: reading processes.
        facts: provenance to put into the journal (git commit, …).

    Returns:
        ``epoch``, ``index_digest``, ``device``, and the held-out scores with the chance level of the pretext [percent].

    Raises:
        NotFiniteError: the loss diverged.
        mac.training.checkpoint.CheckpointError: ``previous`` belongs to another run.
    """
    o = config.optimiser
    train, test = store.select(config.split, "train"), store.select(config.split, "test")
    kind = MacLearner if config.task == "mac" else SupervisedLearner
    learner = kind(config, store.videos["label_index"].to_numpy(), device)
    optimiser = build_optimiser(learner.trained, o.name, o.lr, o.sgd_momentum, o.weight_decay)
    run_id, first, step = config.identify(), 0, 0
    if previous:
        state = checkpoint.load_state(previous, run_id)
        learner.load_state_dict(state["learner"])
        optimiser.load_state_dict(state["optimiser"])
        first, step = state["epoch"], state["step"]
        if state["index_digest"] != store.digest:
            raise checkpoint.CheckpointError(
                f"{previous}: trained on data with digest {state['index_digest']}, but the store's is {store.digest};"
                " restore the data, or delete the run's folder to train anew"
            )
    choose = partial(_choose, store.lengths, config)
    read = partial(batches.read, store, boxes=config.mask.source == "person_boxes", workers=loader_workers)

    with Journal(outputs.journal) as journal:
        journal.write(
            "start",
            stage="pretrain",
            id=run_id,
            epoch=first,
            until=until,
            epochs=o.epochs,
            device=describe(device),
            index_digest=store.digest,
            videos=len(train),
            facts=facts or {},
        )
        for epoch in range(first, until):
            began, sums, clips = time.perf_counter(), {}, 0
            learner.train()
            planned = batches.epoch_order(train, o.batch_size, (config.seed, "order", epoch))
            for i, batch in enumerate(read(planned, partial(choose, epoch))):
                # 1. the rate of this step
                rate = learning_rate(
                    o.lr, epoch + i / len(planned), o.epochs, o.schedule, o.milestones, o.gamma, o.warmup_epochs
                )
                for group in optimiser.param_groups:
                    group["lr"] = rate
                # 2. losses of the batch's views
                loss, metrics = learner.losses(batch, epoch)
                # 3. one step of the optimiser
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(learner.trained, o.gradient_clip)
                optimiser.step()
                # 4. the key encoder follows
                learner.after_step()
                step += 1
                clips += len(batch.videos)
                for name, value in metrics.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
                if not np.isfinite(sums["loss"]):
                    raise NotFiniteError(
                        f"pretraining {run_id}: loss {loss.item()} in step {step}, epoch {epoch + 1}, lr {rate:g}"
                    )
            means = {name: value / len(planned) for name, value in sums.items()}
            speed = clips / (time.perf_counter() - began)
            journal.write("metrics", epoch=epoch + 1, step=step, lr=rate, clips_per_second=round(speed, 2), **means)
        held_out = _held_out(learner, read, choose, test, o.batch_size)
        journal.write("metrics", epoch=until, step=step, **held_out)
        checkpoint.save_backbone(outputs.backbone, learner.backbone, {"pretrain_id": run_id, "epoch": str(until)})
        state = {"epoch": until, "step": step, "learner": learner.state_dict(), "optimiser": optimiser.state_dict()}
        checkpoint.save_state(outputs.state, run_id, state | {"index_digest": store.digest})
        final = {"epoch": until, **held_out, **learner.chance, "index_digest": store.digest, "device": describe(device)}
        journal.write("end", epoch=until, final=held_out)
    return final


def _choose(lengths: np.ndarray, config: PretrainConfig, epoch: int | str, videos: np.ndarray) -> np.ndarray:
    """Choose each video's frames for an epoch (or for the held-out score)."""
    keys = (config.seed, "frames", epoch, videos)
    return training_frames(lengths[videos], config.clip.num_frames, config.clip.strides, keys)


def _held_out(learner: torch.nn.Module, read: partial, choose: partial, videos: np.ndarray, size: int) -> dict:
    """Average the learner's held-out scores over the split's test videos."""
    learner.eval()
    scores: dict[str, list[torch.Tensor]] = {}
    for batch in read(batches.in_turn(videos, size), partial(choose, "held out")):
        for name, values in learner.held_out(batch).items():
            scores.setdefault(name, []).append(values)
    return {name: float(torch.cat(values).mean()) for name, values in scores.items()}
