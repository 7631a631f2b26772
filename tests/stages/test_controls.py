"""What must not work: contrast without masks, clips without motion, labels that were shuffled."""

import numpy as np
import pytest
import torch
from kinds import CPU, build, experiment, reader

from mac.data.clips import training_frames
from mac.masks.frame_difference import foreground_masks
from mac.methods.method import HELD_OUT
from mac.stages import finetune
from mac.validation import ConfigError

ALONE = {"pretrain.pretext": None, "pretrain.contrast.weight": 0.7}


@pytest.fixture
def alone():
    """A learner of contrast alone, and a batch."""
    store, config, learner = build("contrast alone", experiment(**ALONE), CPU)
    return learner, next(reader(store, config.clip.num_frames)([(0, np.arange(4))]))


def test_contrast_alone_attenuates_nothing_and_has_no_other_loss(alone, monkeypatch):
    learner, batch = alone
    monkeypatch.setattr("mac.augment.blend.blend", None)  # not to be called
    monkeypatch.setattr("mac.masks.frame_difference.foreground_masks", None)
    loss, metrics = learner(batch, learner.draw(batch.videos, 0))
    assert set(metrics) == {"loss", "contrastive_loss", "contrastive_top1"}
    torch.testing.assert_close(loss, 0.7 * metrics["contrastive_loss"])
    loss.backward()
    assert all(parameter.grad is not None for parameter in learner.trained)
    assert learner.held_out(batch, learner.draw(batch.videos, HELD_OUT)) == {}
    assert learner.chance == {}


def test_its_two_views_differ_from_each_other(alone, monkeypatch):
    learner, batch = alone
    seen, original = [], learner.backbone.forward

    def look(clip):
        seen.append(clip.detach())
        return original(clip)

    monkeypatch.setattr(learner.backbone, "forward", look)
    learner(batch, learner.draw(batch.videos, 0))
    assert len(seen) == 2
    assert not torch.equal(*seen)


def test_nothing_to_learn_is_refused():
    with pytest.raises(ConfigError, match="pretext and contrast are both null"):
        experiment(**{"pretrain.pretext": None, "pretrain.contrast": None})


def test_a_frozen_clip_has_no_foreground(frame_store):
    config = experiment(**{"pretrain.clip.strides": [0]}).pretraining(1, 1)
    assert config.clip.is_frozen
    frames = training_frames(frame_store.lengths[:6], config.clip.num_frames, config.clip.strides, (1, np.arange(6)))
    assert (frames == frames[:, :1]).all()
    assert len(set(frames[:, 0])) > 1
    clip = torch.from_numpy(frame_store.clips(np.arange(6), frames)).permute(0, 4, 1, 2, 3).float() / 255
    assert not foreground_masks(clip, 0.5, 0.0, "paper").any()


def test_shuffled_labels_are_the_training_videos_own_dealt_anew(frame_store):
    straight, shuffled = (
        experiment(**{"finetune.shuffle_labels": flag}).finetuning(1, 1, "random") for flag in (False, True)
    )
    true = frame_store.videos["label_index"].to_numpy()
    train, test = (frame_store.select(1, side) for side in ("train", "test"))
    assert np.array_equal(finetune.learned_labels(straight, frame_store), true)
    dealt = finetune.learned_labels(shuffled, frame_store)
    assert np.array_equal(dealt[test], true[test])
    assert sorted(dealt[train]) == sorted(true[train])
    assert (dealt[train] != true[train]).mean() > 0.3
    assert np.array_equal(dealt, finetune.learned_labels(shuffled, frame_store))
    other = shuffled.model_copy(update={"seed": 2})
    assert not np.array_equal(dealt, finetune.learned_labels(other, frame_store))
    assert straight.identify() != shuffled.identify()
