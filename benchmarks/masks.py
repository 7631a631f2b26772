"""Masks: soft (``release``) and binary (``paper``) masks of a batch of clips on one core, against OpenCV."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.harness import Finding, alternate, machine, markdown, rates, save
from benchmarks.sample import real_clips
from mac.masks.frame_difference import background_differences, foreground_masks, luma, threshold_differences
from mac.training import processor

CLIPS, FRAMES, SIDE, REPEATS = 16, 16, 112, 9
MOMENTUM, THRESHOLD = 0.5, 30
KERNEL = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2, 2))
# What ours is to reach: ÷ OpenCV and NumPy frame by frame, and ÷ OpenCV's 8-bit operations.
GOALS = {"release": ("soft", "(a)", 8.0), "paper": ("binary", "(b)", 1.0)}
Method = Callable[[], list]


def run(data: Path) -> None:
    """Measure clips per second of both presets against their peers, after comparing the masks."""
    cv2.setNumThreads(1)
    processor.prepare("cpu", threads=1)
    colours = real_clips(data / "ucf101-originals", CLIPS, FRAMES, SIDE, SIDE)
    speeds = {}
    for preset, methods in {"release": _soft(colours), "paper": _binary(colours)}.items():
        _agree(preset, methods)
        timed = {name: (lambda _, method=method: method()) for name, method in methods.items()}
        speeds[preset] = rates(alternate(timed, REPEATS), CLIPS)
    tables, findings = [], []
    for preset, speed in speeds.items():
        ours, (kind, mark, goal) = speed["ours, from the view's clip"], GOALS[preset]
        peer = next(name for name in speed if name.startswith(mark))
        against = peer.removeprefix(f"{mark} ").removesuffix(", from 8-bit RGB")
        findings.append(Finding(f"{kind} masks ÷ {against}", ours / speed[peer], goal))
        rows = [[name, f"{value:,.0f}", f"{ours / value:.2f}"] for name, value in speed.items()]
        tables.append(markdown([f"`{preset}` masks, 16 frames of 112×112, one core", "clips/s", "ours ÷ this"], rows))
    note = (
        "Ours starts from the view's clip, float32 (3, T, H, W) in [0, 1], where training has it, or from the same"
        " 8-bit RGB frames as the peers, with the conversion; it ends in float32 masks, the peers in 8-bit ones. Goals:"
        " soft masks ≥ 8 × (a), binary masks ≥ 1 × (b). (b) rounds gray and"
        " background to 8 bits: up to 1 % of pixels differ. glibc keeps freed memory, for ours and the peers alike,"
        " as in a training."
    )
    facts = {
        "machine": machine("torch", "opencv-python-headless", "numpy"),
        "clips_per_second": speeds,
        "goals": GOALS,
    }
    save("masks", "Masks: frame differences", facts, [*tables, note, "On a GPU: see GPU (`make bench-gpu`)."], findings)


def _as_clips(colours: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(colours).permute(0, 4, 1, 2, 3).contiguous().float().div_(255)


def _ours(colours: np.ndarray, preset: str) -> dict[str, Method]:
    clips, frames = _as_clips(colours), list(colours)
    return {
        "ours, from the view's clip": lambda: list(foreground_masks(clips, MOMENTUM, THRESHOLD, preset)[:, 0].numpy()),
        "ours, from 8-bit RGB": lambda: [
            foreground_masks(_as_clips(clip[None]), MOMENTUM, THRESHOLD, preset)[0, 0].numpy() for clip in frames
        ],
    }


def _soft(colours: np.ndarray) -> dict[str, Method]:
    peer = "(a) OpenCV and NumPy frame by frame, from 8-bit RGB"
    return {**_ours(colours, "release"), peer: lambda: [_opencv_release(clip) for clip in colours]}


def _binary(colours: np.ndarray) -> dict[str, Method]:
    gray = [np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]) for clip in colours]
    exact = luma(_as_clips(colours), "paper")

    def from_gray() -> list:
        return [
            threshold_differences(background_differences(one[None], MOMENTUM, "paper"), THRESHOLD, "paper")[
                0, 0
            ].numpy()
            for one in exact
        ]

    return {
        **_ours(colours, "paper"),
        "ours, from float gray": from_gray,
        "(a) OpenCV and NumPy frame by frame, from 8-bit RGB": lambda: [_opencv_paper(clip) for clip in colours],
        "(b) OpenCV's 8-bit operations, from 8-bit RGB": lambda: [
            opencv_bytes([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]) for clip in colours
        ],
        "(b) the same, from 8-bit gray": lambda: [opencv_bytes(frames) for frames in gray],
    }


def _agree(preset: str, methods: dict[str, Method]) -> None:
    """See that all methods give the same masks, up to the rounding that each one's definition allows."""
    scale = {"release": 255, "paper": 1}[preset]
    expected = np.stack(methods["ours, from the view's clip"]())
    for name, method in methods.items():
        masks = np.stack(method())
        masks = masks / scale if masks.dtype == np.uint8 else masks
        # A soft mask's quotient may fall on either side of a whole level.
        share = (np.abs(masks - expected) > (1.5 / 255 if preset == "release" else 0)).mean()
        if share > (0.01 if name.startswith("(b)") else 1e-4):
            raise SystemExit(f"{name} gives other {preset} masks than ours on {100 * share:.2f} % of the pixels")


def _opencv_release(clip: np.ndarray) -> np.ndarray:
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    background, masks = gray[0], []
    for frame in gray[1:]:
        difference = cv2.absdiff(background, frame)
        difference[difference <= THRESHOLD] = 0
        low, high = int(difference.min()), int(difference.max())
        scaled = (difference - np.float32(low)) / np.float32(max(high - low, 1)) * np.float32(255)
        masks.append(cv2.dilate(scaled.astype(np.uint8), KERNEL, anchor=(1, 1)))
        background = (MOMENTUM * frame.astype(np.float64) + (1 - MOMENTUM) * background).astype(np.uint8)
    return np.stack([masks[0], *masks])


def _opencv_paper(clip: np.ndarray) -> np.ndarray:
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip.astype(np.float32)]
    background, masks = gray[0], []
    for frame in gray[1:]:
        mask = (cv2.absdiff(background, frame) > THRESHOLD).astype(np.uint8)
        masks.append(cv2.dilate(mask, KERNEL, anchor=(1, 1)))
        background = (1 - MOMENTUM) * frame + MOMENTUM * background
    return np.stack([masks[0], *masks])


def opencv_bytes(gray: list[np.ndarray]) -> np.ndarray:
    """The binary mask (T, H, W) of 8-bit gray frames with OpenCV's 8-bit operations."""
    background, masks = gray[0].astype(np.float32), []
    for frame in gray[1:]:
        difference = cv2.absdiff(cv2.convertScaleAbs(background), frame)
        _, mask = cv2.threshold(difference, THRESHOLD, 1, cv2.THRESH_BINARY)
        masks.append(cv2.dilate(mask, KERNEL, anchor=(1, 1)))
        cv2.accumulateWeighted(frame, background, 1 - MOMENTUM)
    return np.stack([masks[0], *masks])
