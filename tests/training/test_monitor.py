"""What is seen of a pretraining while it trains, and that seeing it changes nothing."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kinds import CPU, assert_equal, experiment, outcome, run_pretraining
from torch import nn

from mac.methods.learner import Learner
from mac.methods.method import HELD_OUT
from mac.randomness import shuffle
from mac.training import batches, monitor
from mac.training.loop import Position
from mac.training.monitor import Monitor, at_chance

KINDS = {
    "MAC-SC-2": {},
    "contrast alone": {"pretrain.pretext": None},
    "several clips a video": {
        "pretrain.method": "clip_order", "pretrain.clip.num_frames": 4, "pretrain.clip_order.interval": 0,
    },
}  # fmt: skip


class Folder:
    """A run folder that keeps what it is given."""

    def __init__(self):
        self.written, self.warned = [], []

    def write(self, event, **values):
        assert event == "metrics"
        self.written.append(values)

    def warn(self, name, detail, epoch, step):
        self.warned.append((name, detail, epoch, step))


def split_events(events):
    """The points of a monitor, and all others."""
    seen = [event for event in events if any(name.startswith("monitor/") for name in event)]
    return seen, [event for event in events if event not in seen]


@pytest.mark.parametrize("overrides", KINDS.values(), ids=KINDS)
def test_a_watched_training_is_bit_for_bit_the_unwatched_one(overrides, frame_store, tmp_path):
    config = experiment(**overrides, **{"pretrain.optimiser.epochs": 3}).pretraining(1, 1)
    random = torch.get_rng_state()
    plain = run_pretraining(config, frame_store, tmp_path / "plain")
    torch.set_rng_state(random)
    watched = run_pretraining(config, frame_store, tmp_path / "watched", monitor_epochs=2)
    assert watched == plain
    (state, events), (expected, expected_events) = (outcome(tmp_path / name) for name in ("watched", "plain"))
    assert_equal(state, expected)
    seen, others = split_events(events)
    assert others == expected_events
    assert {event["epoch"] for event in seen} == {2}
    names = {"monitor/knn_top1", "monitor/effective_rank", "monitor/spread"}
    assert names | {"epoch", "event", "step"} <= set().union(*seen)
    first, second = (tmp_path / name / "b.safetensors" for name in ("watched", "plain"))
    assert first.read_bytes() == second.read_bytes()


@pytest.fixture
def setting(frame_store):
    """An untrained learner, the videos of both sides, what is written, and what makes a monitor of it."""
    config = experiment().pretraining(1, 1)
    learner = Learner(config, frame_store.videos["label_index"].to_numpy(), CPU)
    sides = [frame_store.select(1, side) for side in ("train", "test")]
    read, folder = partial(batches.read, frame_store, choose=learner.method.frames), Folder()
    return learner, sides, folder, lambda every: Monitor(learner, frame_store, *sides, read, folder, every)


def plain_features(learner, store, videos):
    """Features of the middle 8 frames, scaled to 22×16 pixels and cut to the middle 16×16."""
    clips = []
    for video in videos:
        first = round((store.lengths[video] - 8) / 2)
        frames = store.clips(np.array([video]), np.arange(first, first + 8)[None])[0]
        scaled = F.interpolate(torch.tensor(frames).permute(0, 3, 1, 2).float(), (16, 22), mode="bilinear")
        mean, deviation = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        clips.append(((scaled[..., 3:19] / 255 - mean) / deviation).transpose(0, 1))
    with torch.no_grad():
        return learner.backbone.eval()(torch.stack(clips)).double().numpy()


def test_it_sees_what_a_plain_computation_gives(setting, frame_store, monkeypatch):
    learner, sides, folder, make = setting
    monkeypatch.setattr(monitor, "NEIGHBOURS", 1)
    make(5).look(Position(5, step=70))
    gallery, queries = (shuffle(side, ("monitor",))[: len(side) // 4] for side in sides)
    assert len(gallery) > len(queries) > 1
    known, asked = (plain_features(learner, frame_store, videos) for videos in (gallery, queries))
    labels = frame_store.videos["label_index"].to_numpy()
    cosines = (asked / np.linalg.norm(asked, axis=1)[:, None]) @ (known / np.linalg.norm(known, axis=1)[:, None]).T
    values = np.linalg.svd(known, compute_uv=False)
    shares = values / values.sum()
    batch = next(batches.read(frame_store, [(HELD_OUT, queries)], learner.method.frames))
    correct = learner.held_out(batch, learner.draw(queries, HELD_OUT))["pretext_top1_held_out"]
    expected = {
        "monitor/knn_top1": 100 * np.mean(labels[gallery][cosines.argmax(1)] == labels[queries]),
        "monitor/effective_rank": math.exp(-(shares * np.log(shares)).sum()),
        "monitor/spread": (known / np.linalg.norm(known, axis=1)[:, None]).std(0).mean() * known.shape[1] ** 0.5,
        "monitor/pretext_top1_held_out": float(correct.mean()),
        "monitor/pretext_chance": 100 / 16,
        "epoch": 5,
        "step": 70,
    }
    assert folder.written[0] == pytest.approx(expected, rel=1e-4)
    assert not folder.warned


@pytest.mark.parametrize(("every", "expected"), [(0, []), (1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6])])
def test_it_looks_every_so_many_epochs(every, expected, setting):
    *_, folder, make = setting
    watch = make(every)
    for epoch in range(1, 8):
        watch.look(Position(epoch))
    assert [values["epoch"] for values in folder.written if "monitor/knn_top1" in values] == expected


@pytest.mark.parametrize(("epoch_seconds", "epochs"), [(3.0, 400), (60.0, 400), (0.5, 20), (5000.0, 6)])
def test_by_itself_it_takes_less_than_two_percent_of_the_time(epoch_seconds, epochs, setting, monkeypatch):
    *_, folder, make = setting
    now, spent = [0.0], [0.0]

    def cost(seconds):
        now[0] += seconds
        spent[0] += seconds

    def slow(function, videos_at):
        def called(*arguments, **named):
            cost(0.25 * len(arguments[videos_at]))
            return function(*arguments, **named)

        return called

    monkeypatch.setattr(monitor.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(monitor, "mean_outputs", slow(monitor.mean_outputs, 3))
    monkeypatch.setattr(monitor, "held_out_scores", slow(monitor.held_out_scores, 2))
    watch = make(None)
    looked = []
    for epoch in range(1, epochs + 1):
        now[0] += epoch_seconds
        before = len(folder.written)
        watch.look(Position(epoch))
        looked.append(len(folder.written) > before)
    trial = 0.25 * 4  # one batch of four videos tells what a look will cost
    assert spent[0] - trial <= 0.02 * now[0]
    if epoch_seconds * epochs > 600:
        assert any(looked)
        assert spent[0] >= 0.01 * min(now[0], 100 * epochs)  # it looks about as often as it may
    if epoch_seconds > 1000:
        assert all(looked)


class Constant(nn.Module):
    """A backbone that gives the same features for every clip, but for a little noise."""

    def __init__(self, features, noise):
        super().__init__()
        self.features, self.noise = features, noise

    def forward(self, clips):
        random = torch.randn(len(clips), len(self.features), generator=torch.manual_seed(0))
        return self.features + self.noise * random


@pytest.mark.parametrize(
    ("features", "noise", "names"),
    [
        (torch.ones(32), 0.0, ["features collapsed"]),
        (torch.ones(32), 1e-3, ["features collapsed"]),
        (torch.zeros(32), 0.0, ["features collapsed"]),
        (torch.full((32,), float("nan")), 0.0, ["features not finite"]),
        (torch.zeros(32), 1.0, []),
    ],
    ids=["one point", "almost one point", "zero", "not a number", "everywhere"],
)
def test_collapsed_features_are_warned_of(features, noise, names, setting):
    learner, _, folder, make = setting
    learner.backbone = Constant(features, noise)
    make(1).look(Position(3, step=9))
    assert [(name, epoch, step) for name, _, epoch, step in folder.warned] == [(name, 3, 9) for name in names]
    assert all("at epoch 3" in detail for _, detail, *_ in folder.warned)
    assert all(math.isfinite(value) for values in folder.written for value in values.values())


@pytest.mark.parametrize(("clips", "chance"), [(260, 6.25), (1000, 100 / 256), (9, 50.0), (40, 25.0)])
def test_a_pretext_is_at_chance_while_guessing_does_as_well(clips, chance):
    p = chance / 100
    likely = [math.comb(clips, n) * p**n * (1 - p) ** (clips - n) for n in range(clips + 1)]
    for right in range(min(clips + 1, 400)):
        found = at_chance({"pretext_top1_held_out": 100 * right / clips, "pretext_chance": chance}, clips)
        assert (found is not None) == (math.fsum(likely[right:]) > 0.025), right
    assert f"of {clips} held-out videos" in at_chance({"pretext_top1_held_out": 0.0, "pretext_chance": chance}, clips)


def test_without_a_pretext_nothing_is_said_of_it():
    assert at_chance({}, 10) is None
    assert at_chance({"top1_held_out": 0.0}, 10) is None
    assert at_chance({"pretext_loss_held_out": 1.0, "pretext_chance": 50.0}, 10) is None


def test_a_pretraining_at_chance_says_so_at_its_end_alone(frame_store, tmp_path, capsys):
    config = experiment(**{"pretrain.optimiser.lr": 1e-9}).pretraining(1, 1)
    final = run_pretraining(config, frame_store, tmp_path / "whole")
    (text,) = final["warnings"]
    assert text.startswith("pretext still at chance: ")
    assert f"chance 6.2 %, after {2 * (len(frame_store.select(1, 'train')) // 4)} steps" in text
    assert f"warning: {text}\n" in capsys.readouterr().err
    longer = experiment(**{"pretrain.optimiser.lr": 1e-9, "pretrain.optimiser.epochs": 3}).pretraining(1, 1)
    assert run_part(longer, frame_store, tmp_path / "part", 1)["warnings"] == []


def run_part(config, store, folder, until):
    from mac.stages import pretrain
    from mac.training.run_folder import RunFolder

    outputs = pretrain.Outputs(folder / "b.safetensors", folder / "s.pt", folder / "j.jsonl")
    return pretrain.run(config, store, until, None, outputs, RunFolder(folder / "running", config.identify()), CPU)
