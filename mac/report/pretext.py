"""What pretrainings learned of their pretext task: accuracy on held-out videos against guessing."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd
from scipy.stats import binomtest

from mac.methods import METHODS
from mac.report.results import Results
from mac.report.statistics import wilson
from mac.report.texts import PENDING, number_text, run_name

PRETEXT = {
    "run": "Pretraining",
    "used_by": "Used by",
    "epoch": "Epoch",
    "text": "Held-out accuracy",
    "chance": "Chance",
}
LEVEL = 0.025  # of one guess against chance: the level at which a pretraining warns


class Learned(NamedTuple):
    """A pretraining's held-out accuracy and that of guessing [percent], of ``videos`` videos; the rows that use it."""

    run_id: str
    name: str
    top1: float
    chance: float
    videos: int

    @property
    def is_above(self) -> bool:
        """Whether guessing would get as many right with a probability of at most 2.5 % (each video's α is drawn)."""
        right = round(self.top1 / 100 * self.videos)
        return binomtest(right, self.videos, self.chance / 100, alternative="greater").pvalue <= LEVEL

    @property
    def text(self) -> str:
        """The accuracy, its interval and chance."""
        low, high = (100 * limit for limit in wilson(self.top1 / 100 * self.videos, self.videos))
        return f"{self.top1:.1f} % [{low:.1f}, {high:.1f}], where guessing gets {self.chance:.1f} %"


def learned(results: Results) -> Iterator[Learned]:
    """Gather the pretrainings that have a pretext with a chance level, at their last epoch, in the plan's order."""
    tested = {
        (planned.config.store.dataset.identify(), planned.config.split): len(results.predictions["finetune"][i])
        for i, planned in results.plan.finetunings.items()
        if i in results.predictions["finetune"]
    }
    for run_id, planned in results.plan.pretrainings.items():
        found = results.metrics["pretrain"].get((run_id, max(planned.epochs)), {})
        data = planned.config.store.dataset.identify(), planned.config.split
        videos = found.get("held_out_videos") or tested.get(data)  # runs of earlier versions don't say how many
        scores = found.get("pretext_top1_held_out"), found.get("pretext_chance")
        if videos and None not in scores and not METHODS[planned.config.task].needs_labels:
            yield Learned(run_id, run_name(planned.used_by, results.plan), *scores, videos)


def held_out(results: Results) -> pd.DataFrame:
    """Gather how well pretrainings solve their pretext task on videos they were not trained on, at every kept epoch.

    Returns:
        ``run`` (the pretraining's id), ``used_by``, ``epoch``, ``value`` [percent, None where there is none], and as
        text ``text`` and ``chance``. Supervised pretrainings have no pretext task and are left out.
    """
    lines = []
    for run_id, planned in results.plan.pretrainings.items():
        for epoch in sorted(planned.epochs) if not METHODS[planned.config.task].needs_labels else ():
            found = results.metrics["pretrain"].get((run_id, epoch), {})
            value, chance = found.get("pretext_top1_held_out"), found.get("pretext_chance")
            text = number_text(value) if found else PENDING
            lines.append((run_id, "; ".join(planned.used_by), epoch, value, text, number_text(chance)))
    return pd.DataFrame(lines, columns=["run", "used_by", "epoch", "value", "text", "chance"])


def warnings(results: Results) -> list[dict[str, Any]]:
    """List what pretrainings warned of: ``run``, ``used_by``, ``epoch`` (of the checkpoint) and ``text``."""
    return [
        {"run": run_id, "used_by": "; ".join(planned.used_by), "epoch": epoch, "text": text}
        for run_id, planned in results.plan.pretrainings.items()
        for epoch in sorted(planned.epochs)
        for text in results.metrics["pretrain"].get((run_id, epoch), {}).get("warnings", [])
    ]
