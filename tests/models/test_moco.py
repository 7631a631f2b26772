import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mac.models.moco import MomentumContrast


def contrast(queue=8, dim=4, momentum=0.9, temperature=0.2):
    return MomentumContrast(nn.Linear(6, dim), queue, dim, momentum, temperature)


def unit(rows, dim=4, seed=0):
    return F.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_the_loss_is_infonce_over_key_and_queue():
    moco = contrast()
    old, query, key = unit(8, seed=1), torch.randn(3, 4), unit(3, seed=2)
    moco.enqueue(old)
    loss, _ = moco.loss(query, key)
    expected = 0.0
    for q, k in zip(F.normalize(query, dim=1), key, strict=True):
        positive, negatives = torch.exp(q @ k / 0.2), torch.exp(old @ q / 0.2)
        expected += -torch.log(positive / (positive + negatives.sum()))
    torch.testing.assert_close(loss, expected / 3)


def test_the_loss_is_computed_in_the_queues_precision():
    moco, query, key = contrast(), torch.randn(3, 4).bfloat16(), unit(3, seed=2)
    moco.enqueue(unit(8, seed=1))
    torch.testing.assert_close(moco.loss(query, key)[0], moco.loss(query.float(), key)[0], rtol=0, atol=0)


def test_accuracy_counts_queries_nearest_to_their_key():
    moco = contrast()
    moco.enqueue(-unit(8, seed=1).abs())
    key = unit(2, seed=2).abs()
    assert moco.loss(key * 3, key)[1] == 1
    assert moco.loss(-key, key)[1] == 0


def test_the_queue_drops_its_oldest_keys():
    moco = contrast(queue=6)
    keys = unit(10)
    moco.enqueue(keys[:4])
    assert moco.filled == 4
    torch.testing.assert_close(moco.queue[:4], keys[:4])
    moco.enqueue(keys[4:8])
    moco.enqueue(keys[8:])
    assert moco.filled == 6
    kept = {tuple(row.tolist()) for row in moco.queue}
    assert kept == {tuple(row.tolist()) for row in keys[4:]}


def test_empty_rows_are_no_negatives():
    moco = contrast(queue=1000)
    moco.enqueue(unit(4, seed=1))
    small = contrast(queue=4)
    small.enqueue(unit(4, seed=1))
    query, key = torch.randn(2, 4), unit(2, seed=2)
    torch.testing.assert_close(moco.loss(query, key)[0], small.loss(query, key)[0])


def test_before_any_key_the_batch_serves_as_negatives():
    query, key = torch.randn(3, 4, requires_grad=True), unit(3)
    loss, _ = contrast().loss(query, key)
    logits = F.normalize(query, dim=1) @ key.T / 0.2
    torch.testing.assert_close(loss, F.cross_entropy(logits, torch.arange(3)))


@pytest.mark.parametrize("queued", [0, 8])
def test_a_part_of_a_batch_finds_its_own_keys_in_the_whole(queued):
    moco, query, key = contrast(), torch.randn(4, 4), unit(4)
    moco.enqueue(unit(queued, seed=1))
    whole = moco.loss(query, key)
    parts = [moco.loss(query[first : first + 2], key, first) for first in (0, 2)]
    for one, *others in zip(whole, *parts, strict=True):
        torch.testing.assert_close(torch.stack(others).mean(), one)


def test_a_state_restores_where_the_next_key_goes():
    moco, other, keys = contrast(), contrast(), unit(9)
    moco.enqueue(keys[:5])
    other.load_state_dict(moco.state_dict())
    for one in (moco, other):
        one.enqueue(keys[5:8])
    assert torch.equal(moco.queue, other.queue)
    assert torch.equal(other.queue, keys[:8])
    assert (other.cursor, other.filled) == (0, 8)


def test_the_key_encoder_trails_and_takes_no_gradient():
    encoder = nn.Linear(6, 4)
    moco = MomentumContrast(encoder, 8, 4, 0.9, 0.2)
    before = copy.deepcopy(encoder.weight.detach())
    with torch.no_grad():
        encoder.weight += 1
    moco.follow(encoder)
    torch.testing.assert_close(moco.encoder.weight, before + 0.1)
    assert not any(parameter.requires_grad for parameter in moco.encoder.parameters())
    keys = moco.keys(torch.randn(5, 6))
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(5))
    assert not keys.requires_grad
