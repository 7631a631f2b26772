"""How long a Snakemake will still run, from how long its jobs have taken so far."""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from mac.costs.estimate import sizes, work
from mac.pipeline import writes
from mac.plan import Plan
from mac.runtime.jobs import Job, Jobs
from mac.runtime.training import progress
from mac.validation import ConfigError

START = 5.0  # seconds in which a training starts Python and torch
# Seconds a job took in the demo (27 November 2026, two cores), while none of its rule, or of its group, has ended yet.
DATA = {"generate": 28.0, "fetch": 28.0, "list": 1.5, "scan": 2.8, "index": 1.2, "describe": 2.2, "extract": 4.0}
DATA |= {"store": 1.0, "detect": 6.0, "boxes": 1.0, "mask_check": 3.4}
REPORT = {"track_pretraining": 3.4, "track": 4.5, "table": 1.4, "curve": 2.0, "gradcam": 9.0, "sweep": 6.0}
REPORT |= {"learning": 3.0, "summary": 2.0, "page": 2.0, "restore": 1.0, "restore_pretraining": 1.0, "all": 0.0}
OTHER = 2.0
PER_PASS = 1.2e-3  # likewise, seconds a clip took through a small network, and through a large one on a large GPU
FEW = 3  # jobs
HELD_UP = 60.0  # seconds by which a machine may hold jobs up now and then

Sizes = dict[str, dict[str, float]]


class Seen(NamedTuple):
    """How far a training is: the share done when its job began, the share done after an epoch, and when that ended."""

    before: float
    share: float
    last: float


NOTHING = Seen(0.0, 0.0, 0.0)


class Forecast:
    """Estimates the time left."""

    def __init__(
        self,
        sizes: Sizes,
        look: Callable[[Job], Seen],
        done: Collection[str] = (),
        is_small: bool = False,
    ) -> None:
        """Take what is known before the first job begins.

        Args:
            sizes: the work of each training and probe [clips through the network] by rule and by the job's name.
            look: sees how far such a job is that runs.
            done: names of those that were done before.
            is_small: the jobs are about as large as the demo's, so something can be said before one has ended.
        """
        self._sizes, self._look, self._is_small = sizes, look, is_small
        self._left = {rule: {i: size for i, size in own.items() if i not in done} for rule, own in sizes.items()}
        self._seen: dict[str, Seen] = {}

    def seconds_left(self, jobs: Jobs, now: float) -> float | None:
        """Estimate the seconds that are left; None while nothing like what is to come has been seen."""
        trained = [job for job in jobs.running if job.rule in self._sizes]
        self._seen |= {job.name: self._look(job) for job in trained}
        left, at_least = 0.0, 0.0
        for rule, count in jobs.planned.items():
            begun = [job for job in jobs.begun.values() if job.rule == rule]
            running, waiting = [job for job in begun if job.ended is None], max(count - len(begun), 0)
            if not running and not waiting:
                continue
            takes = self._takes(rule, jobs)
            if takes is None:
                return None
            each = [self._rest(job, takes, now) for job in running]
            still = self._left.get(rule, {}).keys() - {job.name for job in begun}
            each += [takes(_mean(self._left[rule][name] for name in still))] * waiting
            left, at_least = left + sum(each), max(at_least, *each)
        return max(left / self._at_once(jobs, now), at_least)

    def _takes(self, rule: str, jobs: Jobs) -> Callable[[float], float] | None:
        """Seconds that a job of a rule takes, by its size."""
        if rule not in self._sizes:
            seconds = self._seconds(rule, jobs)
            return None if seconds is None else lambda size: seconds
        pace = self._pace([rule], jobs) or self._pace(list(self._sizes), jobs)
        return None if pace is None else lambda size: START + pace * size

    def _seconds(self, rule: str, jobs: Jobs) -> float | None:
        """Seconds that a job of a rule without sizes takes; None where nothing can be said.

        The demo's seconds, times how much slower jobs of the group are here, count as much as a few jobs: one that the
        machine held up says little.
        """
        own = [job.ended - job.began for job in jobs.done if job.rule == rule]
        group = DATA if rule in DATA else REPORT
        if group is DATA and not self._is_small:
            if own:
                return _mean(own)
            if not any(job.rule in group for job in jobs.done):
                return None
        usual = group.get(rule, OTHER) * self._slower(group, jobs)
        return (sum(own) + FEW * usual) / (len(own) + FEW)

    def _slower(self, group: dict[str, float], jobs: Jobs) -> float:
        """How many times as long as in the demo the jobs of a group have taken."""
        alike = [job for job in jobs.done if job.rule in group]
        took, usual = sum(job.ended - job.began for job in alike), sum(group[job.rule] for job in alike)
        return (took + HELD_UP) / (usual + HELD_UP)

    def _pace(self, rules: list[str], jobs: Jobs) -> float | None:
        """Seconds a clip has taken through the network in the trainings of these rules.

        Where the scale is small, the demo's pace counts as much as a few trainings: the first epochs say little.
        """
        seconds = passes = 0.0
        for job in jobs.begun.values():
            if job.rule in rules and not job.has_failed:
                before, share, last = self._seen.get(job.name, NOTHING)
                took, made = (job.ended or last) - job.began, (1.0 if job.ended else share) - before
                if made > 0:
                    seconds += max(took - START, took / 5)
                    passes += made * self._size(job)
        if self._is_small:
            usual = FEW * _mean(size for rule in rules for size in self._sizes[rule].values())
            seconds += usual * PER_PASS * self._slower(DATA, jobs)
            passes += usual
        return seconds / passes if passes else None

    def _rest(self, job: Job, takes: Callable[[float], float], now: float) -> float:
        """Seconds that a running job still takes."""
        whole = takes(self._size(job))
        _, share, last = self._seen.get(job.name, NOTHING)
        return max((whole - START) * (1 - share) - (now - last) if share else whole - (now - job.began), 0.0)

    def _size(self, job: Job) -> float:
        """A job's size; of an unknown training, the mean of its rule's."""
        sizes = self._sizes.get(job.rule, {})
        return sizes.get(job.name, _mean(sizes.values()))

    def _at_once(self, jobs: Jobs, now: float) -> float:
        """How many jobs ran at once, since the first training began where one has."""
        trainings = [job.began for job in jobs.begun.values() if job.rule in self._sizes]
        since = min(trainings or (job.began for job in jobs.begun.values()), default=now)
        if now - since < START:
            return max(len(jobs.running), 1)
        busy = sum(max((job.ended or now) - max(job.began, since), 0.0) for job in jobs.begun.values())
        return max(busy / (now - since), 1.0)


