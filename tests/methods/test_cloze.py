"""What fills the blank of the cloze procedure, by slices and turns of single clips."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mac.augment.views import ViewRecipe, apply_views, sample_views
from mac.methods.cloze import AS_IT_IS, QUARTERS, REMOTE, TILES, TURNED, Cloze
from mac.training.batches import Batch
from mac.validation import ConfigError, validate

VIDEOS = np.arange(60)
RECIPE = ViewRecipe([[24, 16]], 16, 0.5, 0.8, 0.2)


def cloze(num_frames=8, strides=(1,)):
    settings = Cloze.Settings(interval=2, dropout=0.5, weight=1.0)
    clip = SimpleNamespace(num_frames=num_frames, strides=list(strides), size=16)
    return Cloze(SimpleNamespace(attenuate=None, pretext=settings, contrast=None, seed=1, clip=clip))


def split(clip):
    """The four tiles (C, T, 8, 8) of a clip, by name."""
    return [clip[..., :8, :8], clip[..., :8, 8:], clip[..., 8:, :8], clip[..., 8:, 8:]]


def same_parts(found, wanted):
    """For each of the found parts, which of the wanted ones it is."""
    return [next(i for i, other in enumerate(wanted) if torch.equal(part, other)) for part in found]


def test_each_option_fills_the_blank_as_it_says():
    method = cloze()
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 32, 18, 24, 3), dtype=np.uint8))
    drawn = {"view": sample_views(240, RECIPE, method.view_keys(0, VIDEOS)), "pretext": method.draw(0, VIDEOS, None)}
    shown = method.view(Batch(VIDEOS, frames, None), drawn, RECIPE).unflatten(0, (60, 3))
    clips = apply_views(frames.unflatten(1, (4, 8)).flatten(0, 1), drawn["view"], RECIPE)[1].unflatten(0, (60, 4))
    seen = set()
    for video, option in enumerate(drawn["pretext"].option.tolist()):
        assert torch.equal(shown[video, 0], clips[video, 0])
        assert torch.equal(shown[video, 2], clips[video, 2])
        middle, own = shown[video, 1], clips[video, 1]
        if option == AS_IT_IS:
            assert torch.equal(middle, own)
        elif option == TURNED:
            assert any(torch.equal(middle, torch.rot90(own, turns, (2, 3))) for turns in (1, 2, 3))
        elif option == TILES:
            order = same_parts(split(middle), split(own))
            assert sorted(order) == [0, 1, 2, 3]
            assert sum(a != b for a, b in enumerate(order)) == 2
        elif option == QUARTERS:
            order = same_parts(middle.split(2, 1), own.split(2, 1))
            assert sorted(order) == [0, 1, 2, 3]
            assert sum(a != b for a, b in enumerate(order)) == 2
        else:
            assert option == REMOTE
            assert torch.equal(middle, clips[video, 3])
        seen.add(option)
    assert seen == {0, 1, 2, 3, 4}


def test_four_clips_are_read_in_a_row():
    method, lengths = cloze(), np.full(60, 50)
    starts = method.frames(lengths, 0, VIDEOS).reshape(60, 4, 8)[:, :, 0]
    assert np.all(np.diff(starts, axis=1) == 10)
    assert method.shortest == 38
    assert (method.read, method.clips, method.passes) == (4, 3, 9)


def test_options_are_equally_likely():
    option = cloze().draw(0, np.arange(5000), None).option
    assert torch.bincount(option, minlength=5).sub(1000).abs().max() < 114  # four standard deviations
    assert cloze().chance == 0.2


def test_features_of_three_clips_are_read_together():
    method = cloze()
    neck, width = method.neck(2)
    gathered = method.gather(torch.arange(12.0).reshape(6, 2))
    assert gathered.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert neck(gathered).shape == (2, width)


def test_clips_that_have_no_tiles_or_quarters_are_refused():
    settings = validate(Cloze.Settings, {"interval": 8, "dropout": 0.5, "weight": 1.0})
    with pytest.raises(ValueError, match=r"clip\.size 15 must be even"):
        settings.check(SimpleNamespace(size=15, num_frames=16))
    with pytest.raises(ConfigError, match="interval"):
        validate(Cloze.Settings, {"interval": -1, "dropout": 0.5, "weight": 1.0})
