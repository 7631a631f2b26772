"""Algorithm 1 against an independent per-frame OpenCV and NumPy computation."""

import cv2
import numpy as np
import pytest
import torch

from mac.masks.frame_difference import (
    background_differences,
    dilate,
    foreground_masks,
    luma,
    threshold_differences,
)

KERNEL = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2, 2))


def moving_square(rng, frames=9, side=40):
    """uint8 RGB video (T, H, W, 3): a textured square crosses a noisy textured background."""
    background = rng.integers(0, 256, (side, side, 3)).astype(np.float64)
    video = np.empty((frames, side, side, 3))
    for t in range(frames):
        video[t] = background + rng.normal(0, 6, background.shape)
        video[t, 5:20, 2 * t : 2 * t + 14] = rng.integers(0, 256, 3)
    return np.clip(video, 0, 255).astype(np.uint8)


def as_clip(video):
    return torch.from_numpy(video).permute(3, 0, 1, 2)[None].float() / 255


def reference_paper(video, momentum, threshold):
    gray = video.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    background, masks = gray[0], []
    for frame in gray[1:]:
        masks.append((np.abs(background - frame) > threshold).astype(np.uint8))
        background = (1 - momentum) * frame + momentum * background
    return np.stack([cv2.dilate(mask, KERNEL, anchor=(1, 1)) for mask in [masks[0], *masks]]).astype(np.float64)


def reference_release(video, momentum, threshold):
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video]
    background, masks = gray[0], []
    for frame in gray[1:]:
        difference = cv2.absdiff(background, frame)
        difference[difference <= threshold] = 0
        low, high = float(difference.min()), float(difference.max())
        scaled = (difference - low) / (high - low) * 255 if high > low else np.zeros_like(difference, float)
        masks.append(scaled.astype(np.uint8))
        background = (momentum * frame.astype(np.float64) + (1 - momentum) * background).astype(np.uint8)
    return np.stack([cv2.dilate(mask, KERNEL, anchor=(1, 1)) for mask in [masks[0], *masks]]) / 255


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("threshold", [10.0005, 30.0005, 60.0005])  # gray is a multiple of .001: no ties to round
def test_paper_preset_equals_the_reference(momentum, threshold):
    rng = np.random.default_rng(int(100 * momentum + threshold))
    video = moving_square(rng)
    ours = foreground_masks(as_clip(video).double(), momentum, threshold, "paper")[0, 0].numpy()
    np.testing.assert_array_equal(ours, reference_paper(video, momentum, threshold))


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("threshold", [10, 30, 60])
def test_release_preset_equals_opencv(momentum, threshold):
    rng = np.random.default_rng(int(100 * momentum) + threshold)
    video = moving_square(rng)
    ours = foreground_masks(as_clip(video), momentum, threshold, "release")[0, 0].numpy()
    reference = reference_release(video, momentum, threshold)
    # A quotient may fall on either side of a whole number: at most one level, on few pixels.
    assert np.abs(ours - reference).max() <= 1 / 255 + 1e-6
    assert (np.abs(ours - reference) > 1e-6).mean() < 0.002


def test_the_momenta_mean_what_algorithm_1_says():
    gray = torch.rand(1, 6, 5, 5) * 255
    neighbours = (gray[:, 1:] - gray[:, :-1]).abs()
    first = (gray[:, 1:] - gray[:, :1]).abs()
    torch.testing.assert_close(background_differences(gray, 0.0, "paper")[:, 1:], neighbours)
    torch.testing.assert_close(background_differences(gray, 1.0, "paper")[:, 1:], first)
    whole = gray.round()  # the release's m weighs the other way round
    torch.testing.assert_close(
        background_differences(whole, 1.0, "release")[:, 1:], (whole[:, 1:] - whole[:, :-1]).abs()
    )


def test_clips_of_a_batch_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    a, b = as_clip(moving_square(rng)), as_clip(moving_square(rng))
    both = foreground_masks(torch.cat([a, b]), 0.5, 30, "release")
    torch.testing.assert_close(both[:1], foreground_masks(a, 0.5, 30, "release"))
    torch.testing.assert_close(both[1:], foreground_masks(b, 0.5, 30, "release"))