def _mean(numbers: Iterable[float]) -> float:
    found = list(numbers) or [1.0]
    return sum(found) / len(found)


def of_plan(plan: Plan, config_dir: Path, results: Path) -> Forecast:
    """Prepare the forecast of a plan's work, as much of it as is not done yet."""
    try:
        counted = work(plan, sizes(plan, config_dir, results), results)
    except ConfigError:  # how many videos a data set has is only known when it is indexed: all trainings count alike
        return Forecast({rule: {} for rule in ("pretrain", "finetune", "probe")}, lambda job: look(job, results))
    counted["passes"] = counted["clips"] * [kind.passes for kind in counted["kind"]]
    passes = {i: float(number) for i, number in counted.groupby("run")["passes"].sum().items()}
    found: Sizes = {"pretrain": {}, "finetune": {i: passes[i] for i in plan.finetunings}}
    found["probe"] = {i: passes[i] for i in plan.probes}
    done = {i for rule in ("finetune", "probe") for i in found[rule] if writes(rule, i, results)["metrics"].exists()}
    for i, p in plan.pretrainings.items():
        ends = sorted(p.epochs)
        for begin, end in zip([0, *ends], ends, strict=False):
            found["pretrain"][f"{i}_{end}"] = passes[i] * (end - begin) / ends[-1]
            if writes("pretrain", i, results, end)["metrics"].exists():
                done.add(f"{i}_{end}")
    is_small = all(dataset.synthetic for dataset in plan.datasets.values())
    return Forecast(found, lambda job: look(job, results), done, is_small)


def running_folder(job: Job, results: Path) -> Path:
    """Where a training that runs saves itself."""
    run_id, *epoch = job.name.split("_")
    return results / job.rule / run_id / "_".join(["running", *epoch])


def look(job: Job, results: Path) -> Seen:
    """See how far a training is that runs."""
    folder = running_folder(job, results)
    before, now = progress(folder, job.began), progress(folder)
    return Seen(before.share if before else 0.0, now.share, now.last) if now else NOTHING
