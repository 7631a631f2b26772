import cv2
import numpy as np
import torch

from mac.augment.spatial import centre_crops, crop, sample_crops

SCALES = [[149, 112], [171, 128], [192, 144]]


def frames(count=6, width=192, height=144):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, 2, 18, 24, 3)).astype(np.uint8)
    return np.stack([[cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in clip] for clip in small])


def test_one_resampling_equals_opencv_resize_then_crop_then_flip():
    clip = frames()
    crops = sample_crops(6, SCALES, 112, 0.5, ("spatial", np.arange(6)))
    ours = crop(torch.from_numpy(clip), crops, 112)
    assert crops.flips.any()
    assert not crops.flips.all()
    for i in range(6):
        x0, y0, x1, _ = crops.windows[i].double().numpy()
        scaled_width = round(112 / (x1 - x0))
        width, height = next(s for s in SCALES if s[0] == scaled_width)
        left, top = round(x0 * width), round(y0 * height)
        for t in range(2):
            resized = cv2.resize(clip[i, t].astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
            cut = resized[top : top + 112, left : left + 112]
            cut = cut[:, ::-1] if crops.flips[i] else cut
            np.testing.assert_allclose(ours[i, :, t].permute(1, 2, 0).numpy() * 255, cut, atol=0.05)


def test_the_natural_scale_copies_pixels():
    clip = frames()
    crops = sample_crops(6, [[192, 144]], 112, 0.0, ("copy", np.arange(6)))
    ours = (crop(torch.from_numpy(clip), crops, 112) * 255).round().byte()
    left, top = (crops.windows[0, 0] * 192).round().int(), (crops.windows[0, 1] * 144).round().int()
    expected = clip[0, :, top : top + 112, left : left + 112]
    np.testing.assert_array_equal(ours[0].permute(1, 2, 3, 0).numpy(), expected)


def test_centre_crop_is_the_centre():
    crops = centre_crops(2, [171, 128], 112)
    assert not crops.flips.any()
    np.testing.assert_allclose(crops.windows[0] * torch.tensor([171, 128, 171, 128]), [29, 8, 141, 120], atol=1e-4)


def test_scales_positions_and_flips_cover_their_range():
    crops = sample_crops(6000, SCALES, 112, 0.35, ("cover", np.arange(6000)))
    widths = (112 / (crops.windows[:, 2] - crops.windows[:, 0])).round()
    for width in (149, 171, 192):
        assert 0.3 < (widths == width).float().mean() < 0.37
    natural = crops.windows[widths == 192]
    assert set((natural[:, 1] * 144).round().int().tolist()) == set(range(33))
    assert 0.33 < crops.flips.float().mean() < 0.37


def test_frames_smaller_than_the_clip_are_enlarged_as_opencv_enlarges_them():
    clip = frames(width=64, height=48)
    crops = centre_crops(6, [96, 72], 72)
    ours = crop(torch.from_numpy(clip), crops, 72)
    for one, own in zip(clip[:, 0], ours[:, :, 0], strict=True):
        expected = cv2.resize(one.astype(np.float32), (96, 72), interpolation=cv2.INTER_LINEAR)[:, 12:84]
        np.testing.assert_allclose(own.permute(1, 2, 0).numpy() * 255, expected, atol=0.05)


def test_a_flip_without_probability_never_happens(monkeypatch):
    monkeypatch.setattr("mac.augment.spatial.uniform", lambda keys, count: np.zeros((2, count)))
    assert not sample_crops(2, SCALES, 112, 0.0, ("x",)).flips.any()
