"""The time left, held against what was really left: in a recorded demo, and in made-up runs."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mac import plan
from mac.costs.estimate import sizes, work
from mac.runtime import forecast
from mac.runtime.atomic import write_json
from mac.runtime.forecast import Forecast
from mac.runtime.jobs import Job, Jobs
from mac.tracking.journal import Journal
from mac.validation import ConfigError


class Replay:
    """A run that has ended, seen at any moment of it.

    Each job: rule, name, when it began and ended, its size (None: it is no training), and the ends of its epochs.
    """

    def __init__(self, history):
        self.history, self.now = history, -1.0
        self.ended = max(job[3] for job in history)
        self.forecast = Forecast(self.left, self.alone)

    def left(self):
        """The work that is left, as far as the ends of epochs and of jobs show it."""
        shares = (
            1.0 if ended <= self.now else sum(end <= self.now for end in epochs) / len(epochs) if epochs else 0.0
            for _, _, _, ended, size, epochs in self.history
            if size is not None
        )
        sizes = (size for *_, size, _ in self.history if size is not None)
        return sum(size * (1 - share) for size, share in zip(sizes, shares, strict=True))

    def alone(self, job, now):
        """Until a training's last epoch ends, by those that have ended."""
        (ends,) = (epochs for rule, name, *_, epochs in self.history if (rule, name) == (job.rule, job.name))
        over = [job.began, *(end for end in ends if end <= now)]
        if len(over) == 1:
            return None
        epoch = (over[-1] - over[0]) / (len(over) - 1)
        return max((len(ends) - len(over) + 1) * epoch - min(now - over[-1], epoch), 0.0)

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
    ratios = [run.ratio(now) for now in np.arange(first + 7, run.ended - 8, 7)]
    assert min(ratios) > 0.5
    assert max(ratios) < 2
    assert np.median(ratios) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_in_made_up_runs_of_any_speed_it_is_about_right_once_a_tenth_is_done(seed):
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
            assert 0.4 < run.ratio(share * length) < 2, (share, workers, pace)


def test_nothing_is_said_before_the_first_epochs_have_ended():
    history = [("pretrain", "a", 0.0, 5000.0, 1e6, [2500.0, 5000.0]), ("pretrain", "b", 5000.0, 10000.0, 1e6, [1e4])]
    run = Replay(history)
    assert run.ratio(1000) is None
    assert run.ratio(2600) == pytest.approx(1, abs=0.1)
    assert run.ratio(5100) == pytest.approx(1, abs=0.1)


def test_what_was_done_before_tells_nothing_of_the_pace():
    done = iter([100.0, 100.0, 80.0])  # at the start of this call, a second later, and after a minute
    forecast, jobs = Forecast(lambda: next(done), lambda job, now: None), Jobs(Path("none"))
    jobs.begun["1"], jobs.planned = Job("finetune", Path("0.log"), 1000.0), Counter(finetune=2)
    assert forecast.seconds_left(jobs, 1001.0) is None
    assert forecast.seconds_left(jobs, 1060.0) == pytest.approx(240)


def test_the_work_of_a_plan_is_its_clips_through_the_network_and_less_with_each_epoch(root, tmp_path):
    smoke = plan.load(root / "config", "smoke")
    made = forecast.of_plan(smoke, root / "config", tmp_path)
    whole = made._at_start
    run_id, f = next(iter(smoke.finetunings.items()))
    journal = Journal(tmp_path / "finetune" / run_id / "running" / "journal.jsonl")
    for epoch in range(1, f.config.optimiser.epochs + 1):
        before = made._left()
        journal.write("metrics", epoch=epoch, loss=1.0)
        assert made._left() < before
    for i, p in smoke.pretrainings.items():
        for epoch in p.epochs:
            write_json(tmp_path / "pretrain" / i / f"epoch_{epoch}.json", {})
    trained = work(smoke, sizes(smoke, root / "config", tmp_path))
    passes = trained["clips"] * [kind.passes for kind in trained["kind"]]
    assert whole == passes.sum()
    assert made._left() < passes[trained["stage"] != "pretrain"].sum()


def test_nothing_is_known_of_data_that_are_not_indexed_yet(root, tmp_path, monkeypatch):
    smoke = plan.load(root / "config", "smoke")

    def unknown(*_):
        raise ConfigError(["how many videos each split has is not said"])

    with monkeypatch.context() as patch:
        patch.setattr(forecast, "sizes", unknown)
        made = forecast.of_plan(smoke, root / "config", tmp_path)
        jobs = Jobs(Path("none"))
        jobs.planned = Counter(pretrain=1)
        assert made.seconds_left(jobs, 1.0) is None
    made.seconds_left(jobs, 2.0)
    assert made._at_start > 0


def test_when_all_trainings_have_ended_little_is_left():
    """The rest, tables and pages, takes less than a training; and a call may be for a part of the scale."""
    forecast, jobs = Forecast(lambda: 100.0, lambda job, now: None), Jobs(Path("none"))
    jobs.planned = Counter(finetune=1, table=3)
    jobs.begun["1"] = Job("finetune", Path("0.log"), 1.0)
    assert forecast.seconds_left(jobs, 2.0) is None
    jobs.begun["1"] = Job("finetune", Path("0.log"), 1.0, 5.0)
    assert forecast.seconds_left(jobs, 6.0) == 0
