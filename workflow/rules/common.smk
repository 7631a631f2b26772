import os
import shlex
import subprocess
import time
from collections import UserString
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import ExecMode

from mac import pipeline
from mac import plan as planning
from mac.costs import machine, throughput
from mac.data import catalog
from mac.kept import KeptError, kept_name, products, restorable
from mac.pipeline import TESTED, configs_of, files_of, results_of
from mac.runtime import lease, stale_lock
from mac.runtime.user import TRACKING_URI, UnwritableError, UserConfig, check_gpus_per_run, check_writable, dataset_root
from mac.validation import ConfigError, validate


include: "functions.smk"


try:
    USER = validate(UserConfig, dict(config))
    PLAN = planning.load(Path(USER.config_dir), USER.scale, USER.overrides)
    check_gpus_per_run(PLAN, USER.gpus_per_run)
    for setting in ("results", "reports"):
        check_writable(Path(getattr(USER, setting)), setting)
    if any(dataset.synthetic for dataset in PLAN.datasets.values()):
        check_writable(Path(USER.data_root), "data_root")
    REPORTS = f"{USER.reports}/{USER.scale}"
    KEPT = f"{REPORTS}/kept"
    SPEEDS = throughput.load(Path(USER.config_dir) / "throughput.yaml")
    MACHINE = machine_of_trainings()
    RESTORABLE = restorable(PLAN, Path(KEPT))
except (ConfigError, UnwritableError, KeptError, lease.LeaseError) as error:
    raise WorkflowError(str(error)) from None

ENVIRONMENT = "../../environment.yml"
RESULTS = USER.results
CONFIGS = configs_of(PLAN)
DATASETS = {dataset.name: i for i, dataset in PLAN.datasets.items()}
ABOUT = {
    name: "synthetic data, generated" if PLAN.datasets[i].synthetic else PLAN.datasets[i].subset
    for name, i in DATASETS.items()
}
# Commands read it here: a password in it must not be seen in commands, logs or lists of processes.
os.environ[TRACKING_URI] = USER.tracking_store
PICTURES = ["png", "svg"] if USER.svg else ["png"]
# Where jobs are submitted there is no number of cores: the profile sets threads.
DATA_THREADS = workflow.resource_settings.cores or 1
# MB of a job that reads videos, in a process for each thread.
DATA_MEMORY = lambda wildcards, threads: 1000 + 500 * threads

# What starts from a pretraining's epoch, and the files without which it has to run.
USERS = {}
for stage, names in (("finetune", ["metrics.json", "classifier.safetensors"]), ("probe", ["metrics.json"])):
    for i, config_of_run in CONFIGS[stage].items():
        epoch_of_run = (config_of_run.pretrain_id, config_of_run.epoch)
        USERS.setdefault(epoch_of_run, []).append((stage, i, names))

# Parts of shell commands.
AT = quoted(RESULTS)
CONFIG_DIR = f"--config-dir {quoted(USER.config_dir)}"
SCALE = " ".join([f"--scale {USER.scale} {CONFIG_DIR}", *map(quoted, USER.overrides.words())])
TRACK = f"{SCALE} --results {AT}"
RUNS_PAGE = f"--runs-page {quoted(USER.runs_page)}" if USER.runs_page else ""
REPORT = f"{SCALE} --results {AT} --out {quoted(REPORTS)} {RUNS_PAGE}"
SVG = "--svg" if USER.svg else ""
OFFLINE = "" if USER.download else "--offline"
MAX_UNUSABLE = " ".join(quoted(f"{name}={share}") for name, share in USER.max_unusable.items())
WEIGHTS = f"--weights {quoted(USER.detector_weights)}" if USER.detector_weights else ""
# A scheduler is asked for the cores of a job, {threads}; the job divides them between itself and its readers.
PROCESSOR = (
    f"--device {USER.device} --cores {{threads}} --threads {USER.training_threads}"
    f" --loader-workers {USER.loader_workers}"
)
TRAINING = f"{PROCESSOR} --processes {{resources.gpu}} --save-minutes {USER.save_minutes}"
# SLURM sends SIGTERM two minutes before the time limit, so that a training can save itself; a requeued job goes on with
# its log. Not in the profile: `--default-resources` on the command line would drop it.
SAVES_ITSELF = "--signal=TERM@120 --open-mode=append"
# `exec`: a SIGTERM to all processes of a job must not end the shell, and with it the job, while a training saves itself.
LEASE = (
    "exec"
    if USER.device == "cpu"
    else f"exec python -m mac.runtime.lease --gpus {{resources.gpu}} --per-device {USER.jobs_per_gpu} --"
)


wildcard_constraints:
    run_id="[0-9a-f]{10}",
    dataset=any_of(DATASETS),
    shard=r"\d+",
    shards=r"\d+",
    epoch=r"\d+",


# They run where Snakemake runs, not as jobs of a cluster: they take seconds, or need the network or the database.
localrules:
    fetch,
    list,
    index,
    store,
    describe,
    data,
    boxes,
    weights,
    restore,
    restore_pretraining,
    track_pretraining,
    track,
    table,
    curve,
    summary,
    learning,
    page,


onstart:
    stale_lock.claim(Path())
    shell(f"python -m mac preflight {TRACK}")
    # Not a job: every run would depend on it, and one new row's would seem to be news for all the others.
    shell(f"python -m mac resolve {SCALE} --results {AT}")
    # Sends to MLflow what runs write while they train. Not a job, because Snakemake would wait for its end. It ends by
    # itself when this Snakemake has; a session of its own lets it see that end when Ctrl-C brings it about.
    os.makedirs(f"{RESULTS}/logs", exist_ok=True)
    with open(f"{RESULTS}/logs/track_follow.log", "w") as log:
        follow = f"{TRACK} --since {int(time.time())} --while-pid {os.getpid()}"
        words = ["python", "-m", "mac", "track", "follow", *shlex.split(follow)]
        subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)


onsuccess:
    # The graph is made so that this can't happen; if it does, the exit status must say so.
    wanted = {str(path) for path in workflow.dag.targetfiles}
    for job in workflow.dag.targetjobs:
        if not wanted.intersection(job.output):  # asked for by the name of its rule
            wanted.update(job.output or job.input)
    if lost := sorted(path for path in wanted if not exist([path])):
        raise WorkflowError(f"This call ended, but what it was asked for is missing: {', '.join(lost)}")
