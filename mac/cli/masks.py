"""Mask settings: judged, shown, tried."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mac.cli.options import PATH, Group, Paths, boxes, paths, planned, several_paths
from mac.runtime.atomic import write_json

if TYPE_CHECKING:  # imported where it is used: help must not wait for pydantic
    from mac.plan import Plan

Floats, Size = tuple[float, ...], tuple[int, int]

theme = Group("masks", help="Masks")


@theme.group()
def masks() -> None:
    """Judge, show or try mask settings."""


@masks.command()
@paths("config", "store", "out", "picture")
@boxes
@click.option("--limits", type=float, nargs=2, required=True, metavar="LOW HIGH", help="Allowed share of foreground.")
@planned
def check(
    config: Path, store: Path, out: Path, picture: Path, boxes: Path | None, limits: Floats, plan: "Plan"
) -> None:
    """Check how much a mask setting marks; refuse a degenerate one, its picture kept for a look."""
    from mac.config import MaskCheckConfig, read_config
    from mac.data.store import FrameStore
    from mac.masks.check import refuse_degenerate
    from mac.stages import mask_check

    setting = read_config(config, MaskCheckConfig)
    picture.parent.mkdir(parents=True, exist_ok=True)
    used_by = [use for p in plan.pretrainings.values() if p.config.mask_check == setting for use in p.used_by]
    facts = mask_check.run(setting, FrameStore(store.parent, boxes), picture)
    if not setting.clip.is_frozen:  # a control without motion has no foreground
        refuse_degenerate(facts["foreground"], *limits, facts["setting"], used_by)
    write_json(out, facts)


@masks.command()
@paths("config", "store", "out")
@several_paths("pictures")
@several_paths("foreground", "Pictures of how much is marked.")
@click.option("--check", type=PATH, required=True, help="Picture of the setting itself, on several clips.")
def sweep(config: Path, store: Path, out: Path, pictures: Paths, foreground: Paths, check: Path) -> None:
    """Show one clip under all m and λ of Tables 7 and 8."""
    from mac.config import MaskCheckConfig, read_config
    from mac.data.store import FrameStore
    from mac.report.figures import draw_foreground
    from mac.stages import mask_check

    setting, frames = read_config(config, MaskCheckConfig), FrameStore(store.parent)
    for path in [*pictures, *foreground, check]:
        path.parent.mkdir(parents=True, exist_ok=True)
    found = mask_check.sweep(setting, frames, list(pictures))
    mask_check.run(setting, frames, check)
    note = f"{mask_check.CLIPS} training clips of {setting.store.dataset.name}, preset {setting.mask.preset}"
    draw_foreground(found, note, list(foreground))
    write_json(out, found)


@masks.command()
@click.argument("video", type=PATH)
@click.option("--momentum", "-m", type=float, multiple=True, default=[0.5], help="The paper's m.  [default: 0.5]")
@click.option("--threshold", "-l", type=float, multiple=True, default=[30.0], help="The paper's λ.  [default: 30]")
@click.option("--preset", type=click.Choice(["paper", "release"]), default="paper")
@click.option("--size", type=int, nargs=2, default=(171, 128), metavar="WIDTH HEIGHT", help="In pixels.")
@click.option("--stride", type=int, default=2, show_default=True, help="Of the frames.")
@click.option("--start", type=int, default=0, help="First frame.")
@click.option("--out", type=PATH, help=".png or .svg: a picture; .mp4 or .avi: a video (default: VIDEO_masks.png).")
def preview(
    video: Path, momentum: Floats, threshold: Floats, preset: str, size: Size, stride: int, start: int, out: Path | None
) -> None:
    """Show the mask of any VIDEO under any m and λ, as a picture or a side-by-side video."""
    from mac.stages import preview as previewing

    out = out or Path(f"{video.stem}_masks.png")
    settings = [(m, level) for m in momentum for level in threshold]
    for name, share in previewing.run(video, out, settings, preset, size, stride, start).items():
        print(f"{name}: {share:.2%} foreground")
    print(out)
