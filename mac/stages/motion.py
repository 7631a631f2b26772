"""How much moves in each test video: the foreground that Algorithm 1 marks in the clips a finetuning is tested on."""

from functools import partial

import torch

from mac.augment.spatial import centre_crops, crop
from mac.config import FinetuneConfig, MaskConfig
from mac.data.store import FrameStore
from mac.masks.frame_difference import foreground_masks
from mac.training import batches
from mac.training.evaluation import all_clips


def run(config: FinetuneConfig, mask: MaskConfig, store: FrameStore) -> dict[str, float]:
    """Measure the test videos of a finetuning's split.

    Args:
        config: the finetuning, whose test clips are looked at.
        mask: the setting that marks the foreground.
        store: the frames.

    Returns:
        The share of pixels that are foreground, in [0, 1], the mean over a video's test clips, by the video's path.
    """
    videos, e, clip = store.select(config.split, "test"), config.evaluate, config.clip
    planned = batches.of_one_epoch("test", batches.in_turn(videos, config.optimiser.batch_size))
    shares = []
    for batch in batches.read(store, planned, partial(all_clips, clip.num_frames, e)):
        frames = batch.frames.flatten(0, 1).unflatten(0, (-1, clip.num_frames))
        plain = crop(frames, centre_crops(len(frames), e.scale, clip.size), clip.size)
        marked = foreground_masks(plain, mask.momentum, mask.threshold, mask.preset)
        shares.append(marked.flatten(1).mean(1).view(-1, e.num_clips).mean(1))
    return dict(zip(store.videos["path"].iloc[videos], torch.cat(shares).tolist(), strict=True))
