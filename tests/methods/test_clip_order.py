"""Which clips clip order prediction shows, that their order is what it asks for, and how it reads their features."""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from kinds import CPU, SHORT, experiment

from mac.methods.clip_order import ClipOrder
from mac.methods.learner import Learner
from mac.methods.method import HELD_OUT
from mac.training.batches import Batch

VIDEOS = np.arange(3000)
LENGTHS = 64 + VIDEOS % 150


def clip_order(clips=3, interval=8, strides=(1,), num_frames=16):
    settings = ClipOrder.Settings(clips=clips, interval=interval, dropout=0.5, weight=1.0)
    clip = SimpleNamespace(num_frames=num_frames, strides=list(strides))
    return ClipOrder(SimpleNamespace(attenuate=None, pretext=settings, contrast=None, seed=1, clip=clip))


@pytest.mark.parametrize("epoch", [0, 7, HELD_OUT])
def test_the_label_is_the_order_of_the_clips_that_are_shown(epoch):
    method = clip_order()
    labels = method.draw(epoch, VIDEOS, None).numpy()
    frames = method.frames(LENGTHS, epoch, VIDEOS).reshape(-1, 3, 16)
    assert np.all(np.diff(frames, axis=2) == 1)
    assert np.all((frames >= 0) & (frames < LENGTHS[:, None, None]))
    starts = frames[:, :, 0]
    shown = [tuple(order) for order in np.argsort(np.argsort(starts, axis=1), axis=1)]
    assert shown == [list(permutations(range(3)))[label] for label in labels]
    assert np.all(np.diff(np.sort(starts, axis=1), axis=1) == 24)  # 16 frames and 8 between, as in the paper
    assert np.abs(np.bincount(labels, minlength=6) - 500).max() < 85  # four standard deviations


def test_the_shortest_video_has_one_place_and_longer_ones_use_all():
    method = clip_order()
    assert method.shortest == 64
    assert set(method.frames(np.full(3000, 64), 0, VIDEOS).min(1)) == {0}
    assert set(method.frames(np.full(3000, 67), 0, VIDEOS).min(1)) == {0, 1, 2, 3}
    assert clip_order(strides=(1, 2)).shortest == 127


def test_frozen_clips_are_all_alike():
    frames = clip_order(strides=(0,)).frames(LENGTHS, 0, VIDEOS)
    assert np.all(frames == frames[:, :1])


def test_pairs_of_features_are_read_in_turn():
    method = clip_order()
    features = torch.arange(12.0).reshape(6, 2)  # two videos of three clips, two channels
    gathered = method.gather(features)
    assert gathered.tolist()[1] == [[6, 7, 8, 9], [6, 7, 10, 11], [8, 9, 10, 11]]
    neck, width = method.neck(2)
    assert neck(gathered).shape == (2, width) == (2, 3 * 512)
    assert method.chance == pytest.approx(1 / 6)
    assert method.outputs(None) == 6
    assert (method.passes, method.read) == (9, 3)


class Crossing:
    """Frames (16, 22) of a bar that moves to the right by a pixel a frame; each video has it at another height."""

    lengths = np.full(64, 16)

    def batch(self, learner, videos, epoch):
        numbers = learner.method.frames(self.lengths[videos], epoch, videos)
        frames = np.zeros((*numbers.shape, 16, 22, 3), np.uint8)
        for video, row, own in zip(videos, numbers, frames, strict=True):
            for number, frame in zip(row, own, strict=True):
                frame[4 + video % 8 : 8 + video % 8, number : number + 6] = 255
        return Batch(videos, torch.from_numpy(frames), None), learner.draw(videos, epoch)


def test_the_order_is_learned_where_it_shows():
    plain = {"pretrain.clip.flip_probability": 0.0, "pretrain.colour.jitter_probability": 0.0}
    method = {"pretrain.method": "clip_order", "pretrain.contrast": None, "pretrain.clip_order.dropout": 0.0}
    config = experiment(**SHORT, **method, **plain).pretraining(1, 1)
    learner, shown = Learner(config, np.zeros(64, int), CPU), Crossing()
    optimiser = torch.optim.AdamW(learner.trained, lr=4e-3)
    for step, order in enumerate(np.random.default_rng(0).permuted(np.tile(np.arange(48), (75, 1)), axis=1)):
        loss, _ = learner(*shown.batch(learner, order[:16], step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    learner.eval()
    right = learner.held_out(*shown.batch(learner, np.arange(48, 64), HELD_OUT))["pretext_top1_held_out"]
    assert right.mean() > 40  # chance 16.7
