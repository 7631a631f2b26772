"""Views are made clip by clip on a CPU; that must not show, and colour must be right in single precision too."""

from dataclasses import replace

import matplotlib.colors
import numpy as np
import torch

from mac.augment.colour import MEAN, STD, normalise, shift_colour
from mac.augment.spatial import crop
from mac.augment.views import ViewRecipe, apply_views, make_views, sample_views

RECIPE = ViewRecipe([[40, 30], [48, 36]], 24, 0.5, 0.8, 0.2)
KEYS = ("views", np.arange(12))


def frames():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (12, 4, 36, 48, 3)).astype(np.uint8))


def test_a_view_made_clip_by_clip_is_the_batchs_bit_for_bit():
    drawn = sample_views(12, RECIPE, KEYS)
    assert drawn.colours.gray.any()
    whole = normalise(shift_colour(crop(frames(), drawn.crops, 24), drawn.colours))
    assert torch.equal(make_views(frames(), drawn, RECIPE), whole)


def test_a_recipe_says_what_hues_do_at_red():
    drawn = sample_views(12, RECIPE, KEYS)
    clipped = make_views(frames(), drawn, replace(RECIPE, hue="clip"))
    assert not torch.equal(clipped, make_views(frames(), drawn, RECIPE))
    assert torch.equal(clipped, normalise(shift_colour(crop(frames(), drawn.crops, 24), drawn.colours, "clip")))


def test_a_view_agrees_with_matplotlibs_colours_to_a_millionth():
    drawn = sample_views(12, RECIPE, KEYS)
    plain, view = apply_views(frames(), drawn, RECIPE)
    ours = view.permute(0, 2, 3, 4, 1).double().numpy() * STD + MEAN
    for i, clip in enumerate(plain.permute(0, 2, 3, 4, 1).double().numpy()):
        one = [float(getattr(drawn.colours, name)[i]) for name in ("brightness", "contrast", "hue", "saturation")]
        lit = np.clip(np.clip(clip + one[0], 0, 1) * one[1], 0, 1)
        hsv = matplotlib.colors.rgb_to_hsv(lit)
        hsv[..., 0] = (hsv[..., 0] + one[2]) % 1
        hsv[..., 1] = np.minimum(hsv[..., 1] * one[3], 1)
        expected = matplotlib.colors.hsv_to_rgb(hsv)
        if drawn.colours.gray[i]:
            expected = np.repeat(expected @ [[0.299], [0.587], [0.114]], 3, axis=-1)
        np.testing.assert_allclose(ours[i], expected, rtol=0, atol=1e-6)
