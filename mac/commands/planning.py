"""``resolve`` and ``preflight``."""

import argparse

from mac import plan as planning
from mac.commands.files import write_config
from mac.config import Strict


def stage_configs(plan: planning.Plan) -> dict[str, dict[str, Strict]]:
    """Every run's configuration, by stage folder and id."""
    return {
        "dataset": dict(plan.datasets),
        "store": dict(plan.stores),
        "boxes": dict(plan.boxes),
        "masks": dict(plan.cards),
        "pretrain": {i: p.config for i, p in plan.pretrainings.items()},
        "finetune": {i: f.config for i, f in plan.finetunings.items()},
        "probe": {i: p.config for i, p in plan.probes.items()},
    }


def resolve(arguments: argparse.Namespace) -> None:
    """Write RESULTS/STAGE/ID/config.yaml for every run of a scale; a file that is there already stays as it is."""
    plan = planning.load(arguments.config_dir, arguments.scale)
    for stage, configs in stage_configs(plan).items():
        for run_id, config in configs.items():
            path = arguments.results / stage / run_id / "config.yaml"
            if not path.exists():
                write_config(path, config)


def preflight(arguments: argparse.Namespace) -> None:
    """Fail now, not after hours, when the tracking store can't be reached."""
    from mac.tracking import store  # seconds to import, and the other commands here don't need it

    store.connect(arguments.tracking_uri)
