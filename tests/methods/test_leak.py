"""The blend of the authors' code for person boxes shows α in every pixel, also where there is no person."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kinds import experiment

from benchmarks.stand_ins import RandomStore, learner_of
from mac.methods.method import HELD_OUT
from mac.training.batches import Batch
from mac.training.trainer import build_optimiser

CLIPS, STEPS, CPU = 32, 30, torch.device("cpu")
SETTINGS = {
    "pretrain.contrast": None,
    "pretrain.mask.source": "person_boxes",
    "pretrain.pretext.k": 2,
    "pretrain.pretext.dropout": 0.0,
    "pretrain.colour.gray_probability": 0.0,
}


def clips(rng, first):
    """Still pictures without any person: what α was can't be known from them."""
    coarse = torch.from_numpy(rng.integers(0, 256, (CLIPS, 3, 3, 4))).float()
    pictures = F.interpolate(coarse, (24, 32), mode="bilinear").permute(0, 2, 3, 1).to(torch.uint8)
    frames = pictures[:, None].expand(-1, 8, -1, -1, -1).contiguous()
    return Batch(np.arange(first, first + CLIPS), frames, torch.full((CLIPS, 8, 1, 4), torch.nan))


@pytest.mark.parametrize(("normalise", "least", "most"), [("apart", 75, 100), ("once", 0, 50)])
def test_of_clips_without_persons_alpha_is_learned_only_if_normalised_apart(normalise, least, most):
    config = experiment(**SETTINGS, **{"pretrain.pretext.normalise": normalise}).pretraining(1, 1)
    learner, rng = learner_of(config, RandomStore(CLIPS, 32, 24), CPU), np.random.default_rng(0)
    optimiser = build_optimiser(learner.trained, "adamw", 1e-2, 0.9, 0.0)
    for step in range(STEPS):
        batch = clips(rng, 0)
        optimiser.zero_grad()
        learner(batch, learner.draw(batch.videos, step))[0].backward()
        optimiser.step()
    learner.eval()
    unseen = [clips(rng, CLIPS * number) for number in range(1, 9)]
    scores = [learner.held_out(batch, learner.draw(batch.videos, HELD_OUT)) for batch in unseen]
    found = float(torch.cat([score["pretext_top1_held_out"] for score in scores]).mean())
    assert learner.chance["pretext_chance"] == 25
    assert least <= found <= most
