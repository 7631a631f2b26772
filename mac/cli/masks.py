"""Mask settings: judged, shown, tried."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click

from mac.cli.groups import Group
from mac.cli.options import BOXES, PATH, config_of, paths, planned, several_paths
from mac.runtime.atomic import write_json

if TYPE_CHECKING:  # imported where it is used: help must not wait for pydantic
    from mac.config import MaskCheckConfig
    from mac.plan import Plan

Floats = tuple[float, ...]

theme = Group("masks", help="Masks")


@theme.group()
def masks() -> None:
    """Judge, show or try mask settings."""


@masks.command()
@config_of("masks")
@paths("store", "out", "picture", boxes=BOXES)
@click.option("--limits", type=float, nargs=2, required=True, metavar="LOW HIGH", help="Allowed share of foreground.")
@planned
def check(config: "MaskCheckConfig", paths: SimpleNamespace, limits: tuple[float, float], plan: "Plan") -> None:
    """Measure how much a mask setting marks, and refuse it if that is outside the limits; its picture is kept."""
    from mac.data.store import FrameStore
    from mac.masks.check import refuse_degenerate
    from mac.stages import mask_check

    used_by = [use for p in plan.pretrainings.values() if p.config.mask_check == config for use in p.used_by]
    facts = mask_check.run(config, FrameStore(paths.store.parent, paths.boxes), paths.picture)
    if not config.clip.is_frozen:  # a control without motion has no foreground
        refuse_degenerate(facts["foreground"], *limits, facts["setting"], used_by)
    write_json(paths.out, facts)


@masks.command()
@config_of("masks")
@paths("store", "check", "out")
@several_paths("pictures")
@several_paths("foreground", "Pictures of how much is marked.")
def sweep(
    config: "MaskCheckConfig", paths: SimpleNamespace, pictures: tuple[Path, ...], foreground: tuple[Path, ...]
) -> None:
    """Show one clip under all m and λ of Tables 7 and 8, and in CHECK the setting itself on several clips."""
    from mac.data.store import FrameStore
    from mac.report.figures import draw_foreground
    from mac.stages import mask_check

    frames = FrameStore(paths.store.parent)
    found = mask_check.sweep(config, frames, list(pictures))
    mask_check.run(config, frames, paths.check)
    note = f"{mask_check.CLIPS} training clips of {config.store.dataset.name}, preset {config.mask.preset}"
    draw_foreground(found, note, list(foreground))
    write_json(paths.out, found)


@masks.command()
@click.argument("video", type=PATH)
@click.option("--momentum", "-m", type=float, multiple=True, default=[0.5], help="The paper's m.  [default: 0.5]")
@click.option("--threshold", "-l", type=float, multiple=True, default=[30.0], help="The paper's λ.  [default: 30]")
@click.option("--preset", type=click.Choice(["paper", "release"]), default="paper")
@click.option("--size", type=int, nargs=2, default=(171, 128), metavar="WIDTH HEIGHT", help="In pixels.")
@click.option("--stride", type=int, default=2, show_default=True, help="Of the frames.")
@click.option("--start", type=int, default=0, help="First frame.")
@click.option("--out", type=PATH, help=".png or .svg: a picture; .mp4 or .avi: a video (default: VIDEO_masks.png).")
def preview(video: Path, momentum: Floats, threshold: Floats, out: Path | None, **how: Any) -> None:
    """Show the mask of any VIDEO under any m and λ, as a picture or a side-by-side video."""
    from mac.stages import preview

    out = out or Path(f"{video.stem}_masks.png")
    settings = [(m, level) for m in momentum for level in threshold]
    for name, share in preview.run(video, out, settings, **how).items():
        print(f"{name}: {share:.2%} foreground")
    print(out)
