"""Figures 2–4: where two finetuned models look, on test videos that one, the other or none of them predicts rightly."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mac import pictures
from mac.augment.colour import normalise
from mac.augment.spatial import centre_crops, crop
from mac.config import FinetuneConfig, MaskConfig
from mac.data.clips import test_frames
from mac.data.store import FrameStore
from mac.masks.frame_difference import foreground_masks
from mac.masks.overlap import compare, describe
from mac.models.backbones import build
from mac.models.cam import class_activation_maps
from mac.models.cam_figure import Row, choose_rows, draw, explain, group
from mac.models.heads import ActionClassifier
from mac.randomness import shuffle
from mac.runtime.reading import read_table
from mac.training import batches, checkpoint
from mac.training.processor import to_fast_layout
from mac.training.transfer import send

FIGURES = ("F2", "F3", "F4")


class ComparisonError(Exception):
    """Two finetunings can't be compared; the message says in what they differ."""


@dataclass(frozen=True)
class Model:
    """A finetuned network under the name figures give it, and its saved predictions."""

    name: str
    config: FinetuneConfig
    facts: dict
    network: ActionClassifier
    predictions: pd.DataFrame

    @property
    def is_right(self) -> np.ndarray:
        """Which test videos it predicts rightly, bool (N,)."""
        return (self.predictions["label"] == self.predictions["predicted"]).to_numpy()


@dataclass(frozen=True)
class Looks:
    """Clips of B videos: ``plain`` (B, 3, T, S, S) in [0, 1], ``masks`` and each model's ``maps`` (B, T, S, S)."""

    plain: torch.Tensor
    masks: torch.Tensor
    maps: tuple[torch.Tensor, ...]


def load(name: str, config: FinetuneConfig, weights: Path, predictions: Path, device: torch.device) -> Model:
    """Read a finetuning's results.

    Raises:
        mac.training.checkpoint.CheckpointError: the weights are another finetuning's, or don't fit its network.
    """
    network, facts = checkpoint.load_classifier(weights, config.identify(), build(*config.model.network))
    return Model(name, config, facts, to_fast_layout(network, device).eval(), read_table(predictions))


def run(
    models: tuple[Model, Model],
    mask: MaskConfig,
    store: FrameStore,
    paths: dict[str, list[Path]],
    device: torch.device,
    rows: int = 6,
    sample: int = 200,
    loader_workers: int = 0,
) -> dict:
    """Draw the three figures and measure how much the maps overlap the moving foreground.

    A map explains the class its own model predicts, on the middle test clip; the frame shown is the one with the
    largest foreground.

    Args:
        models: MAC's and the supervised one.
        mask: whose ``preset``, ``momentum`` and ``threshold`` make the change masks.
        store: the frames both were tested on.
        paths: where to put each of ``FIGURES``.
        device: where the networks are.
        rows: videos in a figure, spread over classes.
        sample: most videos the overlap is measured on.
        loader_workers: reading processes.

    Returns:
        What a page needs besides the pictures: ``models``, ``mask``, ``videos``, ``figures`` (group, its size, the
        rows, notes) and ``overlap``.

    Raises:
        ComparisonError: the models were tested on different videos, classes or clips, or not on this store.
    """
    check(models, store)
    first = models[0].config
    videos = store.select(first.split, "test")
    look = partial(_look, models, mask, store, videos, device, loader_workers)
    names, right = tuple(model.name for model in models), [model.is_right for model in models]
    overlap = _measure(models, look, sample)
    cells = [_cells(model, device) for model in models]
    reading = explain(cells[0], mask.momentum, mask.threshold, mask.preset)
    figures = {}
    for figure, (who, members) in zip(FIGURES, group(names, right).items(), strict=True):
        chosen = choose_rows(members, models[0].predictions["label"].to_numpy(), rows, (first.seed, "gradcam", figure))
        notes = [f"The group holds {len(members)} of {len(videos)} test videos, {len(chosen)} are shown."]
        if len(chosen) < rows:
            notes.append(
                f"It is too small for the {rows} rows wanted." if len(chosen) else "It is empty: no row to show."
            )
        shown, facts = _rows(models, store, look(chosen), chosen) if len(chosen) else ([], [])
        title = f"Figure {figure[1:]}: test videos {who}"
        drawn = draw(shown, names, title, [*notes, *([reading] if shown else []), overlap["note"]])
        pictures.save(drawn, paths[figure], dpi=100)  # soft pictures: finer ones show no more, and take megabytes
        figures[figure] = {"title": title, "group": who, "size": len(members), "rows": facts, "notes": notes}
        figures[figure]["files"] = [path.name for path in paths[figure]]
    return {
        "models": [
            {"name": m.name, "finetune_id": m.config.identify(), "right": int(m.is_right.sum()), "cells": c}
            for m, c in zip(models, cells, strict=True)
        ],
        "videos": len(videos),
        "classes": list(store.labels),
        "mask": {"momentum": mask.momentum, "threshold": mask.threshold, "preset": mask.preset},
        "reading": reading,
        "figures": figures,
        "overlap": overlap,
        "index_digest": store.digest,
    }


