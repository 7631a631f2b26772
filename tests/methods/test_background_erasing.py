"""What background erasing mixes into a clip."""

from types import SimpleNamespace

import numpy as np
import torch

from mac.augment.views import ViewRecipe, apply_views, sample_views
from mac.methods.background_erasing import BackgroundErasing
from mac.training.batches import Batch

VIDEOS = np.arange(6)


def erasing(most=0.3):
    settings = BackgroundErasing.Settings(most=most, dropout=0.0, weight=1.0)
    contrast = SimpleNamespace(symmetric=False)
    clip = SimpleNamespace(num_frames=8)
    return BackgroundErasing(SimpleNamespace(attenuate=None, pretext=settings, contrast=contrast, seed=1, clip=clip))


def test_a_still_frame_of_the_clip_is_mixed_into_each_frame():
    method, recipe = erasing(), ViewRecipe([[24, 16]], 16, 0.5, 0.8, 0.2)
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 8, 18, 24, 3), dtype=np.uint8))
    drawn = {"view": sample_views(6, recipe, ("v", VIDEOS)), "pretext": method.draw(0, VIDEOS, None)}
    shown = method.view(Batch(VIDEOS, frames, None), drawn, recipe)
    natural = apply_views(frames, drawn["view"], recipe)[1]
    for clip, own, frame, weight in zip(shown, natural, *drawn["pretext"], strict=True):
        assert torch.allclose(clip, (1 - weight) * own + weight * own[:, frame : frame + 1], atol=1e-6)
    drawn["pretext"] = erasing(0.0).draw(0, VIDEOS, None)
    assert erasing(0.0).view(Batch(VIDEOS, frames, None), drawn, recipe).equal(natural)


def test_weights_and_frames_are_spread_over_their_ranges():
    frame, weight = erasing().draw(0, np.arange(4000), None)
    assert 0 <= weight.min() < 0.001 < 0.299 < weight.max() < 0.3
    assert torch.bincount(frame, minlength=8).sub(500).abs().max() < 84  # four standard deviations


def test_it_costs_what_contrast_costs_and_has_no_head():
    assert (erasing().outputs(None), erasing().chance) == (0, None)
    assert erasing().passes == 4
