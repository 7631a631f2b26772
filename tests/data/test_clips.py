import numpy as np
import pytest

from mac.data.clips import test_frames as spread_frames
from mac.data.clips import training_frames


def test_training_clips_stay_inside_and_step_evenly():
    lengths = np.full(3000, 40)
    frames = training_frames(lengths, 8, [1, 2, 4], ("t", np.arange(3000)))
    steps = np.diff(frames, axis=1)
    assert (steps == steps[:, :1]).all()
    assert set(steps[:, 0]) == {1, 2, 4}
    assert frames.min() == 0
    assert frames.max() == 39
    assert frames[steps[:, 0] == 4, 0].max() == 40 - 7 * 4 - 1


def test_every_start_of_a_stride_is_equally_likely():
    frames = training_frames(np.full(8000, 11), 8, [1], ("t", np.arange(8000)))
    counts = np.bincount(frames[:, 0])
    assert len(counts) == 4
    assert counts.min() > 1850


def test_stride_and_start_are_chosen_apart():
    frames = training_frames(np.full(4000, 12), 4, [1, 2], ("t", np.arange(4000)))
    for stride, starts in ((1, 9), (2, 6)):
        counts = np.bincount(frames[frames[:, 1] - frames[:, 0] == stride, 0])
        assert len(counts) == starts
        assert counts.min() > 0.75 * 2000 / starts


def test_a_video_as_long_as_its_clip_is_shown_whole():
    assert (training_frames(np.full(50, 15), 8, [2], ("t", np.arange(50))) == np.arange(0, 15, 2)).all()


def test_a_short_video_repeats_its_last_frame():
    frames = training_frames(np.array([3]), 8, [2], ("t", np.array([0])))
    assert frames.tolist() == [[0, 2, 2, 2, 2, 2, 2, 2]]


@pytest.mark.parametrize("length", [16, 31, 100, 623])
def test_ten_test_clips_span_the_video(length):
    frames = spread_frames(np.array([length]), 16, 2, 10, "ends")
    assert frames.shape == (1, 10, 16)
    assert frames[0, 0, 0] == 0
    assert frames[0, -1, -1] == length - 1
    gaps = np.diff(frames[0, :, 0])
    assert gaps.max() - gaps.min() <= 1


def test_one_test_clip_is_the_middle_one():
    assert spread_frames(np.array([101]), 16, 2, 1, "ends")[0, 0, 0] == 35


@pytest.mark.parametrize("length", [9, 31, 32, 33, 100, 623])
@pytest.mark.parametrize("num_clips", [1, 4, 10])
def test_centres_cut_a_videos_starts_into_equal_parts_and_take_their_middles(length, num_clips):
    frames = spread_frames(np.array([length]), 16, 2, num_clips, "centres")[0]
    part = max(length - 32 + 1, 1) / num_clips  # the authors' code asks for 32 frames where a clip spans 31
    assert frames[:, 0].tolist() == [int(part / 2 + part * clip) for clip in range(num_clips)]
    np.testing.assert_array_equal(frames, np.minimum(frames[:, :1] + np.arange(0, 32, 2), length - 1))


def test_centres_leave_out_as_much_at_a_videos_start_as_at_its_end():
    lengths = np.arange(60, 400)
    frames = spread_frames(lengths, 16, 2, 10, "centres")
    before, behind = frames[:, 0, 0], lengths - 1 - frames[:, -1, -1]
    assert np.abs(before - behind).max() <= 2
    assert (np.abs(before - (lengths - 31) / 20) <= 1).all()
