"""The plain step in ``docs/mac_step.py`` computes what the package trains."""

import re
import runpy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from kinds import build, experiment, reader

from benchmarks.stand_ins import default_row
from mac.augment.views import apply_views
from mac.masks.frame_difference import foreground_masks
from mac.models.operators import declare_missing_operators

CPU = torch.device("cpu")
PLAIN = {"pretrain.contrast": None, "pretrain.colour.jitter_probability": 0.0, "pretrain.colour.gray_probability": 0.0}


@pytest.fixture(scope="module")
def page(root):
    declare_missing_operators()
    return SimpleNamespace(**runpy.run_path(str(root / "docs" / "mac_step.py")))


@pytest.fixture(scope="module")
def step():
    """A batch of moving noise, with the parameters that the package drew for a step on it."""
    store, config, learner = build("MAC-S-2", experiment(**PLAIN), CPU)
    (batch,) = reader(store, config.clip.num_frames)([(0, np.arange(8))])
    drawn = learner.draw(batch.videos, 3)
    plain, _ = apply_views(batch.frames, drawn["view"], learner.recipe)
    return batch, learner, drawn, plain


def test_its_settings_are_the_papers_scale(page):
    config, _ = default_row("paper")
    found = (config.pretext.k, config.pretext.segments, config.mask.momentum, config.mask.threshold)
    assert found == (page.K, page.SEGMENTS, page.MOMENTUM, page.THRESHOLD)
    assert (config.mask.preset, config.pretext.preset, config.pretext.objective) == ("paper", "paper", "cross_entropy")


def test_its_mask_is_the_packages(page, step):
    *_, plain = step
    mask = page.foreground_mask(plain)
    assert 0.1 < mask.mean() < 0.99
    assert torch.equal(mask, foreground_masks(plain, page.MOMENTUM, page.THRESHOLD, "paper"))


def test_its_blended_clip_and_its_loss_are_the_packages_to_rounding(page, step):
    batch, learner, drawn, plain = step
    index = (drawn["pretext"].alphas[..., None] == page.ALPHAS).int().argmax(-1)
    assert len(index.unique()) == page.K
    view = page.attenuate(plain, page.foreground_mask(plain), index)
    torch.testing.assert_close(view, learner.method.view(batch, drawn, learner.recipe), rtol=1e-5, atol=1e-5)
    learner.train()
    loss = page.mac_step(plain, index, learner.backbone, lambda features: learner.head(features, drawn["kept"]))
    torch.testing.assert_close(loss, learner(batch, drawn)[1]["pretext_loss"], rtol=1e-4, atol=1e-4)


def test_it_runs_alone(root, capsys):
    declare_missing_operators()
    torch.manual_seed(1)  # two clips: by chance a first loss may be far from guessing
    runpy.run_path(str(root / "docs" / "mac_step.py"), run_name="__main__")
    loss, guessing = map(float, re.findall(r"\d\.\d{3}", capsys.readouterr().out))
    assert guessing == 2.773
    assert abs(loss - guessing) < 1
