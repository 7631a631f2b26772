"""How long a Snakemake will still run, from how long its jobs have taken so far."""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from mac.costs.estimate import sizes, work
from mac.pipeline import writes
from mac.plan import Plan
from mac.runtime.jobs import Job, Jobs
from mac.runtime.reading import DamagedFileError
from mac.runtime.training import progress
from mac.validation import ConfigError

Sizes = dict[str, dict[str, float]]


class Seen(NamedTuple):
    """How far a training is: the share done when its job began, the share done after an epoch, and when that ended."""

    before: float
    share: float
    last: float


NOTHING = Seen(0.0, 0.0, 0.0)


class Forecast:
    """Estimates the time left from the jobs so far: trainings by the clips that go through their networks."""

    def __init__(self, sizes: Sizes, look: Callable[[Job], Seen], done: Collection[str] = ()) -> None:
        """Take what is known before the first job begins.

        Args:
            sizes: the work of each training and probe [clips through the network] by rule and by the job's name.
            look: sees how far such a job is that runs.
            done: names of those that were done before.
        """
        self._sizes, self._look = sizes, look
        self._left = {rule: {i: size for i, size in own.items() if i not in done} for rule, own in sizes.items()}
        self._seen: dict[str, Seen] = {}

    def seconds_left(self, jobs: Jobs, now: float) -> float | None:
        """Estimate the seconds that are left; None before the first epoch of a training has ended."""
        self._seen |= {job.name: self._look(job) for job in jobs.running if job.rule in self._sizes}
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
        """Seconds that a job of a rule takes, by its size; None for trainings of which none has shown its pace."""
        if rule in self._sizes:
            pace = self._pace([rule], jobs) or self._pace(list(self._sizes), jobs)
            return None if pace is None else lambda size: pace * size
        took = [(job.rule, job.ended - job.began) for job in jobs.done if job.rule not in self._sizes]
        own = [seconds for its_rule, seconds in took if its_rule == rule]
        usual = _mean(own) if own else median([seconds for _, seconds in took] or [0.0])
        return lambda size: usual

    def _pace(self, rules: list[str], jobs: Jobs) -> float | None:
        """Seconds a clip has taken through the network in the trainings of these rules."""
        seconds = passes = 0.0
        for job in jobs.begun.values():
            if job.rule in rules and not job.has_failed:
                before, share, last = self._seen.get(job.name, NOTHING)
                took, made = (job.ended or last) - job.began, (1.0 if job.ended else share) - before
                if made > 0:
                    seconds, passes = seconds + took, passes + made * self._size(job)
        return seconds / passes if passes else None

    def _rest(self, job: Job, takes: Callable[[float], float], now: float) -> float:
        """Seconds that a running job still takes."""
        whole = takes(self._size(job))
        _, share, last = self._seen.get(job.name, NOTHING)
        return max(whole * (1 - share) - (now - last) if share else whole - (now - job.began), 0.0)

    def _size(self, job: Job) -> float:
        """A job's size; of an unknown training, the mean of its rule's."""
        sizes = self._sizes.get(job.rule, {})
        return sizes.get(job.name, _mean(sizes.values()))

    def _at_once(self, jobs: Jobs, now: float) -> float:
        """How many jobs ran at once, since the first training began where one has."""
        trainings = [job.began for job in jobs.begun.values() if job.rule in self._sizes]
        since = min(trainings or (job.began for job in jobs.begun.values()), default=now)
        busy = sum(max((job.ended or now) - max(job.began, since), 0.0) for job in jobs.begun.values())
        return max(busy / (now - since), 1.0) if now > since else max(len(jobs.running), 1)


def _mean(numbers: Iterable[float]) -> float:
    found = list(numbers) or [1.0]
    return sum(found) / len(found)


def of_plan(plan: Plan, config_dir: Path, results: Path) -> Forecast:
    """Prepare the forecast of a plan's work, as much of it as is not done yet."""
    try:
        counted = work(plan, sizes(plan, config_dir, results), results)
    except (ConfigError, DamagedFileError):  # a data set is not indexed yet, or not well: all trainings count alike
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
    return Forecast(found, lambda job: look(job, results), done)


def running_folder(job: Job, results: Path) -> Path:
    """Where a training that runs saves itself."""
    run_id, *epoch = job.name.split("_")
    return results / job.rule / run_id / "_".join(["running", *epoch])


def look(job: Job, results: Path) -> Seen:
    """See how far a training is that runs."""
    folder = running_folder(job, results)
    before, now = progress(folder, job.began), progress(folder)
    return Seen(before.share if before else 0.0, now.share, now.last) if now else NOTHING
