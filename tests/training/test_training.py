import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mac.models.backbones import build
from mac.models.heads import ActionClassifier
from mac.training import batches, checkpoint
from mac.training.processor import seeded
from mac.training.trainer import build_optimiser, learning_rate, schedule_of

PAPER = {"epochs": 300, "schedule": "step", "milestones": [100, 200], "gamma": 0.1, "warmup_epochs": 0}


@pytest.mark.parametrize(("epoch", "expected"), [(0, 0.01), (99.99, 0.01), (100, 1e-3), (199.9, 1e-3), (200, 1e-4)])
def test_the_papers_rate_falls_at_its_milestones(epoch, expected):
    assert learning_rate(0.01, epoch, **PAPER) == pytest.approx(expected)


def test_cosine_falls_to_zero_after_warming_up():
    shape = {"epochs": 21, "schedule": "cosine", "milestones": [], "gamma": 0.1, "warmup_epochs": 1}
    assert learning_rate(2.0, 0.5, **shape) == pytest.approx(1.0)
    assert learning_rate(2.0, 0.5, **shape | {"warmup_epochs": 2}) == pytest.approx(0.5)
    assert learning_rate(2.0, 1, **shape) == pytest.approx(2.0)
    assert learning_rate(2.0, 11, **shape) == pytest.approx(1.0)
    assert learning_rate(2.0, 6, **shape) == pytest.approx(1 + math.cos(math.pi / 4))
    assert learning_rate(2.0, 21, **shape) == pytest.approx(0.0)


def test_a_schedule_is_the_rate_as_a_function_of_the_epochs_done():
    for settings in ((2.0, 21, "cosine", [], 0.1, 3), (0.3, 30, "step", [10, 20], 0.5, 2)):
        lr, *rest = settings
        rate = schedule_of(*settings)
        assert [rate(epoch) for epoch in (0.5, 3, 12.5, 20)] == [
            learning_rate(lr, epoch, *rest) for epoch in (0.5, 3, 12.5, 20)
        ]


@pytest.mark.parametrize(
    ("name", "kind", "own"),
    [
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "dampening": 0, "nesterov": False}),
        ("adamw", torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8}),
    ],
)
def test_optimisers_get_their_settings(name, kind, own):
    optimiser = build_optimiser([torch.nn.Parameter(torch.ones(1))], name, 0.01, 0.9, 1e-4)
    expected = {"lr": 0.01, "weight_decay": 1e-4} | own
    assert isinstance(optimiser, kind)
    assert {key: optimiser.param_groups[0][key] for key in expected} == expected


def sgd(w, gradients, lr, momentum, decay):
    velocity = 0
    for gradient in gradients:
        velocity = momentum * velocity + gradient + decay * w
        w = w - lr * velocity
    return w


def adamw(w, gradients, lr, _, decay, betas=(0.9, 0.999), eps=1e-8):
    mean = square = 0
    for step, gradient in enumerate(gradients, 1):
        w = w * (1 - lr * decay)
        mean = betas[0] * mean + (1 - betas[0]) * gradient
        square = betas[1] * square + (1 - betas[1]) * gradient**2
        w = w - lr * mean / (1 - betas[0] ** step) / (np.sqrt(square / (1 - betas[1] ** step)) + eps)
    return w


@pytest.mark.parametrize("reference", [sgd, adamw])
def test_fused_optimisers_follow_their_formulas(reference):
    start, gradients = np.random.default_rng(3).normal(size=(2, 50)), np.random.default_rng(4).normal(size=(5, 2, 50))
    weights = [torch.nn.Parameter(torch.tensor(row, dtype=torch.float32)) for row in start]
    optimiser = build_optimiser(weights, reference.__name__, 0.1, 0.9, 0.05)
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = torch.tensor(gradient, dtype=torch.float32)
        optimiser.step()
    for weight, row, gradient in zip(weights, start, gradients.swapaxes(0, 1), strict=True):
        expected = reference(row, gradient, 0.1, 0.9, 0.05)
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_order_of_an_epoch_depends_on_the_videos_and_not_on_where_they_stand():
    videos = np.arange(100, 143)
    order = np.concatenate(batches.epoch_order(videos, 1, (1, "order", 0)))
    assert np.array_equal(np.concatenate(batches.epoch_order(videos[::-1], 1, (1, "order", 0))), order)
    fewer = np.concatenate(batches.epoch_order(videos[5:], 1, (1, "order", 0)))
    assert np.array_equal(fewer, order[order >= 105])


