"""Views: stored frames to the two normalised, augmented views of a pretraining step, against torchvision and kornia."""

from collections.abc import Callable
from pathlib import Path

import cv2
import kornia.augmentation as kornia
import numpy as np
import torch

from benchmarks.harness import Finding, alternate, machine, markdown, rates, save
from benchmarks.masks import opencv_bytes
from benchmarks.sample import real_clips
from benchmarks.stand_ins import default_row
from mac.augment.blend import blend
from mac.augment.colour import BRIGHTNESS, CONTRAST, HUE, MEAN, SATURATION, STD
from mac.augment.views import make_views
from mac.methods.learner import Learner
from mac.models.operators import declare_missing_operators
from mac.training import processor
from mac.training.batches import Batch
from mac.training.transfer import send

declare_missing_operators()
from torchvision.transforms import v2  # noqa: E402

CLIPS, FRAMES, WIDTH, HEIGHT, SIDE, REPEATS = 32, 16, 192, 144, 112, 3
SCALES = ((149, 112), (171, 128), (192, 144))
JITTER, GRAY, FLIP = 0.8, 0.2, 0.5
GOAL = 3.0  # ÷ the better peer
NOTE = f"""Goal: ≥ {GOAL:g} × the better peer. All start from uint8 frames (B, T, 144, 192, 3) and end in
two float32 clips (B, 3, T, 112, 112), one blended with α; probabilities and ranges are the paper's, one draw per clip,
all frames alike.
What is not equivalent: both peers multiply the brightness (ours adds), change the contrast about the mean gray (ours
about black) and know no mask, so they get OpenCV's 8-bit binary one. torchvision resizes and colours 8-bit frames,
rounding at every step. kornia draws the scale continuously between the smallest and the largest of our three. glibc
keeps freed memory for all of them, as in a training."""


def run(data: Path) -> None:
    """Measure clips per second (a clip is both of its views) after comparing shapes and statistics."""
    cv2.setNumThreads(1)
    processor.prepare("cpu", threads=1)
    frames = torch.from_numpy(real_clips(data / "ucf101-originals", CLIPS, FRAMES, WIDTH, HEIGHT))
    methods = {
        "ours, as the learner does it": _ours(frames),
        "torchvision.transforms.v2, clip by clip": _torchvision(frames),
        "kornia.augmentation.VideoSequential, the batch": _kornia(frames),
    }
    statistics = _agree(methods)
    speed = rates(alternate(methods, REPEATS), CLIPS)
    ours = speed["ours, as the learner does it"]
    rows = [
        [name, f"{value:.1f}", f"{ours / value:.1f}", *(f"{x:.2f}" for x in statistics[name])]
        for name, value in speed.items()
    ]
    head = ["two views of 16 × 112 × 112, batch of 32, one core", "clips/s", "ours ÷ this", "mean", "deviation"]
    facts = {
        "machine": machine("torch", "torchvision", "kornia", "opencv-python-headless"),
        "clips_per_second": speed,
        "mean_and_deviation": statistics,
    }
    ratio = ours / max(value for name, value in speed.items() if not name.startswith("ours"))
    findings = [Finding("views ÷ the better of torchvision and kornia", ratio, GOAL)]
    tables = [markdown(head, rows), NOTE, "On a GPU: see GPU (`make bench-gpu`)."]
    save("views", "Views: from stored frames to the network", facts, tables, findings)


def _ours(frames: torch.Tensor) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    config, _ = default_row("paper")
    assert config.clip.scales == [list(scale) for scale in SCALES]
    learner = Learner(config, np.zeros(1, np.int64), torch.device("cpu"))
    batch = Batch(np.arange(CLIPS), frames, None)

    def views(turn: int) -> tuple[torch.Tensor, torch.Tensor]:
        drawn, recipe = send(learner.draw(batch.videos, turn), learner.device), learner.recipe
        return learner.method.view(batch, drawn, recipe), make_views(batch.frames, drawn["natural"], recipe)

    return views


