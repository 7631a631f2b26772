"""Trainings, and what is made of their weights."""

from pathlib import Path

from mac.arguments.common import Commands, paths, processor, resumable, scaled


def add(commands: Commands) -> None:
    """Add these commands."""
    s = commands.stage(
        "pretrain", "training:pretrain", "Pretrain up to an epoch, from nothing or from an earlier epoch's state."
    )
    paths(s, "config", "store", "backbone", "state", "journal", "metrics")
    s.add_argument("--boxes", type=Path, help="person boxes, where the masks are made of them")
    s.add_argument("--until", type=int, required=True, metavar="EPOCH")
    s.add_argument("--previous", type=Path, help="state to continue from")
    resumable(s)
    processor(s)
    s = commands.stage("rows", "rows:rows", "Run rows of a scale in one go, without Snakemake, MLflow or a network.")
    scaled(s)
    s.add_argument("--rows", nargs="+", required=True, metavar="TABLE: ROW", help="e.g. 'T4: Cross-entropy'")
    s.add_argument("--seeds", type=int, nargs="+", help="only these")
    s.add_argument("--data-root", type=Path, required=True, help="folder of the data sets' folders")
    s.add_argument("--workers", type=int, default=1, help="processes that scan and extract")
    s.add_argument("--max-unusable", nargs="+", default=["default=0"], metavar="NAME=SHARE", help="of a set's videos")
    paths(s, "results", "out")
    processor(s)
    s = commands.stage("weights", "training:weights", "Fetch torchvision's Kinetics-400 weights of a backbone.")
    s.add_argument("--backbone", required=True)
    paths(s, "out")
    s = commands.stage("finetune", "training:finetune", "Finetune and test.")
    paths(s, "config", "store", "classifier", "journal", "predictions", "metrics")
    s.add_argument("--backbone", type=Path, help="checkpoint to start from")
    resumable(s)
    processor(s)
    s = commands.stage("probe", "probing:probe", "Measure weights without finetuning: linear probe and retrieval.")
    paths(s, "config", "store", "journal", "predictions", "metrics")
    s.add_argument("--backbone", type=Path, help="checkpoint to measure (default: random weights)")
    processor(s)
    s = commands.stage("gradcam", "gradcam:gradcam", "Draw figures 2–4: where two finetuned models look.")
    for name, text in {
        "configs": "config.yaml of both finetunings, MAC's first",
        "classifiers": "their classifier.safetensors",
        "predictions": "their predictions.parquet",
    }.items():
        s.add_argument(f"--{name}", type=Path, nargs=2, required=True, metavar=("MAC", "SUPERVISED"), help=text)
    s.add_argument("--pretraining", type=Path, required=True, help="config.yaml of MAC's pretraining: name and mask")
    s.add_argument("--names", nargs=2, metavar=("MAC", "SUPERVISED"), help="what figures call the two")
    s.add_argument("--pictures", type=Path, nargs="+", required=True, help="F2, F3 and F4, .png or .svg")
    s.add_argument("--rows", type=int, default=4, help="videos in a figure")
    s.add_argument("--sample", type=int, default=200, help="most videos the overlap is measured on")
    paths(s, "store", "out")
    processor(s)
    s = commands.stage(
        "export", "exporting:export", "Write a run's weights for use elsewhere, with a model card beside them."
    )
    s.add_argument("id", metavar="ID", help="of a pretraining or a finetuning")
    paths(s, "results", "out")
    s.add_argument("--epoch", type=int, help="of a pretraining (default: the last kept)")
    s.add_argument("--scale", nargs="+", help="whose rows the card names (default: all)")
    s.add_argument("--config-dir", type=Path, default=Path("config"), metavar="CONFIG")
