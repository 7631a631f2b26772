"""Mask settings."""

from pathlib import Path

from mac.arguments.common import Commands, paths, scaled


def add(commands: Commands) -> None:
    """Add these commands."""
    s = commands.nested(
        "masks", "card", "masks:card", "Compute the card of a mask setting and refuse a degenerate one."
    )
    paths(s, "config", "store", "out", "picture")
    s.add_argument("--boxes", type=Path, help="person boxes, where the setting needs them")
    s.add_argument("--limits", type=float, nargs=2, required=True, metavar=("LOW", "HIGH"))
    scaled(s)
    s = commands.nested("masks", "sweep", "masks:sweep", "Show one clip under all m and λ of Tables 7 and 8.")
    paths(s, "config", "store", "out")
    s.add_argument("--pictures", type=Path, nargs="+", required=True)
    s.add_argument("--foreground", type=Path, nargs="+", required=True, help="pictures of how much is marked")
    s.add_argument("--card", type=Path, required=True, help="picture of the setting's own card, on several clips")
    s = commands.nested(
        "masks",
        "preview",
        "masks:preview",
        "Show any video's mask under any m and λ, as a picture or a video.",
    )
    s.add_argument("video", type=Path, metavar="VIDEO")
    s.add_argument("--momentum", "-m", type=float, nargs="+", default=[0.5], help="the paper's m (default 0.5)")
    s.add_argument("--threshold", "-l", type=float, nargs="+", default=[30.0], help="the paper's λ (default 30)")
    s.add_argument("--preset", choices=["paper", "release"], default="paper")
    s.add_argument("--size", type=int, nargs=2, default=[171, 128], metavar=("WIDTH", "HEIGHT"), help="pixels")
    s.add_argument("--stride", type=int, default=2, help="of the frames (default 2)")
    s.add_argument("--start", type=int, default=0, help="first frame")
    s.add_argument("--out", type=Path, help=".png or .svg: a picture; .mp4 or .avi: a video (default VIDEO_masks.png)")
