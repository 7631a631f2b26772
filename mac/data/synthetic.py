"""Synthetic data: people in motion, written as real video files in the layouts of the real data sets.

The same arguments give the same bytes. A pose is a function of ten phases, one for each motion. In a video all phases
start at random; the one that *moves* is the video's class, the other nine stay. So the poses of a single frame are
distributed identically in all classes: only motion shows the class, a still picture doesn't. Background, clothes, body,
viewpoint and position depend on the video's *group* (clips of one source video, as in UCF101), speed, phases and
flicker on the video itself; both are independent of the class.
"""

import colorsys
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from mac.data import video
from mac.data.layouts import LAYOUTS
from mac.data.splits import SyntheticVideo
from mac.randomness import uniform

FPS = 25
BOX_FILE = "person_boxes.parquet"
WIDTH, HEIGHT = 320, 240
MOTIONS = ("Bounce", "Clap", "Drum", "Kick", "Lean", "March", "Raise", "Squat", "Sway", "Wave")


@dataclass(frozen=True)
class Appearance:
    """What a person and a scene look like; independent of the motion.

    ``shirt``, ``trousers`` and ``skin`` are RGB 0–255, ``size`` scales the body (1 is 157 pixels tall on average),
    ``thickness`` scales the limbs, ``yaw`` narrows the body as if it were turned (1 is frontal), ``x`` and ``y``
    place the hips in pixels, ``side`` (±1) says which arm waves and which leg kicks, ``background`` is (240, 320, 3)
    uint8.
    """

    shirt: tuple[int, int, int]
    trousers: tuple[int, int, int]
    skin: tuple[int, int, int]
    size: float
    thickness: float
    yaw: float
    x: float
    y: float
    side: int
    background: np.ndarray


