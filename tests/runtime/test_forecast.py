"""The time left, held against what was really left: in a recorded demo, and in made-up runs."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mac import plan
from mac.runtime import forecast
from mac.runtime.forecast import Forecast, Seen
from mac.runtime.jobs import Job, Jobs
from mac.tracking.journal import Journal


class Replay:
    """A run that has ended, seen at any moment of it.

    Each job: rule, name, when it began and ended, its size (None: it is no training), and the ends of its epochs.
    """

    def __init__(self, history):
        self.history = [(rule, name, *rest) for rule, name, *rest in history]
        self.begun, self.ended = min(job[2] for job in history), max(job[3] for job in history)
        sizes = {}
        for rule, name, _, _, size, _ in history:
            if size is not None:
                sizes.setdefault(rule, {})[name] = size
        self.forecast = Forecast(sizes, self.look)

    def look(self, job):
        _, _, begun, _, _, epochs = next(one for one in self.history if one[:2] == (job.rule, job.name))
        over = [end for end in epochs if end <= self.now]
        return Seen(0.0, len(over) / len(epochs), over[-1] if over else begun)

    def ratio(self, now):
        """Estimated over true time left; None where nothing is said."""
        self.now, jobs = now, Jobs(Path("none"))
        jobs.planned = Counter(rule for rule, *_ in self.history)
        for number, (rule, name, begun, ended, *_) in enumerate(self.history):
            if begun <= now:
                jobs.begun[str(number)] = Job(rule, Path(f"{name}.log"), begun, ended if ended <= now else None)
        left = self.forecast.seconds_left(jobs, now)
        return None if left is None else left / (self.ended - now)


def test_in_a_recorded_demo_the_time_left_is_right_within_a_factor_of_two_from_the_first_epoch_on():
    history = json.loads((Path(__file__).parent / "demo_run.json").read_text())
    run = Replay(history)
    first = min(epochs[0] for *_, epochs in history if epochs)
    assert first < run.ended / 5
    assert run.ratio(first - 1) is None
    ratios = [run.ratio(now) for now in np.arange(first, run.ended - 8, 7)]
    assert min(ratios) > 0.5
    assert max(ratios) < 2
    assert np.median(ratios) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_in_made_up_runs_of_any_speed_it_is_right_within_a_factor_of_two_once_a_tenth_is_done(seed):
    rng = np.random.default_rng(seed)
    workers, pace = int(rng.integers(1, 5)), 10 ** rng.uniform(-4, 1)
    jobs = []
    for number in range(int(rng.integers(8, 30)) * workers):
        rule = "pretrain" if number % 2 else "finetune"
        size = rng.uniform(1, 8) * (3000 if rule == "pretrain" else 1000)
        jobs.append((rule, f"{number:010x}", size))
    free, history = [0.0] * workers, []
    for rule, name, size in jobs:
        worker = int(np.argmin(free))
        begun, starts = free[worker], rng.uniform(2, 8)
        training = size * pace * rng.uniform(0.7, 1.4)
        epochs = begun + starts + training * np.arange(1, 11) / 10
        history.append((rule, name, begun, epochs[-1], size, epochs.tolist()))
        free[worker] = epochs[-1]
    run = Replay(history)
    length = run.ended
    for share in (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9):
        if length * (1 - share) > 60:
            assert 0.5 < run.ratio(share * length) < 2, (share, workers, pace)


def test_nothing_is_said_of_large_trainings_before_the_first_epoch_has_ended():
    history = [("pretrain", "a", 0.0, 5000.0, 1e6, [2500.0, 5000.0]), ("pretrain", "b", 5000.0, 10000.0, 1e6, [1e4])]
    run = Replay(history)
    assert run.ratio(1000) is None
    assert run.ratio(2600) == pytest.approx(1, abs=0.05)
    assert run.ratio(4900) == pytest.approx(1, abs=0.05), "the epoch that runs counts, too"


def test_a_continued_training_is_judged_by_what_it_did_since(tmp_path):
    folder = tmp_path / "finetune" / "0123456789" / "running"
    journal = Journal(folder / "journal.jsonl")
    times = iter([100.0, 110.0, 5000.0, 5020.0])
    for event, epoch in (("start", 0), ("metrics", 1), ("continued", 1), ("metrics", 2)):
        more = {"until": 4, "device": "x"} if event == "start" else {}
        journal.write(event, epoch=epoch, **more, **({"clips_per_second": 1.0} if event == "metrics" else {}))
    journal.close()
    events = [json.loads(line) | {"time": next(times)} for line in journal.path.read_text().splitlines()]
    journal.path.write_text("".join(json.dumps(event) + "\n" for event in events))
    job = Job("finetune", Path("0123456789.log"), 4990.0)
    assert forecast.look(job, tmp_path) == Seen(0.25, 0.5, 5020.0)


def test_the_sizes_of_a_plan_are_its_trainings_clips_through_the_network(root, tmp_path):
    smoke = plan.load(root / "config", "smoke")
    made = forecast.of_plan(smoke, root / "config", tmp_path)
    names = {f"{i}_{epoch}" for i, p in smoke.pretrainings.items() for epoch in p.epochs}
    assert set(made._sizes["pretrain"]) == names
    assert set(made._sizes["finetune"]) == set(smoke.finetunings)
    many = next(i for i, p in smoke.pretrainings.items() if len(p.epochs) > 1)
    ends = sorted(smoke.pretrainings[many].epochs)
    per_epoch = [made._sizes["pretrain"][f"{many}_{e}"] / (e - b) for b, e in zip([0, *ends], ends, strict=False)]
    assert per_epoch == pytest.approx([per_epoch[0]] * len(ends))
