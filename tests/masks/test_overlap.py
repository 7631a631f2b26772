"""Overlap of maps with masks: known shares, chance by shifting, and intervals that know about groups."""

import numpy as np
import pytest
import torch

from mac.masks.overlap import compare, describe, ratio_with_interval, share_inside, shift_randomly


def test_shares_of_known_maps():
    masks = torch.zeros(4, 3, 8, 10)
    masks[:, :, 2:6, 1:6] = 1  # a quarter of the area
    maps = torch.zeros(4, 3, 8, 10)
    maps[0] = 0.3
    maps[1] = masks[1]
    maps[2, :, 5, 5], maps[2, :, 7, 9] = 3.0, 1.0
    shares = share_inside(maps, masks)
    np.testing.assert_allclose(shares[:3].numpy(), [0.25, 1.0, 0.75], rtol=1e-6)
    assert shares[3].isnan()
    assert share_inside(maps[:1], masks[:1] / 2).item() == pytest.approx(0.125)


def test_shifting_keeps_shape_and_time_and_brings_the_share_to_chance():
    rng = np.random.default_rng(1)
    one = torch.zeros(1, 4, 12, 16)
    one[:, :, 3:7, 4:9] = torch.from_numpy(rng.uniform(1, 2, (1, 4, 4, 5))).float()
    mask = (one > 0).float()
    count = 3000
    shifted = shift_randomly(one.expand(count, -1, -1, -1), ("shift", np.arange(count)))
    assert shifted.sum((2, 3)).allclose(one.sum((2, 3)).expand(count, -1), rtol=1e-4)
    assert shifted.flatten(1).sort(1).values.equal(one.flatten(1).sort(1).values.expand(count, -1))
    assert len({int(own[0].argmax()) for own in shifted}) == 12 * 16  # every offset comes up
    share = share_inside(shifted, mask.expand(count, -1, -1, -1)).mean().item()
    assert share == pytest.approx(mask.mean().item(), rel=0.1)
    assert shift_randomly(one.expand(2, -1, -1, -1), ("shift", np.arange(2))).equal(shifted[:2])


def test_the_ratio_is_of_means_and_its_interval_holds_it():
    shares, chances = np.array([0.2, 0.4, 0.6, 0.4]), np.array([0.1, 0.2, 0.4, 0.1])
    found = ratio_with_interval(shares, chances, np.array(["a", "b", "c", "d"]), ("x",))
    assert found["value"] == pytest.approx(2.0)
    assert found["low"] < 2 < found["high"]
    assert found == ratio_with_interval(shares, chances, np.array(["a", "b", "c", "d"]), ("x",))


def test_videos_alike_in_groups_widen_the_interval_and_copies_do_not_narrow_it():
    rng = np.random.default_rng(2)
    of_group = rng.uniform(0.1, 0.9, 30)
    shares, groups = np.repeat(of_group, 6), np.repeat(np.arange(30), 6)
    chances = np.full(180, 0.25)

    def width(groups, shares=shares, chances=chances):
        found = ratio_with_interval(shares, chances, groups, ("w",))
        return found["high"] - found["low"]

    assert width(groups) == pytest.approx(np.sqrt(6) * width(np.arange(180)), rel=0.2)
    alone = width(np.arange(30), of_group, chances[:30])
    assert width(groups) == pytest.approx(alone, rel=1e-6)
    normal = 2 * 1.96 * of_group.std() / np.sqrt(30) / 0.25
    assert width(groups) == pytest.approx(normal, rel=0.15)


def scene(videos=24, seed=3):
    """Masks that wander, a map on them, a map beside them and one that knows nothing; two videos a group."""
    rng = np.random.default_rng(seed)
    masks = torch.zeros(videos, 4, 16, 16)
    for mask, (y, x) in zip(masks, rng.integers(0, 11, (videos, 2)), strict=True):
        mask[:, y : y + 5, x : x + 5] = 1
    return masks, (masks * 0.9 + 0.1, 1 - masks), np.arange(videos) // 2