def check(models: tuple[Model, Model], store: FrameStore) -> None:
    """Make sure that two models were tested on the same clips of the same videos, those of this store.

    Raises:
        ComparisonError: naming the first difference.
    """

    def seen(model: Model) -> dict:
        """What a model was tested on, by the name an error gives it."""
        c, p = model.config, model.predictions
        own = {"split": c.split, "frames in a clip": c.clip.num_frames, "clip size": c.clip.size}
        own |= {"test clips": dict(c.evaluate), "labels": p["label"].tolist()}
        data = {"classes": model.facts["classes"], "data (index digest)": model.facts["index_digest"]}
        return data | {"test videos": p["path"].tolist()} | own

    first = models[0].config
    rows = store.videos.iloc[store.select(first.split, "test")]
    stored = {"classes": list(store.labels), "data (index digest)": store.digest, "test videos": rows["path"].tolist()}
    others = {f"finetuning {models[1].config.identify()}": seen(models[1]), "the frame store": stored}
    for name, other in others.items():
        for what, value in seen(models[0]).items():
            if value != other.get(what, value):
                raise ComparisonError(
                    f"finetuning {first.identify()} and {name} differ in {what}: {_short(value)} and"
                    f" {_short(other[what])}; models are compared on the same clips: give two finetunings of one data"
                    " set, split and kind of test, and the store they were tested on"
                )


def _look(
    models: tuple[Model, Model],
    mask: MaskConfig,
    store: FrameStore,
    videos: np.ndarray,
    device: torch.device,
    workers: int,
    chosen: np.ndarray,
) -> Looks:
    """Compute the middle test clip of chosen test videos (by position), its masks, and each model's maps."""
    config = models[0].config
    e, clip = config.evaluate, config.clip
    parts = batches.in_turn(chosen, config.optimiser.batch_size)
    planned = batches.of_one_epoch("test", [videos[part] for part in parts])
    choose = partial(_middle_clip, config)
    read = batches.read(store, planned, choose, workers=workers, pinned=device.type == "cuda")
    found = []
    for part, batch in zip(parts, read, strict=True):
        crops = send(centre_crops(len(part), e.scale, clip.size), device)
        plain = crop(batch.to(device).frames, crops, clip.size)
        masks = foreground_masks(plain, mask.momentum, mask.threshold, mask.preset)[:, 0]
        view = normalise(plain)
        classes = send([torch.tensor(m.predictions["predicted"].to_numpy()[part]) for m in models], device)
        maps = [class_activation_maps(m.network, view, own) for m, own in zip(models, classes, strict=True)]
        found.append([value.cpu() for value in (plain, masks, *maps)])
    plain, masks, *maps = (torch.cat(values) for values in zip(*found, strict=True))
    return Looks(plain, masks, tuple(maps))


def _middle_clip(config: FinetuneConfig, lengths: np.ndarray, _: int | str, videos: np.ndarray) -> np.ndarray:
    """Frame numbers (B, T) of the middle one of each video's test clips."""
    e = config.evaluate
    return test_frames(lengths, config.clip.num_frames, e.stride, e.num_clips, e.positions)[:, e.num_clips // 2]


def _rows(models: tuple[Model, Model], store: FrameStore, looks: Looks, chosen: np.ndarray) -> tuple[list[Row], list]:
    """Choose the frame with the largest foreground of each chosen test video: pictures, and facts for a page."""
    shown, facts = [], []
    for i, position in enumerate(chosen):
        at = int(looks.masks[i].mean((1, 2)).argmax())
        video = models[0].predictions["path"].iloc[position]
        label = store.labels[models[0].predictions["label"].iloc[position]]
        predicted = tuple(store.labels[m.predictions["predicted"].iloc[position]] for m in models)
        frame = (looks.plain[i, :, at] * 255).round().byte().permute(1, 2, 0).numpy()
        maps = tuple(own[i, at].numpy() for own in looks.maps)
        shown.append(Row(Path(video).stem, label, predicted, frame, looks.masks[i, at].numpy(), maps))
        facts.append({"video": video, "class": label, "predicted": list(predicted), "frame": at})
    return shown, facts


def _measure(models: tuple[Model, Model], look: Callable[[np.ndarray], Looks], sample: int) -> dict:
    """Compare the models' maps with the foreground on a sample of the test videos, and say the result in a sentence."""
    tested, keys = models[0].predictions, (models[0].config.seed, "gradcam", "overlap")
    chosen = np.sort(shuffle(np.arange(len(tested)), keys)[:sample])
    looks, tested = look(chosen), tested.iloc[chosen]
    found = compare(looks.maps, looks.masks, tested["group"].to_numpy(), keys)
    if each := found["each"]:
        found["each"] = {"path": tested["path"].iloc[each.pop("clip")].tolist(), **each}
    return {"sample": len(chosen), **found, "note": describe([model.name for model in models], found)}


def _cells(model: Model, device: torch.device) -> list[int]:
    """Count the cells of a model's map in time, height and width."""
    clip = model.config.clip
    blank = torch.zeros(1, 3, clip.num_frames, clip.size, clip.size, device=device)
    with torch.no_grad():
        return list(model.network.activations(blank).shape[2:])


def _short(value: object) -> str:
    text = f"{len(value)}: {', '.join(map(str, value))}" if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
