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
