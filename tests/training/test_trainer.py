"""What a training takes from its configuration, before the first step."""

import copy

import numpy as np
import pytest
import torch
from kinds import build, experiment, reader
from test_loop import Journal

from mac.training import batches, trainer
from mac.training.distributed import ALONE

CPU, VIDEOS = torch.device("cpu"), np.arange(1, 8)


def train(folder, begin, overrides):
    settings = experiment(**{"pretrain.contrast": None, "pretrain.optimiser.epochs": 3, **overrides})
    store, config, learner = build("MAC-S-2", settings, CPU)
    store.digest, seen = "abcdef0123", []
    read = reader(store, config.clip.num_frames)

    def watched(planned):
        for batch in read(planned):
            seen.append(batch.videos.tolist())
            yield batch

    arguments = (config, learner, store, VIDEOS, 2, watched, folder, CPU, {"row": "T4"}, ALONE, begin)
    return trainer.train("pretrain", *arguments), config, seen


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_training_is_what_its_configuration_says(name):
    folder, begun = Journal(), []
    rates = {"lr": 0.3, "schedule": "cosine", "warmup_epochs": 1, "batch_size": 3, "weight_decay": 0.01}
    overrides = {f"pretrain.optimiser.{key}": value for key, value in ({"name": name} | rates).items()}
    loop, config, seen = train(folder, begun.append, overrides)
    assert begun == [loop]
    assert (loop.run, loop.gradient_clip, loop.position.epoch) == (
        config.identify(), config.optimiser.gradient_clip, 2
    )  # fmt: skip
    start, *metrics = folder.written
    assert start.pop("device")
    assert start == {
        "event": "start", "stage": "pretrain", "id": config.identify(), "epoch": 0, "until": 2, "epochs": 3,
        "index_digest": "abcdef0123", "videos": 7, "facts": {"row": "T4"},
    }  # fmt: skip
    orders = [batches.epoch_order(VIDEOS, 3, (config.seed, "order", epoch)) for epoch in (0, 1)]
    assert seen == [batch.tolist() for order in orders for batch in order]
    halves = [trainer.learning_rate(0.3, epoch + 0.5, 3, "cosine", [], 0.1, 1) for epoch in (0, 1)]
    assert [one["lr"] for one in metrics] == pytest.approx(halves)  # of each epoch's last step, the second of two
    (group,) = loop.optimiser.param_groups
    assert group["weight_decay"] == 0.01
    assert len(group["params"]) == len(loop.learner.trained)
    assert ("momentum" in group) == (name == "sgd")
    assert group.get("momentum", config.optimiser.sgd_momentum) == config.optimiser.sgd_momentum


def test_a_training_that_goes_on_neither_begins_nor_starts_again():
    first = Journal()
    loop, _, _ = train(first, lambda loop: None, {})
    again = Journal(copy.deepcopy(first.state))
    _, _, seen = train(again, lambda loop: pytest.fail("it began anew"), {})
    assert seen == []
    assert again.written == [{"event": "continued", "epoch": 2, "step": loop.position.step}]