def test_a_comparison_tells_maps_on_the_foreground_from_maps_beside_it():
    masks, maps, groups = scene()
    found = compare(maps, masks, groups, ("seed", 1))
    area = 25 / 256
    assert found["videos"] == 24
    assert found["mask_area"] == pytest.approx(area)
    on, beside = found["models"]
    expected = area / (area + 0.1 * (1 - area)) / area
    assert on["times_chance"]["value"] == pytest.approx(expected, rel=1e-4)
    assert on["times_chance"]["low"] == pytest.approx(expected, rel=1e-4)  # every video alike
    assert beside["times_chance"]["value"] == pytest.approx(0, abs=1e-6)
    for model in (on, beside):
        assert model["times_chance_shifted"]["low"] < 1 < model["times_chance_shifted"]["high"]
        assert 0.4 < model["times_chance_other_mask"]["value"] < 2.2
    assert on["share_inside"] == pytest.approx(expected * area)
    assert beside["share_inside"] == pytest.approx(0, abs=1e-6)
    assert found["difference"]["value"] == pytest.approx(expected, rel=1e-4)
    assert found["difference"]["low"] > 3
    on_mask, beside_it = found["each"]["share_inside"]
    assert on_mask == pytest.approx([expected * area] * 24, abs=2e-6)
    assert beside_it == pytest.approx([0] * 24, abs=1e-6)
    assert found == compare(maps, masks, groups, ("seed", 1))


def test_a_comparison_shifts_each_map_eight_times_and_resamples_groups_with_keys_of_their_own():
    masks, maps, groups = scene()
    found = compare(maps, masks, groups, ("seed", 1))["models"][0]["times_chance_shifted"]
    keys = [("seed", 1, "shift", np.arange(24), number) for number in range(8)]
    shares = torch.stack([share_inside(shift_randomly(maps[0], key), masks) for key in keys]).mean(0).double().numpy()
    area = masks.mean((1, 2, 3)).double().numpy()
    assert found == pytest.approx(ratio_with_interval(shares, area, groups, ("seed", 1, "groups")), rel=1e-6)


@pytest.mark.parametrize("videos", [2, 3, 5, 24])
def test_masks_of_other_videos_come_with_their_own_areas(videos):
    """A map spread evenly has chance's share on any mask, whatever its area."""
    masks = torch.zeros(videos, 2, 8, 8)
    for i, mask in enumerate(masks):
        mask[:, :, : i % 7 + 1] = 1
    found = compare((torch.ones_like(masks), masks), masks, np.arange(videos), ("even",))
    assert found["models"][0]["times_chance_other_mask"] == pytest.approx({"value": 1, "low": 1, "high": 1})
    assert found["difference"]["value"] == pytest.approx(
        1 - 1 / found["mask_area"]
    )  # all of the other's mass is inside
    half = videos // 2
    own = [[i % 7 + 1, (i - half) % videos % 7 + 1] for i in range(videos)]  # columns of a video and of its other one
    expected = sum(min(pair) / pair[0] for pair in own) / sum(other / 8 for _, other in own)
    assert found["models"][1]["times_chance_other_mask"]["value"] == pytest.approx(expected)


def test_videos_without_a_map_or_without_foreground_are_left_out_and_counted():
    masks, (on, beside), groups = scene()
    masks[0], on[1], beside[2] = 0, 0, 0
    found = compare((on, beside), masks, groups, ("seed", 1))
    assert (found["videos"], found["without_foreground"], found["without_map"]) == (21, 1, 2)
    assert found["each"]["clip"] == list(range(3, 24))
    nothing = compare((on * 0, beside), masks, groups, ("seed", 1))
    assert nothing["videos"] == 0
    assert nothing["models"] is nothing["difference"] is nothing["mask_area"] is nothing["each"] is None


def test_a_comparison_is_said_in_a_sentence():
    masks, maps, groups = scene()
    found = compare(maps, masks, groups, ("seed", 1))
    shifted = [model["times_chance_shifted"]["value"] for model in found["models"]]
    other = [model["times_chance_other_mask"]["value"] for model in found["models"]]
    assert describe(["ours", "theirs"], found) == (
        "Mass of the maps on the moving foreground, times chance (the mask's share of the area, 9.8%), with 95 %"
        f" intervals over groups of videos: ours 5.32 [5.32, 5.32] (shifted at random {shifted[0]:.2f}, on other"
        f" videos' masks {other[0]:.2f}); theirs 0.00 [0.00, 0.00] (shifted at random {shifted[1]:.2f}, on other"
        f" videos' masks {other[1]:.2f}); difference 5.32 [5.32, 5.32]. 24 test videos."
    )
    nothing = compare((maps[0] * 0, maps[1]), masks, groups, ("seed", 1))
    none = "Overlap of the maps with the moving foreground: no video with both a foreground and maps."
    assert describe(["ours", "theirs"], nothing) == none
