"""Embedded data: generated people in motion, written as real video files in the layouts of the real data sets.

Everything is drawn from the seed: the same arguments give the same bytes. Background, clothes, body, viewpoint and
position come from a *group* (one source video cut into clips, as in UCF101), speed, phases and flicker from the clip;
both are independent of the class, which is the one motion that runs (see :mod:`mac.data.figure`).
"""

import colorsys
import csv
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mac.data import video
from mac.data.figure import HEIGHT, MOTIONS, WIDTH, Appearance, draw
from mac.randomness import uniform

FPS = 25
GROUPS = 25  # as in UCF101
BOX_FILE = "person_boxes.parquet"


@dataclass(frozen=True)
class Clip:
    """One video to draw: where it goes (relative to the root), which motion runs, and the keys of its randomness."""

    path: str
    motion: int
    group: int
    number: int


def appearance(seed: int, motion: int, group: int) -> Appearance:
    """Draw the look shared by the clips of one group."""
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


def frames(clip: Clip, num_frames: int, seed: int) -> tuple[list[np.ndarray], list[tuple[float, ...]]]:
    """Draw one clip: its frames, uint8 (240, 320, 3), and one person box (fractions of the frame) for each."""
    look = appearance(seed, clip.motion, clip.group)
    u = uniform((seed, "clip", clip.motion, clip.group, clip.number), len(MOTIONS) + 1)
    phases, frequency = 2 * np.pi * u[:-1], 2.0 + 1.2 * u[-1]  # cycles per second
    flicker = (5 * uniform((seed, "flicker", clip.motion, clip.group, clip.number), num_frames)).astype(np.uint8)
    images, boxes = [], []
    for t in range(num_frames):
        moved = phases.copy()
        moved[clip.motion] += 2 * np.pi * frequency * t / FPS
        image, box = draw(moved, replace(look, background=look.background + flicker[t]))  # bright, but far from 255
        images.append(image)
        boxes.append(box)
    return images, boxes


def _write(clip: Clip, root: Path, num_frames: int, seed: int) -> pd.DataFrame:
    images, boxes = frames(clip, num_frames, seed)
    path = root / clip.path
    path.parent.mkdir(parents=True, exist_ok=True)
    video.write(path, images, FPS, "mpeg4" if path.suffix == ".avi" else "libx264")
    table = pd.DataFrame(boxes, columns=["x0", "y0", "x1", "y1"])
    table.insert(0, "frame", np.arange(len(boxes)))
    table.insert(0, "path", clip.path)
    return table


def generate(
    root: Path,
    layout: str,
    classes: int,
    videos_per_class: int,
    num_frames: int,
    seed: int,
    workers: int = 1,
) -> None:
    """Write a data set into ``root``: videos, split files in the layout's own format, and ground-truth person boxes.

    Args:
        root: folder to write into.
        layout: ``ucf101``, ``hmdb51`` or ``kinetics``.
        classes: the first so many of the ten motions, 2 … 10.
        videos_per_class: videos of each class, all splits together.
        num_frames: frames per video, at 25 frames per second.
        seed: everything drawn follows from it.
        workers: processes; changes nothing but the time.
    """
    plan = {"ucf101": _ucf101, "hmdb51": _hmdb51, "kinetics": _kinetics}[layout]
    clips, listings = plan(classes, videos_per_class)
    write = partial(_write, root=root, num_frames=num_frames, seed=seed)
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            boxes = list(pool.map(write, clips, chunksize=8))
    else:
        boxes = [write(clip) for clip in clips]
    pd.concat(boxes, ignore_index=True).to_parquet(root / BOX_FILE, index=False)
    for name, text in listings.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, newline="")


def _groups(videos: int) -> list[tuple[int, int]]:
    """Spread the videos of one class over the 25 groups: (group, clip number), both from 1, as UCF101 numbers them."""
    groups = [i * GROUPS // videos + 1 for i in range(videos)]
    return [(group, groups[:i].count(group) + 1) for i, group in enumerate(groups)]


def _ucf101(classes: int, videos: int) -> tuple[list[Clip], dict[str, str]]:
    """UCF101: ``UCF-101/Class/v_Class_gNN_cMM.avi``; split s tests groups 7(s−1)+1 … 7s; CRLF line ends."""
    clips = [
        Clip(f"UCF-101/{name}/v_{name}_g{group:02d}_c{number:02d}.avi", motion, group, number)
        for motion, name in enumerate(MOTIONS[:classes])
        for group, number in _groups(videos)
    ]
    listing = {"classInd.txt": [f"{index + 1} {name}" for index, name in enumerate(MOTIONS[:classes])]}
    for split in (1, 2, 3):
        tested = range(7 * (split - 1) + 1, 7 * split + 1)
        listing[f"trainlist0{split}.txt"] = [
            f"{c.path.removeprefix('UCF-101/')} {c.motion + 1}" for c in clips if c.group not in tested
        ]
        listing[f"testlist0{split}.txt"] = [c.path.removeprefix("UCF-101/") for c in clips if c.group in tested]
    return clips, {
        f"ucfTrainTestlist/{name}": "".join(f"{line}\r\n" for line in lines) for name, lines in listing.items()
    }


def _hmdb51(classes: int, videos: int) -> tuple[list[Clip], dict[str, str]]:
    """HMDB51: ``videos/class/name.avi``; per class and split a list of names with 1 train, 2 test, 0 unused."""
    clips = [
        Clip(
            f"videos/{name.lower()}/figure_{group:02d}_{name.lower()}_f_cm_np1_fr_med_{number - 1}.avi",
            m,
            group,
            number,
        )
        for m, name in enumerate(MOTIONS[:classes])
        for group, number in _groups(videos)
    ]
    listings = {}
    for m, name in enumerate(MOTIONS[:classes]):
        own = [clip for clip in clips if clip.motion == m]
        for split in (1, 2, 3):
            uses = [2 if clip.group % 3 == split % 3 else 1 for clip in own[:-1]] + [0]
            lines = [f"{Path(clip.path).name} {use} \n" for clip, use in zip(own, uses, strict=True)]
            listings[f"test_train_splits/{name.lower()}_test_split{split}.txt"] = "".join(lines)
    return clips, listings


def _kinetics(classes: int, videos: int) -> tuple[list[Clip], dict[str, str]]:
    """Kinetics: ``train|val/class/ID_START_END.mp4`` and one csv of annotations per part; groups 1–4 validate."""
    clips, rows = [], {"train": [], "val": []}
    for motion, name in enumerate(MOTIONS[:classes]):
        label = f"doing {name.lower()}"
        for group, number in _groups(videos):
            part = "val" if group <= 4 else "train"
            youtube_id, start = f"{name[:4].lower()}_g{group:02d}c{number:03d}", 10 * number
            path = f"{part}/{label}/{youtube_id}_{start:06d}_{start + 10:06d}.mp4"
            clips.append(Clip(path, motion, group, number))
            rows[part].append([label, youtube_id, start, start + 10, part])
    return clips, {f"annotations/{part}.csv": _csv(lines) for part, lines in rows.items()}


def _csv(rows: list[list]) -> str:
    lines: list[str] = []

    class Sink:
        write = staticmethod(lines.append)

    writer = csv.writer(Sink)
    writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
    writer.writerows(rows)
    return "".join(lines)
