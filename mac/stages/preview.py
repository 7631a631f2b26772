"""The mask preview: any video, any m and λ, as a picture or a side-by-side video."""

from pathlib import Path

import numpy as np
import torch

from mac import pictures
from mac.data import video
from mac.masks import check
from mac.masks.frame_difference import foreground_masks

SHOWN = 8  # frames in a picture
LONGEST = 3000  # frames of a video: longer previews would be conversions


class PreviewError(Exception):
    """A preview can't be made; the message says why."""


def run(
    path: Path,
    out: Path,
    settings: list[tuple[float, float]],
    preset: str,
    size: tuple[int, int],
    stride: int = 1,
    start: int = 0,
) -> dict[str, float]:
    """Show the foreground masks of one video.

    Args:
        path: the video.
        out: a picture (``.png``, ``.svg``: frames to the right, settings down) or a video (``.mp4``, ``.avi``: the
            frames and each setting side by side).
        settings: the (m, λ) to show.
        preset: ``paper`` or ``release``.
        size: width and height in pixels that masks are computed at.
        stride: of the frames.
        start: first frame.

    Returns:
        The mean share of foreground pixels of each setting, by its name.

    Raises:
        PreviewError: the video has too few frames from ``start`` on, ``out`` has an ending of another kind, or a number
            is out of range.
        mac.data.video.VideoError: the video can't be decoded.
    """
    moving = out.suffix in (".mp4", ".avi")
    if not moving and out.suffix not in (".png", ".svg"):
        raise PreviewError(f"{out}: allowed endings are .png, .svg, .mp4 and .avi")
    if stride < 1 or start < 0 or min(size) < 2:
        raise PreviewError(f"stride {stride}, start {start}, size {size}: at least 1, 0 and 2 × 2")
    for momentum, threshold in settings:
        if not 0 <= momentum <= 1 or not 0 <= threshold <= 255:
            raise PreviewError(f"m = {momentum:g}, λ = {threshold:g}: m lies in [0, 1], λ in [0, 255]")
    limit = LONGEST if moving else SHOWN
    frames, seen = [], 0
    for number, frame in enumerate(video.read(path, *size)):
        seen = number + 1
        if number >= start and (number - start) % stride == 0:
            frames.append(frame)
        if len(frames) == limit:
            break
    if len(frames) < 2:
        raise PreviewError(f"{path}: {seen} frames, none left to compare from frame {start} on with stride {stride}")
    clip = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 255
    rows, shares = [("frames", np.stack(frames))], {}
    for momentum, threshold in settings:
        masks = foreground_masks(clip, momentum, threshold, preset)
        name = f"m = {momentum:g}, λ = {threshold:g}"
        shares[name] = float(masks.mean())
        rows.append((f"{name}\n{shares[name]:.1%}", check.overlay(clip[0], masks[0])))
    out.parent.mkdir(parents=True, exist_ok=True)
    if moving:
        codec = "libx264" if out.suffix == ".mp4" else "mpeg4"
        wide = np.concatenate([images for _, images in rows], axis=2)
        even = wide[:, : wide.shape[1] // 2 * 2, : wide.shape[2] // 2 * 2]  # codecs halve the colour planes
        video.write(out, np.ascontiguousarray(even), max(round(video.frame_rate(path) / stride), 1), codec)
    else:
        pictures.save(check.picture(rows, f"Foreground of {path.name} ({preset})"), [out])
    return shares
