"""Where weights come from besides trainings, and what is made of trained ones."""

from pathlib import Path

import click

from mac.cli.options import PATH, Machine, Paths, config_dir, on_machine, paths, scales, several_paths
from mac.cli.training import theme
from mac.runtime.atomic import write_json, write_text

PAIR = {"type": PATH, "nargs": 2, "required": True, "metavar": "MAC SUPERVISED"}
SUPERVISED = {
    "kinetics400": "Kinetics-400 supervised",
    "pretrained": "supervised pretraining (stand-in)",
    "random": "random initialisation",
}


@theme.command()
@click.option("--backbone", required=True)
@paths("out")
def weights(backbone: str, out: Path) -> None:
    """Fetch torchvision's Kinetics-400 weights of a backbone, as a checkpoint that finetuning can start from."""
    from mac.models import backbones
    from mac.training import checkpoint

    network = backbones.build(backbone)
    network.load_state_dict(backbones.published_weights(backbone))
    checkpoint.save_backbone(out, network, {"source": "torchvision Kinetics-400"})


@theme.command()
@click.option("--configs", help="config.yaml of both finetunings, MAC's first.", **PAIR)
@click.option("--classifiers", help="Their classifier.safetensors.", **PAIR)
@click.option("--predictions", help="Their predictions.parquet.", **PAIR)
@click.option("--pretraining", type=PATH, required=True, help="config.yaml of MAC's pretraining: name and mask.")
@click.option("--names", nargs=2, metavar="MAC SUPERVISED", help="What figures call the two.")
@several_paths("pictures", "F2, F3 and F4, .png or .svg.")
@click.option("--rows", type=int, default=4, help="Videos in a figure.")
@click.option("--sample", type=int, default=200, help="Most videos the overlap is measured on.")
@paths("store", "out")
@on_machine
def gradcam(
    configs: tuple[Path, Path],
    classifiers: tuple[Path, Path],
    predictions: tuple[Path, Path],
    pretraining: Path,
    names: tuple[str, str] | None,
    pictures: Paths,
    rows: int,
    sample: int,
    store: Path,
    out: Path,
    machine: Machine,
) -> None:
    """Draw figures 2–4: where two finetuned models look."""
    import torch

    from mac.config import FinetuneConfig, PretrainConfig, read_config
    from mac.data.store import FrameStore
    from mac.stages import gradcam as stage
    from mac.training import processor
    from mac.validation import ConfigError

    ours, supervised = (read_config(path, FinetuneConfig) for path in configs)
    start = read_config(pretraining, PretrainConfig)
    if ours.pretrain_id != start.identify():
        raise ConfigError(
            [
                f"{pretraining}: pretraining {start.identify()}, but {configs[0]} was finetuned from"
                f" {ours.pretrain_id or f'{ours.initial} weights'}; give the config.yaml of the pretraining that the"
                " first finetuning started from"
            ]
        )
    if {path.stem for path in pictures} != set(stage.FIGURES):
        found = ", ".join(map(str, pictures))
        raise ConfigError([f"--pictures {found}: wanted are {', '.join(stage.FIGURES)}, each as .png, .svg or both"])
    own = machine.prepare("fp32")
    files = zip(
        names or (start.method, SUPERVISED[supervised.initial]),
        (ours, supervised),
        classifiers,
        predictions,
        strict=True,
    )
    models = tuple(stage.load(*one, own) for one in files)
    by_figure = {figure: [path for path in pictures if path.stem == figure] for figure in stage.FIGURES}
    for path in pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
    readers = machine.count_readers(own)
    facts = stage.run(models, start.mask, FrameStore(store.parent), by_figure, own, rows, sample, readers)
    ran_on = {"device": processor.describe(own), "commit": processor.git_commit(), "torch": torch.__version__}
    write_json(out, facts | ran_on)


@theme.command()
@click.argument("run_id", metavar="ID")
@paths("results", "out")
@click.option("--epoch", type=int, help="Of a pretraining (default: the last kept).")
@scales
@config_dir
def export(run_id: str, results: Path, out: Path, epoch: int | None, scales: tuple[str, ...], config_dir: Path) -> None:
    """Write the weights of a run, ID, for use elsewhere, with a model card that names its rows beside them."""
    from mac import plan as planning
    from mac.report import cards
    from mac.stages import export as stage

    plans = [planning.load(config_dir, scale) for scale in scales or planning.scales(config_dir)]
    facts = stage.run(results, run_id, epoch, out)
    card = cards.model_card(
        **facts,
        about=cards.about(facts["config"].store.dataset, config_dir),
        used_by=cards.rows_that_use(run_id, plans),
        finetunings=cards.finetunings_from(run_id, facts["epoch"], results),
    )
    write_text(out.with_suffix(".md"), card)
    print(f"{out} and {out.with_suffix('.md').name}, which says how to load it")
