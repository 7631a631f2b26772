import colorsys

import cv2
import matplotlib.colors
import numpy as np
import pytest
import torch

from mac.augment.colour import MEAN, STD, ColourShift, normalise, sample_colour, shift_colour


def shift(**changes):
    neutral = {"brightness": 0.0, "contrast": 1.0, "hue": 0.0, "saturation": 1.0, "gray": False}
    return ColourShift(**{name: torch.tensor([value]) for name, value in (neutral | changes).items()})


@pytest.fixture
def clip():
    return torch.rand(1, 3, 2, 9, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_no_shift_changes_nothing(clip):
    assert torch.equal(shift_colour(clip, shift()), clip)


@pytest.mark.parametrize("brightness", [0.1, -0.1])
def test_brightness_adds_and_contrast_multiplies_clipped(clip, brightness):
    out = shift_colour(clip, shift(brightness=brightness, contrast=1.2))
    expected = np.clip(np.clip(clip.numpy() + brightness, 0, 1) * 1.2, 0, 1)
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("hue", "saturation"), [(12 / 180, 1.1), (-12 / 180, 0.9), (0.4, 1.0), (-0.3, 1.05)])
def test_hue_and_saturation_agree_with_matplotlibs_hsv(clip, hue, saturation):
    out = shift_colour(clip, shift(hue=hue, saturation=saturation))[0].permute(1, 2, 3, 0).numpy()
    hsv = matplotlib.colors.rgb_to_hsv(clip[0].permute(1, 2, 3, 0).numpy())
    hsv[..., 0] = (hsv[..., 0] + hue) % 1
    hsv[..., 1] = np.minimum(hsv[..., 1] * saturation, 1)
    np.testing.assert_allclose(out, matplotlib.colors.hsv_to_rgb(hsv), atol=1e-5)


@pytest.mark.parametrize("hue", [12 / 180, -12 / 180])
def test_clipped_hues_stop_at_the_ends_of_opencvs_range(clip, hue):
    out = shift_colour(clip, shift(hue=hue, saturation=1.1), "clip")[0].permute(1, 2, 3, 0).numpy()
    hsv = matplotlib.colors.rgb_to_hsv(clip[0].permute(1, 2, 3, 0).numpy())
    is_over = (hsv[..., 0] + hue < 0) | (hsv[..., 0] + hue > 179 / 180)
    assert 0 < is_over.sum() < is_over.size
    hsv[..., 0] = np.clip(hsv[..., 0] + hue, 0, 179 / 180)
    hsv[..., 1] = np.minimum(hsv[..., 1] * 1.1, 1)
    np.testing.assert_allclose(out, matplotlib.colors.hsv_to_rgb(hsv), atol=1e-5)
    wrapped = shift_colour(clip, shift(hue=hue, saturation=1.1))[0].permute(1, 2, 3, 0).numpy()
    assert np.array_equal((out != wrapped).any(-1), is_over)


@pytest.mark.parametrize("hue", [12 / 180, 5 / 180, -7 / 180, -12 / 180])
def test_clipped_hues_are_those_of_8_bit_opencv_to_its_rounding(hue):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = np.clip(hsv[..., 0] + 180 * hue, 0, 179).round()
    expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) / 255
    clip = torch.from_numpy(image / 255).permute(2, 0, 1)[None, :, None]
    errors = {
        ends: np.abs(shift_colour(clip, shift(hue=hue), ends)[0, :, 0].permute(1, 2, 0).numpy() - expected).max(-1)
        for ends in ("clip", "wrap")
    }
    assert (errors["clip"] > 0.025).mean() < 0.005  # hues from 179.5 on are 0 in 8 bits
    assert (errors["wrap"] > 0.025).mean() > 0.01


def test_pure_colours_turn_as_colorsys_turns_them():
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1, 1)
    turned = shift_colour(red, shift(hue=1 / 3)).flatten().tolist()
    assert turned == pytest.approx(colorsys.hsv_to_rgb(1 / 3, 1, 1), abs=1e-6)


def test_gray_keeps_luma(clip):
    out = shift_colour(clip, shift(gray=True))
    assert torch.equal(out[:, 0], out[:, 1])
    np.testing.assert_allclose(out[:, 0], np.tensordot([0.299, 0.587, 0.114], clip.numpy(), (0, 1)), atol=1e-7)


def test_shifts_have_the_declared_ranges_and_frequencies():
    drawn = sample_colour(20_000, 0.8, 0.2, ("c", np.arange(20_000)))
    assert drawn.brightness.abs().max() <= 32 / 255
    assert drawn.contrast.log().abs().max() <= 0.2 + 1e-6
    assert drawn.hue.abs().max() <= 12 / 180
    assert drawn.saturation.log().abs().max() <= 0.1 + 1e-6
    for changed in (drawn.brightness != 0, drawn.contrast != 1, drawn.hue != 0):
        assert 0.785 < changed.float().mean() < 0.815
    assert torch.equal(drawn.hue != 0, drawn.saturation != 1)
    assert 0.19 < drawn.gray.float().mean() < 0.21
    assert abs(np.corrcoef(drawn.hue, drawn.brightness)[0, 1]) < 0.03


def test_normalise_is_imagenets():
    clip = torch.tensor(MEAN).view(1, 3, 1, 1, 1) + torch.tensor(STD).view(1, 3, 1, 1, 1)
    torch.testing.assert_close(normalise(clip), torch.ones(1, 3, 1, 1, 1))


class OnGpu(torch.Tensor):
    """A tensor that says that it lies on a GPU."""

    device = torch.device("cuda")


def test_on_a_gpu_the_same_clips_change_by_the_same_amount():
    clips = torch.rand(12, 3, 2, 5, 7, generator=torch.Generator().manual_seed(1))
    drawn = sample_colour(12, 0.5, 0.4, ("gpu", np.arange(12)))
    for changed in (drawn.hue != 0, drawn.gray):
        assert 0 < changed.sum() < 12
    torch.testing.assert_close(
        shift_colour(clips.as_subclass(OnGpu), drawn).as_subclass(torch.Tensor), shift_colour(clips, drawn)
    )


def test_what_has_no_probability_never_happens(monkeypatch):
    monkeypatch.setattr("mac.augment.colour.uniform", lambda keys, count: np.zeros((2, count)))
    drawn = sample_colour(2, 0.0, 0.0, ("c",))
    assert not drawn.gray.any()
    assert not drawn.brightness.any()