def _torchvision(frames: torch.Tensor) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    sizes = [v2.Resize((height, width), antialias=False) for width, height in SCALES[:2]]
    cut = v2.Compose([v2.RandomChoice([*sizes, v2.Identity()]), v2.RandomCrop(SIDE), v2.RandomHorizontalFlip(FLIP)])
    turn = v2.ColorJitter(hue=HUE, saturation=_factors(SATURATION))
    jitters = [v2.ColorJitter(brightness=BRIGHTNESS), v2.ColorJitter(contrast=_factors(CONTRAST)), turn]
    colour = v2.Compose(
        [
            *(v2.RandomApply([jitter], JITTER) for jitter in jitters),
            v2.RandomGrayscale(GRAY),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def views(turn: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(turn)
        attenuated, natural = [], []
        for clip in frames.permute(0, 1, 4, 2, 3):
            plain = cut(clip)
            mask = _mask(plain.permute(0, 2, 3, 1).numpy())
            attenuated.append(blend(colour(plain).transpose(0, 1)[None], mask[None], _alphas(1)))
            natural.append(colour(cut(clip)).transpose(0, 1))
        return torch.cat(attenuated), torch.stack(natural)

    return views


def _kornia(frames: torch.Tensor) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    largest, smallest = ((SIDE / height) ** 2 * HEIGHT / WIDTH for _, height in (SCALES[0], SCALES[2]))
    cut = kornia.VideoSequential(
        kornia.RandomResizedCrop((SIDE, SIDE), scale=(smallest, largest), ratio=(1.0, 1.0), cropping_mode="slice"),
        kornia.RandomHorizontalFlip(p=FLIP),
        data_format="BTCHW",
        same_on_frame=True,
    )
    colour = kornia.VideoSequential(
        kornia.ColorJitter(brightness=BRIGHTNESS, p=JITTER),
        kornia.ColorJitter(contrast=_factors(CONTRAST), p=JITTER),
        kornia.ColorJitter(hue=HUE, saturation=_factors(SATURATION), p=JITTER),
        kornia.RandomGrayscale(p=GRAY),
        kornia.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        data_format="BTCHW",
        same_on_frame=True,
    )

    def views(turn: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(turn)
        clips = frames.permute(0, 1, 4, 2, 3).float().div_(255)
        plain = cut(clips)
        bytes_ = (plain.permute(0, 1, 3, 4, 2) * 255).round().byte().numpy()
        masks = torch.stack([_mask(clip) for clip in bytes_])
        return blend(colour(plain).transpose(1, 2), masks, _alphas(CLIPS)), colour(cut(clips)).transpose(1, 2)

    return views


def _factors(spread: float) -> tuple[float, float]:
    return float(np.exp(-spread)), float(np.exp(spread))


def _alphas(count: int) -> torch.Tensor:
    return torch.tensor([1 / 6, 1 / 2, 5 / 6, 1.0])[torch.randint(4, (count, 2))]


def _mask(frames: np.ndarray) -> torch.Tensor:
    """The binary mask (1, T, H, W) of 8-bit RGB frames (T, H, W, 3) with OpenCV's operations."""
    gray = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
    return torch.from_numpy(opencv_bytes(gray)).float()[None]


def _agree(methods: dict) -> dict[str, tuple[float, float]]:
    """See that all return views of one shape whose mean and deviation agree; they draw at random, each its own way."""
    found = {}
    for name, views in methods.items():
        both = views(0)
        if any(view.shape != (CLIPS, 3, FRAMES, SIDE, SIDE) or view.dtype != torch.float32 for view in both):
            raise SystemExit(f"{name} returns {[tuple(view.shape) for view in both]}")
        found[name] = (float(torch.stack([v.mean() for v in both]).mean()), float(both[1].std()))
    mean, deviation = found["ours, as the learner does it"]
    for name, (other_mean, other_deviation) in found.items():
        if abs(other_mean - mean) > 0.15 or abs(other_deviation - deviation) > 0.15:
            raise SystemExit(f"{name}'s views have mean and deviation {found[name]}, ours {mean, deviation}")
    return found
