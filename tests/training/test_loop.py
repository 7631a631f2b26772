"""The loop on a network whose steps are known in closed form."""

import copy
from itertools import count

import numpy as np
import pytest
import torch

from benchmarks.stand_ins import NoFolder
from mac.training.batches import Batch
from mac.training.distributed import ALONE, World
from mac.training.loop import Loop, NotFiniteError


class Slope(torch.nn.Module):
    """Two weights; the loss is a slope times their sum, so that the gradient is (slope, slope)."""

    def __init__(self, slope):
        super().__init__()
        self.a, self.b = (torch.nn.Parameter(torch.zeros(())) for _ in range(2))
        self.slope, self.followed, self.modes = slope, [], []

    @property
    def trained(self):
        return [self.a, self.b]

    def draw(self, videos, epoch):
        return {"videos": torch.from_numpy(videos), "epoch": torch.tensor(epoch)}

    def forward(self, batch, drawn):
        self.modes.append(self.training)
        assert drawn["videos"].tolist() == batch.videos.tolist()
        assert drawn["epoch"] == batch.videos[0] // 10
        loss = self.slope * (self.a + self.b)
        return loss, {"first": torch.tensor(float(batch.videos[0]))}

    def after_step(self):
        self.followed.append(self.a.item())


class Journal(NoFolder):
    """A run folder that keeps what is written, and saves after so many chances to."""

    def __init__(self, state=None, until=None):
        self.written, self.asked, self.state, self.until = [], [], state, until

    def write(self, event, **values):
        self.written.append({"event": event} | values)

    def is_due(self, at_end_of_epoch):
        self.asked.append(at_end_of_epoch)
        return len(self.asked) == self.until

    def save(self, state):
        self.state = copy.deepcopy(state)
        raise InterruptedError

    def remember(self, state):
        self.state = state()


def order(epoch):
    return [np.array([10 * epoch + batch, 0]) for batch in range(4)]


def train(slope, until=2, rate=lambda progress: 0.1, learner=Slope, world=ALONE):
    learner, folder = learner(slope).eval(), Journal()
    optimiser = torch.optim.SGD(learner.trained, 123.0)
    loop = Loop("x", learner, optimiser, rate, gradient_clip=5.0, folder=folder, world=world)
    loop.train(until, order, lambda plan: (Batch(videos, torch.zeros(2), None) for _, videos in plan))
    return learner, folder.written


@pytest.mark.parametrize(("slope", "moved"), [(3.0, 3.0), (300.0, 5.0 / 2**0.5), (-300.0, -5.0 / 2**0.5)])
def test_the_gradient_of_all_parameters_together_is_at_most_so_long(slope, moved):
    learner, _ = train(slope)
    assert learner.a.item() == pytest.approx(-0.1 * moved * 8, rel=1e-4)
    assert learner.a.item() == learner.b.item()
    assert learner.followed == pytest.approx([-0.1 * moved * step for step in range(1, 9)], rel=1e-4)


def test_the_rate_follows_the_progress_and_an_epochs_metrics_are_its_own_means():
    asked = []
    learner, written = train(1.0, rate=lambda progress: asked.append(progress) or 0.1 * progress)
    assert asked == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
    assert learner.a.item() == pytest.approx(-0.1 * sum(asked))
    assert [(one["epoch"], one["step"], one["first"]) for one in written] == [(1, 4, 1.5), (2, 8, 11.5)]
    assert [one["lr"] for one in written] == [0.1 * 0.75, 0.1 * 1.75]
    assert [one["event"] for one in written] == ["metrics"] * 2
    assert all("system/memory_peak_megabytes" in one for one in written)


def loop_of(folder):
    learner = Slope(1.0)
    optimiser = torch.optim.SGD(learner.trained, 123.0, momentum=0.9)
    return Loop("x", learner, optimiser, lambda progress: 0.1 * (1 + progress), 5.0, folder)


def finish(loop):
    loop.train(2, order, lambda plan: (Batch(videos, torch.zeros(2), None) for _, videos in plan))


def known(written):
    return [{name: one.get(name) for name in ("event", "epoch", "step", "lr", "first", "loss")} for one in written]


def test_a_training_that_is_stopped_after_any_step_ends_as_an_undisturbed_one():
    undisturbed = Journal()
    finish(loop_of(undisturbed))
    assert undisturbed.asked == [False, False, False, True] * 2
    for until in range(1, 8):
        stopped = Journal(until=until)
        with pytest.raises(InterruptedError):
            finish(loop_of(stopped))
        assert stopped.state["position"]["step"] == until
        again = Journal(stopped.state)
        loop = loop_of(again)
        assert loop.resume()
        finish(loop)
        assert again.written[0] == {"event": "continued", "epoch": until // 4, "step": until}
        assert known(stopped.written + again.written[1:]) == known(undisturbed.written)
        assert again.state["learner"] == undisturbed.state["learner"]
        assert str(again.state["optimiser"]) == str(undisturbed.state["optimiser"])
    assert not loop_of(Journal()).resume()


def test_networks_train_in_training_mode():
    learner, _ = train(1.0)
    assert learner.modes == [True] * 8


class Pair(World):
    """Two processes of which the other is not there: what it would add is left out."""

    def wrap(self, learner, device):
        return learner

    def mean(self, values):
        return values


def test_the_speed_counts_the_clips_of_all_processes_in_each_epoch_alone(monkeypatch):
    monkeypatch.setattr("mac.training.loop.time.perf_counter", count().__next__)  # every step takes a second
    _, written = train(1.0, world=Pair(0, 2))
    assert [one["clips_per_second"] for one in written] == [2.0, 2.0]  # of two clips


class Diverging(Slope):
    """Its loss becomes infinite in the fifth step, the first of the second epoch."""

    def forward(self, batch, drawn):
        loss, metrics = super().forward(batch, drawn)
        return loss * (np.inf if len(self.modes) == 5 else 1), metrics


def test_a_loss_that_is_not_finite_is_named_with_the_last_one_that_was():
    with pytest.raises(NotFiniteError) as raised:
        train(1.0, learner=Diverging)
    assert "run x: loss -inf in step 5, epoch 2, at rate 0.1; the last finite loss was -0.6." in str(raised.value)
