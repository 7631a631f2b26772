"""Votes of nearest neighbours, and measures of collapse, against plain computations."""

import math

import numpy as np
import pytest
import torch

from mac.models.probe import effective_rank, spread, vote


@pytest.mark.parametrize("k", [1, 5, 100])
def test_votes_are_those_of_a_plain_count(k):
    random = np.random.default_rng(k)
    gallery, queries, labels = random.normal(size=(60, 4)), random.normal(size=(25, 4)), random.integers(0, 5, 60)
    found = vote(*map(torch.from_numpy, (queries, gallery, labels)), k, 0.07)
    for query, named in zip(queries, found.tolist(), strict=True):
        cosines = [float(query @ one) / math.sqrt(query @ query) / math.sqrt(one @ one) for one in gallery]
        sums = dict.fromkeys(range(5), 0.0)
        for cosine, label in sorted(zip(cosines, labels.tolist(), strict=True), reverse=True)[:k]:
            sums[label] += math.exp(cosine / 0.07)
        assert named == max(sums, key=sums.get)


def test_a_near_video_outvotes_two_far_ones():
    gallery, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]]), torch.tensor([0, 1, 1])
    assert vote(torch.tensor([[1.0, 0.1]]), gallery, labels, 3, 0.07).tolist() == [0]
    assert vote(torch.tensor([[1.0, 0.1]]), gallery, labels, 3, 100.0).tolist() == [1]


def test_the_effective_rank_counts_directions_of_equal_strength():
    turned, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))
    for rank in (1, 2, 7):
        features = torch.from_numpy(5.0 * turned[:, :rank] @ turned[:rank])
        assert effective_rank(features) == pytest.approx(rank)
    assert effective_rank(torch.zeros(4, 3)) == 1
    assert 1 < effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) < 2
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(math.exp(0.562335), rel=1e-5)


def test_the_spread_is_0_where_all_point_one_way_and_1_where_they_point_everywhere():
    random = torch.randn(4000, 50, generator=torch.manual_seed(0))
    assert spread(random) == pytest.approx(1, abs=0.01)
    assert spread(torch.ones(9, 1) * random[:1]) == pytest.approx(0, abs=1e-7)
    lengths = torch.arange(1.0, 10)[:, None]
    assert spread(lengths * random[:1]) == pytest.approx(0, abs=1e-7)  # lengths don't count
