"""Pieces of a batch cover it once, however large its clips are."""

import pytest
import torch

from mac.working_set import ELEMENTS, working_sets


@pytest.mark.parametrize(
    ("clips", "elements", "pieces"),
    [(5, ELEMENTS, 5), (5, ELEMENTS + 1, 5), (7, ELEMENTS // 3, 3), (9, 1, 1), (0, 8, 1)],
)
def test_pieces_cover_the_batch_in_order(clips, elements, pieces):
    batch = torch.arange(clips)[:, None].expand(clips, elements)
    found = list(working_sets(batch))
    assert len(found) == pieces
    assert torch.cat([batch[part, 0] for part in found]).tolist() == list(range(clips))
    assert all(batch[part].numel() <= max(ELEMENTS, elements) for part in found)


def test_a_device_of_another_kind_takes_all_at_once():
    assert list(working_sets(torch.empty(5, ELEMENTS, device="meta"))) == [slice(None)]
