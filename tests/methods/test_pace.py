"""Which frames pace prediction shows, and that they are what it asks for."""

from types import SimpleNamespace

import numpy as np
import pytest

from mac.methods.method import HELD_OUT
from mac.methods.pace import Pace
from mac.validation import ConfigError, validate

VIDEOS = np.arange(4000)
LENGTHS = 40 + VIDEOS % 200


def pace(num_frames=16, paces=(1, 2, 3, 4), contrast=None):
    settings = Pace.Settings(paces=list(paces), dropout=0.5, weight=1.0)
    clip = SimpleNamespace(num_frames=num_frames, is_frozen=False)
    return Pace(SimpleNamespace(attenuate=None, pretext=settings, contrast=contrast, seed=1, clip=clip))


@pytest.mark.parametrize("epoch", [0, 7, HELD_OUT])
def test_the_label_is_the_pace_of_the_frames(epoch):
    method = pace()
    labels = method.draw(epoch, VIDEOS, None).numpy()
    frames = method.frames(LENGTHS, epoch, VIDEOS)
    assert np.all((frames >= 0) & (frames < LENGTHS[:, None]))
    fits = 15 * (labels + 1) < LENGTHS
    assert np.all(np.diff(frames[fits], axis=1) == labels[fits, None] + 1)  # no clip that fits starts over
    assert np.all(np.diff(frames[~fits], axis=1) % LENGTHS[~fits, None] == labels[~fits, None] + 1)
    assert 0 < fits.sum() < len(fits)
    assert np.abs(np.bincount(labels, minlength=4) - 1000).max() < 120  # four standard deviations


def test_starts_are_spread_over_all_that_fit():
    lengths = np.full(4000, 20)
    starts = pace(paces=(1, 2)).frames(lengths, 0, VIDEOS)[:, 0]
    labels = pace(paces=(1, 2)).draw(0, VIDEOS, None).numpy()
    assert set(starts[labels == 0]) == set(range(5))
    assert set(starts[labels == 1]) == {0}


def test_epochs_draw_anew_and_batches_do_not_matter():
    method = pace()
    first, second = (method.draw(epoch, VIDEOS, None).numpy() for epoch in (0, 1))
    assert 0.2 < np.mean(first == second) < 0.3
    assert np.array_equal(method.draw(0, VIDEOS[100:200], None).numpy(), first[100:200])
    part = method.frames(LENGTHS[100:200], 0, VIDEOS[100:200])
    assert np.array_equal(part, method.frames(LENGTHS, 0, VIDEOS)[100:200])


def test_it_guesses_one_in_four_and_says_what_it_is():
    assert pace().chance == 0.25
    assert pace().outputs(None) == 4
    assert pace(contrast=object()).name == "pace prediction with contrast"


def test_a_pace_named_twice_is_refused():
    with pytest.raises(ConfigError, match=r"paces: \[2, 2\] names one twice"):
        validate(Pace.Settings, {"paces": [2, 2], "dropout": 0.5, "weight": 1.0})
