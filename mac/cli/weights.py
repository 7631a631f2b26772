"""Where weights come from besides trainings, and what is made of trained ones."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click

from mac.cli.options import PATH, Machine, config_dir, on_machine, paths, plans_of, scales, several_paths
from mac.cli.training import theme
from mac.runtime.atomic import write_json, write_text

SUPERVISED = {
    "kinetics400": "Kinetics-400 supervised",
    "pretrained": "supervised pretraining (stand-in)",
    "random": "random initialisation",
}


@theme.command()
@click.option("--backbone", required=True)
@paths("out")
def weights(backbone: str, paths: SimpleNamespace) -> None:
    """Fetch torchvision's Kinetics-400 weights of a backbone, as a checkpoint that finetuning can start from."""
    from mac.models import backbones
    from mac.training import checkpoint

    network = backbones.build(backbone)
    network.load_state_dict(backbones.published_weights(backbone))
    checkpoint.save_weights(paths.out, network, {"source": "torchvision Kinetics-400"})


def pair(name: str, text: str) -> Callable[[Callable], Callable]:
    """Ask for a file of each of the two finetunings."""
    return click.option(f"--{name}", type=PATH, nargs=2, required=True, metavar="MAC SUPERVISED", help=text)


@theme.command()
@pair("configs", "config.yaml of both finetunings, MAC's first.")
@pair("classifiers", "Their classifier.safetensors.")
@pair("predictions", "Their predictions.parquet.")
@click.option("--names", nargs=2, metavar="MAC SUPERVISED", help="Names of the two in the figures.")
@several_paths("pictures", "F2, F3 and F4, .png or .svg.")
@click.option("--rows", type=int, default=6, help="Number of videos in a figure.")
@click.option(
    "--sample", type=click.IntRange(min=1), default=200, help="Largest number of videos to measure the overlap on."
)
@paths("pretraining", "store", "out")
@on_machine
def gradcam(
    configs: tuple[Path, Path],
    classifiers: tuple[Path, Path],
    predictions: tuple[Path, Path],
    names: tuple[str, str] | None,
    pictures: tuple[Path, ...],
    rows: int,
    sample: int,
    paths: SimpleNamespace,
    machine: Machine,
) -> None:
    """Draw figures 2–4: where two finetuned models look.

    --pretraining is the config.yaml of MAC's pretraining, which says its name and mask.
    """
    import torch

    from mac.config import FinetuneConfig, PretrainConfig, read_config
    from mac.data.store import FrameStore
    from mac.stages import gradcam as stage
    from mac.training import processor
    from mac.validation import ConfigError

    ours, supervised = (read_config(path, FinetuneConfig) for path in configs)
    start = read_config(paths.pretraining, PretrainConfig)
    if ours.pretrain_id != start.identify():
        found = f"{paths.pretraining}: pretraining {start.identify()}, but {configs[0]} was finetuned from"
        found += f" {ours.pretrain_id or f'{ours.initial} weights'}"
        way_out = "give the config.yaml of the pretraining that the first finetuning started from"
        raise ConfigError([f"{found}; {way_out}"])
    if {path.stem for path in pictures} != set(stage.FIGURES):
        found = ", ".join(map(str, pictures))
        raise ConfigError([f"--pictures {found}: wanted are {', '.join(stage.FIGURES)}, each as .png, .svg or both"])
    own = machine.prepare("fp32")
    names = names or (start.method, SUPERVISED[supervised.initial])
    files = zip(names, (ours, supervised), classifiers, predictions, strict=True)
    models = tuple(stage.load(*one, own) for one in files)
    by_figure = {figure: [path for path in pictures if path.stem == figure] for figure in stage.FIGURES}
    frames, readers = FrameStore(paths.store.parent), machine.count_readers(own)
    facts = stage.run(models, start.mask, frames, by_figure, own, rows, sample, readers)
    ran_on = {"device": processor.describe(own), "commit": processor.git_commit(), "torch": torch.__version__}
    write_json(paths.out, facts | ran_on)


@theme.command()
@click.argument("run_id", metavar="ID")
@paths("results", "out")
@click.option("--epoch", type=int, help="Epoch of a pretraining (default: the last kept).")
@scales
@config_dir
def export(run_id: str, paths: SimpleNamespace, epoch: int | None, scales: tuple[str, ...], config_dir: Path) -> None:
    """Write the weights of a run, ID or its beginning, for use elsewhere, and a model card that names its rows."""
    from mac import plan as planning
    from mac.report import cards
    from mac.stages import export as stage

    plans = plans_of(config_dir, scales or planning.scales(config_dir))
    facts = stage.run(paths.results, run_id, epoch, paths.out)
    card = cards.model_card(facts, paths.results, plans, config_dir)
    write_text(paths.out.with_suffix(".md"), card)
    print(f"{paths.out} and {paths.out.with_suffix('.md').name}, which says how to load it")
