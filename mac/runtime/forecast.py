"""How long a Snakemake will still run: the clips that are left for the networks, at the pace of those that are done."""

from collections.abc import Callable
from pathlib import Path

from mac.costs.estimate import sizes, work
from mac.plan import Plan
from mac.runtime.jobs import Job, Jobs
from mac.runtime.reading import DamagedFileError
from mac.runtime.training import progress
from mac.tracking import journal
from mac.validation import ConfigError

RULES = ("pretrain", "finetune", "probe")  # whose jobs send clips through a network
LEAST = 0.02  # of the work must be done before anything is said


class Forecast:
    """Estimates the time left since it was made."""

    def __init__(self, left: Callable[[], float | None], alone: Callable[[Job, float], float | None]) -> None:
        """Take what is known of the work.

        Args:
            left: counts what is left of it [clips through the network]; None while nobody knows.
            alone: says how long a training that runs will still run by itself [s]; None while nobody knows.
        """
        self._left, self._alone, self._at_start = left, alone, left()

    def seconds_left(self, jobs: Jobs, now: float) -> float | None:
        """Estimate the seconds that are left; None before the first trainings have shown their pace."""
        trainings = [job for job in jobs.begun.values() if job.rule in RULES]
        if sum(job.rule in RULES for job in jobs.done) == sum(jobs.planned.get(rule, 0) for rule in RULES):
            return 0.0
        left = self._left()
        self._at_start = left if self._at_start is None else self._at_start
        if left is None or not trainings:
            return None
        took, done = now - min(job.began for job in trainings), self._at_start - left
        if took <= 0 or done < LEAST * self._at_start:
            return None
        return max(left / done * took, *(self._alone(job, now) or 0.0 for job in trainings if job.ended is None), 0.0)


def of_plan(plan: Plan, config_dir: Path, results: Path) -> Forecast:
    """Prepare the forecast of a plan's work, as much of it as is not done yet."""
    known: list[dict] = []

    def left() -> float | None:
        try:
            if not known:
                known.append(sizes(plan, config_dir, results))
            counted = work(plan, known[0], results, journal.read)
        except (ConfigError, DamagedFileError):  # a data set is not indexed yet, or not well
            return None
        return float((counted["clips_left"] * [kind.passes for kind in counted["kind"]]).sum())

    def alone(job: Job, now: float) -> float | None:
        seen = progress(running_folder(job, results))
        return seen and seen.seconds_left(now)

    return Forecast(left, alone)


def running_folder(job: Job, results: Path) -> Path:
    """Where a training that runs saves itself."""
    run_id, *epoch = job.name.split("_")
    return results / job.rule / run_id / "_".join(["running", *epoch])
