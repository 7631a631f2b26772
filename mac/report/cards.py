"""Cards: of a data set (what it holds, what was left out and why, whether its splits leak) and of exported weights."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from mac.config import DatasetConfig, FinetuneConfig, PretrainConfig
from mac.data import catalog, check, splits
from mac.data.index import digest, usable
from mac.plan import Plan
from mac.report.texts import render

SHOWN = 40  # videos named one by one


def summarise(table: pd.DataFrame) -> dict[str, Any]:
    """Count an index.

    Returns:
        ``index_digest``, ``listed``, ``usable``, ``frames``, ``hours``; ``statuses`` (name → videos), ``copies`` (how
        files compare with a declared subset's → videos); ``splits`` (number → videos of train, test and unused, groups
        and duplicate contents that stand on both sides); ``classes`` (label → videos by split and side);
        ``frames_range`` and ``rates`` (frames per second → videos), ``sizes`` (WIDTH×HEIGHT → videos).
    """
    used, listed = usable(table), table[table["status"] != check.UNLISTED]
    seconds = (used["num_frames"] / used["fps"].where(used["fps"] > 0)).sum()
    by_split, classes = {}, {label: {} for label in sorted(listed["label"].unique())}
    for split in splits.SPLITS:
        side = used[f"split_{split}"]
        if (side == splits.UNUSED).all():
            continue
        sides = {name: used[side == name] for name in (splits.TRAIN, splits.TEST)}
        by_split[str(split)] = {name: len(part) for name, part in sides.items()}
        for what, column in (("groups", "group"), ("contents", "content")):
            both = set(sides[splits.TRAIN][column]) & set(sides[splits.TEST][column])
            by_split[str(split)][f"{what}_on_both_sides"] = len(both)
        for label, counts in classes.items():
            counts |= {f"{split} {name}": int((part["label"] == label).sum()) for name, part in sides.items()}
    lengths = used["num_frames"]
    return {
        "index_digest": digest(table),
        "listed": len(listed),
        "usable": len(used),
        "frames": int(lengths.sum()),
        "hours": round(float(seconds) / 3600, 3),
        "statuses": _counts(table["status"]),
        "copies": _counts(used.loc[used["copy"] != "", "copy"]),
        "splits": by_split,
        "classes": classes,
        "frames_range": [int(lengths.min()), int(lengths.median()), int(lengths.max())],
        "rates": _counts(used["fps"].round(3).astype(str)),
        "sizes": _counts(used["width"].astype(str) + "×" + used["height"].astype(str)),
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().items()}


def data_card(title: str, facts: dict[str, Any], table: pd.DataFrame, picture: str) -> str:
    """Write a data set's card as Markdown.

    Args:
        title: the data set's name.
        facts: of :func:`summarise`.
        table: the index.
        picture: file of the histograms, relative to the card.
    """

    def counted(head: str, counts: dict[str, int]) -> pd.DataFrame:
        return pd.DataFrame(counts.items(), columns=[head, "Videos"])

    sides = {"train": "Training", "test": "Test"}
    sides |= {f"{what}_on_both_sides": f"{what.capitalize()} on both sides" for what in ("groups", "contents")}
    classes = pd.DataFrame.from_dict(facts["classes"], orient="index").add_prefix("split ")
    named = table[table["status"] != check.OK].sort_values(
        "status", key=lambda status: status == check.ABSENT, kind="stable"
    )
    named = named[["path", "status", "reason"]].assign(path="`" + named["path"] + "`")
    return render(
        "data_card.md",
        title=title,
        facts=facts,
        picture=picture,
        statuses=counted("Status", facts["statuses"]),
        splits=pd.DataFrame.from_dict(facts["splits"], orient="index", columns=list(sides))
        .rename(columns=sides)
        .reset_index(names="Split"),
        named=named.head(SHOWN).set_axis(["Video", "Status", "Reason"], axis=1),
        more=len(named) - SHOWN,
        also_used=" or ".join(check.USABLE[1:]),
        sizes=counted("Pixels", facts["sizes"]),
        rates=counted("Frames per second", facts["rates"]),
        classes=classes.reset_index(names="Class"),
    )


def about(dataset: DatasetConfig, config_dir: Path) -> str:
    """Say whose a data set is and on which terms, by ``CONFIG/catalog.yaml``."""
    if dataset.synthetic:
        return (
            f"{dataset.name}: figures drawn by this project (`mac/data/synthetic.py`), not the data set of that name."
        )
    path = config_dir / "catalog.yaml"
    source = catalog.load(path).get(dataset.name)
    found = source.about if source else f"{dataset.name}: {path} says nothing of it."
    return f"{found} Only the part `{dataset.subset}`." if dataset.subset else found


def rows_that_use(run_id: str, plans: list[Plan]) -> list[str]:
    """List the rows of the scales' tables that use a pretraining or a finetuning."""
    used = {}
    for plan in plans:
        planned = plan.pretrainings.get(run_id) or plan.finetunings.get(run_id)
        used |= dict.fromkeys(f"{use} (scale {plan.scale})" for use in (planned.used_by if planned else []))
    return list(used)


def finetunings_from(pretrain_id: str, epoch: int | None, results: Path) -> list[dict[str, Any]]:
    """Read the metrics of the finished finetunings that started from a pretraining's epoch."""
    found = []
    for path in sorted(results.glob("finetune/*/metrics.json")):
        with suppress(ValueError):  # a damaged result is the report's matter
            found.append(json.loads(path.read_text(encoding="utf-8")))
    return [m for m in found if epoch and (m.get("pretrain_id"), m.get("pretrain_epoch")) == (pretrain_id, epoch)]


def model_card(
    *, config: PretrainConfig | FinetuneConfig, metrics: dict[str, Any], finetunings: list[dict[str, Any]], **facts: Any
) -> str:
    """Write the card beside exported weights (Markdown): what they are, whence, how good, how to load them.

    Args:
        config: configuration of the pretraining or finetuning.
        metrics: what the run left (``metrics.json`` or ``epoch_E.json``).
        finetunings: metrics of the finetunings that started here.
        facts: ``run_id``; ``epoch`` of a pretraining's checkpoint, None of a finetuning; name of the exported ``file``
            beside the card, its SHA-256 ``digest`` and how many ``parameters`` it holds; ``about`` the data: whose they
            are, on which terms; lines of Python for ``loading`` and ``using`` it; ``normalisation``: mean and standard
            deviation by channel; ``is_torchvisions``: whether torchvision alone builds the network; ``used_by``: rows
            of tables that use the run.
    """
    heads = {"dataset": "finetuned on", "split": "split", "seed": "seed", "top1": "top-1, %", "videos": "test videos"}
    heads["finetune_id"] = "run"
    finished = pd.DataFrame(finetunings, columns=list(heads)).sort_values(["dataset", "split", "seed", "finetune_id"])
    finished["top1"] = finished["top1"].map("{:.1f}".format)
    finished["videos"] = finished["videos"].map("{:,}".format)
    finished["finetune_id"] = "`" + finished["finetune_id"].astype(str) + "`"
    held_out = {
        name.removesuffix("_held_out").replace("_", " "): value
        for name, value in sorted(metrics.items())
        if name.endswith("_held_out")
    }
    return render(
        "model_card.md",
        config=config,
        is_pretraining=isinstance(config, PretrainConfig),
        metrics=metrics,
        held_out=held_out,
        finetunings=finished.rename(columns=heads),
        configuration=yaml.safe_dump(config.canonical(), sort_keys=False, allow_unicode=True),
        **facts,
    )