def joints(phases: np.ndarray, look: Appearance) -> dict[str, tuple[float, float]]:
    """Place the body's joints for ten phases (radians, in the order of ``MOTIONS``); pixels, y down."""
    s = dict(zip(MOTIONS, np.sin(phases), strict=True))
    unit = 40.0 * look.size

    def step(start: tuple[float, float], angle: float, length: float, side: float) -> tuple[float, float]:
        """Walk ``length`` units from ``start``; the angle is measured from straight down, outward on ``side``."""
        x = start[0] + side * look.yaw * unit * length * math.sin(angle)
        return x, start[1] + unit * length * math.cos(angle)

    bend = 0.45 + 0.45 * s["Squat"]
    hip = (look.x + unit * 0.8 * s["Sway"], look.y - unit * 0.65 * s["Bounce"] + unit * 0.9 * (1 - math.cos(bend)) * 2)
    lean = 0.45 * s["Lean"]
    neck = (hip[0] + unit * 1.45 * math.sin(lean), hip[1] - unit * 1.45 * math.cos(lean))
    head = (neck[0] + unit * 0.45 * math.sin(lean), neck[1] - unit * 0.45 * math.cos(lean))
    placed = {"hip": hip, "neck": neck, "head": head}
    for name, side in (("left", -1.0), ("right", 1.0)):
        own = side == look.side
        shoulder = (neck[0] + side * look.yaw * unit * 0.35, neck[1] + unit * 0.12)
        upper = 1.15 + 0.75 * s["Raise"] + 0.7 * side * s["Drum"]
        fore = upper + 0.55 + 1.1 * s["Clap"] + (1.5 * s["Wave"] if own else 0.0)
        elbow = step(shoulder, upper, 0.8, side)
        placed |= {f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_hand": step(elbow, fore, 0.8, side)}
        lift = max(0.0, side * s["March"])
        root = (hip[0] + side * look.yaw * unit * 0.2, hip[1])
        thigh = 0.15 + bend + (0.6 + 0.8 * s["Kick"] if own else 0.0)
        knee = step(root, thigh, 0.95 * (1 - 0.75 * lift), side)
        foot = step(knee, thigh - 2 * bend - 0.1, 0.95 * (1 - 0.5 * lift), side)
        placed |= {f"{name}_root": root, f"{name}_knee": knee, f"{name}_foot": foot}
    return placed


def draw(phases: np.ndarray, look: Appearance) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Draw one frame.

    Returns:
        The frame, uint8 (240, 320, 3) RGB, and the person's box (x0, y0, x1, y1) as fractions of the frame in [0, 1].
    """
    at = joints(phases, look)
    unit = 40.0 * look.size
    limb = max(3, round(unit * 0.42 * look.thickness))
    image = Image.fromarray(look.background)
    pen = ImageDraw.Draw(image)
    extent: list[tuple[float, float]] = []

    def stroke(points: list[str], width: int, colour: tuple[int, int, int]) -> None:
        line = [at[name] for name in points]
        pen.line(line, fill=colour, width=width, joint="curve")
        for x, y in line:
            disc((x, y), width / 2, colour)

    def disc(centre: tuple[float, float], radius: float, colour: tuple[int, int, int]) -> None:
        box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
        pen.ellipse(box, fill=colour)
        extent.extend([(box[0], box[1]), (box[2], box[3])])

    for name in ("left", "right"):
        stroke([f"{name}_root", f"{name}_knee", f"{name}_foot"], limb, look.trousers)
    stroke(["hip", "neck"], round(limb * 1.9), look.shirt)
    for name in ("left", "right"):
        stroke([f"{name}_shoulder", f"{name}_elbow", f"{name}_hand"], limb, look.shirt)
        disc(at[f"{name}_hand"], limb * 0.55, look.skin)
    disc(at["head"], unit * 0.42, look.skin)
    size = (WIDTH, HEIGHT)
    corners = np.clip([np.min(extent, axis=0), np.max(extent, axis=0)], 0, size) / size
    return np.asarray(image), tuple(corners.ravel())


def appearance(seed: int, motion: int, group: int) -> Appearance:
    """Choose the look that the videos of one group share."""
    u = iter(uniform((seed, "appearance", motion, group), 40))

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(next(u))

    def cloth() -> tuple[int, int, int]:
        rgb = colorsys.hsv_to_rgb(between(0, 1), between(0.7, 1.0), between(0.2, 0.7))
        return tuple(round(255 * channel) for channel in rgb)

    tint = between(0.3, 0.75)
    coarse = uniform((seed, "background", motion, group), 3 * 3 * 4).reshape(3, 4, 3)
    smooth = Image.fromarray((185 + 45 * coarse).astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return Appearance(
        shirt=cloth(),
        trousers=cloth(),
        skin=(round(250 * tint), round(205 * tint), round(170 * tint)),
        size=between(1.3, 1.6),
        thickness=between(1.0, 1.3),
        yaw=between(0.75, 1.0),
        x=WIDTH * between(0.4, 0.6),
        y=HEIGHT * between(0.52, 0.6),
        side=1 if between(0, 1) < 0.5 else -1,
        background=np.asarray(smooth),
    )


def frames(planned: SyntheticVideo, num_frames: int, seed: int) -> tuple[list[np.ndarray], list[tuple[float, ...]]]:
    """Draw one video: its frames, uint8 (240, 320, 3), and one person box (fractions of the frame) for each."""
    look = appearance(seed, planned.motion, planned.group)
    keys = (planned.motion, planned.group, planned.number)
    u = uniform((seed, "clip", *keys), len(MOTIONS) + 1)
    phases, frequency = 2 * np.pi * u[:-1], 2.0 + 1.2 * u[-1]  # cycles per second
    flicker = (5 * uniform((seed, "flicker", *keys), num_frames)).astype(np.uint8)
    images, boxes = [], []
    for t in range(num_frames):
        moved = phases.copy()
        moved[planned.motion] += 2 * np.pi * frequency * t / FPS
        image, box = draw(moved, replace(look, background=look.background + flicker[t]))  # below 255, so nothing wraps
        images.append(image)
        boxes.append(box)
    return images, boxes


def _write(planned: SyntheticVideo, root: Path, num_frames: int, seed: int) -> pd.DataFrame:
    images, boxes = frames(planned, num_frames, seed)
    path = root / planned.path
    path.parent.mkdir(parents=True, exist_ok=True)
    video.write(path, images, FPS, "mpeg4" if path.suffix == ".avi" else "libx264")
    table = pd.DataFrame(boxes, columns=["x0", "y0", "x1", "y1"]).rename_axis("frame").reset_index()
    table.insert(0, "path", planned.path)
    return table


def generate(
    root: Path, layout: str, classes: int, videos_per_class: int, num_frames: int, seed: int, workers: int = 1
) -> None:
    """Write a data set: videos, split files in the layout's own format, and ground-truth person boxes.

    Args:
        root: the folder to write into.
        layout: a name in :data:`mac.data.layouts.LAYOUTS`.
        classes: the first so many of the ten motions, 2 … 10.
        videos_per_class: videos of each class, in all splits together.
        num_frames: frames per video, at 25 frames per second.
        seed: the same seed gives the same bytes.
        workers: processes; the files don't depend on their number.
    """
    planned, lists = LAYOUTS[layout].synthesise(MOTIONS[:classes], videos_per_class)
    write = partial(_write, root=root, num_frames=num_frames, seed=seed)
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            boxes = list(pool.map(write, planned, chunksize=8))
    else:
        boxes = [write(one) for one in planned]
    pd.concat(boxes, ignore_index=True).to_parquet(root / BOX_FILE, index=False)
    for name, text in lists.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, newline="")
