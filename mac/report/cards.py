"""Cards: of a data set (what it holds, what was left out and why, whether its splits leak) and of exported weights."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from mac.config import DatasetConfig, PretrainConfig
from mac.data import catalog, check, splits
from mac.data.index import digest, usable
from mac.plan import Plan
from mac.report.texts import render

SHOWN = 40  # videos named one by one
SIDES = {"train": "Training", "test": "Test"}
SIDES |= {f"{what}_on_both_sides": f"{what.capitalize()} on both sides" for what in ("groups", "contents")}


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
        by_split[str(split)] = {name: len(part) for name, part in sides.items()} | {
            f"{column}s_on_both_sides": len(set.intersection(*(set(part[column]) for part in sides.values())))
            for column in ("group", "content")
        }
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
    counts = {"Status": "statuses", "Pixels": "sizes", "Frames per second": "rates"}
    counted = {name: pd.DataFrame(facts[name].items(), columns=[head, "Videos"]) for head, name in counts.items()}
    sides = pd.DataFrame.from_dict(facts["splits"], orient="index", columns=list(SIDES)).rename(columns=SIDES)
    classes = pd.DataFrame.from_dict(facts["classes"], orient="index").add_prefix("split ")
    named = table.assign(is_absent=table["status"] == check.ABSENT, path="`" + table["path"] + "`")
    named = named[named["status"] != check.OK].sort_values("is_absent", kind="stable")
    return render(
        "data_card.md",
        title=title,
        facts=facts,
        picture=picture,
        splits=sides.reset_index(names="Split"),
        named=named[["path", "status", "reason"]].head(SHOWN).set_axis(["Video", "Status", "Reason"], axis=1),
        more=len(named) - SHOWN,
        also_used=" or ".join(check.USABLE[1:]),
        classes=classes.reset_index(names="Class"),
        **counted,
    )


def model_card(facts: dict[str, Any], results: Path, plans: list[Plan], config_dir: Path) -> str:
    """Write the card beside exported weights (Markdown): what they are, whence, how good, how to load them.

    Args:
        facts: of the exported file, as :func:`mac.stages.export.run` returns them.
        results: the results folder, for the accuracies of the finetunings that started from these weights.
        plans: scales; the card names the rows of their tables that use the run.
        config_dir: its ``catalog.yaml`` says whose the data are and on which terms.
    """
    config, run_id = facts["config"], facts["run_id"]
    used_by = [
        f"{use} (scale {plan.scale})"
        for plan in plans
        for runs in (plan.pretrainings, plan.finetunings)
        if run_id in runs
        for use in runs[run_id].used_by
    ]
    return render(
        "model_card.md",
        **facts,
        is_pretraining=isinstance(config, PretrainConfig),
        about=_about(config.store.dataset, config_dir),
        used_by=dict.fromkeys(used_by),
        finetunings=_finetunings_from(run_id, facts["epoch"], results),
        configuration=yaml.safe_dump(config.canonical(), sort_keys=False, allow_unicode=True),
    )


def _about(dataset: DatasetConfig, config_dir: Path) -> str:
    """Say whose a data set is and on which terms, by ``CONFIG/catalog.yaml``."""
    if dataset.synthetic:
        made = "figures generated by this project (`mac/data/synthetic.py`), not the data set of that name"
        return f"{dataset.name}: {made}."
    path = config_dir / "catalog.yaml"
    source = catalog.load(path).get(dataset.name)
    found = source.about if source else f"{dataset.name}: {path} says nothing about it."
    return f"{found} Only the part `{dataset.subset}`." if dataset.subset else found


def _finetunings_from(pretrain_id: str, epoch: int | None, results: Path) -> pd.DataFrame:
    """Tabulate the finished finetunings that started from a pretraining's epoch; none of a finetuning (no epoch)."""
    found = []
    for path in results.glob("finetune/*/metrics.json") if epoch else ():
        with suppress(ValueError):  # a report names damaged results; a card leaves them out
            found.append(json.loads(path.read_text(encoding="utf-8")))
    heads = {"dataset": "finetuned on", "split": "split", "seed": "seed", "top1": "top-1, %", "videos": "test videos"}
    heads["finetune_id"] = "run"
    own = [
        metrics
        for metrics in found
        if (metrics.get("pretrain_id"), metrics.get("pretrain_epoch")) == (pretrain_id, epoch)
    ]
    table = pd.DataFrame(own, columns=list(heads)).sort_values(["dataset", "split", "seed", "finetune_id"])
    written = {"top1": "{:.1f}", "videos": "{:,}", "finetune_id": "`{}`"}
    return table.assign(**{name: table[name].map(form.format) for name, form in written.items()}).rename(columns=heads)
