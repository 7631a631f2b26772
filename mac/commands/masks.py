"""``masks card``, ``masks sweep`` and ``masks preview``."""

import argparse
from pathlib import Path

from mac import plan as planning
from mac.commands.files import read_config, write_json
from mac.config import CardConfig
from mac.data.store import FrameStore
from mac.masks.card import check
from mac.report.figures import draw_foreground
from mac.stages import card as cards
from mac.stages import preview as previewing


def card(arguments: argparse.Namespace) -> None:
    """Write a mask card and its picture; fail on a degenerate setting, its picture kept for a look."""
    config = read_config(arguments.config, CardConfig)
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    plan = planning.load(arguments.config_dir, arguments.scale)
    used_by = [use for p in plan.pretrainings.values() if p.config.card == config for use in p.used_by]
    facts = cards.run(config, FrameStore(arguments.store.parent, arguments.boxes), arguments.picture)
    if not config.clip.is_frozen:  # a control without motion has no foreground
        check(facts["foreground"], *arguments.limits, facts["setting"], used_by)
    write_json(arguments.out, facts)


def sweep(arguments: argparse.Namespace) -> None:
    """Write the mask sweep's pictures and numbers, and the card's picture."""
    config, store = read_config(arguments.config, CardConfig), FrameStore(arguments.store.parent)
    for path in [*arguments.pictures, *arguments.foreground, arguments.card]:
        path.parent.mkdir(parents=True, exist_ok=True)
    found = cards.sweep(config, store, arguments.pictures)
    cards.run(config, store, arguments.card)
    note = f"{cards.CLIPS} training clips of {config.store.dataset.name}, preset {config.mask.preset}"
    draw_foreground(found, note, arguments.foreground)
    write_json(arguments.out, found)


def preview(arguments: argparse.Namespace) -> None:
    """Show the mask of any video under any m and λ, as a picture or a side-by-side video."""
    settings = [(m, threshold) for m in arguments.momentum for threshold in arguments.threshold]
    out = arguments.out or arguments.video.with_name(f"{arguments.video.stem}_masks.png").name
    shares = previewing.run(
        arguments.video,
        Path(out),
        settings,
        arguments.preset,
        tuple(arguments.size),
        arguments.stride,
        arguments.start,
    )
    for name, share in shares.items():
        print(f"{name}: {share:.2%} foreground")
    print(out)
