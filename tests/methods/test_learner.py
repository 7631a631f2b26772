"""One step of a pretraining against its parts computed one by one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kinds import KINDS, build, experiment, reader

from mac.augment.views import apply_views, make_views
from mac.masks.frame_difference import foreground_masks
from mac.methods.method import HELD_OUT
from mac.training.distributed import World

CPU = torch.device("cpu")
WEIGHTS = {"pretrain.pretext.weight": 0.3, "pretrain.contrast.weight": 0.7}


def info_nce(query, keys, queue, temperature):
    """The formula, clip by clip."""
    losses = []
    for q, k in zip(F.normalize(query, dim=1), keys, strict=True):
        scores = torch.cat([(q @ k)[None], queue @ q]) / temperature
        losses.append(torch.logsumexp(scores, 0) - scores[0])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_step_adds_both_losses_and_queues_the_keys_of_every_direction(symmetric):
    settings = experiment(**WEIGHTS, **{"pretrain.contrast.symmetric": symmetric})
    store, config, learner = build("MAC-SC-2", settings, CPU)
    learner.train()
    old = F.normalize(torch.randn(5, config.contrast.dim), dim=1)
    learner.contrast.enqueue(old)
    (batch,) = reader(store, config.clip.num_frames)([(0, np.arange(4))])
    drawn = learner.draw(batch.videos, 0)
    view = learner.method.view(batch, drawn, learner.recipe)
    natural = learner.method.view(batch, drawn | {"view": drawn["natural"], "pretext": ones(drawn)}, learner.recipe)
    assert not torch.equal(view, natural)
    assert view.is_contiguous(memory_format=torch.channels_last_3d)  # what convolutions are fastest in
    features = learner.backbone(view)
    kept = drawn["kept"] / (1 - config.pretext.dropout)
    outputs = F.linear(features * kept, learner.head.weight, learner.head.bias)
    pretext = F.cross_entropy(outputs, drawn["pretext"].labels)
    keys = [learner.contrast.keys(clip) for clip in (natural, view)]
    expected = info_nce(learner.projector(features), keys[0], old, config.contrast.temperature)
    if symmetric:
        query = learner.projector(learner.backbone(natural))
        expected = expected + info_nce(query, keys[1], old, config.contrast.temperature)
    loss, metrics = learner(batch, drawn)
    torch.testing.assert_close(metrics["pretext_loss"], pretext.detach())
    torch.testing.assert_close(metrics["contrastive_loss"], expected.detach())
    torch.testing.assert_close(loss, 0.3 * pretext + 0.7 * expected)
    before = [parameter.clone() for parameter in learner.contrast.encoder.parameters()]
    with torch.no_grad():
        for parameter in learner.trained:
            parameter.add_(0.1)
    learner.after_step()
    queued = torch.cat([old, *keys[: 2 if symmetric else 1]])
    assert learner.contrast.filled == len(queued)
    torch.testing.assert_close(learner.contrast.queue[: len(queued)], queued)
    trained = [*learner.backbone.parameters(), *learner.projector.parameters()]
    for key, was, query in zip(learner.contrast.encoder.parameters(), before, trained, strict=True):
        torch.testing.assert_close(key, 0.999 * was + 0.001 * query)  # after the optimiser, not before


@pytest.mark.parametrize("kind", ["MAC-SC-2", "person boxes"])
def test_a_view_made_clip_by_clip_is_the_batchs_bit_for_bit(kind, monkeypatch):
    store, config, learner = build(kind, experiment(**KINDS[kind]), CPU)
    (batch,) = reader(store, config.clip.num_frames)([(0, np.arange(4))])
    drawn = learner.draw(batch.videos, 0)
    whole = learner.method.view(batch, drawn, learner.recipe)
    monkeypatch.setattr("mac.working_set.working_sets", lambda _: [slice(i, i + 1) for i in range(4)])
    assert torch.equal(learner.method.view(batch, drawn, learner.recipe), whole)


@pytest.mark.parametrize("kind", ["pace on MAC's clips", "cloze on MAC's clips"])
def test_another_methods_clips_are_attenuated_before_it_changes_them(kind):
    store, config, learner = build(kind, experiment(**KINDS[kind]), CPU)
    method, clip = learner.method, config.clip
    (batch,) = reader(store, method.read * clip.num_frames)([(0, np.arange(4))])
    drawn = learner.draw(batch.videos, 0)
    plain, coloured = apply_views(
        batch.frames.unflatten(1, (method.read, -1)).flatten(0, 1), drawn["view"], learner.recipe
    )
    mask = foreground_masks(plain, config.mask.momentum, config.mask.threshold, config.mask.preset)
    alphas = drawn["attenuate"].repeat_interleave(clip.num_frames // config.attenuate.segments, 1)
    expected = coloured * (1 - mask * (1 - alphas[:, None, :, None, None]))
    assert (alphas < 1).any()
    shown = method.view(batch, drawn, learner.recipe).unflatten(0, (4, -1))
    torch.testing.assert_close(shown[:, 0], expected.unflatten(0, (4, -1))[:, 0])  # the first clip is shown as it is
    assert config.mask_check is not None
    assert config.method.endswith("on MAC's clips")


def test_of_several_clips_the_first_is_contrasted():
    store, config, learner = build("clip order", experiment(**KINDS["clip order with contrast"]), CPU)
    frames = config.clip.num_frames
    (batch,) = reader(store, 3 * frames)([(0, np.arange(4))])
    drawn = learner.draw(batch.videos, 0)
    view = learner.method.view(batch, drawn, learner.recipe)[::3]
    natural = make_views(batch.frames[:, :frames], drawn["natural"], learner.recipe)
    learner.eval()
    _, metrics = learner(batch, drawn)
    keys = [learner.contrast.keys(clip) for clip in (natural, view)]
    queries = [learner.projector(learner.backbone(clip)) for clip in (view, natural)]
    scores = [
        F.normalize(query, dim=1) @ key.T / config.contrast.temperature
        for query, key in zip(queries, keys, strict=True)
    ]
    expected = sum(F.cross_entropy(score, torch.arange(4)) for score in scores)  # no queue yet: the batch's other keys
    torch.testing.assert_close(metrics["contrastive_loss"], expected.detach())


def ones(drawn):
    """Parameters that attenuate nothing."""
    return drawn["pretext"]._replace(alphas=torch.ones_like(drawn["pretext"].alphas))


def test_a_held_out_score_drops_nothing_and_moves_nothing():
    store, config, learner = build("MAC-SC-2", experiment(), CPU)
    (batch,) = reader(store, config.clip.num_frames)([(0, np.arange(4))])
    learner.eval()
    before = {name: value.clone() for name, value in learner.state_dict().items() if isinstance(value, torch.Tensor)}
    drawn = learner.draw(batch.videos, HELD_OUT)
    found = learner.held_out(batch, drawn)
    outputs = learner.head(learner.backbone(learner.method.view(batch, drawn, learner.recipe)))
    assert found["pretext_top1_held_out"].tolist() == (100.0 * (outputs.argmax(1) == drawn["pretext"].labels)).tolist()
    expected = F.cross_entropy(outputs, drawn["pretext"].labels).expand(4)
    torch.testing.assert_close(found["pretext_loss_held_out"], expected)
    assert not found["pretext_loss_held_out"].requires_grad
    assert all(torch.equal(learner.state_dict()[name], value) for name, value in before.items())


def test_networks_compute_in_the_precision_that_is_asked_for_and_losses_in_single():
    store, config, learner = build("MAC-SC-2", experiment(precision="bf16"), CPU)
    (batch,) = reader(store, config.clip.num_frames)([(0, np.arange(4))])
    found = []
    for network in (learner.backbone, learner.head, learner.projector, learner.contrast.encoder):
        network.register_forward_hook(lambda _, __, output: found.append(output.dtype))
    loss, _ = learner(batch, learner.draw(batch.videos, 0))
    assert set(found) == {torch.bfloat16}
    assert len(found) == 7  # the symmetric contrast takes a second view, and keys of both
    assert loss.dtype == torch.float32


class Second(World):
    """The second of two processes; the keys of the first, which is not there, stand before its own."""

    def gather(self, rows):
        return torch.cat([F.normalize(torch.ones_like(rows), dim=1), rows])


def test_a_process_finds_its_own_keys_among_those_of_all():
    store, config, learner = build("MAC-SC-2", experiment(), CPU)
    old = F.normalize(torch.randn(5, config.contrast.dim), dim=1)
    learner.contrast.enqueue(old)
    (batch,) = reader(store, config.clip.num_frames)([(0, np.arange(4))])
    drawn = learner.draw(batch.videos, 0)
    _, alone = learner(batch, drawn)
    learner.world = Second(1, 2)
    _, together = learner(batch, drawn)
    torch.testing.assert_close(together["contrastive_loss"], alone["contrastive_loss"])
    learner.after_step()
    queue = learner.contrast.queue
    assert len(queue) == 16  # both directions' keys of both processes
    assert torch.isclose(queue, F.normalize(torch.ones_like(queue), dim=1)).all(1).sum() == 8
