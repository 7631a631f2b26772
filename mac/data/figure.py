"""The drawn person of the embedded data: ten motions of one jointed body, in pixels of a 320×240 frame.

A pose is a function of ten phases, one per motion. In a video all phases are random; the video's class is the one
phase that *moves*, the other nine stay where they are. The poses of a single frame are therefore distributed
identically in every class: a still picture cannot give the class away, only motion can.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

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
        return (
            start[0] + side * look.yaw * unit * length * math.sin(angle),
            start[1] + unit * length * math.cos(angle),
        )

    bend = 0.45 + 0.45 * s["Squat"]
    hip = (look.x + unit * 0.8 * s["Sway"], look.y - unit * 0.65 * s["Bounce"] + unit * 0.9 * (1 - math.cos(bend)) * 2)
    lean = 0.45 * s["Lean"]
    neck = (hip[0] + unit * 1.45 * math.sin(lean), hip[1] - unit * 1.45 * math.cos(lean))
    placed = {"hip": hip, "neck": neck}
    placed["head"] = (neck[0] + unit * 0.45 * math.sin(lean), neck[1] - unit * 0.45 * math.cos(lean))
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
    xs, ys = zip(*extent, strict=True)
    box = (
        max(min(xs), 0) / WIDTH,
        max(min(ys), 0) / HEIGHT,
        min(max(xs), WIDTH) / WIDTH,
        min(max(ys), HEIGHT) / HEIGHT,
    )
    return np.asarray(image), box
