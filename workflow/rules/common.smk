import os
import subprocess
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import ExecMode

from mac import plan as planning
from mac.costs import machine, throughput
from mac.data import catalog
from mac.kept import KeptError, files_of, recall
from mac.runtime import lease
from mac.runtime.folders import UnwritableError, check_writable, dataset_root
from mac.runtime.user import UserConfig, check_gpus_per_run
from mac.validation import ConfigError, validate


def machine_of_trainings():
    """Where trainings run: here, or where jobs are submitted to, of which nothing but the settings is known."""
    is_elsewhere = (
        workflow.resource_settings.nodes is not None
        or workflow.exec_mode != ExecMode.DEFAULT
    )
    if USER.device == "cpu" or lease.ONLY_NAMES in os.environ:
        return machine.Machine(has_gpu=False)
    if is_elsewhere:
        return machine.Machine(has_gpu=True)
    devices = lease.real_devices()
    gpus = workflow.global_resources.get("gpu").value or len(devices) or 1
    cores = workflow.resource_settings.cores  # none where nothing is to run
    each = cores * USER.gpus_per_run // gpus if cores else None
    return machine.Machine(bool(devices) or USER.device == "cuda", each)


try:
    USER = validate(UserConfig, dict(config))
    PLAN = planning.load(Path(USER.config_dir), USER.scale)
    check_gpus_per_run(PLAN, USER.gpus_per_run)
    for setting in ("results", "reports"):
        check_writable(Path(getattr(USER, setting)), setting)
    if any(dataset.embedded for dataset in PLAN.datasets.values()):
        check_writable(Path(USER.data_root), "data_root")
    REPORTS = f"{USER.reports}/{USER.scale}"
    KEPT = f"{REPORTS}/kept"
    SPEEDS = throughput.load(Path(USER.config_dir) / "throughput.yaml")
    MACHINE = machine_of_trainings()
    RECALLED = recall(PLAN, Path(KEPT))
except (ConfigError, UnwritableError, KeptError, lease.LeaseError) as error:
    raise WorkflowError(str(error)) from None

ENVIRONMENT = "../../environment.yml"
RESULTS = USER.results
LEDGER = f"{workflow.basedir}/docs/discrepancies.md"
TRACKING = USER.tracking_uri or f"sqlite:///{RESULTS}/mlflow.db"
SCALE = f"--scale {USER.scale} --config-dir {USER.config_dir}"
# A scheduler is asked for the cores of a job, {threads}; the job divides them between itself and its readers.
PROCESSOR = (
    f"--device {USER.device} --cores {{threads}} --threads {USER.training_threads}"
    f" --loader-workers {USER.loader_workers}"
)
# `exec`: a SIGTERM to all processes of a job must not end the shell, and with it the job, while a training saves itself.
LEASE = (
    "exec"
    if USER.device == "cpu"
    else f"exec python -m mac.runtime.lease --gpus {{resources.gpu}} --per-device {USER.jobs_per_gpu} --"
)
TRAINING = (
    f"{PROCESSOR} --processes {{resources.gpu}} --save-minutes {USER.save_minutes}"
)
RUNS_PAGE = f"--runs-page '{USER.runs_page}'" if USER.runs_page else ""
REPORT = f"{SCALE} --results {RESULTS} --out {REPORTS} {RUNS_PAGE}"

CARD_GATE = f"{RESULTS}/masks/{USER.scale}.passed"
OFFLINE = "" if USER.download else "--offline"
MAX_UNUSABLE = " ".join(f"{name}={share}" for name, share in USER.max_unusable.items())
WEIGHTS = f"--weights {USER.detector_weights}" if USER.detector_weights else ""
DATASETS = {dataset.name: i for i, dataset in PLAN.datasets.items()}
# Where jobs are submitted there is no number of cores: the profile sets threads.
DATA_THREADS = workflow.resource_settings.cores or 1


wildcard_constraints:
    dataset_id="[0-9a-f]{10}",
    dataset="|".join(DATASETS),
    store_id="[0-9a-f]{10}",
    boxes_id="[0-9a-f]{10}",
    shard=r"\d+",
    shards=r"\d+",
    card_id="[0-9a-f]{10}",
    pretrain_id="[0-9a-f]{10}",
    finetune_id="[0-9a-f]{10}",
    probe_id="[0-9a-f]{10}",
    epoch=r"\d+",


onstart:
    shell(f"python -m mac preflight --tracking-uri '{TRACKING}'")
    # Sends to MLflow what runs write while they train. It ends by itself when this Snakemake has; a session of its own
    # lets it see that end when Ctrl-C brings it about.
    follow = f"exec python -m mac track follow {SCALE} --results {RESULTS} --tracking-uri '{TRACKING}'"
    os.makedirs(f"{RESULTS}/logs", exist_ok=True)
    with open(f"{RESULTS}/logs/track_follow.log", "w") as log:
        own = {"stdout": log, "stderr": log, "start_new_session": True}
        subprocess.Popen(
            f"{follow} --since {int(time.time())} --while-pid {os.getpid()}",
            shell=True,
            **own,
        )