def test_a_batch_weighs_its_frames_and_its_boxes():
    frames, boxes = torch.zeros(2, 3, 4, 5, 3, dtype=torch.uint8), torch.zeros(2, 3, 6, 4)
    assert batches.Batch(np.arange(2), frames, None).nbytes == 2 * 3 * 4 * 5 * 3
    assert batches.Batch(np.arange(2), frames, boxes).nbytes == 2 * 3 * 4 * 5 * 3 + 4 * 2 * 3 * 6 * 4


def test_an_epoch_visits_each_video_at_most_once_in_a_fresh_order():
    videos = np.arange(100, 143)
    first, second = (batches.epoch_order(videos, 8, (1, "order", epoch)) for epoch in (0, 1))
    assert [len(batch) for batch in first] == [8] * 5
    visited = np.concatenate(first)
    assert len(set(visited)) == 40
    assert set(visited) <= set(videos)
    assert not np.array_equal(visited, np.concatenate(second))


def test_fewer_videos_than_a_batch_make_one_batch():
    assert [len(b) for b in batches.epoch_order(np.arange(3), 8, (1,))] == [3]


def _first_frames(lengths, epoch, videos):
    assert (lengths == 14).all()
    return np.tile(np.arange(8) + epoch, (len(videos), 1))


def test_batches_do_not_depend_on_reading_processes(frame_store):
    planned = [*batches.of_one_epoch(0, batches.in_turn(np.arange(10), 4)), (1, np.arange(3))]
    alone, others = (list(batches.read(frame_store, planned, _first_frames, boxes=True, workers=n)) for n in (0, 2))
    assert [len(b.videos) for b in alone] == [4, 4, 2, 3]
    for a, b in zip(alone, others, strict=True):
        assert torch.equal(a.frames, b.frames)
        assert torch.equal(a.boxes, b.boxes)
        assert np.array_equal(a.videos, b.videos)


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    backbone, other = build("r3d_18", 4), build("r3d_18", 4)
    checkpoint.save_weights(tmp_path / "b.safetensors", backbone, {"epoch": "5"})
    checkpoint.load_weights(tmp_path / "b.safetensors", other)
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    assert [path.name for path in tmp_path.iterdir()] == ["b.safetensors"]


def test_foreign_checkpoints_are_refused(tmp_path):
    checkpoint.save_weights(tmp_path / "b.safetensors", build("r3d_18", 4), {})
    with pytest.raises(checkpoint.CheckpointError, match="not a checkpoint of this backbone"):
        checkpoint.load_weights(tmp_path / "b.safetensors", build("r2plus1d_18", 4))
    checkpoint.save_state(tmp_path / "s.pt", "aaaaaaaaaa", {"epoch": 1})
    with pytest.raises(checkpoint.CheckpointError, match="run aaaaaaaaaa, but this is run bbbbbbbbbb"):
        checkpoint.load_state(tmp_path / "s.pt", "bbbbbbbbbb")


def test_construction_is_seeded_and_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with seeded((1, "weights")):
        a = build("r3d_18", 4)
    assert torch.equal(torch.rand(3), expected)
    with seeded((1, "weights")):
        b = build("r3d_18", 4)
    with seeded((2, "weights")):
        c = build("r3d_18", 4)
    assert torch.equal(a.stem[0].weight, b.stem[0].weight)
    assert not torch.equal(a.stem[0].weight, c.stem[0].weight)


def test_a_classifier_comes_back_with_its_head_and_its_facts(tmp_path):
    path, facts = tmp_path / "c.safetensors", {"finetune_id": "0123456789", "classes": ["Kick", "Wave", "Ärger"]}
    with seeded((1, "a")):
        classifier = ActionClassifier(build("r2plus1d_18", 4), 3, 0.5).to(memory_format=torch.channels_last_3d)
    other = ActionClassifier(build("r2plus1d_18", 4), 3)
    checkpoint.save_weights(path, classifier, facts)
    checkpoint.load_weights(path, other, "classifier")
    assert other.head.weight.equal(classifier.head.weight)
    for name, tensor in classifier.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    assert checkpoint.read_facts(path) == facts
    before = path.read_bytes()
    checkpoint.save_weights(path, classifier, facts)
    assert path.read_bytes() == before
    with pytest.raises(checkpoint.CheckpointError, match=r"c\.safetensors: not a checkpoint of this classifier"):
        checkpoint.load_weights(path, ActionClassifier(build("r2plus1d_18", 4), 5), "classifier")


def test_weights_of_others_are_told_from_ours(tmp_path):
    (tmp_path / "text.safetensors").write_text("no weights at all")
    save_file({"a": torch.ones(1)}, tmp_path / "foreign.safetensors")
    for name in ("text", "foreign"):
        with pytest.raises(checkpoint.CheckpointError, match=rf"{name}\.safetensors: not a file of weights that this"):
            checkpoint.read_facts(tmp_path / f"{name}.safetensors")
