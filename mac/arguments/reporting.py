"""Reports."""

from pathlib import Path

from mac.arguments.common import Commands, paths, scaled


def add(commands: Commands) -> None:
    """Add these commands."""
    s = commands.stage(
        "report",
        "reporting:report",
        "Write the summary and claims, or tables, from results; all of them from MLflow alone.",
    )
    scaled(s)
    s.add_argument("--table", nargs="*", help="only these tables; the summary is then left alone")
    s.add_argument("--runs-page", metavar="ADDRESS", help="of the runs in MLflow's pages, for links from cells")
    s.add_argument("--svg", action="store_true", help="draw curves as SVG too, beside the PNG")
    source = s.add_mutually_exclusive_group(required=True)
    source.add_argument("--results", type=Path)
    source.add_argument("--from-mlflow", metavar="URI")
    paths(s, "out")
    s = commands.stage("learning", "page:learning", "Draw the learning curves of every table's rows.")
    s.add_argument("--svg", action="store_true", help="as SVG too, beside the PNG")
    scaled(s)
    paths(s, "results", "out")
    s = commands.stage("page", "page:page", "Write a scale's whole report as one HTML file.")
    scaled(s)
    s.add_argument("--runs-page", metavar="ADDRESS", help="of the runs in MLflow's pages, for links")
    paths(s, "results", "out", "ledger")
    s = commands.stage("keep", "keeping:keep", "Keep the small files of a scale's finished runs beside its report.")
    scaled(s)
    paths(s, "results", "out")
    s = commands.stage("recall", "keeping:recall", "Put a kept run's files into a results folder, after checking them.")
    s.add_argument("run", metavar="RUN", help="finetune/ID, probe/ID or pretrain/ID/epoch_E")
    paths(s, "kept", "results")
    s = commands.stage(
        "score", "reporting:score", "Print accuracy and intervals of saved predictions, as a report's cell has them."
    )
    s.add_argument("predictions", type=Path, nargs="+", metavar="PREDICTIONS", help="a run's; several: of one cell")
