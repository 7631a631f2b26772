"""Whatever was changed between two calls, one call makes all it is asked for, or fails and says what is missing.

Random sequences of what people do to a finished run: many with stand-ins that write files only, a few with the real
stages. The number of sequences is ``MAC_SEQUENCES``; the first one's seed is ``MAC_FIRST_SEQUENCE``.
"""

import os
import random
import signal
import subprocess
import time

import pytest
from checkouts import call_snakemake
from test_done import Smoke, everything_run  # noqa: F401 (a fixture)

SEQUENCES = int(os.environ.get("MAC_SEQUENCES", "30"))
FIRST = int(os.environ.get("MAC_FIRST_SEQUENCE", "0"))
TABLES = ("T4", "T5", "F1")


def results(run):
    """Every file that a call has made, but for logs, videos and MLflow's."""
    found = [*(run.folder / "results").rglob("*"), *(run.folder / "reports" / "smoke").rglob("*")]
    found += (run.folder / "data").rglob("*.json")
    others = {"logs", "mlflow-artifacts", "config.yaml", "mlflow.db", "mlflow.lock"}
    return sorted(path for path in found if path.is_file() and not others & set(path.parts))


def delete_a_file(run, chance):
    chance.choice(results(run)).unlink()


def delete_a_folder(run, chance):
    path = chance.choice(results(run)).parent
    subprocess.run(["rm", "-rf", path], check=True)


def delete_checkpoints(run, chance):
    for path in results(run):
        if path.name.endswith((".safetensors", ".state.pt")) and chance.random() < 0.5:
            path.unlink()


def touch(run, chance):
    for path in chance.sample(results(run), 3):
        at = time.time() - chance.choice([0, 5000, 99999])
        os.utime(path, (at, at))


def copy_the_tree(run, chance):
    paths = results(run)
    chance.shuffle(paths)
    for i, path in enumerate(paths):
        os.utime(path, (time.time() - 9999 + i, time.time() - 9999 + i))


def change_a_limit(run, chance):
    run.edit("scales/smoke.yaml", lambda tree: tree["mask_limits"].update(min_foreground=chance.uniform(0, 0.004)))


def change_a_title(run, chance):
    name = chance.choice(TABLES)
    run.edit("tables.yaml", lambda tree: tree[name].update(title=f"Another {chance.random():.3f}"))


def add_an_epoch(run, chance):
    def change(tree):
        curve = tree["tables"]["F1"]["curve"]
        curve["epochs"] = [0, 1, 2, 3]
        if "printed" in curve:
            curve["printed"] = [None] * 4

    run.edit("scales/smoke.yaml", change)


def keep_an_epoch(run, chance):
    run.edit("scales/smoke.yaml", lambda tree: tree["pretrain"].update(checkpoints=[1]))


def change_rows(run, chance):
    rows = chance.choice([["MSE-n regression"], ["Cross-entropy"], ["Cross-entropy", "MSE-n regression"]])
    run.edit("scales/smoke.yaml", lambda tree: tree["tables"]["T4"].update(only=rows))


def run_another_scale(run, chance):
    """The same rows with finetunings of one epoch: they start from the same pretrainings."""
    folder = run.folder / "config" / "scales"
    (folder / "other.yaml").write_text((folder / "smoke.yaml").read_text())
    run.edit("scales/other.yaml", lambda tree: tree["finetune"]["optimiser"].update(epochs=1, milestones=[]))
    run.run(check=False, scale="other")


def kill(run, chance):
    """Kill Snakemake, alone or with its jobs, at some moment of a call; its lock is removed by hand."""
    environment = os.environ | {"PATH": f"{run.folder}/bin:{os.environ['PATH']}"}
    command = ["snakemake", "--cores", "2", "--config", "scale=smoke", "videos_per_job=300000"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=run.folder, env=environment, start_new_session=True, **quiet)
    try:
        process.wait(chance.uniform(1, run.longest))
    except subprocess.TimeoutExpired:
        chance.choice([os.kill, os.killpg])(process.pid, signal.SIGKILL)
        process.wait()
    run.snakemake("--unlock")


