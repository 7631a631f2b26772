import cv2
import numpy as np
import pytest
import torch

from mac.augment.spatial import Crops, crop, sample_crops
from mac.masks.person_boxes import box_masks


def test_boxes_follow_scale_crop_and_flip():
    """A white box painted into frames and cropped as pixels covers what its coordinates cover."""
    rng = np.random.default_rng(0)
    count, width, height, size = 40, 192, 144, 112
    frames = np.zeros((count, 2, height, width, 3), np.uint8)
    boxes = np.full((count, 2, 3, 4), np.nan, np.float32)
    for i in range(count):
        for t in range(2):
            for k in range(rng.integers(0, 4)):
                x0, y0 = rng.integers(0, width - 30), rng.integers(0, height - 30)
                x1, y1 = x0 + rng.integers(8, 60), y0 + rng.integers(8, 60)
                frames[i, t, y0:y1, x0:x1] = 255
                boxes[i, t, k] = [x0 / width, y0 / height, min(x1, width) / width, min(y1, height) / height]
    crops = sample_crops(count, [[149, 112], [171, 128], [192, 144]], size, 0.5, ("boxes", np.arange(count)))
    painted = crop(torch.from_numpy(frames), crops, size)[:, :1]
    masks = box_masks(torch.from_numpy(boxes), crops, size)
    sure = (painted < 0.01) | (painted > 0.99)  # pixels that bilinear resampling left pure
    assert sure.float().mean() > 0.9
    assert torch.equal(masks[sure], painted[sure].round())
    assert masks.mean() > 0.05
    assert (~crops.flips).any()
    assert crops.flips.any()


def test_no_detection_is_no_foreground():
    whole = Crops(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([False]))
    assert not box_masks(torch.full((1, 4, 2, 4), torch.nan), whole, 16).any()


def test_boxes_are_not_dilated_and_unite():
    whole = Crops(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([False]))
    boxes = torch.tensor([[[[0.25, 0.25, 0.5, 0.5], [0.375, 0.375, 0.75, 0.625]]]])
    expected = np.zeros((16, 16), np.uint8)
    cv2.rectangle(expected, (4, 4), (7, 7), 1, -1)
    cv2.rectangle(expected, (6, 6), (11, 9), 1, -1)
    np.testing.assert_array_equal(box_masks(boxes, whole, 16)[0, 0, 0].numpy(), expected)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_box_holds_the_pixels_whose_centres_lie_on_its_low_edges_but_not_on_its_high_ones(flipped):
    whole = Crops(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([flipped]))
    box = torch.tensor([[[[2.5, 4.5, 6.5, 9.5]]]]) / 16  # edges on pixel centres
    expected = torch.zeros(16, 16)
    expected[4:9, slice(9, 13) if flipped else slice(2, 6)] = 1
    assert torch.equal(box_masks(box, whole, 16)[0, 0, 0], expected)
