"""What ``precision`` changes, and what it doesn't."""

from functools import partial

import pytest
import torch
from kinds import CPU, experiment

from mac.augment import blend
from mac.data.clips import training_frames
from mac.methods.learner import Learner
from mac.training import batches, processor


@pytest.fixture
def configs():
    """The smoke scale's default pretraining in each precision."""
    return {name: experiment(precision=name).pretraining(1, 1) for name in ("fp32", "tf32", "bf16")}


def note(seen, name, module, inputs, output):
    seen[name] = output.dtype


def step(config, store, seen=None):
    """One forward and backward pass."""
    learner = Learner(config, store.videos["label_index"].to_numpy(), CPU)
    if seen is not None:
        for name in ("backbone.layer4", "projector", "head"):
            learner.get_submodule(name).register_forward_hook(partial(note, seen, name))
    choose = partial(training_frames, num_frames=8, strides=[1], keys=(1,))
    planned = batches.of_one_epoch(0, [store.select(1, "train")[:8]])
    (batch,) = batches.read(store, planned, lambda lengths, _, videos: choose(lengths))
    loss, _ = learner(batch, learner.draw(batch.videos, 0))
    loss.backward()
    return learner, loss


def test_precision_is_part_of_a_runs_identity(configs):
    assert len({config.identify() for config in configs.values()}) == 3


def test_bf16_computes_networks_in_bfloat16_and_everything_else_in_float32(configs, frame_store):
    seen = {}
    learner, loss = step(configs["bf16"], frame_store, seen)
    _, exact = step(configs["fp32"], frame_store)
    assert seen == dict.fromkeys(("backbone.layer4", "projector", "head"), torch.bfloat16)
    assert loss.dtype == torch.float32
    assert {p.dtype for p in learner.parameters()} | {p.grad.dtype for p in learner.trained} == {torch.float32}
    assert learner.contrast.queue.dtype == torch.float32
    learner.after_step()
    norms = learner.contrast.queue[: learner.contrast.filled].norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))  # keys are normalised after the network, in float32
    assert float(loss) == pytest.approx(float(exact), rel=0.05)
    assert float(loss) != float(exact)


def test_masks_and_drawn_alphas_do_not_depend_on_precision(configs, frame_store, monkeypatch):
    drawn = []
    original = blend.blend

    def spy(view, mask, alphas, *how):
        drawn.append((view.clone(), mask.clone(), alphas.clone()))
        return original(view, mask, alphas, *how)

    monkeypatch.setattr(blend, "blend", spy)
    for name in ("fp32", "bf16"):
        step(configs[name], frame_store)
    first, second = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]  # a step's calls under either precision
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("precision", "rounding"), [("fp32", "ieee"), ("tf32", "tf32")])
def test_products_round_as_the_precision_says(precision, rounding):
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    try:
        processor.prepare("cpu", 1, precision)
        assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == rounding
    finally:
        torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision = before
