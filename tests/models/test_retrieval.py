"""Retrieval against a plain search."""

import numpy as np
import torch

from mac.models.probe import first_matches


def drawn(count, seed):
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.normal(size=(count, 5))), torch.from_numpy(np.arange(count) % 3)


def test_the_first_match_is_what_a_plain_search_finds():
    gallery, own = drawn(40, 2)
    queries, asked = drawn(15, 3)
    asked[0] = 7  # a class that the gallery lacks
    found = first_matches(queries, asked, gallery, own)
    for query, label, rank in zip(queries.numpy(), asked, found, strict=True):
        near = [
            (-float(query @ other / np.linalg.norm(query) / np.linalg.norm(other)), i)
            for i, other in enumerate(gallery.numpy())
        ]
        ranks = [place for place, (_, i) in enumerate(sorted(near), 1) if own[i] == label]
        assert int(rank) == (ranks[0] if ranks else 41)


def test_equally_near_videos_stand_in_the_gallerys_order():
    gallery, own = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1, 1])
    assert first_matches(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), gallery, own).tolist() == [2]