def ask_for_one(run, chance):
    run.run(f"reports/smoke/tables/{chance.choice(TABLES)}.md", check=False)


def ask_until(run, chance):
    run.run("--until", chance.choice(["index", "store", "mask_check", "pretrain", "finetune"]), check=False)


def force_a_rule(run, chance):
    run.run("--forcerun", chance.choice(["mask_check", "store", "table", "finetune"]), check=False)


ACTIONS = (
    delete_a_file,
    delete_a_file,
    delete_a_folder,
    delete_checkpoints,
    touch,
    copy_the_tree,
    change_a_limit,
    change_a_title,
    add_an_epoch,
    keep_an_epoch,
    change_rows,
    run_another_scale,
    kill,
    ask_for_one,
    ask_until,
    force_a_rule,
)


def wanted(run, targets):
    """The files that a call must have made, by what the plan says and not by the graph."""
    if targets:
        return [run.folder / target for target in targets]
    smoke = run.planned()
    found = [run.folder / "reports" / "smoke" / name for name in ("README.md", "claims.md", "index.html")]
    found += [run.folder / "reports" / "smoke" / "tables" / f"{name}.md" for name in smoke.tables]
    for stage, runs in (("finetune", smoke.finetunings), ("probe", smoke.probes)):
        for name in ("metrics.json", "predictions.parquet", "journal.jsonl"):
            found += [run.folder / "results" / stage / i / name for i in runs]
        found += [run.folder / "results" / "tracking" / stage / f"{i}.json" for i in runs]
    for i, planned in smoke.pretrainings.items():
        for ending in ("json", "jsonl"):
            found += [run.folder / "results" / "pretrain" / i / f"epoch_{epoch}.{ending}" for epoch in planned.epochs]
    return found


class Sequence(Smoke):
    """A finished run that somebody changes; a call is killed after this many seconds at the latest."""

    longest = 5

    def planned(self):
        from mac import plan

        return plan.load(self.folder / "config", "smoke")


def check_a_sequence(run, number):
    chance, done = random.Random(number), []
    for _ in range(chance.randint(1, 5)):
        action = chance.choice(ACTIONS)
        done.append(action.__name__)
        action(run, chance)
    targets = [] if chance.random() < 0.6 else [f"reports/smoke/tables/{name}.md" for name in chance.sample(TABLES, 2)]
    words = [*targets, "--cores", "4", "--config", "scale=smoke", "videos_per_job=300000"]
    status, text = call_snakemake(run.folder, *words, path=f"{run.folder}/bin:")
    told = f"sequence {number}: {done}, then {targets or 'all'}: status {status}\n{text}"
    lost = [str(path.relative_to(run.folder)) for path in wanted(run, targets) if not path.exists()]
    if status:
        assert any(path in text for path in lost), told
    else:
        assert not lost, f"{lost} {told}"
        assert run.jobs(*targets) == {}, f"a second call would run more: {told}"


@pytest.mark.full
@pytest.mark.parametrize("number", range(FIRST, FIRST + SEQUENCES))
def test_one_call_makes_what_it_is_asked_for_whatever_happened_before(everything_run, tmp_path, number):  # noqa: F811
    run = everything_run.copy(tmp_path)
    run.__class__ = Sequence
    check_a_sequence(run, number)


@pytest.fixture(scope="module")
def really_run(root, tmp_path_factory):
    run = Sequence(root, tmp_path_factory.mktemp("real"))
    run.longest = 40
    run.snakemake("-q", "all")
    return run


@pytest.mark.full
@pytest.mark.parametrize("number", range(FIRST, FIRST + SEQUENCES // 10))
def test_the_same_with_the_real_stages(really_run, tmp_path, number):
    check_a_sequence(really_run.copy(tmp_path), number)
