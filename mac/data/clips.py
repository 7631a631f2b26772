"""Which frames make a clip: random for training, evenly spread for testing (method §3)."""

import numpy as np

from mac.randomness import choose, uniform


def training_frames(
    lengths: np.ndarray, num_frames: int, strides: list[int], keys: tuple[int | str | np.ndarray, ...]
) -> np.ndarray:
    """Draw one clip per video: a stride from ``strides``, then a start, each equally likely.

    Args:
        lengths: (B,) frames of each video, ≥ 1.
        num_frames: T, frames in a clip.
        strides: frame strides to draw from.
        keys: of the draw, e.g. ``(seed, "clip", epoch, videos)``.

    Returns:
        int64 (B, T) frame numbers in [0, length); a video too short for its clip repeats its last frame.
    """
    draws = np.broadcast_to(uniform(keys, 2), (len(lengths), 2))
    stride = np.asarray(strides)[choose(draws[:, 0], len(strides))]
    room = np.maximum(lengths - (num_frames - 1) * stride, 1)
    return _spread(choose(draws[:, 1], room), stride, lengths, num_frames)


def clips_in_a_row(
    lengths: np.ndarray,
    num_frames: int,
    num_clips: int,
    interval: int,
    strides: list[int],
    keys: tuple[int | str | np.ndarray, ...],
) -> np.ndarray:
    """Draw several clips of each video, one after the other: a stride from ``strides``, then a start.

    Args:
        lengths: (B,) frames of each video, at least :func:`span` of them.
        num_frames: T, frames in a clip.
        num_clips: of each video.
        interval: frames (at the stride) that lie between two clips.
        strides: frame strides to draw from.
        keys: of the draw; arrays in it have shape (B,).

    Returns:
        int64 (B, num_clips, T) frame numbers.
    """
    draws = np.broadcast_to(uniform(keys, 2), (len(lengths), 2))
    stride = np.asarray(strides)[choose(draws[:, 0], len(strides))]
    start = choose(draws[:, 1], lengths - (span(num_frames, num_clips, interval) - 1) * stride)
    within = np.arange(num_clips)[:, None] * (num_frames + interval) + np.arange(num_frames)
    return start[:, None, None] + stride[:, None, None] * within


def span(num_frames: int, num_clips: int, interval: int, stride: int = 1) -> int:
    """Count the frames from the first one of several clips in a row to the last."""
    return (num_clips * num_frames + (num_clips - 1) * interval - 1) * stride + 1


def test_frames(lengths: np.ndarray, num_frames: int, stride: int, num_clips: int, positions: str) -> np.ndarray:
    """Spread ``num_clips`` clips evenly over each video.

    Args:
        lengths: (B,) frames of each video, ≥ 1.
        num_frames: T, frames in a clip.
        stride: frames from one of a clip to the next.
        num_clips: one alone starts in the middle.
        positions: ``ends``: the first clip at the video's start, the last at its end. ``centres``, as in the authors'
            code: starts are the centres of equal parts of the first ``length − T·stride + 1`` frames.

    Returns:
        int64 (B, num_clips, T) frame numbers; a video too short for one clip repeats its last frame.
    """
    if positions == "centres":
        starts = np.maximum(lengths - num_frames * stride + 1, 1)
        start = starts[:, None] * (2 * np.arange(num_clips) + 1) // (2 * num_clips)
    else:
        room = np.maximum(lengths - (num_frames - 1) * stride - 1, 0)
        where = np.linspace(0, 1, num_clips) if num_clips > 1 else np.array([0.5])
        start = np.rint(room[:, None] * where).astype(np.int64)
    return _spread(start.ravel(), np.full(start.size, stride), np.repeat(lengths, num_clips), num_frames).reshape(
        len(lengths), num_clips, num_frames
    )


def _spread(start: np.ndarray, stride: np.ndarray, lengths: np.ndarray, num_frames: int) -> np.ndarray:
    frames = start[:, None] + stride[:, None] * np.arange(num_frames)
    return np.minimum(frames, lengths[:, None] - 1)
