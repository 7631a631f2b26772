"""Runs in MLflow."""

from pathlib import Path

from mac.arguments.common import Commands, paths, scaled


def add(commands: Commands) -> None:
    """Add these commands."""
    s = commands.nested("track", "run", "tracking:run", "Record a run that has results in MLflow.")
    s.add_argument("--stage", choices=["pretrain", "finetune", "probe"], required=True)
    s.add_argument("--id", required=True, help="of the run")
    paths(s, "results", "receipt")
    s.add_argument("--report", type=Path, metavar="OUT", help="write the summary anew there, as `report` does")
    s.add_argument("--runs-page", metavar="ADDRESS", help="of the runs in MLflow's pages, for the summary's links")
    s.add_argument("--tracking-uri", required=True)
    scaled(s)
    s = commands.nested("track", "follow", "tracking:follow", "Send what runs write while they train to MLflow.")
    paths(s, "results")
    s.add_argument("--while-pid", type=int, required=True, metavar="PID", help="until this process has ended")
    s.add_argument("--since", type=float, default=0.0, metavar="TIME", help="leave alone what was last written before")
    s.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="between two looks (default 5)")
    s.add_argument("--tracking-uri", required=True)
    scaled(s)
    s = commands.nested("track", "sync", "tracking:sync", "Bring a tracking store up to date with all runs of a scale.")
    paths(s, "results")
    s.add_argument("--tracking-uri", required=True)
    scaled(s)
    s = commands.stage("ui", "interface:serve", "Open MLflow's browser on a tracking store, on this machine only.")
    s.add_argument("--tracking-uri", required=True)
    s.add_argument("--port", type=int, default=5000)
