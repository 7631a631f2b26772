"""``gradcam``."""

import argparse

import torch

from mac.commands.files import git_commit, read_config, write_json
from mac.config import FinetuneConfig, PretrainConfig
from mac.data.store import FrameStore
from mac.stages import gradcam as stage
from mac.training import processor
from mac.validation import ConfigError

SUPERVISED = {
    "kinetics400": "Kinetics-400 supervised",
    "pretrained": "supervised pretraining (stand-in)",
    "random": "random initialisation",
}


def gradcam(arguments: argparse.Namespace) -> None:
    """Draw figures 2–4 from two finetunings' files and write what a page says beside them."""
    configs = [read_config(path, FinetuneConfig) for path in arguments.configs]
    pretraining = read_config(arguments.pretraining, PretrainConfig)
    if configs[0].pretrain_id != pretraining.identify():
        raise ConfigError(
            [
                f"{arguments.pretraining}: pretraining {pretraining.identify()}, but {arguments.configs[0]} was"
                f" finetuned from {configs[0].pretrain_id or f'{configs[0].initial} weights'};"
                " give the config.yaml of the pretraining that the first finetuning started from"
            ]
        )
    device = processor.prepare(arguments.device, arguments.threads, "fp32")
    names = arguments.names or [pretraining.method, SUPERVISED[configs[1].initial]]
    files = zip(names, configs, arguments.classifiers, arguments.predictions, strict=True)
    models = tuple(stage.load(*own, device) for own in files)
    pictures = {figure: [path for path in arguments.pictures if path.stem == figure] for figure in stage.FIGURES}
    if {path.stem for path in arguments.pictures} != set(stage.FIGURES):
        found = ", ".join(map(str, arguments.pictures))
        raise ConfigError([f"--pictures {found}: wanted are {', '.join(stage.FIGURES)}, each as .png, .svg or both"])
    for path in arguments.pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
    facts = stage.run(
        models,
        pretraining.mask,
        FrameStore(arguments.store.parent),
        pictures,
        device,
        arguments.rows,
        arguments.sample,
        processor.count_readers(device, arguments.loader_workers, arguments.cores, arguments.threads),
    )
    own = {"device": processor.describe(device), "commit": git_commit(), "torch": torch.__version__}
    write_json(arguments.out, facts | own)
