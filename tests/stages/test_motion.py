"""How much moves in test videos, against the masks of single clips."""

import numpy as np
import torch
from kinds import experiment

from mac.augment.spatial import centre_crops, crop
from mac.config import MaskConfig
from mac.data.clips import test_frames as frames_of_test_clips
from mac.masks.frame_difference import foreground_masks
from mac.stages import motion


def test_a_videos_share_is_the_mean_over_its_test_clips(frame_store):
    config = experiment().finetuning(1, 1, "random")
    mask = MaskConfig(source="frame_difference", preset="paper", momentum=0.5, threshold=10.0)
    found = motion.run(config, mask, frame_store)
    videos, e, clip = frame_store.select(1, "test"), config.evaluate, config.clip
    assert list(found) == frame_store.videos["path"].iloc[videos].tolist()
    video = videos[3:4]
    numbers = frames_of_test_clips(frame_store.lengths[video], clip.num_frames, e.stride, e.num_clips, e.positions)[0]
    shares = []
    for own in numbers:
        frames = torch.from_numpy(frame_store.clips(video, own[None]))
        plain = crop(frames, centre_crops(1, e.scale, clip.size), clip.size)
        shares.append(float(foreground_masks(plain, 0.5, 10.0, "paper").mean()))
    assert found[frame_store.videos["path"].iloc[videos[3]]] == np.float32(np.mean(shares))
    assert 0 < np.mean(list(found.values())) < 0.9
