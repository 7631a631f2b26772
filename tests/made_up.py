"""Made-up results of a plan, as the files a run leaves."""

import io
import json

import numpy as np
import pandas as pd

from mac.report.reading import from_mapping
from mac.report.results import Results

VIDEOS, PER_GROUP = 400, 4


def predictions(right):
    """Predictions that are right where ``right`` says so, in classes of 40 videos and groups of 4."""
    number = np.arange(len(right))
    return pd.DataFrame(
        {
            "path": [f"v/{n:05d}.avi" for n in number],
            "group": [f"g{n % 40 // PER_GROUP:02d}" for n in number],
            "label": number // 40,
            "predicted": number // 40 + (~np.asarray(right, bool)).astype(int),
            "logits": [[0.0]] * len(right),
        }
    )


def parquet(table):
    sink = io.BytesIO()
    table.to_parquet(sink, index=False)
    return sink.getvalue()


def files(planned, run_id, right, first_match=None, /, **changed):
    """The two files of a finetuning, or (with ``first_match``) of a probe, by key."""
    right, stage = np.asarray(right, bool), "finetune" if first_match is None else "probe"
    config = (planned.finetunings | planned.probes)[run_id].config
    table = predictions(right)
    metrics = {
        f"{stage}_id": run_id, "pretrain_id": config.pretrain_id, "top1": 100 * right.mean(),
        "correct": int(right.sum()), "videos": len(right), "seed": config.seed, "split": config.split,
        "device": "CPU (test)", "seconds": 10.0, "commit": "abc", "torch": "2",
        "index_digest": config.store.dataset.identify(),
    }  # fmt: skip
    if stage == "probe":
        table, metrics["recall"] = table.drop(columns="logits").assign(first_match=first_match), {}
    key = f"{stage}/{run_id}"
    return {f"{key}/metrics.json": json.dumps(metrics | changed).encode(), f"{key}/predictions.parquet": parquet(table)}


def answers(planned, finetune_id, top1, videos=VIDEOS):
    """Which of the videos are right: ``top1`` percent, drawn by the run's place in the plan."""
    order = np.random.default_rng(list(planned.finetunings).index(finetune_id)).permutation(videos)
    return order < round(top1 / 100 * videos)


def content(planned, tops=None):
    """Files of finetunings by top-1; without ``tops`` of all, each a point better than the one before."""
    tops = tops if tops is not None else {i: 50.0 + n for n, i in enumerate(planned.finetunings)}
    found = {}
    for finetune_id, top in tops.items():
        found |= files(planned, finetune_id, answers(planned, finetune_id, top))
    return found


def run_of(planned, table="T8", row=0):
    """The first finetuning of a row's first cell."""
    return planned.tables[table].rows[row].cells[0].runs[0]


def read(planned, found, runs_page=None, report=None):
    """What a report reads from these files, and from those of an earlier ``report``."""
    return Results(planned, from_mapping(found), runs_page, from_mapping(report or {}))


def results(planned, tops=None):
    """Without ``tops``, the same object for every test: what it has computed is kept."""
    if tops is not None:
        return read(planned, content(planned, tops))
    if planned.scale not in _KEPT:
        _KEPT[planned.scale] = read(planned, content(planned))
    return _KEPT[planned.scale]


_KEPT = {}
