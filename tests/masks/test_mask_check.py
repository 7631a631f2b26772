import numpy as np
import pytest
import torch

from mac import pictures
from mac.masks.check import DegenerateMaskError, picture, refuse_degenerate, statistics


def test_statistics_of_known_masks():
    masks = torch.zeros(2, 1, 4, 4, 4)
    masks[0, 0, :, :2] = 1  # half of every frame, perfectly steady
    masks[1, 0, 0, 0, 0] = 1  # one pixel of the first frame
    facts = statistics(masks)
    assert facts["foreground"] == pytest.approx((0.5 * 4 + 1 / 16) / 8)
    assert facts["foreground_by_frame"] == pytest.approx([(0.5 + 1 / 16) / 2, 0.25, 0.25, 0.25])
    assert facts["foreground_by_video"][0] == pytest.approx(1 / 64)
    assert facts["foreground_by_video"][-1] == pytest.approx(0.5)
    assert facts["empty_frames"] == pytest.approx(3 / 8)
    assert facts["stability"] == pytest.approx(3 / 4)  # IoU 1, 1, 1 and 0; pairs without any foreground left out


def test_statistics_of_empty_masks():
    facts = statistics(torch.zeros(1, 1, 3, 4, 4))
    assert facts["foreground"] == 0
    assert facts["stability"] == 0
    assert facts["empty_frames"] == 1


@pytest.mark.parametrize("share", [0.0, 0.0009, 0.95])
def test_a_degenerate_setting_is_refused_by_name(share):
    with pytest.raises(DegenerateMaskError, match=r"λ = 250.*allowed are 0\.10% to 90\.00%.*T8: λ = 250"):
        refuse_degenerate(share, 0.001, 0.9, "m = 0.5, λ = 250", ["T8: λ = 250"])


def test_a_healthy_setting_passes():
    refuse_degenerate(0.001, 0.001, 0.9, "", [])
    refuse_degenerate(0.9, 0.001, 0.9, "", [])


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_pictures_are_reproducible(tmp_path, ending):
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    for name in ("a", "b"):
        pictures.save(picture([("λ = 30", images)], "title"), [tmp_path / f"{name}.{ending}"])
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