@pytest.mark.parametrize("momentum", [0.1, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("preset", ["paper", "release"])
def test_masks_in_single_precision_are_numpys_step_by_step_bit_for_bit(preset, momentum):
    video = np.stack([moving_square(np.random.default_rng(seed)) for seed in range(3)])
    clip = torch.from_numpy(video).permute(0, 4, 1, 2, 3).float() / 255
    threshold, planes = np.float32(30), clip.numpy().transpose(1, 0, 2, 3, 4)
    if preset == "paper":
        weights = np.float32([0.299, 0.587, 0.114])
        gray = np.float32(255) * (weights[0] * planes[0] + weights[1] * planes[1] + weights[2] * planes[2])
    else:
        levels = np.rint(np.float32(255) * planes).astype(np.int64)
        gray = (levels[0] * 9798 + levels[1] * 19235 + levels[2] * 3735 + 16384 >> 15).astype(np.float32)
    background, masks = gray[:, 0], []
    for frame in gray.transpose(1, 0, 2, 3)[1:]:
        kept = np.abs(background - frame)
        if preset == "paper":
            masks.append((kept > threshold).astype(np.float32))
            background = torch.lerp(torch.from_numpy(frame), torch.from_numpy(background), momentum).numpy()
        else:
            kept[kept <= threshold] = 0
            low, high = kept.min((1, 2), keepdims=True), kept.max((1, 2), keepdims=True)
            masks.append(np.floor((kept - low) / (high - low) * np.float32(255)) / np.float32(255))
            mixed = momentum * frame.astype(np.float64) + (1 - momentum) * background.astype(np.float64)
            background = np.floor(mixed).astype(np.float32)
    expected = np.stack([cv2.dilate(mask, KERNEL, anchor=(1, 1)) for mask in np.concatenate([masks[:1], masks])[:, 0]])
    ours = foreground_masks(clip, momentum, 30, preset)
    np.testing.assert_array_equal(ours[0, 0].numpy(), expected)


@pytest.mark.parametrize("preset", ["paper", "release"])
def test_a_difference_of_exactly_the_threshold_is_background(preset):
    differences = torch.tensor([0.0, 29.0, 30.0, 31.0]).view(1, 1, 1, 4)
    assert threshold_differences(differences, 30, preset).flatten().tolist() == [0, 0, 0, 1]


def test_one_background_pass_serves_all_thresholds():
    clip = as_clip(moving_square(np.random.default_rng(1)))
    differences = background_differences(luma(clip, "paper"), 0.5, "paper")
    kept = differences.clone()
    for threshold in (10, 30, 60):
        mask = threshold_differences(differences, threshold, "paper")
        assert torch.equal(mask, foreground_masks(clip, 0.5, threshold, "paper"))
    assert torch.equal(differences, kept)


def test_dilation_reaches_up_left_neighbours_only():
    mask = torch.zeros(1, 5, 5)
    mask[0, 2, 2] = 1
    expected = cv2.dilate(mask[0].numpy(), KERNEL, anchor=(1, 1))
    np.testing.assert_array_equal(dilate(mask)[0].numpy(), expected)
    assert KERNEL.tolist() == [[0, 1], [1, 1]]


def test_a_still_clip_has_no_foreground():
    clip = torch.rand(1, 3, 1, 8, 8).expand(1, 3, 4, 8, 8)
    for preset in ("paper", "release"):
        assert not foreground_masks(clip, 0.5, 0.5, preset).any()


def test_gray_of_the_release_is_opencvs():
    video = np.random.default_rng(2).integers(0, 256, (3, 30, 30, 3)).astype(np.uint8)
    expected = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video])
    np.testing.assert_array_equal(luma(as_clip(video), "release")[0].numpy(), expected)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="at least 2 frames, this clip has 1$"):
        background_differences(torch.zeros(1, 1, 4, 4), 0.5, "paper")
    with pytest.raises(ValueError, match="paper, release"):
        background_differences(torch.zeros(1, 2, 4, 4), 0.5, "papper")


def test_a_release_mask_is_normalised_frame_by_frame_from_its_smallest_difference():
    """In a frame whose every pixel moved, the pixel that moved least is the background."""
    differences = np.random.default_rng(5).integers(40, 250, (2, 3, 6, 7)).astype(np.float32)
    low, high = differences.min((2, 3), keepdims=True), differences.max((2, 3), keepdims=True)
    expected = np.floor((differences - low) / (high - low) * 255) / 255
    found = threshold_differences(torch.from_numpy(differences), 10.0, "release")
    torch.testing.assert_close(found, dilate(torch.from_numpy(expected).float())[:, None])
