"""Mask checks and the mask sweep: mask settings judged and shown on the clips pretraining would see."""

from pathlib import Path

import torch

from mac import pictures
from mac.augment.spatial import crop
from mac.augment.views import ViewRecipe, sample_views
from mac.config import MaskCheckConfig
from mac.data.clips import training_frames
from mac.data.store import FrameStore
from mac.masks import check
from mac.masks.frame_difference import background_differences, foreground_masks, luma, threshold_differences
from mac.masks.person_boxes import box_masks
from mac.randomness import shuffle

CLIPS = 64  # clips of a mask check
SHOWN = 4  # clips in its picture
SWEEP_MOMENTA, SWEEP_THRESHOLDS = (0.1, 0.5, 1.0), (10.0, 30.0, 60.0)  # Tables 7 and 8


def setting(config: MaskCheckConfig) -> str:
    """Describe a mask setting in words."""
    m = config.mask
    where = f"on {config.store.dataset.name}, strides {config.clip.strides}"
    if m.source == "person_boxes":
        return f"person boxes {where}"
    return f"m = {m.momentum:g}, λ = {m.threshold:g} ({m.preset}) {where}"


def run(config: MaskCheckConfig, store: FrameStore, picture: Path) -> dict:
    """Check a mask setting and draw its picture; returns what was found (see :func:`mac.masks.check.statistics`)."""
    plain, boxes, crops = _clips(config, store)
    m, size = config.mask, config.clip.size
    if m.source == "person_boxes":
        masks = box_masks(boxes, crops, size)
    else:
        masks = foreground_masks(plain, m.momentum, m.threshold, m.preset)
    rows = [(f"clip {i + 1}", check.overlay(plain[i], masks[i])) for i in range(min(SHOWN, len(plain)))]
    pictures.save(check.picture(rows, f"Foreground: {setting(config)}"), [picture])
    facts = {"setting": setting(config), "clips": len(plain), "index_digest": store.digest}
    return facts | check.statistics(masks)


def sweep(config: MaskCheckConfig, store: FrameStore, paths: list[Path]) -> list[dict]:
    """Show one clip under all m and λ of Tables 7 and 8; one background pass per m serves every λ.

    Returns:
        One dict per (m, λ): ``momentum``, ``threshold``, ``foreground`` and ``stability`` over the check's clips.
    """
    plain, _, _ = _clips(config, store)
    preset = config.mask.preset
    gray = luma(plain, preset)
    found, rows = [], [("frames", (plain[0] * 255).byte().permute(1, 2, 3, 0).numpy())]
    for momentum in SWEEP_MOMENTA:
        differences = background_differences(gray, momentum, preset)
        for threshold in SWEEP_THRESHOLDS:
            masks = threshold_differences(differences, threshold, preset)
            facts = check.statistics(masks)
            kept = {name: facts[name] for name in ("foreground", "stability", "empty_frames")}
            found.append({"momentum": momentum, "threshold": threshold, **kept})
            rows.append((f"m = {momentum:g}, λ = {threshold:g}", check.overlay(plain[0], masks[0])))
    figure = check.picture(rows, f"Foreground masks of one clip ({config.store.dataset.name}, preset {preset})")
    pictures.save(figure, paths)
    return found


def _clips(config: MaskCheckConfig, store: FrameStore) -> tuple[torch.Tensor, torch.Tensor | None, object]:
    """Cut clips (V, 3, T, S, S) out of training videos chosen evenly at random."""
    least = config.boxes.min_share_of_frames if config.boxes else 0.0
    videos = shuffle(store.select(config.split, "train", least), ("card",))[:CLIPS]
    clip = config.clip
    frames = training_frames(store.lengths[videos], clip.num_frames, clip.strides, ("card frames", videos))
    recipe = ViewRecipe(clip.scales, clip.size, 0.0, 0.0, 0.0)
    crops = sample_views(len(videos), recipe, ("card", videos)).crops
    plain = crop(torch.from_numpy(store.clips(videos, frames)), crops, clip.size)
    boxes = None
    if config.mask.source == "person_boxes":
        boxes = torch.from_numpy(store.boxes(videos, frames))
    return plain, boxes, crops
